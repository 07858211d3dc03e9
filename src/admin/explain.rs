//! `POST /api/v1/explain`: what would be decided for a user, and every step to it.

mod schema;
mod standing;
mod view;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::body::document;
use super::kills::{self, KillView};
use super::problem::Problem;
use super::schema::{closed_object, maybe_text, text};
use super::{AdminState, Shared};
use crate::clock;
use crate::context::{Context, Moment};
use crate::dispatch;
use crate::request::{HeaderList, RequestHead};
use crate::snapshot::Snapshot;
pub(super) use schema::{schema, step_schema};
pub(super) use standing::standing_schema;
pub use standing::{FlagExplanationView, StandingView};
pub use view::{Circumstances, ExplanationView};

/// A user and a request, described; or a flag.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExplainDocument {
    /// Where this flag stands is asked, and nothing else.
    flag: Option<String>,
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

/// The schema of [`ExplainDocument`].
pub(super) fn request_schema() -> Value {
    let texts = json!({ "type": "object", "additionalProperties": { "type": "string" } });
    let scalars = json!({
        "type": "object",
        "additionalProperties": { "type": ["string", "number", "boolean"] },
    });
    closed_object(&[
        ("flag?", maybe_text()),
        ("user_id?", maybe_text()),
        ("session_id?", maybe_text()),
        ("host?", text()),
        ("path?", json!({ "type": "string", "default": "/" })),
        ("query?", maybe_text()),
        ("method?", json!({ "type": "string", "default": "GET" })),
        ("headers?", texts),
        ("remote_address?", maybe_text()),
        ("properties?", scalars),
    ])
}

impl Default for ExplainDocument {
    fn default() -> Self {
        Self {
            flag: None,
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

/// What is explained: a decision, or a flag.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Explained {
    /// What would be done with a request.
    Request(Box<ExplanationView>),
    /// Where a flag stands.
    Flag(Box<FlagExplanationView>),
}

/// What a running gateway answers.
#[derive(Debug, Serialize)]
pub(super) struct AnswerView {
    #[serde(flatten)]
    explained: Explained,
    /// What is killed in the service.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    kills: Vec<KillView>,
}

impl AnswerView {
    fn new(explained: Explained, state: &AdminState) -> Self {
        let snapshot = state.publisher.store().peek();
        let service = match &explained {
            Explained::Request(view) => view.service(),
            Explained::Flag(_) => None,
        };
        let service = service.and_then(|name| snapshot.services.named(name));
        let kills = service.map(|service| kills::of_service(service, state.kills.all()));
        Self {
            kills: kills.unwrap_or_default(),
            explained,
        }
    }
}

/// Explains a decision, or a flag, on the snapshot that runs.
pub(super) async fn explain(
    State(state): Shared,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<AnswerView>, Problem> {
    let asked: ExplainDocument = document(body)?;
    let meets = Circumstances {
        quarantine: &state.quarantine,
        now: Instant::now(),
    };
    asked
        .explain(&state.publisher.store().load(), clock::now(), Some(meets))
        .map(|explained| Json(AnswerView::new(explained, &state)))
        .map_err(|why| match asked.flag {
            Some(_) => Problem::new(404, why),
            None => Problem::new(422, why),
        })
}

impl ExplainDocument {
    /// Explains what this snapshot decides, and in a running gateway what would be served now; an error says why it
    /// cannot be asked that.
    pub fn explain(
        &self,
        snapshot: &Snapshot,
        moment: Moment,
        meets: Option<Circumstances<'_>>,
    ) -> Result<Explained, String> {
        if let Some(flag) = &self.flag {
            let explained = FlagExplanationView::new(snapshot, flag, moment)?;
            return Ok(Explained::Flag(Box::new(explained)));
        }
        let headers: HeaderList = self.headers.iter().collect();
        let properties = texts(&self.properties)?;
        let remote = self
            .remote_address
            .unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let described = snapshot
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
        let (path, query) = match self.path.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (self.path.as_str(), None),
        };
        // A header counts as if a trusted proxy had sent it, where any is trusted.
        let identity = &snapshot.identity;
        let head = RequestHead {
            method: &self.method,
            authority: &self.host,
            path,
            query: self.query.as_deref().or(query),
            headers: &headers,
            peer: remote,
            peer_trusted: !identity.trusted_proxies.is_empty(),
        };
        let context = self.told_over(identity.identify(&head), described);
        let explained = dispatch::explain(snapshot, &head, &context, moment)
            .map_err(|refusal| refusal.why.into_owned())?;
        let explained = ExplanationView::new(snapshot, &explained, meets);
        Ok(Explained::Request(Box::new(explained)))
    }

    /// What the request says of its user, but for what is told of the user by itself.
    fn told_over<'a>(&self, read: Context<'a>, described: Context<'a>) -> Context<'a> {
        let properties = read.properties.into_iter().zip(described.properties);
        Context {
            user_id: described.user_id.or(read.user_id),
            session_id: described.session_id.or(read.session_id),
            remote_address: match self.remote_address {
                Some(_) => described.remote_address,
                None => read.remote_address,
            },
            properties: properties.map(|(read, told)| told.or(read)).collect(),
        }
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
