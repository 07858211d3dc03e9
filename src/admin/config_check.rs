//! `POST /api/v1/config/check`: whether a `routes.yaml` could be used, and what is wrong with it.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest as _, Request, State};
use axum::routing::{MethodRouter, post};
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::Arc;

use super::problem::Problem;
use super::schema::{count, list, object, reference, text, truth};
use super::{AdminState, Shared};
use crate::config::diagnostic::{Diagnostic, Severity};
use crate::source::file::MAX_BYTES;

/// Something that is wrong, and where: lines and columns count from 1.
#[derive(Clone, Debug, Serialize)]
pub struct DiagnosticView {
    severity: &'static str,
    message: String,
    #[serde(flatten)]
    place: Option<PlaceView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
struct PlaceView {
    line: usize,
    column: usize,
    path: String,
}

/// The schema of [`DiagnosticView`].
pub(super) fn diagnostic_schema() -> Value {
    object(&[
        ("severity", json!({ "enum": ["error", "warning"] })),
        ("message", text()),
        ("line?", count()),
        ("column?", count()),
        ("path?", text()),
        ("pointer?", text()),
        ("hint?", text()),
    ])
}

impl DiagnosticView {
    /// An error of the whole file.
    pub fn of_whole(message: String) -> Self {
        Self {
            severity: "error",
            message,
            place: None,
            hint: None,
        }
    }
}

impl From<&Diagnostic> for DiagnosticView {
    fn from(diagnostic: &Diagnostic) -> Self {
        Self {
            severity: match diagnostic.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            },
            message: diagnostic.message.clone(),
            place: Some(PlaceView {
                line: diagnostic.span.line,
                column: diagnostic.span.column,
                path: diagnostic.path.clone(),
            }),
            hint: diagnostic.hint.clone(),
        }
    }
}

/// What was found.
#[derive(Debug, Serialize)]
struct CheckView {
    valid: bool,
    errors: usize,
    warnings: usize,
    problems: Vec<DiagnosticView>,
    /// How many problems are only counted.
    not_shown: usize,
}

/// The schema of [`CheckView`].
pub(super) fn schema() -> Value {
    object(&[
        ("valid", truth()),
        ("errors", count()),
        ("warnings", count()),
        ("problems", list(&reference("Diagnostic"))),
        ("not_shown", count()),
    ])
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
