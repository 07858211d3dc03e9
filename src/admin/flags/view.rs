//! Flags as the API shows them.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::admin::schema::{count, list, maybe_text, object, text, truth};
use crate::config::kept::KeptDocuments;
use crate::engine::condition::Condition;
use crate::engine::{CanaryUrl, Flag, Origin, Ring, Variant};
use crate::snapshot::{Candidate, Service, Snapshot};

/// Every flag in short.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct FlagsView {
    generation: u64,
    flags: Vec<FlagView>,
    /// Flags that Serin keeps and that are not used, because `routes.yaml` has others of their names.
    shadowed: Vec<String>,
}

#[derive(Debug, Serialize)]
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

#[derive(Debug, Serialize)]
struct RingView {
    name: String,
    enabled: bool,
    rollout: String,
}

/// The schema of [`FlagsView`].
pub(in crate::admin) fn schema() -> Value {
    let ring = object(&[("name", text()), ("enabled", truth()), ("rollout", text())]);
    let flag = object(&[
        ("name", text()),
        ("kept_by", text()),
        ("enabled", truth()),
        ("rings", list(&ring)),
        ("service", maybe_text()),
        ("canaries", list(&text())),
        ("killed", truth()),
        ("withdrawn", maybe_text()),
    ]);
    object(&[
        ("generation", count()),
        ("flags", list(&flag)),
        ("shadowed", list(&text())),
    ])
}

impl FlagsView {
    pub(super) fn of(snapshot: &Snapshot, documents: &KeptDocuments) -> Self {
        let mut places: HashMap<&str, (&Service, &Candidate)> = HashMap::new();
        for service in &snapshot.services {
            for candidate in &service.candidates {
                places.insert(&candidate.flag.name, (service, candidate));
            }
        }
        let flags = snapshot.flags.iter();
        let flags = flags.map(|flag| FlagView::of(flag, places.get(&*flag.name).copied()));
        let kept = documents.flags.keys();
        let shadowed = kept.filter(|name| {
            let in_force = snapshot.flag(name);
            in_force.is_none_or(|flag| match &flag.origin {
                Origin::Serin => false,
                Origin::Local | Origin::Unleash(_) | Origin::LaunchDarkly(_) => true,
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

/// A flag that Serin does not keep, in the keys of `routes.yaml`, as far as these say it: conditions are in words.
pub(super) fn written(flag: &Flag) -> Value {
    let mut written = Map::new();
    let mut add = |key: &str, value: Value| {
        written.insert(key.to_owned(), value);
    };
    if let Some(url) = flag.url.as_ref().and_then(CanaryUrl::allowed) {
        add("url", json!(url.to_string()));
    }
    if let Some(variants) = &flag.variants {
        let total = variants.total_weight();
        let list = variants.list().iter();
        add("variants", list.map(|one| variant(one, total)).collect());
    }
    add("enabled", json!(flag.enabled));
    add("priority", json!(flag.priority));
    if let Some(description) = &flag.about.description {
        add("description", json!(description));
    }
    if let Some(owner) = &flag.about.owner {
        add("owner", json!(owner));
    }
    if let Some(expires) = flag.about.expires {
        add("expires", json!(expires.to_string()));
    }
    add("rings", flag.rings.iter().map(ring).collect());
    Value::Object(written)
}

fn variant(variant: &Variant, total: u32) -> Value {
    let tenths = u64::from(variant.weight) * 1000 / u64::from(total.max(1));
    let weight = format!("{}.{}%", tenths / 10, tenths % 10);
    let weight = weight.replace(".0%", "%");
    let mut written = json!({ "name": &*variant.name, "weight": weight });
    let url = variant.url.as_ref().and_then(CanaryUrl::allowed);
    if let (Some(written), Some(url)) = (written.as_object_mut(), url) {
        written.insert("url".to_owned(), json!(url.to_string()));
    }
    written
}

fn ring(ring: &Ring) -> Value {
    let mut written = json!({
        "name": &*ring.name,
        "enabled": ring.enabled,
        "rollout": ring.rollout.share.to_string(),
    });
    let is_open = matches!(&ring.condition, Condition::All(parts) if parts.is_empty());
    if let (Some(written), false) = (written.as_object_mut(), is_open) {
        written.insert("condition".to_owned(), json!(ring.condition.to_string()));
    }
    written
}
