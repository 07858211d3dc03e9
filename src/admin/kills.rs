//! `POST /api/v1/services/{service}/canaries/{name}/kill` and `…/restore`: the kill switch.

use axum::extract::State;
use axum::{Extension, Json};
use serde::Serialize;
use tokio::task::JoinError;

use super::Shared;
use super::connections::Caller;
use super::path::Names;
use super::problem::Problem;
use crate::config::value;
use crate::context::Moment;
use crate::publisher::kills::{KillFailure, KillReport, Order};
use crate::registry::Kill;

/// What an order has come to.
#[derive(Debug, Serialize)]
pub(super) struct OrderView {
    service: String,
    flag: String,
    killed: bool,
    /// When and by whom, if it is killed.
    since: Option<String>,
    by: Option<String>,
    /// Whether it was otherwise before.
    changed: bool,
    /// How many canaries the flag has now: a kill may come before them.
    canaries: usize,
    /// Whether a restart will change nothing about it.
    stored: bool,
    scope: &'static str,
    generation: u64,
}

/// A kill that is in force.
#[derive(Debug, Serialize)]
pub(super) struct KillView {
    flag: String,
    since: String,
    by: String,
    /// How many canaries the flag has now; 0: the kill is of a name that no canary has.
    canaries: usize,
}

/// Kills a flag's canaries; all its variants at once.
pub(super) async fn kill(
    state: Shared,
    caller: Extension<Caller>,
    path: Names<(String, String)>,
) -> Result<Json<OrderView>, Problem> {
    order(state, caller, path, Order::Kill).await
}

/// Takes a kill back.
pub(super) async fn restore(
    state: Shared,
    caller: Extension<Caller>,
    path: Names<(String, String)>,
) -> Result<Json<OrderView>, Problem> {
    order(state, caller, path, Order::Restore).await
}

async fn order(
    State(state): Shared,
    Extension(caller): Extension<Caller>,
    Names((service, flag)): Names<(String, String)>,
    order: Order,
) -> Result<Json<OrderView>, Problem> {
    value::flag_name(&flag).map_err(|hint| {
        let detail = format!("{flag:?} is no flag's name ({hint}); a kill is for all its variants");
        Problem::new(422, detail)
    })?;
    // On a task of its own: what has begun is carried through, even if whoever asked for it goes away.
    let done = tokio::spawn(async move {
        let report = state
            .kills
            .order(order, &service, &flag, caller.address)
            .await;
        report.map(|report| OrderView::new(service, flag, report))
    });
    carried_out(done.await)
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
        KillFailure::Stopped(_) => 503,
    };
    Err(Problem::new(status, failure.to_string()))
}

/// What the order has come to that ends all doubts.
#[derive(Debug, Serialize)]
pub(super) struct SettledView {
    /// Whether there was any doubt.
    changed: bool,
    /// Whether a restart will change nothing about it.
    stored: bool,
    scope: &'static str,
    generation: u64,
}

/// Says of every canary of unknown standing that it is not killed.
pub(super) async fn restore_unknown(
    State(state): Shared,
    Extension(Caller { address: by, .. }): Extension<Caller>,
) -> Result<Json<SettledView>, Problem> {
    let done = tokio::spawn(async move {
        let report = state.kills.settle(by).await;
        report.map(|report| SettledView {
            changed: report.changed,
            stored: report.stored,
            scope: "this gateway",
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
            by: report.kill.map(|kill| kill.by),
            changed: report.changed,
            canaries: report.canaries,
            stored: report.stored,
            scope: "this gateway",
            generation: report.generation,
        }
    }
}

impl KillView {
    pub(super) fn new(canaries: usize, flag: String, kill: Kill) -> Self {
        Self {
            flag,
            since: shown(kill.at),
            by: kill.by,
            canaries,
        }
    }
}

fn shown(moment: Moment) -> String {
    moment.to_string()
}
