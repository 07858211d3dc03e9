//! The schema of an explanation.

use serde_json::{Value, json};

use crate::admin::schema::{count, list, maybe_text, object, reference, text, truth};

/// The schema of what `explain` answers: of a request ([`super::ExplanationView`]) or of a flag
/// ([`super::FlagExplanationView`]).
pub(in crate::admin) fn schema() -> Value {
    let flag = object(&[
        ("generation", count()),
        ("digest", text()),
        ("standing", reference("Standing")),
        ("text", text()),
    ]);
    json!({ "anyOf": [explanation(), flag] })
}

fn explanation() -> Value {
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
        ("flags", list(&flag_record())),
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

/// The schema of a flag that was asked, with its rings.
fn flag_record() -> Value {
    let rollout = object(&[
        ("share", text()),
        ("group", text()),
        ("id", maybe_text()),
        ("position", maybe_text()),
    ]);
    let verdicts = json!([
        "switched_off",
        "unmet",
        "nobody",
        "no_id",
        "missed",
        "hit",
        "everybody"
    ]);
    let ring = object(&[
        ("ring", text()),
        ("purpose", json!({ "enum": ["decide", "compare"] })),
        ("held", truth()),
        ("verdict", json!({ "enum": verdicts })),
        ("rollout", rollout),
        ("condition?", reference("Step")),
    ]);
    object(&[
        ("flag", text()),
        ("source", text()),
        ("enabled", truth()),
        ("on", truth()),
        ("variant", maybe_text()),
        ("rings", list(&ring)),
    ])
}

/// The schema of a condition's step, and of those within it.
pub(in crate::admin) fn step_schema() -> Value {
    object(&[
        ("condition", text()),
        ("held", truth()),
        ("seen?", maybe_text()),
        ("steps?", list(&reference("Step"))),
    ])
}
