//! An answer: a status, header fields and a body; which server writes it does not matter here.

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::json;

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The header fields, `Content-Length` aside.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub body: Bytes,
}

impl Reply {
    /// Without a body.
    pub(super) fn empty(status: StatusCode) -> Self {
        Self {
            status,
            headers: vec![(CACHE_CONTROL, HeaderValue::from_static("no-store"))],
            body: Bytes::new(),
        }
    }

    /// With JSON that is about one user, or for one kind of token: nobody else may be given it.
    pub(super) fn json(status: StatusCode, body: impl Into<Bytes>) -> Self {
        let mut reply = Self::empty(status);
        reply.body = body.into();
        let json = HeaderValue::from_static("application/json");
        reply.with(CONTENT_TYPE, json)
    }

    /// JSON of which the client may have this version already.
    pub(super) fn versioned(etag: &str, body: impl Into<Bytes>) -> Self {
        Self::json(StatusCode::OK, body).tagged(etag)
    }

    /// Says that the client has this version.
    pub(super) fn not_modified(etag: &str) -> Self {
        Self::empty(StatusCode::NOT_MODIFIED).tagged(etag)
    }

    /// An error, in the members that OFREP's providers and Unleash's SDKs look at.
    pub(super) fn error(status: StatusCode, why: &str) -> Self {
        let body = json!({ "errorCode": "GENERAL", "errorDetails": why, "message": why });
        let reply = Self::json(status, body.to_string());
        match status {
            StatusCode::UNAUTHORIZED => {
                let challenge = HeaderValue::from_static("Bearer realm=\"flags\"");
                reply.with(WWW_AUTHENTICATE, challenge)
            }
            _ => reply,
        }
    }

    /// The request's target cannot be read.
    pub fn not_text() -> Self {
        Self::error(StatusCode::BAD_REQUEST, "the request's target is not text")
    }

    /// There is nothing for this method.
    pub(super) fn wrong_method(allowed: &'static str) -> Self {
        let why = "this method means nothing here";
        let reply = Self::error(StatusCode::METHOD_NOT_ALLOWED, why);
        reply.with(ALLOW, HeaderValue::from_static(allowed))
    }

    /// It is to be tried again after so many seconds.
    pub(super) fn later(status: StatusCode, why: &str, seconds: u64) -> Self {
        let seconds = HeaderValue::from(seconds.max(1));
        Self::error(status, why).with(RETRY_AFTER, seconds)
    }

    /// With one more header field.
    pub(super) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// With what it is a version of. Clients keep it, and ask each time whether it still holds.
    fn tagged(mut self, etag: &str) -> Self {
        for (name, value) in &mut self.headers {
            if *name == CACHE_CONTROL {
                *value = HeaderValue::from_static("private, no-cache");
            }
        }
        match HeaderValue::from_str(etag) {
            Ok(etag) => self.with(ETAG, etag),
            Err(_) => self,
        }
    }
}

/// Whether `If-None-Match` names a version (RFC 9110, section 13.1.2: weakly compared).
pub(super) fn matches(if_none_match: Option<&str>, etag: &str) -> bool {
    let mut tags = if_none_match.into_iter().flat_map(|list| list.split(','));
    tags.any(|tag| {
        let tag = tag.trim();
        tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag
    })
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn versions_are_compared_weakly() {
        assert!(matches(Some("\"a\""), "\"a\""));
        assert!(matches(Some("\"b\", W/\"a\""), "\"a\""));
        assert!(matches(Some("*"), "\"a\""));
        assert!(!matches(Some("a"), "\"a\""));
        assert!(!matches(None, "\"a\""));
    }
}
