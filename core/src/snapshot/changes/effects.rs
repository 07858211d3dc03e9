//! What a change of flags comes to, for whoever makes it: rings that open or close, deployments that come and go, and the
//! services whose users are concerned.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Changes;
use crate::cluster::UpstreamUrl;
use crate::engine::{Flag, Ring};
use crate::flag::Share;
use crate::snapshot::{Service, Snapshot};

/// What differs between two snapshots as far as users are concerned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// The services that have a flag as a canary, before or after, that differs; by name.
    pub services: Vec<Arc<str>>,
    /// Canary deployments that come, go, or lead elsewhere.
    pub deployments: Vec<DeploymentEffect>,
    /// Rings that differ.
    pub rings: Vec<RingEffect>,
}

/// A canary deployment before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeploymentEffect {
    /// Its service.
    pub service: Arc<str>,
    /// Its name.
    pub deployment: Arc<str>,
    /// Where it led; `None`: it was not there.
    pub before: Option<UpstreamUrl>,
    /// Where it leads; `None`: it is gone.
    pub after: Option<UpstreamUrl>,
}

/// A ring before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingEffect {
    /// Its flag.
    pub flag: Arc<str>,
    /// Its name.
    pub ring: Arc<str>,
    /// What it was; `None`: it was not there.
    pub before: Option<RingState>,
    /// What it is; `None`: it is gone.
    pub after: Option<RingState>,
    /// Whether it asks for other users than before.
    pub other_audience: bool,
}

/// How far a ring is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingState {
    /// Whether it is switched on.
    pub enabled: bool,
    /// How many of those who meet its conditions.
    pub rollout: Share,
}

impl RingState {
    /// That of a ring.
    pub fn of(ring: &Ring) -> Self {
        Self {
            enabled: ring.enabled,
            rollout: ring.rollout.share,
        }
    }
}

impl Effects {
    /// What the changes from one snapshot to the next come to.
    pub fn of(changes: &Changes, before: &Snapshot, after: &Snapshot) -> Self {
        let flags = changes.added.iter();
        let flags: BTreeSet<&Arc<str>> = flags
            .chain(&changes.changed)
            .chain(&changes.removed)
            .collect();
        let mut effects = Self::default();
        for flag in &flags {
            rings(&mut effects.rings, before.flag(flag), after.flag(flag));
        }
        for service in &after.services {
            let old = before.services.named(&service.name);
            let has = |service: &Service| {
                let mut candidates = service.candidates.iter();
                candidates.any(|candidate| flags.contains(&candidate.flag.name))
            };
            if has(service) || old.is_some_and(has) {
                effects.services.push(service.name.clone());
                if let Some(old) = old {
                    deployments(&mut effects.deployments, old, service);
                }
            }
        }
        effects
    }
}

fn rings(into: &mut Vec<RingEffect>, before: Option<&Arc<Flag>>, after: Option<&Arc<Flag>>) {
    let list = |flag: Option<&'_ Arc<Flag>>| flag.map_or(Vec::new(), |flag| flag.rings.clone());
    let (old, new) = (list(before), list(after));
    let Some(flag) = after.or(before) else {
        return;
    };
    let named =
        |list: &'_ [Ring], name: &str| list.iter().find(|ring| *ring.name == *name).cloned();
    let gone = old.iter().filter(|ring| named(&new, &ring.name).is_none());
    let pairs = new
        .iter()
        .map(|ring| (named(&old, &ring.name), Some(ring.clone())))
        .chain(gone.map(|ring| (Some(ring.clone()), None)));
    for (old, new) in pairs {
        let Some(ring) = new.as_ref().or(old.as_ref()) else {
            continue;
        };
        let other_audience = match (&old, &new) {
            (Some(old), Some(new)) => old.condition != new.condition,
            _ => false,
        };
        let effect = RingEffect {
            flag: flag.name.clone(),
            ring: ring.name.clone(),
            before: old.as_ref().map(RingState::of),
            after: new.as_ref().map(RingState::of),
            other_audience,
        };
        if effect.other_audience || effect.before != effect.after {
            into.push(effect);
        }
    }
}

