//! `GET /api/v1/audit`: who did what to this gateway.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Query as UrlQuery, State};
use axum::http::request::Parts;
use axum::{Extension, Json};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Shared;
use super::actor::Actor;
use super::problem::{Problem, at_fault};
use crate::audit::Audit;
use crate::audit::entry::{ALL_GATEWAYS, THIS_GATEWAY};
use crate::audit::query::{Query, QueryError, Since};
use crate::state::SharedTrail;

/// How many entries are shown unless more are asked for.
const USUAL: usize = 100;
/// How many are shown at most.
const MOST: usize = 1_000;

/// Entries of the trail, the newest last.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Audit")]
pub(super) struct AuditView {
    /// Whose entries these are: of all gateways that share their state, or of this one.
    #[schemars(extend("enum" = [ALL_GATEWAYS, THIS_GATEWAY]))]
    scope: &'static str,
    entries: Vec<EntryView>,
}

/// An entry, as it stands in the trail.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "AuditEntry")]
struct EntryView {
    /// Its name, which no other entry of any gateway has.
    id: String,
    #[schemars(extend("format" = "date-time"))]
    at: String,
    actor: ActorView,
    action: String,
    /// The service that it is about; null: about none in particular.
    service: Option<String>,
    /// What it was done to.
    object: String,
    before: Value,
    after: Value,
    reason: Option<String>,
    /// Where it holds.
    scope: String,
    /// The hash of the entry before it.
    previous: String,
    hash: String,
}

/// Who did something.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "AuditActor")]
struct ActorView {
    /// The token's name; `serin`: the gateway itself; null: a caller without a token.
    name: Option<String>,
    role: Option<String>,
    address: Option<String>,
}

/// How the trail is doing.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "AuditTrail")]
pub(super) struct TrailView {
    /// Whether it is on disk, and outlives the process.
    stored: bool,
    /// How many entries were written since the start.
    written: u64,
    /// How many wait to be written.
    waiting: usize,
    /// How many could not be kept for that.
    lost: u64,
    last_error: Option<String>,
    /// How many entries since the start the other gateways cannot see yet; null: nothing is shared.
    not_shared: Option<u64>,
}

impl AuditView {
    fn new(scope: &'static str, lines: &[Arc<str>]) -> Self {
        let read = lines
            .iter()
            .map(|line| serde_json::from_str::<EntryView>(line));
        // What is no entry was not found.
        let entries = read.filter_map(Result::ok).collect();
        Self { scope, entries }
    }
}

impl TrailView {
    /// How it is doing, and what people should know of that.
    pub(super) fn of(audit: &Audit, shared: Option<&SharedTrail>) -> (Self, Vec<String>) {
        let figures = audit.figures();
        let mut warnings = Vec::new();
        warnings.extend(figures.damage.clone());
        if let Some(trouble) = &figures.trouble {
            let waiting = figures.waiting;
            warnings.push(format!("{trouble}; {waiting} entries wait in memory"));
        }
        if figures.lost > 0 {
            let lost = figures.lost;
            warnings.push(format!("{lost} entries of the audit trail are lost"));
        }
        let (not_shared, trouble) = shared.map(|shared| shared.waiting(audit)).unzip();
        warnings.extend(trouble.flatten());
        let view = Self {
            not_shared,
            stored: audit.is_stored(),
            written: figures.written.values().sum(),
            waiting: figures.waiting,
            lost: figures.lost,
            last_error: figures.trouble.or(figures.damage),
        };
        (view, warnings)
    }
}

/// What a client asks for.
#[derive(Debug)]
pub(super) struct Wanted {
    since: Option<Since>,
    service: Option<String>,
    limit: usize,
}

impl<S: Send + Sync> FromRequestParts<S> for Wanted {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = UrlQuery::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        let UrlQuery(query) = query.map_err(|error| Problem::new(400, error.body_text()))?;
        let mut wanted = Self {
            since: None,
            service: None,
            limit: USUAL,
        };
        for (name, value) in query {
            match name.as_str() {
                "since" => wanted.since = Some(since(&value)?),
                "service" => wanted.service = Some(value),
                "limit" => wanted.limit = limit(&value)?,
                _ => {
                    let detail = format!(
                        "there is no parameter `{name}`; there are `since`, `service` and `limit`"
                    );
                    return Err(at_fault(400, &name, &detail));
                }
            }
        }
        Ok(wanted)
    }
}

fn since(text: &str) -> Result<Since, Problem> {
    let is_id = text.split_once('-').is_some_and(|(chain, number)| {
        chain.len() == 8
            && chain.bytes().all(|byte| byte.is_ascii_hexdigit())
            && number.bytes().all(|byte| byte.is_ascii_digit())
    });
    if is_id {
        return Ok(Since::Entry(text.to_owned()));
    }
    text.parse().map(Since::Moment).map_err(|_| {
        let detail = format!(
            "`{text}` is neither an entry's ID nor a moment: write it as in `2026-11-28T10:00:00Z`"
        );
        at_fault(400, "since", &detail)
    })
}

fn limit(text: &str) -> Result<usize, Problem> {
    let limit = text.parse().ok();
    limit
        .filter(|limit| (1..=MOST).contains(limit))
        .ok_or_else(|| {
            let detail = format!("`{text}` is no limit: write a number from 1 to {MOST}");
            at_fault(400, "limit", &detail)
        })
}

/// Shows entries: the newest, or those after a moment or an entry. A token that is for some services sees what is about these.
pub(super) async fn entries(
    State(state): Shared,
    Extension(actor): Extension<Actor>,
    wanted: Wanted,
) -> Result<Json<AuditView>, Problem> {
    let services = match wanted.service {
        Some(service) => {
            if !actor.is_for(&service) {
                return Err(actor.is_for_some_only(&format!("not for {service:?}")));
            }
            Some(Arc::from([Arc::from(service)]))
        }
        None => actor.services,
    };
    let query = Query {
        since: wanted.since,
        services,
        limit: wanted.limit,
    };
    let place = state.bounds.search()?;
    let audit = state.publisher.events().audit().clone();
    if let Some(shared) = state.state_store.shared_trail()
        && let Some(lines) = shared.find(&audit, &query).await
    {
        return Ok(Json(AuditView::new(ALL_GATEWAYS, &lines)));
    }
    let found = tokio::task::spawn_blocking(move || {
        let _place = place;
        audit.find(&query)
    });
    let found = found.await;
    let found = found.map_err(|panic| Problem::new(500, panic.to_string()))?;
    let lines = found.map_err(|error| match &error {
        QueryError::NoSuchEntry(_) => at_fault(400, "since", &error.to_string()),
        QueryError::Unreadable(_) => Problem::new(503, error.to_string()),
    })?;
    Ok(Json(AuditView::new(THIS_GATEWAY, &lines)))
}
