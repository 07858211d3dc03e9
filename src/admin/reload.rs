//! `POST /api/v1/reload`: reads the file again and puts it in force.

use axum::extract::State;
use axum::{Extension, Json};
use schemars::JsonSchema;
use serde::Serialize;

use super::Shared;
use super::actor::Actor;
use super::diagnostic::DiagnosticView;
use super::problem::Problem;
use crate::reload::{ReloadFailure, ReloadReport, ReloadTrigger};

/// What is in force now.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Reload")]
pub(super) struct ReloadView {
    generation: u64,
    digest: String,
    changed: bool,
    restart_needed: Vec<String>,
}

impl From<ReloadReport> for ReloadView {
    fn from(report: ReloadReport) -> Self {
        Self {
            generation: report.generation,
            digest: report.digest.to_string(),
            changed: report.is_new,
            restart_needed: report.restart_needed,
        }
    }
}

/// Reloads. When the answer comes, requests are decided on what the file says.
pub(super) async fn reload(
    State(state): Shared,
    Extension(actor): Extension<Actor>,
) -> Result<Json<ReloadView>, Problem> {
    let place = state.bounds.order()?;
    let (file, reloader) = (
        state.reloader.path().display().to_string(),
        state.reloader.clone(),
    );
    // On a task of its own: what has begun is carried through, even if whoever asked for it goes away.
    let done = tokio::spawn(async move {
        let _place = place;
        reloader.reload(ReloadTrigger::Api, actor.signature()).await
    });
    let done = done.await;
    let result = done.map_err(|panic| Problem::new(500, panic.to_string()))?;
    match result {
        Ok(report) => Ok(Json(report.into())),
        Err(ReloadFailure::Invalid(problems)) => {
            let problems = problems.iter().map(DiagnosticView::from).collect();
            let detail = format!("{file} has errors; what runs stays");
            Err(Problem::new(422, detail).with_errors(problems))
        }
        Err(ReloadFailure::Unreadable(error)) => {
            Err(Problem::new(422, format!("{file} cannot be read: {error}")))
        }
        Err(failure @ ReloadFailure::Failed(_)) => Err(Problem::new(500, failure.to_string())),
        Err(ReloadFailure::Stopped(stopped)) => Err(Problem::new(503, stopped.to_string())),
    }
}
