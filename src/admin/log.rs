//! `GET`, `PUT` and `DELETE /api/v1/log`: which log lines are written, changed for a while on a live gateway.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::{Extension, Json};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::actor::Actor;
use super::body::document;
use super::problem::Problem;
use super::{AdminState, Shared};
use crate::audit::entry::{Action, Deed};
use crate::clock;
use crate::config::{Level, value};
use crate::telemetry::log::{Directives, LogControl};

/// How long a filter holds unless the request says otherwise.
const LIFETIME: Duration = Duration::from_secs(10 * 60);
/// How long it may hold: a filter that somebody forgets must not fill a disk.
const MAX_LIFETIME: Duration = Duration::from_secs(60 * 60);
/// A shorter one would be over before anything is written.
const MIN_LIFETIME: Duration = Duration::from_secs(1);

/// Which lines are written.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Log")]
pub(super) struct LogView {
    /// `logging.level` of the running configuration.
    #[schemars(extend("enum" = ["error", "warn", "info", "debug", "trace"]))]
    level: &'static str,
    /// The directives on top of it, if an operator has set any.
    filter: Option<String>,
    /// When they end, and how far away that is.
    #[schemars(extend("format" = "date-time"))]
    until: Option<String>,
    remaining_seconds: Option<f64>,
    /// The address of the client who set them.
    by: Option<String>,
}

/// A change of the filter.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "LogRequest")]
pub(super) struct FilterDocument {
    filter: String,
    /// A duration, as in routes.yaml.
    #[serde(rename = "for")]
    lifetime: Option<String>,
}

/// Shows which lines are written.
pub(super) async fn show(State(state): Shared) -> Result<Json<LogView>, Problem> {
    Ok(Json(LogView::of(log(&state)?)))
}

/// Puts directives in force for a while.
pub(super) async fn set(
    State(state): Shared,
    Extension(actor): Extension<Actor>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<LogView>, Problem> {
    let log = log(&state)?;
    let change: FilterDocument = document(body)?;
    let directives: Directives = change
        .filter
        .parse()
        .map_err(|error| Problem::new(422, format!("filter: {error}")))?;
    let before = entered(log);
    log.set(directives, lifetime(change.lifetime)?, actor.by());
    let deed = Deed::new(actor.signature(), Action::SetLog, "log");
    let deed = deed.changing(before, entered(log));
    let audit = state.publisher.events().audit();
    audit.record(deed).written().await;
    Ok(Json(LogView::of(log)))
}

/// Ends the directives that hold.
pub(super) async fn reset(
    State(state): Shared,
    Extension(actor): Extension<Actor>,
) -> Result<Json<LogView>, Problem> {
    let log = log(&state)?;
    let before = entered(log);
    log.reset(&actor.by());
    let deed = Deed::new(actor.signature(), Action::ResetLog, "log");
    let deed = deed.changing(before, entered(log));
    let audit = state.publisher.events().audit();
    audit.record(deed).written().await;
    Ok(Json(LogView::of(log)))
}

/// What the audit trail gets to know of the log's filter.
fn entered(log: &LogControl) -> Value {
    let view = LogView::of(log);
    json!({ "filter": view.filter, "until": view.until })
}

fn log(state: &AdminState) -> Result<&LogControl, Problem> {
    state.log.as_ref().ok_or_else(|| {
        let detail = "this gateway writes no log of its own: it runs within another program";
        Problem::new(404, detail)
    })
}

fn lifetime(text: Option<String>) -> Result<Duration, Problem> {
    let Some(text) = text else {
        return Ok(LIFETIME);
    };
    let refuse = |why: String| Problem::new(422, format!("for: {text}: {why}"));
    let lifetime = value::duration(&text).map_err(refuse)?;
    if (MIN_LIFETIME..=MAX_LIFETIME).contains(&lifetime) {
        Ok(lifetime)
    } else {
        Err(refuse(
            "a filter holds for at least 1s and at most 1h".to_owned(),
        ))
    }
}

impl LogView {
    fn of(log: &LogControl) -> Self {
        let (level, temporary) = log.shown();
        let remaining = temporary.as_ref().map(|temporary| {
            let until = temporary.until;
            until.saturating_duration_since(Instant::now())
        });
        Self {
            level: match level {
                Level::Error => "error",
                Level::Warn => "warn",
                Level::Info => "info",
                Level::Debug => "debug",
                Level::Trace => "trace",
            },
            until: remaining.map(from_now),
            remaining_seconds: remaining.map(|remaining| remaining.as_secs_f64().ceil()),
            filter: temporary
                .as_ref()
                .map(|temporary| temporary.directives.to_string()),
            by: temporary.map(|temporary| temporary.by),
        }
    }
}

/// The moment that is so far away.
fn from_now(remaining: Duration) -> String {
    let ms = i64::try_from(remaining.as_millis()).unwrap_or_default();
    let at = jiff::Timestamp::from_millisecond(clock::now().unix_ms.saturating_add(ms));
    format!("{:.0}", at.unwrap_or_default())
}
