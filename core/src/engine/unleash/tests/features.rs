//! What single flags come to.

use serde_json::{Value, json};

use super::{NOW, Stage, ask, document, feature, find, set};
use crate::engine::evaluation::Evaluation;
use crate::engine::trace::Silent;
use crate::engine::{CanaryUrl, Flag, Origin, RingIndex};

/// One flag, compiled, with what is said about it.
pub(super) fn compiled(stage: &mut Stage, feature: Value) -> (Flag, Vec<String>) {
    let compiled = stage.compile(&set(&document(&[feature])), None);
    let flag = compiled.flags.first().expect("a flag");
    (Flag::clone(flag), compiled.warnings)
}

/// Whether a flag with these strategies is on for a user, and what is said about it.
pub(super) fn with(strategies: Value, user: &[(&str, &str)]) -> (bool, Vec<String>) {
    let mut stage = Stage::new();
    let (flag, warnings) = compiled(&mut stage, feature("f", strategies));
    (ask(&flag, &stage.context(user)).0, warnings)
}

/// The same with one constraint, which nothing is said about.
pub(super) fn constrained(constraint: &Value, user: &[(&str, &str)]) -> bool {
    let strategies = json!([{ "name": "default", "constraints": [constraint] }]);
    let (on, warnings) = with(strategies, user);
    assert!(warnings.is_empty(), "{warnings:?}");
    on
}

pub(super) const U1: &[(&str, &str)] = &[("userId", "u1")];

#[test]
fn what_only_people_read_is_kept() {
    let mut one = feature("search.a", json!([]));
    one["description"] = "A new model".into();
    one["impressionData"] = true.into();
    let (flag, warnings) = compiled(&mut Stage::new(), one);
    assert_eq!(flag.about.description.as_deref(), Some("A new model"));
    assert_eq!(flag.origin, Origin::Unleash("unleash".into()));
    assert!(flag.impression_data && warnings.is_empty());
}

#[test]
fn without_strategies_a_flag_is_on_for_everyone() {
    assert!(with(json!([]), &[]).0);
    assert!(with(Value::Null, &[]).0);
    let mut off = feature("f", json!([]));
    off["enabled"] = false.into();
    let mut stage = Stage::new();
    let (flag, _) = compiled(&mut stage, off);
    assert_eq!(ask(&flag, &stage.context(U1)), (false, None));
}

#[test]
fn strategies_are_called_by_their_titles() {
    let strategies = json!([
        { "name": "default", "title": "Everyone at last" },
        { "name": "flexibleRollout", "title": "", "parameters": { "rollout": "5" } },
    ]);
    let (flag, _) = compiled(&mut Stage::new(), feature("f", strategies));
    let names: Vec<_> = flag.rings.iter().map(|ring| &*ring.name).collect();
    assert_eq!(names, ["Everyone at last", "flexibleRollout 2"]);
}

#[test]
fn nothing_is_left_to_chance() {
    let rollout = |rollout: &str, stickiness: &str| {
        json!([{ "name": "flexibleRollout",
            "parameters": { "rollout": rollout, "stickiness": stickiness, "groupId": "g" } }])
    };
    let random = |percentage: &str| json!([{ "name": "gradualRolloutRandom", "parameters": { "percentage": percentage } }]);
    for strategies in [
        rollout("99", "random"),
        random("99"),
        rollout("99", "currentTime"),
    ] {
        let (on, warnings) = with(strategies, U1);
        assert!(!on);
        assert!(warnings.concat().contains("drawn by lot"), "{warnings:?}");
    }
    for (strategies, expected) in [
        (rollout("100", "random"), true),
        (random("100"), true),
        (rollout("0", "random"), false),
    ] {
        assert_eq!(with(strategies, &[]), (expected, Vec::new()));
    }
    // The default is by lot for those who have no ID.
    assert!(!with(rollout("99", "default"), &[]).0);
    assert!(with(rollout("100", "default"), &[]).0);
    assert!(!with(rollout("100", "userId"), &[("sessionId", "s")]).0);
    assert!(!with(rollout("100", "userId"), &[("userId", "")]).0);
    // A stickiness without a name is one that nobody has.
    assert!(!with(rollout("100", ""), U1).0);
}

