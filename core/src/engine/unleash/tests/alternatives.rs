//! What is unknown, broken or unreadable in a flag, and what it costs beside it.

use serde_json::{Value, json};

use super::features::{U1, compiled, constrained, with};
use super::{Stage, ask, document, feature, find, set};

/// A strategy with one constraint.
fn asking(constraint: &Value) -> Value {
    json!({ "name": "default", "constraints": [constraint] })
}

/// Strategies that turn the whole flag off, and what is said of them.
fn breaking() -> Vec<(Value, &'static str)> {
    let on = |operator: &str, value: Value| {
        asking(&json!({ "contextName": "a", "operator": operator, "value": value }))
    };
    let of = |operator: &str, values: Value| {
        asking(&json!({ "contextName": "a", "operator": operator, "values": values }))
    };
    vec![
        (of("LIKE", json!([])), "the operator \"LIKE\" is unknown"),
        (of("IN_CIDR", json!([])), "IN_CIDR on a: it has no values"),
        (
            of("STR_CONTAINS", json!([])),
            "STR_CONTAINS on a: it has no values",
        ),
        (
            of("STR_CONTAINS", Value::Null),
            "STR_CONTAINS on a: it has no values",
        ),
        (of("NUM_GT", json!(["1"])), "NUM_GT on a: it has no value"),
        (
            on("NUM_GT", json!("many")),
            "NUM_GT on a: \"many\" is neither a number nor",
        ),
        (
            on("DATE_AFTER", json!("2027-01-01")),
            "DATE_AFTER on a: \"2027-01-01\" is neither",
        ),
        (of("IN", json!(["a", "b\\"])), "ends with a backslash"),
        (on("REGEX", json!("b\\")), "ends with a backslash"),
        (
            asking(&json!({ "contextName": "\"", "operator": "IN" })),
            "has a quotation mark",
        ),
        (
            asking(&json!({ "contextName": "a", "operator": null })),
            "a constraint cannot be read",
        ),
        (
            asking(&json!({ "operator": "IN" })),
            "missing field `contextName`",
        ),
        (asking(&Value::Null), "expected a constraint"),
    ]
}

/// The same without a constraint.
fn breaking_otherwise() -> Vec<(Value, &'static str)> {
    let flexible =
        |parameters: Value| json!({ "name": "flexibleRollout", "parameters": parameters });
    vec![
        (
            flexible(json!({ "rollout": "101" })),
            "101 % is more than everyone",
        ),
        (
            flexible(json!({ "rollout": "10", "groupId": "\"" })),
            "has a quotation mark",
        ),
        (
            json!({ "name": "default", "segments": [404] }),
            "there is no segment 404",
        ),
        (
            json!({ "name": "default", "segments": [null] }),
            "one of its segments cannot be read",
        ),
        (
            json!({ "name": "ours", "segments": [404] }),
            "there is no segment 404",
        ),
    ]
}

#[test]
fn what_unleashs_engine_cannot_compile_turns_the_flag_off_and_is_named() {
    for (strategy, named) in breaking().into_iter().chain(breaking_otherwise()) {
        let (on, warnings) = with(json!([{ "name": "default" }, strategy]), U1);
        assert!(!on, "{named}");
        let warning = warnings.last().expect("a warning");
        assert!(warning.starts_with("flag \"f\": it is off: "), "{warning}");
        assert!(warning.contains(named), "{warning}");
    }
}

