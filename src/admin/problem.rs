//! Errors as problem documents (RFC 9457).

use std::error::Error;

use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};

use super::connections::TooSlow;
use super::schema::{count, list, object, reference, text};

/// An error that a client sees.
#[derive(Clone, Debug, Serialize)]
pub struct Problem {
    /// The status' own words.
    title: &'static str,
    status: u16,
    /// What is wrong this time, in a sentence.
    detail: String,
    #[serde(flatten)]
    more: Map<String, Value>,
    #[serde(skip)]
    retry_after: Option<u32>,
    #[serde(skip)]
    challenges: bool,
}

/// The schema of [`Problem`].
pub(super) fn schema() -> Value {
    object(&[
        ("title", text()),
        ("status", count()),
        ("detail", text()),
        ("missing?", list(&text())),
        ("errors?", list(&reference("Diagnostic"))),
    ])
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
            more: Map::new(),
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

    /// With a member of its own.
    #[must_use]
    pub fn with(mut self, name: &str, value: Value) -> Self {
        self.more.insert(name.to_owned(), value);
        self
    }
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
