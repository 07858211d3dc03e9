//! `POST /api/v1/services/{service}/canaries/{name}/kill` and `…/restore`: the kill switch.

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::{Extension, Json};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::task::JoinError;

use super::actor::Actor;
use super::body::document;
use super::path::Names;
use super::problem::Problem;
use super::{AdminState, Shared};
use crate::audit::entry::{ALL_GATEWAYS, PENDING, THIS_GATEWAY};
use crate::config::value;
use crate::context::Moment;
use crate::publisher::kills::{KillAction, KillFailure, KillReport};
use crate::registry::kills::{Kill, Kills};
use crate::snapshot::{Service, Snapshot};
use crate::spelling::nearest;

/// How many names a warning has; the others are counted.
pub(super) const SHOWN: usize = 10;

/// What an order has come to.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Order")]
pub(super) struct OrderView {
    service: String,
    flag: String,
    killed: bool,
    /// When and by whom, if it is killed.
    #[schemars(extend("format" = "date-time"))]
    since: Option<String>,
    by: Option<String>,
    /// Why, if that was said.
    reason: Option<String>,
    /// Whether it was otherwise before.
    changed: bool,
    /// How many canaries the flag has now: a kill may come before them.
    canaries: usize,
    /// Whether a restart will change nothing about it.
    stored: bool,
    #[schemars(extend("enum" = [THIS_GATEWAY, ALL_GATEWAYS, PENDING]))]
    scope: &'static str,
    generation: u64,
}

/// A kill that is in force.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Kill")]
pub(super) struct KillView {
    flag: String,
    #[schemars(extend("format" = "date-time"))]
    since: String,
    by: String,
    /// Why, if that was said.
    reason: Option<String>,
    /// How many canaries the flag has now; 0: the kill is of a name that no canary has.
    canaries: usize,
}

/// What comes with an order, all of which may be left out.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "OrderRequest")]
pub(super) struct OrderDocument {
    /// Why, for those who will ask.
    reason: Option<String>,
    /// The kill is meant although no flag has the name yet.
    ahead: bool,
}

/// The longest reason that is kept, in bytes.
const MAX_REASON: usize = 500;

/// Kills a flag's canaries; all its variants at once.
pub(super) async fn kill(
    state: Shared,
    actor: Extension<Actor>,
    path: Names<(String, String)>,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<OrderView>), Problem> {
    let answer = order(state, actor, path, (KillAction::Kill, said(body)?)).await?;
    // It is accepted; other gateways do not know of it yet.
    let status = match answer.scope {
        PENDING => StatusCode::ACCEPTED,
        _ => StatusCode::OK,
    };
    Ok((status, answer))
}

