//! Canaries that are withdrawn, whatever their flags say.

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::{Candidate, DeploymentIndex, STABLE, Service, Snapshot};
use crate::canary::Withdrawal;
use crate::digest::Digest;

/// Which flags' canaries are withdrawn from which service: all variants of a flag at once, and whether there is such a
/// flag yet or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Withdrawn(BTreeMap<Arc<str>, BTreeMap<Arc<str>, Withdrawal>>);

impl Withdrawn {
    /// Adds a flag of a service.
    pub fn insert(&mut self, service: &str, flag: &str, why: Withdrawal) {
        let flags = self.0.entry(service.into()).or_default();
        flags.insert(flag.into(), why);
    }

    /// Why a flag's canaries are withdrawn.
    pub fn get(&self, service: &str, flag: &str) -> Option<Withdrawal> {
        self.0.get(service)?.get(flag).copied()
    }
}

impl Snapshot {
    /// Takes the withdrawn canaries out: their users are assigned to stable, and their clusters are marked, so that
    /// requests that were decided on earlier snapshots leave them alone, too. The others' marks are lifted.
    pub fn withdraw(&mut self, withdrawn: &Withdrawn) {
        let mut hash = Sha256::new();
        let mut any = false;
        for service in &mut self.services {
            for candidate in &mut service.candidates {
                let why = withdrawn.get(&service.name, &candidate.flag.name);
                candidate.withdrawn = why;
                if let Some(why) = why {
                    any = true;
                    for part in [&*service.name, &*candidate.flag.name, why.reason().as_str()] {
                        hash.update((part.len() as u64).to_be_bytes());
                        hash.update(part);
                    }
                }
            }
            service.mark(withdrawn);
        }
        // Equal on gateways that decide equally, and as it was when nothing is withdrawn.
        if any {
            hash.update(self.digest.0);
            self.digest = Digest(hash.finalize().into());
        }
    }
}

impl Service {
    /// Sets or lifts the marks of every canary's cluster.
    fn mark(&self, withdrawn: &Withdrawn) {
        for candidate in &self.candidates {
            let why = withdrawn.get(&self.name, &candidate.flag.name);
            self.mark_canaries(candidate, why);
        }
    }

    /// Sets or lifts the marks of the canaries of one flag. How many canaries there are.
    pub fn mark_flag(&self, flag: &str, why: Option<Withdrawal>) -> usize {
        let mut candidates = self.candidates.iter();
        candidates
            .find(|candidate| *candidate.flag.name == *flag)
            .map_or(0, |candidate| self.mark_canaries(candidate, why))
    }

    fn mark_canaries(&self, candidate: &Candidate, why: Option<Withdrawal>) -> usize {
        let mut canaries = candidate.canaries();
        canaries.sort_unstable();
        canaries.dedup();
        for &canary in &canaries {
            self.deployments[canary].cluster.mark.set(why);
        }
        canaries.len()
    }
}

impl Candidate {
    /// The canaries that its variants lead to, perhaps more than once each.
    fn canaries(&self) -> Vec<DeploymentIndex> {
        let of_rings = self.ring_variants.iter().flatten();
        let targets = self.variants.iter().chain(of_rings);
        let targets = targets.chain([&self.plain]);
        targets
            .map(|target| target.deployment)
            .filter(|deployment| *deployment != STABLE)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Withdrawn;
    use crate::canary::{ReasonKind, Withdrawal};
    use crate::context::{Context, Moment};
    use crate::decide::decide;
    use crate::identity::Anonymous;
    use crate::snapshot::{STABLE, sample};

    fn killed(flag: &str) -> Withdrawn {
        let mut withdrawn = Withdrawn::default();
        withdrawn.insert("search", flag, Withdrawal::Killed);
        withdrawn
    }

    #[test]
    fn the_users_of_a_killed_canary_are_on_stable_and_on_no_other_canary() {
        let mut snapshot = sample::snapshot(Anonymous::Stable);
        let alive = snapshot.digest;
        let ann = Context {
            user_id: Some("ann".into()),
            ..Context::default()
        };
        let moment = Moment { unix_ms: 0 };
        snapshot.withdraw(&killed("search.a"));
        let decision = decide(&snapshot.services[0], &ann, moment);
        assert_eq!(
            (
                decision.assigned,
                decision.candidate,
                decision.reason.kind()
            ),
            (STABLE, Some(0), ReasonKind::Killed)
        );
        let mark = |deployment: usize| {
            snapshot.services[0].deployments[deployment]
                .cluster
                .mark
                .get()
        };
        assert_eq!(
            [mark(0), mark(1), mark(2)],
            [None, Some(Withdrawal::Killed), None]
        );
        assert_ne!(snapshot.digest, alive);
    }

    #[test]
    fn what_is_not_there_yet_can_be_withdrawn_and_changes_nothing() {
        let mut snapshot = sample::snapshot(Anonymous::Stable);
        let before = snapshot.digest;
        snapshot.withdraw(&killed("search.later"));
        assert_eq!(snapshot.digest, before);
        let candidates = &snapshot.services[0].candidates;
        assert!(candidates.iter().all(|each| each.withdrawn.is_none()));
    }

    #[test]
    fn a_restored_canary_is_as_it_was() {
        let mut snapshot = sample::snapshot(Anonymous::Stable);
        let service = &snapshot.services[0];
        assert_eq!(service.mark_flag("search.a", Some(Withdrawal::Killed)), 1);
        assert_eq!(
            service.mark_flag("search.none", Some(Withdrawal::Killed)),
            0
        );
        snapshot.withdraw(&Withdrawn::default());
        let service = &snapshot.services[0];
        assert_eq!(service.deployments[1].cluster.mark.get(), None);
    }
}