fn deployments(into: &mut Vec<DeploymentEffect>, before: &Service, after: &Service) {
    let canaries = |service: &Service| {
        let candidates = service.candidates.iter();
        let indices = candidates.flat_map(|candidate| candidate.deployments.clone());
        let named = indices.map(|index| {
            let deployment = service.deployments.get(index);
            (deployment.name.clone(), deployment.cluster.url.clone())
        });
        named.collect::<Vec<_>>()
    };
    let (old, new) = (canaries(before), canaries(after));
    let url = |list: &[(Arc<str>, UpstreamUrl)], name: &str| {
        let mut list = list.iter();
        let found = list.find(|(known, _)| **known == *name);
        found.map(|(_, url)| url.clone())
    };
    let names: BTreeSet<&Arc<str>> = old.iter().chain(&new).map(|(name, _)| name).collect();
    for name in names {
        let (was, is) = (url(&old, name), url(&new, name));
        if was != is {
            into.push(DeploymentEffect {
                service: after.name.clone(),
                deployment: name.clone(),
                before: was,
                after: is,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Effects, RingState};
    use crate::context::{Field, Moment};
    use crate::engine::Flag;
    use crate::flag::Share;
    use crate::snapshot::Snapshot;
    use crate::snapshot::changes::Changes;
    use crate::snapshot::fixture::{canary, everyone, flag, ring, service, snapshot, when};

    fn with(flags: Vec<Flag>) -> Snapshot {
        let services = vec![service("s", &["s.*"]), service("t", &["t.*"])];
        snapshot(services, flags)
    }

    fn between(before: Vec<Flag>, after: Vec<Flag>) -> Effects {
        let (before, after) = (with(before), with(after));
        let changes = Changes::between(&before, &after, Moment { unix_ms: 0 });
        Effects::of(&changes, &before, &after)
    }

    fn opened() -> Flag {
        flag("s.f", vec![ring("all", everyone(), "5%")])
    }

    fn state(enabled: bool, hundredths: u16) -> Option<RingState> {
        let rollout = Share::new(hundredths).expect("a share");
        Some(RingState { enabled, rollout })
    }

    #[test]
    fn a_flag_that_comes_brings_its_deployment_and_its_rings() {
        let effects = between(vec![], vec![opened()]);
        assert_eq!(effects.services, ["s".into()]);
        let [deployment] = &effects.deployments[..] else {
            panic!("{effects:?}");
        };
        assert_eq!(
            (&*deployment.deployment, &deployment.before),
            ("s.f", &None)
        );
        let [ring] = &effects.rings[..] else {
            panic!("{effects:?}");
        };
        assert_eq!((ring.before, ring.after), (None, state(true, 500)));
        let back = between(vec![opened()], vec![]);
        assert_eq!((back.deployments.len(), back.rings[0].after), (1, None));
        assert!(back.deployments[0].after.is_none());
    }

    #[test]
    fn a_ring_that_closes_is_told_and_nothing_else() {
        let closed = || {
            let mut flag = opened();
            flag.rings[0].enabled = false;
            flag
        };
        let effects = between(vec![opened()], vec![closed()]);
        assert!(effects.deployments.is_empty());
        let [ring] = &effects.rings[..] else {
            panic!("{effects:?}");
        };
        assert_eq!(
            (ring.before, ring.after),
            (state(true, 500), state(false, 500))
        );
        assert_eq!(between(vec![opened()], vec![opened()]).rings.len(), 0);
    }

    #[test]
    fn another_url_and_another_audience_are_told() {
        let mut moved = opened();
        moved.url = canary("http://127.0.0.1:9777");
        moved.rings[0].condition = when(Field::UserId, "userId", "in", &["ann"]);
        let effects = between(vec![opened()], vec![moved]);
        assert!(effects.rings[0].other_audience);
        let moved = &effects.deployments[0];
        assert!(moved.before.is_some() && moved.after.is_some());
    }
}
