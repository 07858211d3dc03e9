//! `POST /api/v1/explain`: what would be decided for a user, and every step to it.

mod view;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use serde::Deserialize;
use serde_json::Value;

use super::Shared;
use super::body::document;
use super::problem::Problem;
use crate::clock;
use crate::context::Moment;
use crate::dispatch;
use crate::request::{HeaderList, RequestHead};
use crate::snapshot::Snapshot;
pub use view::{Circumstances, ExplanationView};

/// A user and a request, described.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExplainDocument {
    user_id: Option<String>,
    session_id: Option<String>,
    host: String,
    path: String,
    query: Option<String>,
    method: String,
    headers: BTreeMap<String, String>,
    remote_address: Option<IpAddr>,
    properties: BTreeMap<String, Value>,
}

impl Default for ExplainDocument {
    fn default() -> Self {
        Self {
            user_id: None,
            session_id: None,
            host: String::new(),
            path: "/".to_owned(),
            query: None,
            method: "GET".to_owned(),
            headers: BTreeMap::new(),
            remote_address: None,
            properties: BTreeMap::new(),
        }
    }
}

/// Explains a decision on the snapshot that runs.
pub(super) async fn explain(
    State(state): Shared,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<ExplanationView>, Problem> {
    let asked: ExplainDocument = document(body)?;
    let meets = Circumstances {
        quarantine: &state.quarantine,
        now: Instant::now(),
    };
    asked
        .explain(&state.metrics.store.load(), clock::now(), Some(meets))
        .map(Json)
        .map_err(|why| Problem::new(422, why))
}

impl ExplainDocument {
    /// Explains what this snapshot decides, and in a running gateway what would be served now; an error says why it
    /// cannot be asked that.
    pub fn explain(
        &self,
        snapshot: &Snapshot,
        moment: Moment,
        meets: Option<Circumstances<'_>>,
    ) -> Result<ExplanationView, String> {
        let properties = texts(&self.properties)?;
        let remote = self
            .remote_address
            .unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let context = snapshot
            .identity
            .describe(
                self.user_id.as_deref(),
                self.session_id.as_deref(),
                remote,
                properties
                    .iter()
                    .map(|(name, value)| (*name, value.as_str())),
            )
            .map_err(|unknown| unknown.to_string())?;
        let headers: HeaderList = self.headers.iter().collect();
        let (path, query) = match self.path.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (self.path.as_str(), None),
        };
        let head = RequestHead {
            method: &self.method,
            authority: &self.host,
            path,
            query: self.query.as_deref().or(query),
            headers: &headers,
            peer: remote,
            peer_trusted: false,
        };
        let explained = dispatch::explain(snapshot, &head, &context, moment)
            .map_err(|refusal| refusal.why.into_owned())?;
        Ok(ExplanationView::new(snapshot, &explained, meets))
    }
}

/// The properties as the text that a request would have carried.
fn texts(properties: &BTreeMap<String, Value>) -> Result<Vec<(&str, String)>, String> {
    properties
        .iter()
        .map(|(name, value)| match value {
            Value::String(text) => Ok((name.as_str(), text.clone())),
            Value::Number(_) | Value::Bool(_) => Ok((name.as_str(), value.to_string())),
            _ => Err(format!(
                "the property {name} must be a text, a number, true or false"
            )),
        })
        .collect()
}

#[cfg(test)]
mod tests;
