//! `POST /api/v1/explain`: what would be decided for a user, and every step to it.

mod lane;
mod now;
mod overriding;
mod standing;
mod token;
mod view;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::{Extension, Json};
use schemars::generate::SchemaGenerator;
use schemars::{JsonSchema, Schema, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::actor::Actor;
use super::body::document;
use super::canaries::HeldLeaseView;
use super::kills::{self, KillView};
use super::problem::Problem;
use super::{AdminState, Shared};
use crate::clock;
use crate::context::{Context, Moment};
use crate::dispatch;
use crate::identity::Rules;
use crate::request::{HeaderList, RequestHead};
use crate::snapshot::Snapshot;
pub use now::Circumstances;
pub use standing::{FlagExplanationView, StandingView};
use token::TokenView;
pub use view::ExplanationView;

/// A user and a request, described; or a flag.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "ExplainRequest")]
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
    /// The token of an override, as if it stood in the header field for them.
    #[serde(rename = "override")]
    token: Option<String>,
    remote_address: Option<IpAddr>,
    /// Texts, numbers, `true` or `false`.
    #[schemars(with = "BTreeMap<String, PropertyValue>")]
    properties: BTreeMap<String, Value>,
}

/// A text, a number, `true` or `false`.
struct PropertyValue;

impl JsonSchema for PropertyValue {
    fn schema_name() -> Cow<'static, str> {
        "PropertyValue".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number", "boolean"] })
    }
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
            token: None,
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
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "Explanation")]
pub(super) enum AnswerView {
    Request(Box<RequestView>),
    Flag(Box<FlagExplanationView>),
}

/// What would be done with a request.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RequestExplanation")]
pub(super) struct RequestView {
    #[serde(flatten)]
    explanation: ExplanationView,
    /// What is killed in the service.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    kills: Vec<KillView>,
    /// Which leases of the service are held, since nobody can renew them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    held_leases: Vec<HeldLeaseView>,
}

impl AnswerView {
    fn new(explained: Explained, state: &AdminState) -> Self {
        let explanation = match explained {
            Explained::Request(view) => *view,
            Explained::Flag(view) => return Self::Flag(view),
        };
        let snapshot = state.publisher.store().peek();
        let service = explanation.service();
        let held_leases = service.map(|name| HeldLeaseView::of_service(name, state));
        let service = service.and_then(|name| snapshot.services.named(name));
        let kills = service.map(|service| kills::of_service(service, state.kills.all()));
        Self::Request(Box::new(RequestView {
            kills: kills.unwrap_or_default(),
            held_leases: held_leases.unwrap_or_default(),
            explanation,
        }))
    }
}

/// Explains a decision, or a flag, on the snapshot that runs.
pub(super) async fn explain(
    State(state): Shared,
    Extension(actor): Extension<Actor>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<AnswerView>, Problem> {
    let asked: ExplainDocument = document(body)?;
    let meets = Circumstances {
        quarantine: &state.quarantine,
        now: Instant::now(),
    };
    let snapshot = state.publisher.store().load();
    if let Some(flag) = &asked.flag
        && !actor.may_see_flag(flag, &snapshot)
    {
        return Err(actor.is_for_some_only(&format!("`{flag}` is for none of them")));
    }
    let explained = asked.explain(&snapshot, clock::now(), Some(meets));
    let explained = explained.map_err(|why| match asked.flag {
        Some(_) => Problem::new(404, why),
        None => Problem::new(422, why),
    })?;
    if let Explained::Request(view) = &explained
        && let Some(service) = view.service()
        && !actor.is_for(service)
    {
        return Err(actor.is_for_some_only(&format!("this request is for {service:?}")));
    }
    Ok(Json(AnswerView::new(explained, &state)))
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
        let headers = self.head_fields(&snapshot.identity)?;
        let properties = texts(&self.properties)?;
        let remote = self
            .remote_address
            .unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
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
        let route =
            dispatch::route_of(snapshot, &head).map_err(|refusal| refusal.why.into_owned())?;
        let token = identity.tokens.shown(&head, route.auth, moment);
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
        let read = identity.identify(&head, &token, route.auth);
        let context = self.told_over(read, described);
        let explained = dispatch::explain(snapshot, route, &head, &context, moment);
        let explained = ExplanationView::new(snapshot, &explained, meets);
        let has_user = context.user_id.is_some();
        let token = TokenView::new(&identity.tokens, &token, route.auth, has_user);
        Ok(Explained::Request(Box::new(explained.with_token(token))))
    }

    fn head_fields(&self, identity: &Rules) -> Result<HeaderList, String> {
        let mut fields: HeaderList = self.headers.iter().collect();
        if let Some(token) = &self.token {
            let Some(rules) = &identity.overrides else {
                let why =
                    "no override counts: there is no `identity.override`, or its key is not set";
                return Err(why.to_owned());
            };
            fields.push(rules.header.as_str(), token);
        }
        Ok(fields)
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
