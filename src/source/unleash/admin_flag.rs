//! A flag as Unleash's admin API shows it, as far as Serin looks at it.

use serde::Deserialize;
use serde_json::{Map, Value, json};

/// What a flag that Serin made is tagged with.
const OWN_TAG: (&str, &str) = ("simple", "serin");

/// The title of a strategy that Serin keeps beside others, so that a flag whose other strategies are all disabled is on for
/// nobody: a list without an enabled strategy would be on for everybody.
const GUARD: &str = "Nobody";

/// The strategy whose users and rollout Serin can change.
pub(super) const GRADUAL: &str = "flexibleRollout";

/// A flag.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct AdminFlag {
    /// Its project.
    pub(super) project: Box<str>,
    /// What people and Serin wrote about it.
    pub(super) description: Option<Box<str>>,
    /// Whether it is marked stale.
    pub(super) stale: bool,
    /// What it is in each environment.
    pub(super) environments: Vec<AdminEnvironment>,
}

/// A flag in one environment.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct AdminEnvironment {
    /// The environment.
    pub(super) name: Box<str>,
    /// Whether the flag is on there.
    pub(super) enabled: bool,
    /// Its strategies there.
    pub(super) strategies: Vec<AdminStrategy>,
}

/// A strategy.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct AdminStrategy {
    /// Its ID.
    pub(super) id: Box<str>,
    /// Its kind, as in `flexibleRollout`.
    pub(super) name: Box<str>,
    /// What people call it.
    pub(super) title: Option<Box<str>>,
    /// Whether it is disabled: clients are not told of it.
    pub(super) disabled: Option<bool>,
    /// Its parameters; their values are texts.
    pub(super) parameters: Map<String, Value>,
    /// Its variants.
    pub(super) variants: Option<Vec<AdminVariant>>,
    /// Where it stands among the others.
    #[serde(rename = "sortOrder")]
    pub(super) sort_order: Option<f64>,
}

/// A variant of a strategy.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct AdminVariant {
    /// Its name.
    pub(super) name: Box<str>,
    /// What comes with it.
    pub(super) payload: Option<AdminPayload>,
}

/// What comes with a variant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct AdminPayload {
    /// How it is to be read: `json`, `string` …
    #[serde(rename = "type")]
    pub(super) kind: Box<str>,
    /// Its text.
    pub(super) value: String,
}

/// A tag of a flag.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Tag {
    #[serde(rename = "type")]
    kind: Box<str>,
    value: Box<str>,
}

impl AdminFlag {
    /// What it is in an environment, with its strategies in the order in which clients get them.
    pub(super) fn environment(&self, name: &str) -> Option<AdminEnvironment> {
        let mut environments = self.environments.iter();
        let mut found = environments.find(|own| *own.name == *name)?.clone();
        let order = |strategy: &AdminStrategy| strategy.sort_order.unwrap_or(9999.0);
        found
            .strategies
            .sort_by(|one, other| order(one).total_cmp(&order(other)));
        Some(found)
    }
}

impl AdminStrategy {
    /// Whether clients are told of it.
    pub(super) fn is_enabled(&self) -> bool {
        self.disabled != Some(true)
    }

    /// Whether nobody gets the flag by it, whatever else it says.
    pub(super) fn is_guard(&self) -> bool {
        *self.name == *GRADUAL && self.parameters.get("rollout").is_some_and(|all| all == "0")
    }
}

/// Whether a flag with this tag is one that Serin made.
pub(super) fn is_own_tag(tag: &Tag) -> bool {
    (&*tag.kind, &*tag.value) == OWN_TAG
}

/// The same tag as the API takes it.
pub(super) fn own_tag() -> Value {
    json!({ "type": OWN_TAG.0, "value": OWN_TAG.1 })
}

/// A strategy by which nobody gets the flag.
pub(super) fn guard(flag: &str) -> Value {
    json!({
        "name": GRADUAL, "title": GUARD, "disabled": false, "sortOrder": 9999,
        "constraints": [], "segments": [], "variants": [],
        "parameters": { "rollout": "0", "stickiness": "default", "groupId": flag },
    })
}
