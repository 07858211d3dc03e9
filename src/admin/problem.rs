//! Errors as problem documents (RFC 9457).

use std::error::Error;

use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

use super::connections::TooSlow;
use super::diagnostic::DiagnosticView;

/// An error that a client sees.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub struct Problem {
    /// The status' own words.
    title: &'static str,
    status: u16,
    /// What is wrong this time, in a sentence.
    detail: String,
    #[serde(flatten)]
    more: Box<Details>,
    #[serde(skip)]
    retry_after: Option<u32>,
    #[serde(skip)]
    challenges: bool,
}

/// What some errors say beside that.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
struct Details {
    /// What is wrong with which part of the body or of the file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<DiagnosticView>,
    /// What is still missing for traffic to come.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    missing: Vec<String>,
    /// Who keeps what was to be changed: `routes.yaml`, `serin`, or the flag server's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    kept_by: Option<String>,
    /// The entity tag of what is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    /// What uses it.
    #[serde(flatten)]
    users: Option<UsersView>,
}

/// The flags and segments that would not compile without it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct UsersView {
    pub(super) flags: Vec<String>,
    pub(super) segments: Vec<String>,
}

impl Problem {
    /// An error with this status.
    pub fn new(status: u16, detail: impl Into<String>) -> Self {
        let title = StatusCode::from_u16(status)
            .ok()
            .and_then(|status| status.canonical_reason());
        Self {
            title: title.unwrap_or("Error"),
            status,
            detail: detail.into(),
            more: Box::default(),
            retry_after: None,
            challenges: false,
        }
    }

    /// One that may be over in so many seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// One that a token would help with (RFC 6750).
    #[must_use]
    pub fn challenging(mut self) -> Self {
        self.challenges = true;
        self
    }

    /// With what is wrong with which part.
    #[must_use]
    pub(super) fn with_errors(mut self, errors: Vec<DiagnosticView>) -> Self {
        self.more.errors = errors;
        self
    }

    /// With what is still missing.
    #[must_use]
    pub(super) fn with_missing(mut self, missing: Vec<String>) -> Self {
        self.more.missing = missing;
        self
    }

    /// With who keeps it.
    #[must_use]
    pub(super) fn kept_by(mut self, keeper: &str) -> Self {
        self.more.kept_by = Some(keeper.to_owned());
        self
    }

    /// With the entity tag of what is there.
    #[must_use]
    pub(super) fn with_etag(mut self, etag: String) -> Self {
        self.more.etag = Some(etag);
        self
    }

    /// With what uses it.
    #[must_use]
    pub(super) fn used_by(mut self, users: UsersView) -> Self {
        self.more.users = Some(users);
        self
    }
}

/// An error of one field or parameter, which it names.
pub(super) fn at_fault(status: u16, field: &str, detail: &str) -> Problem {
    let error = DiagnosticView::of_member(field, detail.to_owned());
    Problem::new(status, detail).with_errors(vec![error])
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let (retry_after, challenges) = (self.retry_after, self.challenges);
        let mut response = (status, axum::Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if challenges {
            let scheme = HeaderValue::from_static("Bearer");
            headers.insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

impl From<BytesRejection> for Problem {
    fn from(rejection: BytesRejection) -> Self {
        let mut cause: Option<&(dyn Error + 'static)> = Some(&rejection);
        while let Some(error) = cause {
            if error.is::<TooSlow>() {
                return Self::new(408, error.to_string());
            }
            cause = error.source();
        }
        Self::new(rejection.status().as_u16(), rejection.body_text())
    }
}
