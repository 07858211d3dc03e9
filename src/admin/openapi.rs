//! `GET /api/v1/openapi.json`: the API, described (OpenAPI 3.1). What is asked and answered stands in the table of
//! endpoints; what bodies hold is derived from the types that are read and written.

pub(super) mod body;
pub(super) mod parameter;

use std::sync::Arc;

use axum::http::{Method, StatusCode};
use axum::routing::MethodRouter;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::transform::RecursiveTransform;
use serde_json::{Map, Value, json};

use super::AdminState;
use super::problem::Problem;
use crate::config::admin::Role;
use body::{Answer, Body, JSON, SCHEMAS, Takes, closed};

/// The statuses that the listener itself answers with, whatever is asked: a request with several hosts or a path that is
/// no text, another site's page, a host that is not ours, and what came through this gateway.
const OF_LISTENER: &[u16] = &[400, 403, 421, 508];
/// Those that need a token, or the right one, or no more wrong ones.
const OF_TOKENS: &[u16] = &[401, 429];
/// A body that is slow, large or no text.
const OF_BODY: &[u16] = &[400, 408, 413];

/// One operation.
pub(super) struct Operation {
    pub(super) method: Method,
    pub(super) path: &'static str,
    /// Whether it is served on the listeners for probes and metrics, too, and needs no token.
    pub(super) is_probe: bool,
    pub(super) summary: &'static str,
    /// The least role that may use it; what probes ask for takes none.
    pub(super) role: Role,
    /// What it is sent beside its path.
    pub(super) takes: Takes,
    /// What it answers when all is well.
    pub(super) gives: Answer,
    /// The statuses of the errors that are its own.
    pub(super) errors: &'static [u16],
    /// Its handler.
    pub(super) route: fn() -> MethodRouter<Arc<AdminState>>,
}

/// The document of all operations of these tables.
pub(super) fn document(tables: &[&[Operation]]) -> Value {
    let mut schemas = Schemas::new();
    let mut paths = Map::new();
    let mut problems = Map::new();
    for operation in tables.iter().copied().flatten() {
        for status in operation.errors() {
            let problem = schemas.problem(status);
            problems.insert(status.to_string(), problem);
        }
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method.as_str().to_ascii_lowercase()] = operation.describe(&mut schemas);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Serin",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "responses": problems,
            "schemas": schemas.named(),
            "securitySchemes": { "token": {
                "type": "http",
                "scheme": "bearer",
                "description": "One of admin.tokens; without any in routes.yaml, callers on the gateway's machine need none",
            } },
        },
    })
}

/// The schemas of what is read and of what is written. They differ: what may be missing in a request is `null` in an
/// answer, and an answer has no members beside those that are described.
struct Schemas {
    read: SchemaGenerator,
    written: SchemaGenerator,
}

impl Schemas {
    fn new() -> Self {
        let settings = || {
            SchemaSettings::draft2020_12().with(|settings| {
                settings.definitions_path = SCHEMAS.trim_start_matches('#').into();
                settings.meta_schema = None;
            })
        };
        Self {
            read: settings().for_deserialize().into_generator(),
            written: settings()
                .for_serialize()
                .with_transform(RecursiveTransform(closed))
                .into_generator(),
        }
    }

    /// The answer with such an error, whatever was asked.
    fn problem(&mut self, status: u16) -> Value {
        let body = Body::new::<Problem>("application/problem+json");
        let content = content(&body, &mut self.written);
        json!({ "description": reason(status), "content": content })
    }

    /// Every schema that has a name.
    fn named(mut self) -> Map<String, Value> {
        let mut named = self.read.take_definitions(true);
        named.extend(self.written.take_definitions(true));
        named
    }
}

impl Operation {
    fn describe(&self, schemas: &mut Schemas) -> Value {
        let mut described = Map::new();
        described.insert("summary".to_owned(), json!(self.summary));
        let responses = self.responses(&mut schemas.written);
        described.insert("responses".to_owned(), Value::Object(responses));
        if !self.is_probe {
            described.insert("security".to_owned(), json!([{ "token": [] }]));
            described.insert("x-serin-role".to_owned(), json!(self.role.as_str()));
        }
        if let Some(body) = self.takes.body() {
            let content = content(body, &mut schemas.read);
            let body = json!({ "required": body.is_required, "content": content });
            described.insert("requestBody".to_owned(), body);
        }
        let parts = self.path.split('/');
        let names = parts.filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        let of_path = names.map(parameter::of_path);
        let others = self.takes.parameters().iter();
        let others = others.map(|parameter| parameter.describe(&mut schemas.read));
        let parameters: Vec<Value> = of_path.chain(others).collect();
        if !parameters.is_empty() {
            described.insert("parameters".to_owned(), json!(parameters));
        }
        Value::Object(described)
    }

    /// Every status that it answers with.
    fn responses(&self, generator: &mut SchemaGenerator) -> Map<String, Value> {
        let problem = |status: u16| {
            let reference = json!({ "$ref": format!("#/components/responses/{status}") });
            (status.to_string(), reference)
        };
        let mut responses: Map<String, Value> = self.errors().map(problem).collect();
        let bodies = self.gives.bodies();
        let content: Map<String, Value> =
            bodies.flat_map(|body| content(&body, generator)).collect();
        for (status, description) in self.gives.statuses() {
            // RFC 9110, 15.4.5: it has no body.
            let response = match status {
                304 => json!({ "description": description }),
                _ => json!({ "description": description, "content": content }),
            };
            responses.insert(status.to_string(), response);
        }
        responses
    }

    /// The statuses of all errors.
    fn errors(&self) -> impl Iterator<Item = u16> {
        let body = self.takes.body();
        // See `authorization`: JSON has to say that it is.
        let is_json = body.is_some_and(|body| body.media == JSON);
        let of_tokens = if self.is_probe { &[] } else { OF_TOKENS };
        let of_body = if body.is_some() { OF_BODY } else { &[] };
        let of_media: &[u16] = if is_json { &[415] } else { &[] };
        let all = [self.errors, OF_LISTENER, of_tokens, of_body, of_media];
        all.into_iter().flatten().copied()
    }
}

fn content(body: &Body, generator: &mut SchemaGenerator) -> Map<String, Value> {
    let described = json!({ "schema": (body.schema)(generator) });
    Map::from_iter([(body.media.to_owned(), described)])
}

fn reason(status: u16) -> &'static str {
    let status = StatusCode::from_u16(status).ok();
    let reason = status.and_then(|status| status.canonical_reason());
    reason.unwrap_or("An error")
}
