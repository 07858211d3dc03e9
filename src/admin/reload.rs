//! `POST /api/v1/reload`: reads the file again and puts it in force.

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;

use super::Shared;
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
pub(super) async fn reload(State(state): Shared) -> Result<Json<ReloadView>, Problem> {
    let _place = state.bounds.order()?;
    let file = state.reloader.path().display().to_string();
    match state.reloader.reload(ReloadTrigger::Api).await {
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
