//! Canaries that are withdrawn, whatever their flags say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::{Service, Snapshot};
use crate::canary::Withdrawal;
use crate::digest::Digest;

/// Which flags' canaries are withdrawn from which service: all variants of a flag at once, and whether there is such a
/// flag yet or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Withdrawn {
    /// By service and flag; `None`: known not to be withdrawn.
    known: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Option<Withdrawal>>>,
    /// Services of whose other flags nothing is known.
    unknown: BTreeSet<Arc<str>>,
    /// Whether nothing is known of any other flag.
    all_unknown: bool,
}

impl Withdrawn {
    /// Adds a flag of a service. `None`: it is known not to be withdrawn, whatever is unknown of others.
    pub fn insert(&mut self, service: &str, flag: &str, why: Option<Withdrawal>) {
        let flags = self.known.entry(service.into()).or_default();
        flags.insert(flag.into(), why);
    }

    /// From now on nothing is known of the flags that were not added; `None`: whatever their service.
    pub fn doubt(&mut self, service: Option<&str>) {
        match service {
            Some(service) => {
                self.unknown.insert(service.into());
            }
            None => self.all_unknown = true,
        }
    }

    /// Why a flag's canaries are withdrawn.
    pub fn get(&self, service: &str, flag: &str) -> Option<Withdrawal> {
        let flags = self.known.get(service);
        match flags.and_then(|flags| flags.get(flag)) {
            Some(known) => *known,
            None if self.all_unknown || self.unknown.contains(service) => Some(Withdrawal::Unknown),
            None => None,
        }
    }
}

impl Snapshot {
    /// Takes the withdrawn canaries out: their users are assigned to stable. Requests that were decided on earlier
    /// snapshots leave them alone by their flags' marks.
    pub fn withdraw(&mut self, withdrawn: &Withdrawn) {
        let mut hash = Sha256::new();
        let mut any = false;
        for service in &mut self.services {
            for candidate in &mut service.candidates {
                let why = withdrawn.get(&service.name, &candidate.flag.name);
                candidate.withdrawn = why;
                if let Some(why) = why {
                    any = true;
                    for part in [&*service.name, &*candidate.flag.name, why.as_str()] {
                        hash.update((part.len() as u64).to_be_bytes());
                        hash.update(part);
                    }
                }
            }
        }
        // Equal on gateways that decide equally, and as it was when nothing is withdrawn.
        if any {
            hash.update(self.digest.0);
            self.digest = Digest(hash.finalize().into());
        }
    }
}

impl Service {
    /// How many canaries a flag has here.
    pub fn canaries_of(&self, flag: &str) -> usize {
        let mut candidates = self.candidates.iter();
        candidates
            .find(|candidate| *candidate.flag.name == *flag)
            .map_or(0, |candidate| candidate.deployments.len())
    }
}

#[cfg(test)]
mod tests {
    use super::Withdrawn;
    use crate::canary::{ReasonKind, Withdrawal};
    use crate::context::{Context, Moment};
    use crate::decide::decide;
    use crate::identity::Anonymous;
    use crate::snapshot::{CandidateIndex, STABLE, sample};

    fn killed(flag: &str) -> Withdrawn {
        let mut withdrawn = Withdrawn::default();
        withdrawn.insert("search", flag, Some(Withdrawal::Killed));
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
            (STABLE, Some(CandidateIndex::new(0)), ReasonKind::Killed)
        );
        assert_ne!(snapshot.digest, alive);
    }

    #[test]
    fn what_is_not_there_yet_can_be_withdrawn_and_changes_nothing() {
        let mut snapshot = sample::snapshot(Anonymous::Stable);
        let before = snapshot.digest;
        snapshot.withdraw(&killed("search.later"));
        assert_eq!(snapshot.digest, before);
        let service = &snapshot.services[0];
        let candidates = &service.candidates;
        assert!(candidates.iter().all(|each| each.withdrawn.is_none()));
        let count = |flag| service.canaries_of(flag);
        assert_eq!((count("search.a"), count("search.later")), (1, 0));
    }

    #[test]
    fn what_is_known_holds_and_the_rest_of_what_is_unknown_is_withdrawn() {
        let mut withdrawn = killed("search.a");
        withdrawn.insert("search", "search.b", None);
        withdrawn.doubt(Some("search"));
        let get = |withdrawn: &Withdrawn, service, flag| withdrawn.get(service, flag);
        assert_eq!(
            get(&withdrawn, "search", "search.a"),
            Some(Withdrawal::Killed)
        );
        assert_eq!(get(&withdrawn, "search", "search.b"), None);
        assert_eq!(
            get(&withdrawn, "search", "search.c"),
            Some(Withdrawal::Unknown)
        );
        assert_eq!(get(&withdrawn, "shop", "shop.c"), None);
        withdrawn.doubt(None);
        assert_eq!(get(&withdrawn, "shop", "shop.c"), Some(Withdrawal::Unknown));
        assert_eq!(get(&withdrawn, "search", "search.b"), None);
    }
}
