//! Which requests a service's shadow gets a copy of.

use std::sync::Arc;

use http::Method;

use super::{DeploymentIndex, Deployments, STABLE, Service};
use crate::context::Moment;
use crate::engine::murmur3::murmur3_32;
use crate::flag::Position;
use crate::mirror::MirrorPolicy;

/// Apart from every hash that users are shared out by.
const SAMPLE_SEED: u32 = 0x6d69_7272;

/// A service's mirror.
#[derive(Clone, Debug)]
pub struct Mirror {
    /// Of which requests, and what is done with the answers.
    pub policy: Arc<MirrorPolicy>,
    /// The deployment that gets the copies; `None`: there is none of its name now.
    pub shadow: Option<DeploymentIndex>,
}

impl Mirror {
    pub(super) fn new(policy: &Arc<MirrorPolicy>, deployments: &Deployments) -> Self {
        let mut entries = deployments.entries().filter(|(index, _)| *index != STABLE);
        let shadow = entries.find(|(_, deployment)| *deployment.name == *policy.to);
        Self {
            policy: policy.clone(),
            shadow: shadow.map(|(index, _)| index),
        }
    }

    /// What is odd about it, for people.
    pub(super) fn warning(&self, service: &str) -> Option<String> {
        let to = &self.policy.to;
        self.shadow.is_none().then(|| {
            format!("nothing of {service} is mirrored: it has no deployment {to:?} besides stable")
        })
    }

    /// Whether the policy wants a copy of a request. The same request, which its ID stands for, is wanted by every gateway or
    /// by none.
    fn wants(&self, method: &Method, request_id: &[u8]) -> bool {
        let policy = &self.policy;
        let position = (u64::from(murmur3_32(SAMPLE_SEED, [request_id])) * 100_000) >> 32;
        policy.methods.contains(method)
            && Position::of_hundred_thousandths(position as u32).is_below(policy.sample)
    }
}

impl Service {
    /// The deployment that is to get a copy of a request that goes to `attempted`; `None`: none is. One that goes to the
    /// shadow itself needs no copy, and what is withdrawn gets none.
    pub fn shadow_of(
        &self,
        attempted: DeploymentIndex,
        (method, request_id): (&Method, &[u8]),
        moment: Moment,
    ) -> Option<DeploymentIndex> {
        let mirror = self.mirror.as_ref()?;
        let shadow = mirror.shadow.filter(|shadow| *shadow != attempted)?;
        if !mirror.wants(method, request_id) {
            return None;
        }
        (!self.is_withdrawn(shadow, moment)).then_some(shadow)
    }

    /// Whether a canary is withdrawn. It may have been since this snapshot was made.
    pub fn is_withdrawn(&self, canary: DeploymentIndex, moment: Moment) -> bool {
        let mut candidates = self.candidates.iter();
        let candidate = candidates.find(|candidate| candidate.deployments.contains(&canary));
        self.deployments.get(canary).withdrawal().is_some()
            || candidate.is_none_or(|candidate| candidate.withdrawal_at(moment).is_some())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::Method;

    use super::Mirror;
    use crate::canary::Withdrawal;
    use crate::context::Moment;
    use crate::flag::Share;
    use crate::identity::Anonymous;
    use crate::mirror::MirrorPolicy;
    use crate::snapshot::{DeploymentIndex, STABLE, Service, Snapshot, sample};

    const NOW: Moment = Moment { unix_ms: 1_000 };
    const SHADOW: DeploymentIndex = DeploymentIndex::new(2);

    fn mirroring(to: &str, sample: Share) -> Snapshot {
        let mut snapshot = sample::snapshot(Anonymous::Stable);
        let policy = MirrorPolicy {
            to: to.into(),
            sample,
            methods: vec![Method::GET],
            compare: false,
            ignore: Vec::new(),
        };
        let service = &mut snapshot.services[0];
        service.mirror = Some(Mirror::new(&Arc::new(policy), &service.deployments));
        snapshot
    }

    fn shadow(service: &Service, attempted: DeploymentIndex, id: &str) -> Option<DeploymentIndex> {
        service.shadow_of(attempted, (&Method::GET, id.as_bytes()), NOW)
    }

    #[test]
    fn the_shadow_is_the_deployment_of_that_name_and_gets_no_copy_of_what_it_serves() {
        let snapshot = mirroring("search.b", Share::ALL);
        let service = &snapshot.services[0];
        for other in [STABLE, DeploymentIndex::new(1)] {
            assert_eq!(shadow(service, other, "1"), Some(SHADOW));
        }
        assert_eq!(shadow(service, SHADOW, "1"), None);
        assert_eq!(service.shadow_of(STABLE, (&Method::POST, b"1"), NOW), None);
    }

    #[test]
    fn one_that_is_not_there_is_told_and_stable_is_nobodys_shadow() {
        for to in ["search.other", "stable"] {
            let snapshot = mirroring(to, Share::ALL);
            let mirror = snapshot.services[0].mirror.as_ref().expect("a mirror");
            assert_eq!(mirror.shadow, None);
            let warning = mirror.warning("search").expect("a warning");
            assert!(warning.contains(to), "{warning}");
        }
    }

    #[test]
    fn the_sample_is_a_share_of_the_requests_and_the_same_by_every_gateway() {
        let share = Share::new(500).expect("5 %");
        let (one, other) = (mirroring("search.b", share), mirroring("search.b", share));
        let ids: Vec<String> = (0..20_000).map(|number| format!("{number:032x}")).collect();
        let picked = |snapshot: &Snapshot| -> Vec<String> {
            let service = &snapshot.services[0];
            let ids = ids
                .iter()
                .filter(|id| shadow(service, STABLE, id).is_some());
            ids.cloned().collect()
        };
        let of_one = picked(&one);
        assert_eq!(of_one, picked(&other));
        assert!((850..1150).contains(&of_one.len()), "{}", of_one.len());
        let none = mirroring("search.b", Share::NONE);
        assert!(picked(&none).is_empty());
    }

    #[test]
    fn what_is_withdrawn_gets_nothing() {
        let mut snapshot = mirroring("search.b", Share::ALL);
        let service = &mut snapshot.services[0];
        for candidate in &mut service.candidates {
            if candidate.deployments.contains(&SHADOW) {
                candidate.until = Some(NOW);
            }
        }
        assert_eq!(shadow(service, STABLE, "1"), None);

        let snapshot = mirroring("search.b", Share::ALL);
        let service = &snapshot.services[0];
        let mark = service.deployments.get(SHADOW).mark.as_ref();
        mark.expect("a mark").set(Some(Withdrawal::Killed));
        assert_eq!(shadow(service, STABLE, "1"), None);
    }
}
