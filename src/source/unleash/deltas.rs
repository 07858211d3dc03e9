//! What the data of an event says: `{"events": […]}`, changes in their order, or a hydration with all flags.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::engine::source::SourceSet;
use crate::engine::unleash::{DocumentError, FeatureSet};
use crate::source::feed::flag_server::FetchError;
use crate::source::feed::removal_guard::RemovalGuard;

/// Tells the guard what a delta says. With a hydration in it, that is a full answer.
pub(super) fn apply(
    delta: &[u8],
    guard: &mut RemovalGuard,
    now: Instant,
    patience: Duration,
) -> Result<(), FetchError> {
    if hydrates(delta)? {
        let answer = applied(&FeatureSet::default(), delta)?;
        guard.full(answer, now, patience);
        return Ok(());
    }
    guard.change(|set| match set.as_unleash() {
        Some(set) => applied(set, delta),
        None => Err(FetchError::Unusable(
            "the flags to change are another product's".to_owned(),
        )),
    })
}

fn applied(set: &FeatureSet, delta: &[u8]) -> Result<SourceSet, FetchError> {
    let changed = set.apply(delta);
    changed
        .map(SourceSet::Unleash)
        .map_err(|error| FetchError::Unusable(error.to_string()))
}

/// Whether an event of a delta says everything that there is.
fn hydrates(delta: &[u8]) -> Result<bool, FetchError> {
    #[derive(Deserialize)]
    struct Delta<'a> {
        #[serde(borrow)]
        events: Vec<Event<'a>>,
    }
    #[derive(Deserialize)]
    struct Event<'a> {
        #[serde(borrow, rename = "type")]
        kind: Cow<'a, str>,
    }
    let delta: Delta<'_> = serde_json::from_slice(delta)
        .map_err(|error| FetchError::Unusable(DocumentError::from(error).to_string()))?;
    Ok(delta.events.iter().any(|event| event.kind == "hydration"))
}

#[cfg(test)]
mod tests;
