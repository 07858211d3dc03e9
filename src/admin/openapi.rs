//! `GET /api/v1/openapi.json`: the API, described (OpenAPI 3.1).

use std::sync::Arc;

use axum::http::Method;
use axum::routing::MethodRouter;
use serde_json::{Map, Value, json};

use super::AdminState;
use super::schema::{reference, text};
use super::{
    canaries, config_check, explain, flags, kept, kills, log, problem, reload, segments, services,
    sources, status,
};
use crate::config::admin::Role;

/// What JSON documents are sent as.
pub(super) const JSON: &str = "application/json";

/// One operation.
pub(super) struct Operation {
    pub(super) method: Method,
    pub(super) path: &'static str,
    /// Whether it is served on the listeners for probes and metrics, too, and needs no token.
    pub(super) is_probe: bool,
    pub(super) summary: &'static str,
    /// The least role that may use it; what probes ask for takes none.
    pub(super) role: Role,
    /// The media type and the schema's name of the request's body, if it has one.
    pub(super) takes: Option<(&'static str, &'static str)>,
    /// The media type and the schema's name of the answer.
    pub(super) gives: (&'static str, &'static str),
    /// The statuses of the errors that are its own.
    pub(super) errors: &'static [u16],
    /// Its handler.
    pub(super) route: fn() -> MethodRouter<Arc<AdminState>>,
}

/// The document of all operations of these tables.
pub(super) fn document(tables: &[&[Operation]]) -> Value {
    let mut paths = Map::new();
    for operation in tables.iter().copied().flatten() {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method.as_str().to_ascii_lowercase()] = operation.describe();
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
            "schemas": schemas(),
            "securitySchemes": { "token": {
                "type": "http",
                "scheme": "bearer",
                "description": "One of admin.tokens; without any in routes.yaml, callers on the gateway's machine need none",
            } },
        },
    })
}

impl Operation {
    fn describe(&self) -> Value {
        let (media, schema) = self.gives;
        let mut responses = Map::new();
        responses.insert("200".to_owned(), response("Well", media, schema));
        if self.method == Method::PUT && schema == "Registered" {
            responses.insert("201".to_owned(), response("New", media, schema));
        }
        if self.path.ends_with("/kill") {
            let accepted = response(
                "Well, here; other gateways learn of it later",
                media,
                schema,
            );
            responses.insert("202".to_owned(), accepted);
        }
        let of_callers: &[u16] = match self.is_probe {
            true => &[403],
            false => &[401, 403, 429],
        };
        let of_body: &[u16] = match self.takes {
            Some((JSON, _)) => &[415],
            _ => &[],
        };
        for status in self.errors.iter().chain(of_callers).chain(of_body) {
            let problem = response("Not well", "application/problem+json", "Problem");
            responses.insert(status.to_string(), problem);
        }
        self.describe_conditions(&mut responses);
        let problem = response("Any other error", "application/problem+json", "Problem");
        responses.insert("default".to_owned(), problem);
        let mut described = Map::new();
        described.insert("summary".to_owned(), json!(self.summary));
        described.insert("responses".to_owned(), json!(responses));
        if !self.is_probe {
            described.insert("security".to_owned(), json!([{ "token": [] }]));
            described.insert("x-serin-role".to_owned(), json!(self.role.as_str()));
        }
        if let Some((media, schema)) = self.takes {
            let content = json!({ media: { "schema": reference(schema) } });
            let body = json!({ "required": schema != "OrderRequest", "content": content });
            described.insert("requestBody".to_owned(), body);
        }
        let parameters: Vec<Value> = self
            .path
            .split('/')
            .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
            .map(|name| {
                json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } })
            })
            .collect();
        let parameters = [parameters, self.terms()].concat();
        if !parameters.is_empty() {
            described.insert("parameters".to_owned(), json!(parameters));
        }
        Value::Object(described)
    }
}

impl Operation {
    /// Whether it changes what has an entity tag.
    fn changes_a_version(&self) -> bool {
        self.gives.1 == "Kept"
    }

    /// Whether it shows what has one.
    fn shows_a_version(&self) -> bool {
        ["Flag", "Segment"].contains(&self.gives.1)
    }

    /// What is answered where there was nothing before, or nothing else than what the client has.
    fn describe_conditions(&self, responses: &mut Map<String, Value>) {
        let (media, schema) = self.gives;
        if self.changes_a_version() && self.method == Method::PUT {
            responses.insert("201".to_owned(), response("New", media, schema));
        }
        if self.shows_a_version() {
            let unchanged = json!({ "description": "The client has it already" });
            responses.insert("304".to_owned(), unchanged);
        }
    }

    /// The header fields and the parameter that say how an order about such a version is meant.
    fn terms(&self) -> Vec<Value> {
        let header = |name: &str| json!({ "name": name, "in": "header", "required": false, "schema": { "type": "string" } });
        let dry_run = || json!({ "name": "dry_run", "in": "query", "required": false, "schema": { "type": "boolean" } });
        if self.changes_a_version() {
            vec![header("If-Match"), header("If-None-Match"), dry_run()]
        } else if self.shows_a_version() {
            vec![header("If-None-Match")]
        } else {
            Vec::new()
        }
    }
}

fn response(description: &str, media: &str, schema: &str) -> Value {
    let schema = reference(schema);
    json!({ "description": description, "content": { media: { "schema": schema } } })
}

/// Every schema that has a name. Each stands beside the type that it describes.
fn schemas() -> Value {
    json!({
        "Text": text(),
        "Document": { "type": "object" },
        "Problem": problem::schema(),
        "Diagnostic": config_check::diagnostic_schema(),
        "Status": status::schema(),
        "Services": services::schema(),
        "Service": services::service_schema(),
        "Registration": canaries::request_schema(),
        "Registered": canaries::registered_schema(),
        "Canaries": canaries::list_schema(),
        "Canary": canaries::schema(),
        "OrderRequest": kills::request_schema(),
        "Flags": flags::schema(),
        "Flag": kept::document_schema(),
        "RingRequest": flags::ring_schema(),
        "Segments": segments::schema(),
        "Segment": kept::segment_schema(),
        "Kept": kept::schema(),
        "Kill": kills::kill_schema(),
        "Order": kills::order_schema(),
        "Settled": kills::settled_schema(),
        "Request": explain::request_schema(),
        "Explanation": explain::schema(),
        "Standing": explain::standing_schema(),
        "Step": explain::step_schema(),
        "Reload": reload::schema(),
        "Log": log::schema(),
        "LogRequest": log::request_schema(),
        "Refresh": sources::schema(),
        "Check": config_check::schema(),
    })
}