/// Strategies that take nobody, and what is said of them.
fn unusable() -> Vec<(Value, &'static str)> {
    let flexible =
        |parameters: Value| json!({ "name": "flexibleRollout", "parameters": parameters });
    vec![
        (
            json!({ "name": "ours" }),
            "there is no strategy \"ours\" here",
        ),
        (
            json!({ "name": "ours", "parameters": { "rollout": ["x"] } }),
            "there is no strategy",
        ),
        (
            flexible(json!({ "rollout": "many" })),
            "its rollout is \"many\", no percentage",
        ),
        (
            flexible(json!({ "rollout": " 50" })),
            "its rollout is \" 50\", no percentage",
        ),
        (flexible(json!({ "rollout": "5.5" })), "no percentage"),
        (
            flexible(json!({ "rollout": true })),
            "its rollout is \"true\", no percentage",
        ),
        (
            flexible(json!({ "rollout": [50] })),
            "its rollout cannot be read",
        ),
        (flexible(json!({ "rollout": null })), "it has no rollout"),
        (flexible(Value::Null), "it has no rollout"),
        (flexible(json!("50")), "it has no rollout"),
        (
            flexible(json!({ "rollout": "50", "groupId": {} })),
            "its groupId cannot be read",
        ),
        (
            json!({ "name": "userWithId", "parameters": { "userIds": ["u1"] } }),
            "its userIds cannot be read",
        ),
        (json!({ "name": "remoteAddress" }), "it has no IPs"),
        (
            json!({ "name": "gradualRolloutUserId", "parameters": { "percentage": "50" } }),
            "it has no groupId",
        ),
        (json!({ "name": null }), "it cannot be read"),
        (json!({ "parameters": {} }), "missing field `name`"),
        (
            json!({ "name": "default", "segments": "1" }),
            "it cannot be read",
        ),
        (
            json!({ "name": "default", "variants": [null] }),
            "it cannot be read",
        ),
        (json!([]), "it cannot be read"),
        (Value::Null, "expected a strategy"),
    ]
}

#[test]
fn what_is_unknown_or_unreadable_takes_nobody_and_the_other_strategies_decide() {
    for (strategy, named) in unusable() {
        let (on, warnings) = with(json!([strategy]), U1);
        assert!(!on, "{named}");
        let [warning] = warnings.as_slice() else {
            panic!("{named}: {warnings:?}");
        };
        assert!(warning.starts_with("flag \"f\": strategy "), "{warning}");
        assert!(
            warning.contains(" is off: ") && warning.contains(named),
            "{warning}"
        );
        let good = json!({ "name": "userWithId", "parameters": { "userIds": "u1" } });
        for both in [json!([strategy, good]), json!([good, strategy])] {
            let (on, warnings) = with(both.clone(), U1);
            assert!(on && warnings.len() == 1, "{named}: {warnings:?}");
            assert!(!with(both, &[("userId", "u2")]).0, "{named}");
        }
    }
}

#[test]
fn a_constraint_that_can_never_hold_is_named_and_the_other_strategies_decide() {
    let constraint = |operator: &str, value: &str, inverted: bool| {
        asking(
            &json!({ "contextName": "userId", "operator": operator, "value": value, "inverted": inverted }),
        )
    };
    for (strategy, on, named) in [
        (
            constraint("REGEX", "a(b", false),
            false,
            "unclosed group, so that the constraint holds for nobody",
        ),
        (
            constraint("REGEX", "a(b", true),
            true,
            "unclosed group, so that the constraint holds for everybody",
        ),
        (
            constraint("SEMVER_EQ", "v1.0.0", false),
            false,
            "holds for nobody",
        ),
        (
            constraint("SEMVER_EQ", "v1.0.0", true),
            false,
            "holds for nobody",
        ),
    ] {
        let (is_on, warnings) = with(json!([strategy]), U1);
        assert_eq!(is_on, on, "{named}");
        assert!(
            warnings.len() == 1 && warnings[0].contains(named),
            "{warnings:?}"
        );
        assert!(
            with(json!([{ "name": "default" }, strategy]), U1).0,
            "{named}"
        );
    }
    let plain = json!([asking(
        &json!({ "contextName": "userId", "operator": "REGEX" })
    )]);
    assert_eq!(with(plain, U1), (true, Vec::new()));
}

