//! What a request's overrides come to for its service, as JSON.

use schemars::JsonSchema;
use serde::Serialize;

use crate::context::Moment;
use crate::decide::overriding::Overriding;
use crate::overrides::OverrideResult;

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Override")]
pub(super) struct OverridingView {
    /// What became of those that the request shows, each result once.
    #[schemars(schema_with = "results")]
    results: Vec<&'static str>,
    /// The deployment that the one asks for that decides, else the last one that is signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    deployment: Option<String>,
    /// From when on it does not hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    /// Whom alone it holds for.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
}

fn results(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "array",
        "items": { "enum": OverrideResult::ALL.map(OverrideResult::as_str) },
    })
}

impl OverridingView {
    /// `None`: the request shows none.
    pub(super) fn new(overriding: &Overriding) -> Option<Self> {
        let results = overriding.results;
        if results.is_empty() {
            return None;
        }
        let read = overriding.read.as_ref().map(|(read, _)| read);
        let until = |seconds: i64| Moment {
            unix_ms: seconds.saturating_mul(1000),
        };
        Some(Self {
            results: results.iter().map(OverrideResult::as_str).collect(),
            deployment: read.map(|read| read.deployment.to_string()),
            until: read.map(|read| until(read.expires).to_string()),
            user: read.and_then(|read| read.user.as_deref().map(str::to_owned)),
        })
    }
}
