//! What a service looks like in the API.

use serde_json::{Value, json};

use super::{count, list, maybe_text, moment, number, object, reference, text, truth};

/// The schema of one service.
pub(super) fn service() -> Value {
    let assigned_by = object(&[
        ("flag", text()),
        ("variant", maybe_text()),
        ("enabled", truth()),
    ]);
    let requests = object(&[
        ("assigned", count()),
        ("served", count()),
        ("errors", count()),
        ("served_by_stable", count()),
        ("unanswered", count()),
        ("assigned_share", maybe_number()),
        ("served_share", maybe_number()),
        ("mean_seconds", maybe_number()),
    ]);
    let deployment = object(&[
        ("name", text()),
        ("url", maybe_text()),
        ("assigned_by", list(&assigned_by)),
        ("endpoints", list(&endpoint())),
        (
            "refused",
            list(&object(&[("address", text()), ("why", text())])),
        ),
        ("healthy", truth()),
        ("withdrawn", maybe_text()),
        ("requests", requests),
    ]);
    object(&[
        ("name", text()),
        ("deployments", list(&deployment)),
        ("kills", list(&reference("Kill"))),
    ])
}

/// A kill that is in force.
pub(super) fn kill() -> Value {
    object(&[
        ("flag", text()),
        ("since", moment()),
        ("by", text()),
        ("reason", maybe_text()),
        ("canaries", count()),
    ])
}

fn endpoint() -> Value {
    let standings = json!(["healthy", "warming", "trial", "ejected", "unhealthy"]);
    let causes = json!(["consecutive_failures", "error_ratio", "relapse"]);
    let ejection = object(&[
        ("cause", json!({ "enum": causes })),
        ("failure", text()),
        ("times", count()),
        ("until", text()),
    ]);
    let check = object(&[
        ("at", text()),
        ("passed", truth()),
        ("said", text()),
        ("seconds", number()),
        ("in_a_row", count()),
    ]);
    object(&[
        ("address", text()),
        ("in_flight", count()),
        ("health", json!({ "enum": standings })),
        ("ejection", or_null(&ejection)),
        ("last_check", or_null(&check)),
    ])
}

fn or_null(schema: &Value) -> Value {
    json!({ "anyOf": [schema, { "type": "null" }] })
}

fn maybe_number() -> Value {
    json!({ "type": ["number", "null"] })
}