/// A flag with two variants, everyone's.
fn halves(stickiness: &str) -> Value {
    let variant = |name: &str| json!({ "name": name, "weight": 500, "stickiness": stickiness });
    let mut one = feature("f", json!([]));
    one["variants"] = json!([variant("b"), variant("a")]);
    one
}

#[test]
fn without_an_id_there_is_no_variant_and_a_reason() {
    for (stickiness, warned) in [("default", false), ("random", true)] {
        let mut stage = Stage::new();
        let (flag, warnings) = compiled(&mut stage, halves(stickiness));
        assert_eq!(!warnings.is_empty(), warned);
        let evaluation = flag.evaluate(&stage.context(&[]), NOW, &mut Silent);
        let expected = Evaluation {
            on: true,
            ring: Some(RingIndex::new(0)),
            missing_id: true,
            ..Evaluation::default()
        };
        assert_eq!(evaluation, expected, "{stickiness}");
    }
}

#[test]
fn variants_stay_in_the_servers_order() {
    let (flag, _) = compiled(&mut Stage::new(), halves("userId"));
    let names: Vec<_> = flag.every_variant().map(|variant| &*variant.name).collect();
    assert_eq!(names, ["b", "a"]);
}

#[test]
fn an_id_that_is_everyones_gives_all_the_same() {
    let mut stage = Stage::new();
    let (flag, _) = compiled(&mut stage, halves("appName"));
    let (_, first) = ask(&flag, &stage.context(U1));
    assert!(first.is_some());
    for user in 0..50 {
        let user = user.to_string();
        let context = stage.context(&[("userId", &user)]);
        assert_eq!(ask(&flag, &context), (true, first.clone()));
    }
}

/// Kind, value, the URL that is allowed, the service, and what is warned of: then the URL is refused.
type Case = (
    &'static str,
    &'static str,
    Option<&'static str>,
    Option<&'static str>,
    Option<&'static str>,
);

