//! After which event a client goes on that comes back.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;

use crate::admin::problem::{Problem, at_fault};
use crate::events::EventId;

/// The field that browsers send when they come back (WHATWG HTML, section 9.2.3).
const LAST_EVENT_ID: &str = "last-event-id";

/// The last event that a client has seen, as `Last-Event-ID` says, or else `?since=`.
#[derive(Debug)]
pub(in crate::admin) struct Resumption(pub(super) Option<EventId>);

impl<S: Send + Sync> FromRequestParts<S> for Resumption {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        let Query(query) = query.map_err(|error| Problem::new(400, error.body_text()))?;
        let mut since = None;
        for (name, value) in query {
            if name != "since" {
                let detail = format!("there is no parameter `{name}`; there is `since`");
                return Err(at_fault(400, &name, &detail));
            }
            since = Some(read("since", &value)?);
        }
        let header = parts.headers.get(LAST_EVENT_ID);
        let header = header.map(|value| String::from_utf8_lossy(value.as_bytes()));
        // Browsers leave it out rather than send it empty; other clients do not.
        match header.filter(|text| !text.is_empty()) {
            Some(text) => Ok(Self(Some(read("Last-Event-ID", &text)?))),
            None => Ok(Self(since)),
        }
    }
}

fn read(field: &str, text: &str) -> Result<EventId, Problem> {
    text.parse().map_err(|error| {
        let detail = format!("`{text}` is the ID of no event: {error}; leave it out to begin now");
        at_fault(400, field, &detail)
    })
}