#[test]
fn values_are_compared_as_what_they_look_like() {
    for (operator, value, seen, expected) in [
        ("NUM_GT", "1.9.0", "1.10.0", true),
        ("NUM_GT", "1.9.0", "2", false),
        ("SEMVER_GTE", "5", "10", true),
        ("DATE_BEFORE", "5", "4", true),
        (
            "NUM_LT",
            "2027-01-01T00:00:00Z",
            "2026-01-01T00:00:00Z",
            true,
        ),
    ] {
        let constraint = json!({ "contextName": "x", "operator": operator, "value": value });
        assert_eq!(
            constrained(&constraint, &[("x", seen)]),
            expected,
            "{operator} {value}"
        );
    }
}

#[test]
fn the_time_is_a_text_too() {
    let now = |operator: &str, member: &str, value: Value| {
        let mut constraint = json!({ "contextName": "currentTime", "operator": operator });
        constraint[member] = value;
        constrained(&constraint, &[])
    };
    assert!(now("STR_STARTS_WITH", "values", json!(["2026-11-22T"])));
    assert!(now("REGEX", "value", json!("T1[0-9]:")));
    assert!(now("NOT_IN", "values", json!(["x"])));
    assert!(!now("IN", "values", json!(["x"])));
    assert!(!now("NUM_GT", "value", json!("1")));
}

#[test]
fn what_only_people_read_spoils_nothing() {
    let mut one = feature("f", json!([{ "name": "default", "title": {} }]));
    one["description"] = json!([]);
    one["impressionData"] = json!("yes");
    let mut stage = Stage::new();
    let (flag, warnings) = compiled(&mut stage, one);
    assert!(ask(&flag, &stage.context(U1)).0 && warnings.is_empty());
    let variant = json!({ "name": "v", "weight": 1, "payload": { "type": "json", "value": {} } });
    let mut one = feature("f", json!([]));
    one["variants"] = json!([variant]);
    let (flag, warnings) = compiled(&mut stage, one);
    assert_eq!(ask(&flag, &stage.context(U1)), (true, Some("v".into())));
    assert!(
        warnings
            .concat()
            .contains("the payload of variant \"v\" cannot be read")
    );
}

#[test]
fn a_broken_segment_breaks_the_flags_that_use_it() {
    for (segment, why) in [
        (
            json!({ "id": 1, "name": "beta", "constraints": [{ "contextName": "a", "operator": "LIKE" }] }),
            "the operator \"LIKE\" is unknown",
        ),
        (
            json!({ "id": 1, "name": "beta" }),
            "it cannot be read: missing field `constraints`",
        ),
    ] {
        let mut all = document(&[
            feature("uses", json!([{ "name": "default", "segments": [1] }])),
            feature("does not", json!([{ "name": "default" }])),
        ]);
        all["segments"] = json!([segment]);
        let mut stage = Stage::new();
        let compiled = stage.compile(&set(&all), None);
        let on = |name: &str| find(&compiled, name).map(|flag| ask(flag, &stage.context(U1)).0);
        assert_eq!((on("uses"), on("does not")), (Some(false), Some(true)));
        let [warning] = compiled.warnings.as_slice() else {
            panic!("{:?}", compiled.warnings);
        };
        assert!(
            warning.starts_with("flag \"uses\": it is off: ") && warning.contains(why),
            "{warning}"
        );
    }
}

#[test]
fn a_flag_without_a_name_is_told_and_the_others_decide() {
    let all = document(&[
        Value::Null,
        feature("f", json!([])),
        json!({ "enabled": true }),
    ]);
    let mut stage = Stage::new();
    let compiled = stage.compile(&set(&all), None);
    assert_eq!(compiled.flags.len(), 1);
    assert_eq!(
        compiled.warnings,
        [
            "a flag in the answer has no name and is left out: null",
            "a flag in the answer has no name and is left out: {\"enabled\":true}",
        ]
    );
}
