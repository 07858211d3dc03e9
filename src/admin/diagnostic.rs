//! What is wrong with a configuration or a document, as JSON.

use schemars::JsonSchema;
use serde::Serialize;

use crate::config::diagnostic::{Diagnostic, Severity};
use crate::config::document::FieldProblem;

/// Something that is wrong, and where.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Diagnostic")]
pub(super) struct DiagnosticView {
    severity: SeverityView,
    message: String,
    /// Of a file: lines count from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    /// Of a file: columns count from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
    /// For people, as in `rings[0].rollout`; empty: the whole document.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    /// Of a JSON document: a JSON Pointer (RFC 6901).
    #[serde(skip_serializing_if = "Option::is_none")]
    pointer: Option<String>,
    /// What would help.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Severity")]
enum SeverityView {
    Error,
    Warning,
}

impl DiagnosticView {
    /// An error of the whole file.
    pub(super) fn of_whole(message: String) -> Self {
        Self::new(Severity::Error, message)
    }

    /// A warning that has no place.
    pub(super) fn warning(message: String) -> Self {
        Self::new(Severity::Warning, message)
    }

    /// An error in a member of a document.
    pub(super) fn of_member(path: &str, message: String) -> Self {
        let steps = path.split(['.', '[']);
        let pointer = steps.map(|step| format!("/{}", step.trim_end_matches(']')));
        Self {
            pointer: Some(pointer.collect()),
            path: Some(path.to_owned()),
            ..Self::of_whole(message)
        }
    }

    /// With what would help.
    #[must_use]
    pub(super) fn with_hint(mut self, hint: String) -> Self {
        self.hint = Some(hint);
        self
    }

    fn new(severity: Severity, message: String) -> Self {
        Self {
            severity: severity.into(),
            message,
            line: None,
            column: None,
            path: None,
            pointer: None,
            hint: None,
        }
    }
}

impl From<Severity> for SeverityView {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Error => Self::Error,
            Severity::Warning => Self::Warning,
        }
    }
}

impl From<&Diagnostic> for DiagnosticView {
    fn from(diagnostic: &Diagnostic) -> Self {
        Self {
            line: Some(diagnostic.span.line),
            column: Some(diagnostic.span.column),
            path: Some(diagnostic.path.clone()),
            hint: diagnostic.hint.clone(),
            ..Self::new(diagnostic.severity, diagnostic.message.clone())
        }
    }
}

impl From<&FieldProblem> for DiagnosticView {
    fn from(problem: &FieldProblem) -> Self {
        Self {
            path: Some(problem.path.clone()),
            pointer: Some(problem.pointer.clone()),
            hint: problem.hint.clone(),
            ..Self::new(problem.severity, problem.message.clone())
        }
    }
}
