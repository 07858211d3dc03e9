//! `GET /api/v1/openapi.json`: the API, described (OpenAPI 3.1).

mod explain;
mod service;

use axum::Json;
use serde_json::{Map, Value, json};

/// One operation.
struct Operation {
    method: &'static str,
    path: &'static str,
    summary: &'static str,
    /// The media type and the schema's name of the request's body, if it has one.
    takes: Option<(&'static str, &'static str)>,
    /// The media type and the schema's name of the answer.
    gives: (&'static str, &'static str),
    /// The statuses of the errors that are its own.
    errors: &'static [u16],
}

const JSON: &str = "application/json";
const TEXT: &str = "text/plain";

const OPERATIONS: &[Operation] = &[
    Operation {
        method: "get",
        path: "/livez",
        summary: "Whether the process runs",
        takes: None,
        gives: (TEXT, "Text"),
        errors: &[],
    },
    Operation {
        method: "get",
        path: "/readyz",
        summary: "Whether traffic may come",
        takes: None,
        gives: (TEXT, "Text"),
        errors: &[503],
    },
    Operation {
        method: "get",
        path: "/metrics",
        summary: "Every figure, as Prometheus text or OpenMetrics",
        takes: None,
        gives: (TEXT, "Text"),
        errors: &[],
    },
    Operation {
        method: "get",
        path: "/api/v1/openapi.json",
        summary: "This document",
        takes: None,
        gives: (JSON, "Document"),
        errors: &[],
    },
    Operation {
        method: "get",
        path: "/api/v1/status",
        summary: "What runs, how fresh it is, and what is wrong with it",
        takes: None,
        gives: (JSON, "Status"),
        errors: &[],
    },
    Operation {
        method: "get",
        path: "/api/v1/events",
        summary: "What happens, as it happens: connected, snapshot, held, source, canary, endpoint, kills, lagged, stopping",
        takes: None,
        gives: ("text/event-stream", "Text"),
        errors: &[503],
    },
    Operation {
        method: "get",
        path: "/api/v1/services",
        summary: "Every service with its deployments, endpoints and figures",
        takes: None,
        gives: (JSON, "Services"),
        errors: &[],
    },
    Operation {
        method: "get",
        path: "/api/v1/services/{service}",
        summary: "One service",
        takes: None,
        gives: (JSON, "Service"),
        errors: &[404],
    },
    Operation {
        method: "post",
        path: "/api/v1/services/{service}/canaries/{name}/kill",
        summary: "Send no user to a flag's canaries any more; ahead: before there is such a flag",
        takes: Some((JSON, "OrderRequest")),
        gives: (JSON, "Order"),
        errors: &[404, 409, 422, 500, 503],
    },
    Operation {
        method: "post",
        path: "/api/v1/services/{service}/canaries/{name}/restore",
        summary: "Take a kill back",
        takes: Some((JSON, "OrderRequest")),
        gives: (JSON, "Order"),
        errors: &[404, 422, 500, 503],
    },
    Operation {
        method: "post",
        path: "/api/v1/canaries/unknown/restore",
        summary: "Say that no canary is killed of which a damaged kills.json leaves that unknown",
        takes: None,
        gives: (JSON, "Settled"),
        errors: &[500, 503],
    },
    Operation {
        method: "post",
        path: "/api/v1/explain",
        summary: "What would be decided for a user, and every step to it",
        takes: Some((JSON, "Request")),
        gives: (JSON, "Explanation"),
        errors: &[400, 404, 408, 413, 422],
    },
    Operation {
        method: "post",
        path: "/api/v1/reload",
        summary: "Read routes.yaml again and put it in force",
        takes: None,
        gives: (JSON, "Reload"),
        errors: &[422, 500, 503],
    },
    Operation {
        method: "post",
        path: "/api/v1/sources/{name}/refresh",
        summary: "Fetch from a flag server now; the answer comes when it is in force",
        takes: None,
        gives: (JSON, "Refresh"),
        errors: &[404, 502, 503],
    },
    Operation {
        method: "post",
        path: "/api/v1/sources/{name}/accept",
        summary: "Let go what a flag server lacks and what is held",
        takes: None,
        gives: (JSON, "Refresh"),
        errors: &[404, 503],
    },
    Operation {
        method: "post",
        path: "/api/v1/config/check",
        summary: "Check a routes.yaml without using it",
        takes: Some(("application/yaml", "Text")),
        gives: (JSON, "Check"),
        errors: &[400, 408, 413, 503],
    },
];

/// Shows the document.
pub(super) async fn openapi() -> Json<Value> {
    Json(document())
}

/// The document.
pub fn document() -> Value {
    let mut paths = Map::new();
    for operation in OPERATIONS {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method] = operation.describe();
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Serin",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "paths": paths,
        "components": { "schemas": schemas() },
    })
}

