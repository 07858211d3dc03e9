//! `POST /api/v1/sources/{name}/refresh` and `…/accept`: what people and webhooks ask of flag servers.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::task::JoinError;

use super::actor::Actor;
use super::path::Names;
use super::problem::Problem;
use super::{AdminState, Shared};
use crate::audit::entry::{Action, Deed};
use crate::source::{RefreshError, Refreshed};

/// How many flags an entry of the audit trail names.
const NAMED: usize = 100;

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

/// What is asked of a flag server's follower.
#[derive(Clone, Copy, Debug)]
enum Asked {
    Refresh,
    Accept,
}

/// Fetches. When the answer comes, requests are decided on what the server said.
pub(super) async fn refresh(
    State(state): Shared,
    Extension(actor): Extension<Actor>,
    Names(name): Names<String>,
) -> Result<Json<RefreshView>, Problem> {
    ask(state, actor, name, Asked::Refresh).await
}

/// Lets go what is held.
pub(super) async fn accept(
    State(state): Shared,
    Extension(actor): Extension<Actor>,
    Names(name): Names<String>,
) -> Result<Json<RefreshView>, Problem> {
    ask(state, actor, name, Asked::Accept).await
}

/// Asks on a task of its own: what has begun is carried through, and entered in the audit trail, even if whoever asked for it
/// goes away.
async fn ask(
    state: Arc<AdminState>,
    actor: Actor,
    name: String,
    asked: Asked,
) -> Result<Json<RefreshView>, Problem> {
    let place = state.bounds.order()?;
    let done = tokio::spawn(async move {
        let _place = place;
        let servers = &state.flag_servers;
        let (action, result) = match asked {
            Asked::Refresh => (Action::Refresh, servers.refresh(&name).await),
            Asked::Accept => (Action::AcceptRemoval, servers.accept(&name).await),
        };
        if let Ok(refreshed) = &result {
            let deed = Deed::new(actor.signature(), action, name.clone());
            let deed = deed.changing(Value::Null, entered(refreshed));
            let audit = state.publisher.events().audit();
            audit.record(deed).written().await;
        }
        view(result, name)
    });
    let panicked = |panic: JoinError| Err(Problem::new(500, panic.to_string()));
    done.await.unwrap_or_else(panicked)
}

/// What the audit trail gets to know of an answer: how many flags differ, and the names of the first.
fn entered(refreshed: &Refreshed) -> Value {
    let named = |flags: &[Arc<str>]| {
        let names: Vec<&str> = flags.iter().take(NAMED).map(|flag| &**flag).collect();
        json!({ "count": flags.len(), "flags": names })
    };
    json!({
        "generation": refreshed.generation, "added": named(&refreshed.added), "changed": named(&refreshed.changed),
        "removed": named(&refreshed.removed), "held": named(&refreshed.held),
    })
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
