//! `POST /api/v1/sources/{name}/refresh` and `…/accept`: what people and webhooks ask of flag servers.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;

use super::Shared;
use super::path::Names;
use super::problem::Problem;
use crate::source::{RefreshError, Refreshed};

/// What is in force now, and how it differs from what was.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Refresh")]
pub(super) struct RefreshView {
    source: String,
    generation: u64,
    changed: bool,
    revision: Option<u64>,
    flags: FlagsView,
    held: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RefreshedFlags")]
struct FlagsView {
    added: Vec<String>,
    changed: Vec<String>,
    removed: Vec<String>,
}

impl RefreshView {
    fn new(source: String, refreshed: &Refreshed) -> Self {
        let names = |names: &[Arc<str>]| names.iter().map(ToString::to_string).collect();
        Self {
            source,
            generation: refreshed.generation,
            changed: refreshed.is_new,
            revision: refreshed.revision,
            flags: FlagsView {
                added: names(&refreshed.added),
                changed: names(&refreshed.changed),
                removed: names(&refreshed.removed),
            },
            held: names(&refreshed.held),
        }
    }
}

/// Fetches. When the answer comes, requests are decided on what the server said.
pub(super) async fn refresh(
    State(state): Shared,
    Names(name): Names<String>,
) -> Result<Json<RefreshView>, Problem> {
    let _place = state.bounds.order()?;
    view(state.flag_servers.refresh(&name).await, name)
}

/// Lets go what is held.
pub(super) async fn accept(
    State(state): Shared,
    Names(name): Names<String>,
) -> Result<Json<RefreshView>, Problem> {
    let _place = state.bounds.order()?;
    view(state.flag_servers.accept(&name).await, name)
}

fn view(
    result: Result<Refreshed, RefreshError>,
    name: String,
) -> Result<Json<RefreshView>, Problem> {
    match result {
        Ok(refreshed) => Ok(Json(RefreshView::new(name, &refreshed))),
        Err(error) => {
            let status = match error {
                RefreshError::Unknown(_) => 404,
                RefreshError::Failed(_) => 502,
                RefreshError::Stopped => 503,
            };
            Err(Problem::new(status, error.to_string()))
        }
    }
}
