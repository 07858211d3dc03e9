//! Flags and segments that Serin does not keep, in the keys of `routes.yaml`, as far as these say it: conditions are in words.

use schemars::JsonSchema;
use serde::Serialize;

use crate::engine::condition::Condition;
use crate::engine::{CanaryUrl, Flag, Ring, Variant};

/// Such a flag.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::admin) struct WrittenFlag {
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    variants: Option<Vec<WrittenVariant>>,
    enabled: bool,
    priority: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    rings: Vec<WrittenRing>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct WrittenVariant {
    name: String,
    weight: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct WrittenRing {
    name: String,
    enabled: bool,
    rollout: String,
    /// Who belongs to it, in words; without one, everybody.
    #[serde(skip_serializing_if = "Option::is_none")]
    condition: Option<String>,
}

/// Such a segment.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::admin) struct WrittenSegment {
    /// Who belongs to it, in words.
    pub(in crate::admin) condition: String,
}

impl From<&Flag> for WrittenFlag {
    fn from(flag: &Flag) -> Self {
        let variants = flag.variants.as_ref().map(|variants| {
            let total = variants.total_weight();
            let list = variants.list().iter();
            list.map(|one| WrittenVariant::of(one, total)).collect()
        });
        Self {
            url: shown(flag.url.as_ref()),
            variants,
            enabled: flag.enabled,
            priority: flag.priority,
            description: flag.about.description.as_ref().map(ToString::to_string),
            owner: flag.about.owner.as_ref().map(ToString::to_string),
            expires: flag.about.expires.as_ref().map(ToString::to_string),
            rings: flag.rings.iter().map(WrittenRing::from).collect(),
        }
    }
}

impl WrittenVariant {
    fn of(variant: &Variant, total: u32) -> Self {
        let tenths = u64::from(variant.weight) * 1000 / u64::from(total.max(1));
        let weight = format!("{}.{}%", tenths / 10, tenths % 10);
        Self {
            name: variant.name.to_string(),
            weight: weight.replace(".0%", "%"),
            url: shown(variant.url.as_ref()),
        }
    }
}

impl From<&Ring> for WrittenRing {
    fn from(ring: &Ring) -> Self {
        let is_open = matches!(&ring.condition, Condition::All(parts) if parts.is_empty());
        Self {
            name: ring.name.to_string(),
            enabled: ring.enabled,
            rollout: ring.rollout.share.to_string(),
            condition: (!is_open).then(|| ring.condition.to_string()),
        }
    }
}

fn shown(url: Option<&CanaryUrl>) -> Option<String> {
    url.and_then(CanaryUrl::allowed).map(ToString::to_string)
}