impl Operation {
    fn describe(&self) -> Value {
        let (media, schema) = self.gives;
        let mut responses = Map::new();
        responses.insert("200".to_owned(), response("Well", media, schema));
        for status in self.errors {
            let problem = response("Not well", "application/problem+json", "Problem");
            responses.insert(status.to_string(), problem);
        }
        let problem = response("Any other error", "application/problem+json", "Problem");
        responses.insert("default".to_owned(), problem);
        let mut described = json!({ "summary": self.summary, "responses": responses });
        if let Some((media, schema)) = self.takes {
            let content = json!({ media: { "schema": reference(schema) } });
            described["requestBody"] =
                json!({ "required": schema != "OrderRequest", "content": content });
        }
        let parameters: Vec<Value> = self
            .path
            .split('/')
            .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
            .map(|name| {
                json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } })
            })
            .collect();
        if !parameters.is_empty() {
            described["parameters"] = json!(parameters);
        }
        described
    }
}

fn response(description: &str, media: &str, schema: &str) -> Value {
    let schema = reference(schema);
    json!({ "description": description, "content": { media: { "schema": schema } } })
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

fn list(items: &Value) -> Value {
    json!({ "type": "array", "items": items })
}

/// An object all of whose members are there, but for those whose name ends in `?`.
fn object(members: &[(&str, Value)]) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for (name, schema) in members {
        let bare = name.trim_end_matches('?');
        if bare == *name {
            required.push(bare);
        }
        properties.insert(bare.to_owned(), schema.clone());
    }
    json!({ "type": "object", "properties": properties, "required": required })
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn maybe_text() -> Value {
    json!({ "type": ["string", "null"] })
}

fn moment() -> Value {
    json!({ "type": "string", "format": "date-time" })
}

fn count() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

fn number() -> Value {
    json!({ "type": "number" })
}

fn truth() -> Value {
    json!({ "type": "boolean" })
}

fn schemas() -> Value {
    json!({
        "Text": text(),
        "Document": { "type": "object" },
        "Problem": object(&[
            ("title", text()),
            ("status", count()),
            ("detail", text()),
            ("missing?", list(&text())),
            ("errors?", list(&reference("Diagnostic"))),
        ]),
        "Diagnostic": object(&[
            ("severity", json!({ "enum": ["error", "warning"] })),
            ("message", text()),
            ("line?", count()),
            ("column?", count()),
            ("path?", text()),
            ("hint?", text()),
        ]),
        "Status": status(),
        "Services": object(&[("generation", count()), ("services", list(&reference("Service")))]),
        "Service": service::service(),
        "OrderRequest": explain::order_request(),
        "Kill": service::kill(),
        "Order": order(),
        "Settled": object(&[
            ("changed", truth()),
            ("stored", truth()),
            ("scope", text()),
            ("generation", count()),
        ]),
        "Request": explain::request(),
        "Explanation": explain::explained(),
        "Standing": explain::standing(),
        "Step": object(&[
            ("condition", text()),
            ("held", truth()),
            ("seen?", maybe_text()),
            ("steps?", list(&reference("Step"))),
        ]),
        "Reload": object(&[
            ("generation", count()),
            ("digest", text()),
            ("changed", truth()),
            ("restart_needed", list(&text())),
        ]),
        "Refresh": refresh(),
        "Check": object(&[
            ("valid", truth()),
            ("errors", count()),
            ("warnings", count()),
            ("problems", list(&reference("Diagnostic"))),
            ("not_shown", count()),
        ]),
    })
}

fn refresh() -> Value {
    let flags = ["added", "changed", "removed"].map(|name| (name, list(&text())));
    object(&[
        ("source", text()),
        ("generation", count()),
        ("changed", truth()),
        (
            "revision",
            json!({ "type": ["integer", "null"], "minimum": 0 }),
        ),
        ("flags", object(&flags)),
        ("held", list(&text())),
    ])
}

fn status() -> Value {
    let source = object(&[
        ("name", text()),
        ("age_seconds", number()),
        ("last_error", maybe_text()),
        ("mode?", json!({ "enum": ["polling", "streaming"] })),
        (
            "revision?",
            json!({ "type": ["integer", "null"], "minimum": 0 }),
        ),
        ("answered?", truth()),
        ("held?", list(&text())),
    ]);
    let last_reload = object(&[
        ("at", moment()),
        (
            "cause",
            json!({ "enum": ["start", "changed", "signal", "api"] }),
        ),
        (
            "result",
            json!({ "enum": ["ok", "invalid", "unreadable", "failed", "stopped"] }),
        ),
        ("errors", list(&reference("Diagnostic"))),
    ]);
    object(&[
        ("version", text()),
        ("uptime_seconds", number()),
        ("generation", count()),
        ("digest", text()),
        ("sources", list(&source)),
        ("last_reload", last_reload),
        ("capacity", capacity()),
        ("restart_needed", list(&text())),
        ("warnings", list(&text())),
        ("canary_flags", list(&reference("Standing"))),
        ("canary_flags_left_out", count()),
    ])
}

fn capacity() -> Value {
    let counted = object(&[("open", count()), ("max", count())]);
    let files = ["limit", "found", "reserve"].map(|name| (name, count()));
    object(&[
        ("open_files", object(&files)),
        ("connections", counted.clone()),
        ("upstream_connections", counted),
    ])
}

fn order() -> Value {
    object(&[
        ("service", text()),
        ("flag", text()),
        ("killed", truth()),
        ("since", maybe_text()),
        ("by", maybe_text()),
        ("reason", maybe_text()),
        ("changed", truth()),
        ("canaries", count()),
        ("stored", truth()),
        ("scope", text()),
        ("generation", count()),
    ])
}
