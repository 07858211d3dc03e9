//! Flags as the API shows them.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::config::kept::KeptDocuments;
use crate::engine::{Flag, Origin, Ring};
use crate::snapshot::{Candidate, Service, Snapshot};

/// Every flag in short.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Flags")]
pub(in crate::admin) struct FlagsView {
    generation: u64,
    flags: Vec<FlagView>,
    /// Flags that Serin keeps and that are not used, because `routes.yaml` has others of their names.
    shadowed: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ListedFlag")]
struct FlagView {
    name: String,
    /// `routes.yaml`, `serin`, or the flag server's name.
    kept_by: String,
    enabled: bool,
    rings: Vec<RingView>,
    /// The service whose canary flag it is.
    service: Option<String>,
    /// Its canary deployments.
    canaries: Vec<String>,
    killed: bool,
    /// Why its canaries get no users, whatever it says.
    withdrawn: Option<&'static str>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ListedRing")]
struct RingView {
    name: String,
    enabled: bool,
    rollout: String,
}

impl FlagsView {
    /// Those that are shown to who asks.
    pub(super) fn of(
        snapshot: &Snapshot,
        documents: &KeptDocuments,
        is_shown: impl Fn(&str) -> bool,
    ) -> Self {
        let mut places: HashMap<&str, (&Service, &Candidate)> = HashMap::new();
        for service in &snapshot.services {
            for candidate in &service.candidates {
                places.insert(&candidate.flag.name, (service, candidate));
            }
        }
        let flags = snapshot.flags.iter();
        let flags = flags.filter(|flag| is_shown(&flag.name));
        let flags = flags.map(|flag| FlagView::of(flag, places.get(&*flag.name).copied()));
        let kept = documents.flags.keys().filter(|name| is_shown(name));
        let shadowed = kept.filter(|name| {
            let in_force = snapshot.flag(name);
            in_force.is_none_or(|flag| match &flag.origin {
                Origin::Serin => false,
                Origin::Registration
                | Origin::Local
                | Origin::Unleash(_)
                | Origin::LaunchDarkly(_) => true,
            })
        });
        Self {
            generation: snapshot.generation,
            flags: flags.collect(),
            shadowed: shadowed.map(ToString::to_string).collect(),
        }
    }
}

impl FlagView {
    fn of(flag: &Flag, place: Option<(&Service, &Candidate)>) -> Self {
        let withdrawn = place.and_then(|(_, candidate)| candidate.withdrawn);
        let canaries = place.map(|(service, candidate)| {
            let indices = candidate.deployments.iter();
            let named = indices.map(|index| service.deployments.get(*index).name.to_string());
            named.collect()
        });
        Self {
            name: flag.name.to_string(),
            kept_by: flag.origin.keeper().to_owned(),
            enabled: flag.enabled,
            rings: flag.rings.iter().map(RingView::of).collect(),
            service: place.map(|(service, _)| service.name.to_string()),
            canaries: canaries.unwrap_or_default(),
            killed: withdrawn.is_some_and(|why| why == crate::canary::Withdrawal::Killed),
            withdrawn: withdrawn.map(|why| why.reason().as_str()),
        }
    }
}

impl RingView {
    fn of(ring: &Ring) -> Self {
        Self {
            name: ring.name.to_string(),
            enabled: ring.enabled,
            rollout: ring.rollout.share.to_string(),
        }
    }
}
