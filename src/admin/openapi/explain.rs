//! What `explain` takes and gives.

use serde_json::{Value, json};

use super::{count, list, maybe_text, object, reference, text, truth};

pub(super) fn request() -> Value {
    let texts = || json!({ "type": "object", "additionalProperties": { "type": "string" } });
    let scalars = json!({
        "type": "object",
        "additionalProperties": { "type": ["string", "number", "boolean"] },
    });
    let mut request = object(&[
        ("flag?", maybe_text()),
        ("user_id?", maybe_text()),
        ("session_id?", maybe_text()),
        ("host?", text()),
        ("path?", json!({ "type": "string", "default": "/" })),
        ("query?", maybe_text()),
        ("method?", json!({ "type": "string", "default": "GET" })),
        ("headers?", texts()),
        ("remote_address?", maybe_text()),
        ("properties?", scalars),
    ]);
    request["additionalProperties"] = json!(false);
    request
}

/// Where a flag stands among a service's canaries.
pub(super) fn standing() -> Value {
    object(&[
        ("flag", text()),
        ("source", text()),
        ("enabled", truth()),
        ("canary", truth()),
        ("service", maybe_text()),
        ("entry", maybe_text()),
        ("unclaimed?", text()),
        (
            "place",
            json!({ "type": ["integer", "null"], "minimum": 1 }),
        ),
        ("before", list(&text())),
        ("priority", json!({ "type": "integer" })),
        ("ranked_by", maybe_text()),
        ("lacks", list(&text())),
        ("could_have", text()),
        ("decisions", count()),
        ("withdrawn", maybe_text()),
    ])
}

/// Of a request, or of a flag.
pub(super) fn explained() -> Value {
    let flag = object(&[
        ("generation", count()),
        ("digest", text()),
        ("standing", reference("Standing")),
        ("text", text()),
    ]);
    json!({ "anyOf": [explanation(), flag] })
}

fn explanation() -> Value {
    let rollout = object(&[
        ("share", text()),
        ("group", text()),
        ("id", maybe_text()),
        ("position", maybe_text()),
    ]);
    let verdicts = json!(["unmet", "nobody", "no_id", "missed", "hit", "everybody"]);
    let ring = object(&[
        ("ring", text()),
        ("purpose", json!({ "enum": ["decide", "compare"] })),
        ("held", truth()),
        ("verdict", json!({ "enum": verdicts })),
        ("rollout", rollout),
        ("condition?", reference("Step")),
    ]);
    let flag = object(&[
        ("flag", text()),
        ("source", text()),
        ("enabled", truth()),
        ("on", truth()),
        ("variant", maybe_text()),
        ("rings", list(&ring)),
    ]);
    let now = object(&[
        ("served", maybe_text()),
        ("cause", maybe_text()),
        ("quarantined_seconds?", count()),
    ]);
    let decision = object(&[
        ("service", text()),
        ("assigned", text()),
        ("flag", maybe_text()),
        ("variant", maybe_text()),
        ("reason", text()),
        ("ring", maybe_text()),
        ("randomised", truth()),
        ("flags", list(&flag)),
        (
            "preempted",
            list(&object(&[("flag", text()), ("deployment", text())])),
        ),
        ("shut_off_by", maybe_text()),
        ("now?", now),
        ("text", text()),
    ]);
    object(&[
        ("generation", count()),
        ("digest", text()),
        ("route", text()),
        (
            "action",
            json!({ "enum": ["forward", "redirect", "respond"] }),
        ),
        ("decision?", decision),
        ("kills?", list(&reference("Kill"))),
    ])
}

/// What may come with an order about a canary.
pub(super) fn order_request() -> Value {
    let mut request = object(&[("reason?", maybe_text()), ("ahead?", truth())]);
    request["additionalProperties"] = json!(false);
    request
}
