//! `POST /api/v1/config/check`: whether a `routes.yaml` could be used, and what is wrong with it.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest as _, Request, State};
use axum::routing::{MethodRouter, post};
use schemars::JsonSchema;
use serde::Serialize;
use std::sync::Arc;

use super::diagnostic::DiagnosticView;
use super::problem::Problem;
use super::{AdminState, Shared};
use crate::source::file::MAX_BYTES;

/// What was found.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Check")]
pub(super) struct CheckView {
    valid: bool,
    errors: usize,
    warnings: usize,
    problems: Vec<DiagnosticView>,
    /// How many problems are only counted.
    not_shown: usize,
}

/// Takes bodies as large as the file may be.
pub(super) fn route() -> MethodRouter<Arc<AdminState>> {
    let limit = usize::try_from(MAX_BYTES).unwrap_or(usize::MAX);
    post(check).layer(DefaultBodyLimit::max(limit))
}

async fn check(State(state): Shared, request: Request) -> Result<Json<CheckView>, Problem> {
    // Before the body, which may be large.
    let _place = state.bounds.check()?;
    let body = Bytes::from_request(request, &()).await?;
    let text = String::from_utf8(body.into())
        .map_err(|_| Problem::new(400, "the body is not UTF-8 text"))?;
    let compile = state.check.clone();
    let compiled = tokio::task::spawn_blocking(move || compile(&text)).await;
    let compiled = compiled.map_err(|error| {
        tracing::error!(%error, "a check of a configuration failed");
        Problem::new(500, "the check failed")
    })?;
    let (valid, problems) = match compiled {
        Ok(config) => (true, config.warnings),
        Err(problems) => (false, problems),
    };
    Ok(Json(CheckView {
        valid,
        errors: problems.errors(),
        warnings: problems.warnings(),
        not_shown: problems.untold(),
        problems: problems.iter().map(DiagnosticView::from).collect(),
    }))
}
