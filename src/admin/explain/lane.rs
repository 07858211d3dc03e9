//! What a request's baggage says of its service, as JSON.

use schemars::JsonSchema;
use serde::Serialize;

use crate::canary::LaneResult;
use crate::decide::lane::Lane;

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Lane")]
pub(super) struct LaneView {
    /// The deployment that it names.
    deployment: String,
    #[schemars(extend("enum" = LaneResult::ALL.map(LaneResult::as_str)))]
    result: &'static str,
}

impl From<&Lane<'_>> for LaneView {
    fn from(lane: &Lane<'_>) -> Self {
        Self {
            deployment: lane.deployment.to_string(),
            result: lane.result().as_str(),
        }
    }
}