/// Takes a kill back.
pub(super) async fn restore(
    state: Shared,
    actor: Extension<Actor>,
    path: Names<(String, String)>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<OrderView>, Problem> {
    order(state, actor, path, (KillAction::Restore, said(body)?)).await
}

async fn order(
    State(state): Shared,
    Extension(actor): Extension<Actor>,
    Names((service, flag)): Names<(String, String)>,
    (order, said): (KillAction, OrderDocument),
) -> Result<Json<OrderView>, Problem> {
    value::flag_name(&flag).map_err(|hint| {
        let detail = format!("{flag:?} is no flag's name ({hint}); a kill is for all its variants");
        Problem::new(422, detail)
    })?;
    if order == KillAction::Kill && !said.ahead {
        must_be_known(&state, &service, &flag)?;
    }
    let by = (actor.signature(), said.reason);
    // On a task of its own: what has begun is carried through, even if whoever asked for it goes away.
    let done = tokio::spawn(async move {
        let report = state.kills.order(order, &service, &flag, by).await;
        report.map(|report| OrderView::new(service, flag, report))
    });
    carried_out(done.await)
}

/// What comes with an order; an empty body says nothing.
fn said(body: Result<Bytes, BytesRejection>) -> Result<OrderDocument, Problem> {
    if body.as_ref().is_ok_and(|body| body.trim_ascii().is_empty()) {
        return Ok(OrderDocument::default());
    }
    let said: OrderDocument = document(body)?;
    match &said.reason {
        Some(reason) if reason.len() > MAX_REASON || reason.chars().any(char::is_control) => {
            let detail = format!("a reason is one line of at most {MAX_REASON} bytes");
            Err(Problem::new(422, detail))
        }
        _ => Ok(said),
    }
}

/// A name that no flag has is more likely mistyped than meant: users would stay on the canary that was to be killed.
fn must_be_known(state: &AdminState, service: &str, flag: &str) -> Result<(), Problem> {
    let snapshot = state.publisher.store().load();
    let is_killed = || {
        let killed = state.kills.all().of_service(service);
        killed.iter().any(|(name, _)| name == flag)
    };
    let names = || snapshot.flags.iter().map(|known| &*known.name);
    // Of a service that there is not, the order itself tells.
    if snapshot.services.named(service).is_none() || names().any(|name| name == flag) || is_killed()
    {
        return Ok(());
    }
    let hint = nearest(flag, names()).map(|name| format!("; did you mean {name}?"));
    let detail = format!(
        "no flag is called {flag}{} A kill that is to come before its flag says `ahead` (serin canary kill --ahead)",
        hint.unwrap_or_else(|| ".".to_owned())
    );
    Err(Problem::new(404, detail))
}

/// Every kill, for people: a canary that gets no users is otherwise found out late.
pub(super) fn in_words(snapshot: &Snapshot, kills: &Kills) -> Vec<String> {
    let mut told: Vec<String> = Vec::new();
    let mut more = 0;
    for service in &snapshot.services {
        for (flag, kill) in kills.of_service(&service.name) {
            if told.len() == SHOWN {
                more += 1;
                continue;
            }
            let reason = kill.reason.map(|reason| format!(": {reason}"));
            let (reason, since) = (reason.unwrap_or_default(), shown(kill.at));
            let (service, by) = (&service.name, kill.by);
            told.push(format!(
                "{flag} of {service} is killed, since {since} by {by}{reason}"
            ));
        }
    }
    if more > 0 {
        told.push(format!("{more} more canaries are killed"));
    }
    told
}

/// The kills of a service, whether there are such flags or not.
pub(super) fn of_service(service: &Service, kills: &Kills) -> Vec<KillView> {
    let of_service = kills.of_service(&service.name).into_iter();
    of_service
        .map(|(flag, kill)| KillView::new(service.canaries_of(&flag), flag, kill))
        .collect()
}

fn carried_out<T>(done: Result<Result<T, KillFailure>, JoinError>) -> Result<Json<T>, Problem> {
    let failure = match done {
        Ok(Ok(view)) => return Ok(Json(view)),
        Ok(Err(failure)) => failure,
        Err(panic) => return Err(Problem::new(500, panic.to_string())),
    };
    let status = match failure {
        KillFailure::NoService(_) => 404,
        KillFailure::TooManyAhead(_) => 409,
        KillFailure::Unpublished(_) => 500,
        KillFailure::Unreachable | KillFailure::Stopped(_) => 503,
    };
    Err(Problem::new(status, failure.to_string()))
}

/// What the order has come to that ends all doubts.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Settled")]
pub(super) struct SettledView {
    /// Whether there was any doubt.
    changed: bool,
    /// Whether a restart will change nothing about it.
    stored: bool,
    #[schemars(extend("enum" = [THIS_GATEWAY, ALL_GATEWAYS, PENDING]))]
    scope: &'static str,
    generation: u64,
}

/// Says of every canary of unknown standing that it is not killed.
pub(super) async fn restore_unknown(
    State(state): Shared,
    Extension(actor): Extension<Actor>,
) -> Result<Json<SettledView>, Problem> {
    let done = tokio::spawn(async move {
        let report = state.kills.settle(actor.signature()).await;
        report.map(|report| SettledView {
            changed: report.changed,
            stored: report.stored,
            scope: THIS_GATEWAY,
            generation: report.generation,
        })
    });
    carried_out(done.await)
}

impl OrderView {
    fn new(service: String, flag: String, report: KillReport) -> Self {
        Self {
            service,
            flag,
            killed: report.kill.is_some(),
            since: report.kill.as_ref().map(|kill| shown(kill.at)),
            reason: report.kill.as_ref().and_then(|kill| kill.reason.clone()),
            by: report.kill.map(|kill| kill.by),
            changed: report.changed,
            canaries: report.canaries,
            stored: report.stored,
            scope: report.reach.as_str(),
            generation: report.generation,
        }
    }
}

impl KillView {
    fn new(canaries: usize, flag: String, kill: Kill) -> Self {
        Self {
            flag,
            since: shown(kill.at),
            by: kill.by,
            reason: kill.reason,
            canaries,
        }
    }
}

fn shown(moment: Moment) -> String {
    moment.to_string()
}