const PAYLOADS: [Case; 12] = [
    (
        "string",
        "http://127.0.0.1:9002",
        Some("http://127.0.0.1:9002"),
        None,
        None,
    ),
    (
        "string",
        " http://127.0.0.1:9002/ ",
        Some("http://127.0.0.1:9002"),
        None,
        None,
    ),
    (
        "json",
        r#"{"url":"h2c://127.0.0.1:9002","service":"search","more":[1]}"#,
        Some("h2c://127.0.0.1:9002"),
        Some("search"),
        None,
    ),
    (
        "string",
        r#"{"url":"http://127.0.0.1:9002"}"#,
        Some("http://127.0.0.1:9002"),
        None,
        None,
    ),
    ("json", r#"{"colour":"blue"}"#, None, None, None),
    ("json", "[1]", None, None, None),
    ("json", r#"{"url""#, None, None, None),
    ("string", "blue", None, None, None),
    ("string", "postgres://127.0.0.1/db", None, None, None),
    (
        "string",
        "http://203.0.113.9",
        None,
        None,
        Some("`203.0.113.9` is a public address that `allow` does not list"),
    ),
    (
        "string",
        "http://127.0.0.1:9002/v2",
        None,
        None,
        Some("has no path"),
    ),
    (
        "json",
        r#"{"url":"127.0.0.1"}"#,
        None,
        None,
        Some("is a URL such as"),
    ),
];

#[test]
fn where_payloads_lead() {
    for (kind, value, url, service, warned) in PAYLOADS {
        let payload = json!({ "type": kind, "value": value });
        let mut one = feature("f", json!([]));
        one["variants"] = json!([{ "name": "v", "weight": 1, "payload": payload }]);
        let (flag, warnings) = compiled(&mut Stage::new(), one);
        let variant = flag.every_variant().next().expect("a variant");
        let url = url.map(|url| CanaryUrl::Allowed(url.parse().expect("a URL")));
        match (&variant.url, &url) {
            (Some(CanaryUrl::Refused(why)), None) => {
                assert!(warned.is_some_and(|warned| why.contains(warned)));
            }
            (found, _) => assert_eq!(*found, url, "{value}"),
        }
        assert_eq!(variant.service.as_deref(), service, "{value}");
        let payload = variant.payload.as_ref().expect("a payload");
        assert_eq!((&*payload.kind, &*payload.value), (kind, value));
        let warnings = warnings.concat();
        assert_eq!(warnings.is_empty(), warned.is_none(), "{value}: {warnings}");
        let warned = warned.unwrap_or_default();
        assert!(warnings.contains(warned), "{value}: {warnings}");
    }
}

#[test]
fn the_stable_deployments_url_is_told_whatever_the_flags_state() {
    let variant = |name: &str, value: &str| json!({ "name": name, "weight": 500, "payload": { "type": "json", "value": value } });
    let stable = r#"{"url":"http://127.0.0.1:9001","service":"search"}"#;
    let variants = json!([
        variant("canary", r#"{"url":"http://127.0.0.1:9002"}"#),
        variant("stable", stable)
    ]);
    let strategy = json!({ "name": "their own", "variants": variants });
    let mut one = feature("search.a", json!([strategy]));
    one["enabled"] = false.into();
    let (flag, _) = compiled(&mut Stage::new(), one);
    let url = CanaryUrl::Allowed("http://127.0.0.1:9001".parse().expect("a URL"));
    let (recorded, service) = flag.stable_url().expect("a stable URL");
    assert_eq!(
        (recorded, service.map(|name| &**name)),
        (&url, Some("search"))
    );
}

#[test]
fn addresses_are_compared_as_addresses_and_as_text() {
    let constraint = |operator: &str, values: &[&str]| json!({ "contextName": "remoteAddress", "operator": operator, "values": values });
    let on = |operator: &str, values: &[&str], address: &str| {
        constrained(&constraint(operator, values), &[("remoteAddress", address)])
    };
    assert!(on("IN", &["2001:DB8:0::1"], "2001:db8::1"));
    assert!(on("IN", &["10.0.0.1"], "::ffff:10.0.0.1"));
    assert!(!on("IN", &["10.0.0.0/8"], "10.0.0.1"));
    assert!(on("NOT_IN", &["10.0.0.1"], "none"));
    assert!(on("STR_STARTS_WITH", &["10.0."], "10.0.0.1"));
    assert!(on("IN_CIDR", &["10.0.0.0/8"], "10.0.0.1"));
    assert!(!on("IN_CIDR", &["0.0.0.0/0"], "none"));
    let text = json!({ "contextName": "origin", "operator": "IN_CIDR", "values": ["10.0.0.0/8"] });
    assert!(constrained(&text, &[("origin", "10.9.8.7")]));
    assert!(!constrained(&text, &[("origin", "somewhere")]));
}

#[test]
fn machines_are_known_by_name() {
    let strategies = |names: &str| json!([{ "name": "applicationHostname", "parameters": { "hostNames": names } }]);
    assert!(with(strategies("other, Gateway-1.EXAMPLE"), &[]).0);
    assert!(!with(strategies("gateway-2.example"), &[]).0);
    assert!(!with(strategies(""), &[]).0);
}

#[test]
fn children_need_their_parents() {
    let child = |name: &str, dependencies: Value| {
        let mut one = feature(name, json!([]));
        one["dependencies"] = dependencies;
        one
    };
    let all = document(&[
        halves("userId"),
        child(
            "wants a or b",
            json!([{ "feature": "f", "variants": ["a", "b"] }]),
        ),
        child("wants c", json!([{ "feature": "f", "variants": ["c"] }])),
        child("wants off", json!([{ "feature": "f", "enabled": false }])),
        child("wants none", json!([{ "feature": "nobody" }])),
        child("wants a child", json!([{ "feature": "wants a or b" }])),
    ]);
    let mut stage = Stage::new();
    let compiled = stage.compile(&set(&all), None);
    let ask = |name: &str, context: &[(&str, &str)]| {
        let flag = find(&compiled, name).expect("a flag");
        flag.evaluate(&stage.context(context), NOW, &mut Silent)
    };
    assert!(ask("wants a or b", U1).on && ask("wants a or b", U1).randomised);
    // Which of the two it would be is not known.
    let unknown = ask("wants a or b", &[]);
    assert!(!unknown.on && unknown.missing_id);
    for name in ["wants c", "wants off", "wants none", "wants a child"] {
        assert!(!ask(name, U1).on, "{name}");
    }
    assert_eq!(
        compiled.warnings,
        [
            "flag \"wants a child\": it is off, because it depends on \"wants a or b\", and that flag depends on another one itself",
            "flag \"wants none\": it is off, because it depends on \"nobody\", and there is no such flag",
        ]
    );
}
