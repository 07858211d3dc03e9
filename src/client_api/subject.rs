//! Whom an answer is about: what the request itself says, and what the client says beside it.
//!
//! The rule is that an answer about a flag that routes must equal what the gateway does with the user's requests.
//! Such flags are therefore asked about what a request to a service would be decided on, and nothing else:
//!
//! * The request names its user: everything is the request's own, whatever the client says.
//! * It does not, and the client names one (an app whose calls to the flag API lack its cookies, a server that asks for a
//!   user): that user, with properties that the client says where the request has none of its own.
//! * Nobody names a user: the request's own again. A session's ID is the gateway's cookie, never one that an SDK made up:
//!   no service's request would carry that.
//!
//! Other flags route nothing. For them the request's own values win too, and the client's fill every gap.

use std::borrow::Cow;
use std::net::IpAddr;

use serde_json::{Map, Value};

use crate::context::schema::ContextSchema;
use crate::context::{Context, Field};
use crate::request::{form_decoded, query_pairs};

/// What a client says of the user.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ClaimedUser {
    pub(super) user_id: Option<String>,
    session_id: Option<String>,
    remote_address: Option<IpAddr>,
    properties: Vec<(String, String)>,
}

/// Whom an answer is about.
#[derive(Debug)]
pub(super) struct Subject<'a> {
    /// For flags that route.
    pub(super) routing: Context<'a>,
    /// For all others; `None`: the same.
    pub(super) other: Option<Context<'a>>,
    /// The client named another user than the request does.
    pub(super) disagrees: bool,
}

impl ClaimedUser {
    /// Reads Unleash's context, and OFREP's: a map of texts, with more of them in `properties`.
    pub(super) fn from_json(context: &Map<String, Value>) -> Self {
        let mut said = Self::default();
        for (name, value) in context {
            match (name.as_str(), value) {
                ("properties", Value::Object(properties)) => {
                    for (name, value) in properties {
                        said.add(name, text(value), true);
                    }
                }
                _ => said.add(name, text(value), false),
            }
        }
        said
    }

    /// Reads the same from a query: `userId=u1&properties[plan]=pro`.
    pub(super) fn from_query(query: Option<&str>) -> Self {
        let mut said = Self::default();
        for (name, value) in query.into_iter().flat_map(query_pairs) {
            let (Some(name), Some(value)) = (form_decoded(name), form_decoded(value)) else {
                continue;
            };
            let property = name
                .strip_prefix("properties[")
                .and_then(|name| name.strip_suffix(']'));
            match property {
                Some(property) => said.add(property, Some(value.into_owned()), true),
                None => said.add(&name, Some(value.into_owned()), false),
            }
        }
        said
    }

    fn add(&mut self, name: &str, value: Option<String>, is_property: bool) {
        let Some(value) = value.filter(|value| !value.is_empty()) else {
            return;
        };
        match name {
            _ if is_property => self.properties.push((name.to_owned(), value)),
            "targetingKey" => self.user_id = Some(value),
            "userId" => {
                self.user_id.get_or_insert(value);
            }
            "sessionId" => self.session_id = Some(value),
            "remoteAddress" => self.remote_address = value.parse().ok(),
            // They are the gateway's own: flags are compiled for them.
            "appName" | "environment" | "currentTime" => {}
            _ => self.properties.push((name.to_owned(), value)),
        }
    }
}

impl<'a> Subject<'a> {
    /// Of a request that says `own` of itself.
    pub(super) fn new(own: Context<'a>, said: ClaimedUser, vocabulary: &ContextSchema) -> Self {
        let named = own.user_id.as_deref();
        let disagrees = match (named, said.user_id.as_deref()) {
            (Some(own), Some(said)) => own != said,
            _ => false,
        };
        let is_named = named.is_some();
        if said == ClaimedUser::default() {
            return Self {
                routing: own,
                other: None,
                disagrees,
            };
        }
        let by_client = !is_named && said.user_id.is_some();
        let mut other = own.clone();
        fill(&mut other, said, vocabulary);
        if !is_named {
            return Self {
                routing: if by_client {
                    Context {
                        session_id: own.session_id,
                        ..other.clone()
                    }
                } else {
                    own
                },
                other: Some(other),
                disagrees,
            };
        }
        // The address is the request's own like everything else of it.
        other.remote_address = own.remote_address;
        Self {
            routing: own,
            other: Some(other),
            disagrees,
        }
    }

    /// For flags that do not route.
    pub(super) fn other(&self) -> &Context<'a> {
        self.other.as_ref().unwrap_or(&self.routing)
    }
}

/// Adds what the client says where nothing is known.
fn fill(context: &mut Context<'_>, said: ClaimedUser, vocabulary: &ContextSchema) {
    let fill = |own: &mut Option<Cow<'_, str>>, said: Option<String>| {
        if own.as_deref().is_none_or(str::is_empty) {
            *own = said.map(Cow::Owned);
        }
    };
    fill(&mut context.user_id, said.user_id);
    fill(&mut context.session_id, said.session_id);
    if let Some(address) = said.remote_address {
        context.remote_address = address.to_canonical();
    }
    for (name, value) in said.properties {
        let Some(Field::Property(slot)) = vocabulary.lookup(&name) else {
            continue;
        };
        let index = usize::from(slot.0);
        if context.properties.len() <= index {
            context.properties.resize(index + 1, None);
        }
        if let Some(own) = context.properties.get_mut(index) {
            fill(own, Some(value));
        }
    }
}

/// A value as conditions compare it; of lists and maps they know nothing.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests;
