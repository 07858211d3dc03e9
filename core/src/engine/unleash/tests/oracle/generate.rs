//! Flags and users by the dice.

use serde_json::{Value, json};

use crate::context::Moment;
use crate::engine::tests::Dice;

/// Everything that a user says.
pub(super) struct User {
    pub(super) values: Vec<(&'static str, String)>,
    pub(super) moment: Moment,
}

const IDS: [&str; 12] = [
    "u1",
    "u2",
    "u3",
    "u4",
    "user-5",
    "U6",
    "söderström",
    "山田",
    "customer-8",
    "a b",
    "ÅSA",
    "0",
];
const REGIONS: [&str; 6] = ["eu", "us", "EU-north", "são paulo", "Ελλάς", "eu-west"];
const VERSIONS: [&str; 7] = [
    "1.2.3",
    "10.1.0",
    "10.1.0-rc.1",
    "2.0.0-beta.11",
    "2.0.0-beta.2",
    "9.7.1+build.3",
    "none",
];
const NUMBERS: [&str; 8] = ["0", "12", "12.0", "-3.5", "1e3", "99", "many", "inf"];
const TIMES: [&str; 5] = [
    "2026-01-01T00:00:00Z",
    "2026-11-22T12:00:00.000Z",
    "2026-11-22T13:30:00.500+02:00",
    "2027-06-30T23:59:59Z",
    "soon",
];
const EMAILS: [&str; 6] = [
    "ann@example.com",
    "BOB@Example.COM",
    "c@bots.example.org",
    "jörg@müller.example",
    "nobody",
    "x@y",
];
const ADDRESSES: [&str; 7] = [
    "10.1.2.3",
    "10.200.0.1",
    "192.168.1.42",
    "8.8.8.8",
    "2001:db8::1",
    "2001:db8:0:1::42",
    "::1",
];

/// What a field's values are taken from.
fn pool(name: &str) -> &'static [&'static str] {
    match name {
        "userId" | "sessionId" | "customerId" => &IDS,
        "region" => &REGIONS,
        "appVersion" => &VERSIONS,
        "age" => &NUMBERS,
        "since" => &TIMES,
        "email" => &EMAILS,
        "remoteAddress" => &ADDRESSES,
        "environment" => &["production", "development"],
        "appName" => &["serin", "web", "SERIN"],
        "currentTime" => &["2026-11-22T12:00:00Z"],
        _ => &["x"],
    }
}

/// A user of whom some things are not known, and some are empty.
pub(super) fn user(dice: &mut Dice) -> User {
    let mut values = Vec::new();
    let fields = [
        "userId",
        "sessionId",
        "customerId",
        "region",
        "appVersion",
        "age",
        "since",
        "email",
    ];
    for name in fields {
        let value = match dice.roll(10) {
            0 => continue,
            1 => String::new(),
            2 | 3 if name == "userId" => format!("user-{}", dice.roll(1_000_000)),
            _ => dice.pick(pool(name)).to_owned(),
        };
        values.push((name, value));
    }
    if dice.roll(8) > 0 {
        values.push(("remoteAddress", dice.pick(&ADDRESSES).to_owned()));
    }
    // Within a year about the times above, to the millisecond.
    let unix_ms = 1_780_000_000_000 + dice.roll(31_536_000_000) as i64;
    User {
        values,
        moment: Moment { unix_ms },
    }
}

/// A whole answer: parents first, then flags of which some depend on them.
pub(in super::super) fn document(dice: &mut Dice, flags: usize) -> Value {
    let parents = flags / 10;
    let features: Vec<_> = (0..flags)
        .map(|number| {
            if number < parents {
                feature(dice, &format!("parent {number}"), json!([]))
            } else {
                let dependencies = dependencies(dice, parents);
                feature(dice, &format!("flag {number} — ä"), dependencies)
            }
        })
        .collect();
    let segments: Vec<_> = (1..=6)
        .map(|id| {
            let constraints = few(dice, constraint);
            json!({ "id": id, "name": format!("segment {id}"), "constraints": constraints })
        })
        .collect();
    json!({ "version": 2, "features": features, "segments": segments })
}

/// None as often as not, else one or two.
fn few(dice: &mut Dice, make: fn(&mut Dice) -> Value) -> Vec<Value> {
    (0..[0, 0, 1, 2][dice.roll(4)])
        .map(|_| make(dice))
        .collect()
}

fn dependencies(dice: &mut Dice, parents: usize) -> Value {
    let count = [0, 0, 0, 0, 1, 2][dice.roll(6)];
    let dependencies = (0..count).map(|_| {
        let feature = match dice.roll(20) {
            0 => "no such flag".to_owned(),
            // One that may depend on a parent itself.
            1 => format!("flag {} — ä", parents + dice.roll(20)),
            _ => format!("parent {}", dice.roll(parents)),
        };
        match dice.roll(4) {
            0 => json!({ "feature": feature, "enabled": false }),
            1 => json!({ "feature": feature, "enabled": true }),
            2 => json!({ "feature": feature, "variants": ["a", "b"] }),
            _ => json!({ "feature": feature, "variants": [] }),
        }
    });
    dependencies.collect()
}

fn feature(dice: &mut Dice, name: &str, dependencies: Value) -> Value {
    let count = [0, 1, 1, 2, 2, 3, 4][dice.roll(7)];
    let strategies: Vec<_> = (0..count).map(|_| any_strategy(dice)).collect();
    let variants = match dice.roll(3) {
        0 => flag_variants(dice),
        _ => json!([]),
    };
    let mut feature = json!({
        "name": name,
        "enabled": dice.roll(12) > 0,
        "strategies": strategies,
        "variants": variants,
        "impressionData": dice.roll(2) == 0,
    });
    feature["dependencies"] = dependencies;
    feature
}

/// Mostly a good one, in any mixture with bad ones, and with members that are missing or null.
fn any_strategy(dice: &mut Dice) -> Value {
    let mut strategy = match dice.roll(16) {
        0 => breaking_strategy(dice),
        1..=4 => false_strategy(dice),
        _ => strategy(dice),
    };
    for member in ["parameters", "constraints", "segments", "variants"] {
        match dice.roll(24) {
            0 => strategy[member] = Value::Null,
            1 => drop(strategy.as_object_mut().and_then(|all| all.remove(member))),
            _ => {}
        }
    }
    strategy
}

fn strategy(dice: &mut Dice) -> Value {
    let group = format!("group {}", dice.roll(9));
    let percentage = dice.pick(&["0", "1", "25", "50", "75", "99", "100"]);
    let ids = [dice.pick(&IDS), dice.pick(&IDS), dice.pick(&IDS)].join(", ");
    let (name, parameters) = match dice.roll(16) {
        0 => ("default", json!({})),
        1 => ("userWithId", json!({ "userIds": ids })),
        2 => ("userWithId", json!({})),
        3 => (
            "gradualRolloutUserId",
            json!({ "percentage": percentage, "groupId": group }),
        ),
        4 => (
            "gradualRolloutSessionId",
            json!({ "percentage": percentage, "groupId": group }),
        ),
        5 => (
            "gradualRolloutRandom",
            json!({ "percentage": dice.pick(&["0", "100"]) }),
        ),
        6 => (
            "remoteAddress",
            json!({ "IPs": "10.0.0.0/255.0.0.0, 192.invalid,2001:db8::/48 , 8.8.8.8" }),
        ),
        7 => (
            "applicationHostname",
            json!({ "hostNames": "another.example, and.another.example" }),
        ),
        8 => (
            "flexibleRollout",
            json!({ "rollout": "many", "groupId": group }),
        ),
        _ => (
            "flexibleRollout",
            json!({ "rollout": percentage, "groupId": group, "stickiness": stickiness(dice) }),
        ),
    };
    let segments: Vec<_> = (0..[0, 0, 0, 1, 2][dice.roll(5)])
        .map(|_| 1 + dice.roll(6))
        .collect();
    let variants = match dice.roll(3) {
        0 => variants(dice),
        _ => Vec::new(),
    };
    json!({
        "name": name,
        "parameters": parameters,
        "constraints": few(dice, constraint),
        "segments": segments,
        "variants": variants,
    })
}

/// What takes nobody, or everybody, by being unknown or broken, and leaves the others alone.
fn false_strategy(dice: &mut Dice) -> Value {
    let mut strategy = strategy(dice);
    match dice.roll(6) {
        0 | 1 => {
            strategy["name"] = dice.pick(&["theirOwn", "userWithID", "", "Default"]).into();
            strategy["parameters"]["tenants"] = "a,b".into();
        }
        2 => {
            strategy["name"] = "flexibleRollout".into();
            let rollout = dice.pick(&[
                "many", "", " 50", "50 ", "5.5", "-1", "1e1", "+50", "050", "50%",
            ]);
            strategy["parameters"]["rollout"] = rollout.into();
            strategy["parameters"]["groupId"] = "g".into();
        }
        3 => {
            strategy["name"] = dice
                .pick(&["gradualRolloutUserId", "gradualRolloutSessionId"])
                .into();
            strategy["parameters"] = dice_parameters(dice);
        }
        4 => {
            strategy["name"] = "gradualRolloutRandom".into();
            let percentage = dice.pick(&["0", "1", "100", "101", "99999999999", "x", ""]);
            strategy["parameters"] = json!({ "percentage": percentage });
        }
        _ => strategy["constraints"] = json!([never(dice)]),
    }
    strategy
}

fn dice_parameters(dice: &mut Dice) -> Value {
    match dice.roll(4) {
        0 => json!({ "percentage": "50" }),
        1 => json!({ "groupId": "g" }),
        2 => json!({ "percentage": "half", "groupId": "g" }),
        _ => json!({ "percentage": "101" }),
    }
}

/// A constraint that compiles, and holds for nobody or, turned round, perhaps for everybody.
fn never(dice: &mut Dice) -> Value {
    let (operator, value) = match dice.roll(4) {
        0 | 1 => (
            "REGEX",
            dice.pick(&["a(b", "[", "*", "(?P<x", r"\p{Nope}", "a{2,1}"]),
        ),
        2 => ("SEMVER_GTE", dice.pick(&["v1.0.0", "v", "vx y"])),
        _ => ("REGEX", ""),
    };
    let mut constraint = json!({
        "contextName": dice.pick(&["userId", "region", "email", "plan", "appName", "currentTime"]),
        "operator": operator,
        "value": value,
        "inverted": dice.roll(2) == 0,
    });
    if value.is_empty() && dice.roll(2) == 0 {
        constraint["value"] = Value::Null;
    }
    constraint
}

/// What turns the whole flag off in both engines, whatever stands beside it.
fn breaking_strategy(dice: &mut Dice) -> Value {
    let mut strategy = strategy(dice);
    match dice.roll(12) {
        0 => strategy["segments"] = json!([404]),
        1 => {
            strategy["name"] = "flexibleRollout".into();
            let group = dice.pick(&["a\"b", r"a\"]);
            strategy["parameters"] = json!({ "rollout": "50", "groupId": group });
        }
        2 => {
            strategy["name"] = "flexibleRollout".into();
            strategy["parameters"] = json!({ "rollout": dice.pick(&["101", "1000"]) });
        }
        _ => strategy["constraints"] = json!([breaking_constraint(dice)]),
    }
    if dice.roll(4) == 0 {
        strategy["name"] = "theirOwn".into();
    }
    strategy
}

fn breaking_constraint(dice: &mut Dice) -> Value {
    let (name, operator, value, values): (_, _, _, &[&str]) = match dice.roll(9) {
        0 => ("region", "LOOKS_LIKE", "x", &["x"]),
        1 => {
            let numbers = ["many", ".5", "5\n", "", "1.2.3.4", "0x5", "inf"];
            ("age", "NUM_GT", dice.pick(&numbers), &[])
        }
        2 => {
            let times = ["soon", "2026-02-30T00:00:00Z", "2026-01-01T00:00:00.5Z"];
            ("since", "DATE_AFTER", dice.pick(&times), &[])
        }
        3 => {
            let versions = ["ten", "1.2", "01.2.3", " v1.0.0"];
            ("appVersion", "SEMVER_GTE", dice.pick(&versions), &[])
        }
        4 => ("region", dice.pick(&["STR_CONTAINS", "IN_CIDR"]), "eu", &[]),
        5 => ("email", "REGEX", r"a\", &[]),
        6 => {
            let operators = ["IN", "NOT_IN", "STR_ENDS_WITH"];
            ("region", dice.pick(&operators), "", &["eu", r"us\"])
        }
        7 => ("re\"gion", "IN", "", &["eu"]),
        _ => return json!({ "contextName": "age", "operator": "NUM_EQ" }),
    };
    json!({ "contextName": name, "operator": operator, "value": value, "values": values })
}

fn stickiness(dice: &mut Dice) -> &'static str {
    dice.pick(&[
        "default",
        "default",
        "userId",
        "userId",
        "sessionId",
        "customerId",
        "region",
        "remoteAddress",
        "appName",
        "environment",
        "not known",
        "",
    ])
}

fn constraint(dice: &mut Dice) -> Value {
    let (operators, names): (&[&str], &[&'static str]) = match dice.roll(8) {
        0 | 1 => (
            &["IN", "NOT_IN"],
            &[
                "userId",
                "sessionId",
                "region",
                "environment",
                "appName",
                "remoteAddress",
                "plan",
                "currentTime",
            ],
        ),
        2 => (
            &["STR_STARTS_WITH", "STR_ENDS_WITH", "STR_CONTAINS"],
            &["email", "region", "userId", "appName", "remoteAddress"],
        ),
        3 => (
            &["NUM_EQ", "NUM_GT", "NUM_GTE", "NUM_LT", "NUM_LTE"],
            &["age", "userId"],
        ),
        4 => (
            &["DATE_AFTER", "DATE_BEFORE"],
            &["currentTime", "currentTime", "since", "region"],
        ),
        5 => (
            &[
                "SEMVER_EQ",
                "SEMVER_GT",
                "SEMVER_GTE",
                "SEMVER_LT",
                "SEMVER_LTE",
            ],
            &["appVersion", "region"],
        ),
        6 => (
            &["REGEX"],
            &["email", "userId", "appVersion", "remoteAddress"],
        ),
        _ => (&["IN_CIDR"], &["remoteAddress", "remoteAddress", "region"]),
    };
    let (operator, name) = (dice.pick(operators), dice.pick(names));
    let (value, values) = values(dice, operator, name);
    json!({
        "contextName": name,
        "operator": operator,
        "value": value,
        "values": values,
        "inverted": dice.roll(4) == 0,
        "caseInsensitive": dice.roll(3) == 0,
    })
}

/// The one value, and the list.
fn values(dice: &mut Dice, operator: &str, name: &str) -> (Value, Value) {
    let one = |dice: &mut Dice, from: &[&str]| (json!(dice.pick(from)), json!([]));
    match operator.split('_').next() {
        // What a value is compared as is said by its form.
        Some("NUM" | "DATE" | "SEMVER") if dice.roll(8) == 0 => {
            one(dice, &["5", "10.1.0", TIMES[0], " 7\t", "+5.", "1E3"])
        }
        Some("NUM") => one(dice, &["0", "12", "12.0", "-3.5", "1e3", " 99 "]),
        Some("DATE") => one(dice, &TIMES[..4]),
        Some("SEMVER") => one(dice, &VERSIONS[..6]),
        Some("REGEX") => one(
            dice,
            &[
                "^u",
                r"\d+$",
                "@example\\.com$",
                "(?i)^BOB",
                "ö|ü|山",
                "^$",
                "a b",
            ],
        ),
        Some("STR") => {
            let part = dice.pick(pool(name));
            let middle: String = part.chars().skip(1).take(3).collect();
            let parts = match dice.roll(3) {
                0 => vec![middle],
                1 => vec![part.to_owned(), middle],
                _ => vec![part.to_lowercase(), part.to_uppercase()],
            };
            (Value::Null, json!(parts))
        }
        _ if operator == "IN_CIDR" => (
            Value::Null,
            json!([
                "10.1.0.0/16",
                dice.pick(&["2001:db8::/32", "8.8.8.8", "no network"])
            ]),
        ),
        _ => {
            let count = dice.roll(5);
            let values: Vec<_> = (0..count).map(|_| dice.pick(pool(name))).collect();
            (Value::Null, json!(values))
        }
    }
}

/// Puts something else in the place of one member of a flag, wherever it is, or takes it out. What it is found by stays: its
/// name.
pub(super) fn spoil(dice: &mut Dice, feature: &mut Value) {
    let Value::Object(members) = feature else {
        return;
    };
    let names: Vec<_> = members
        .keys()
        .filter(|name| *name != "name")
        .cloned()
        .collect();
    let chosen = dice.roll(names.len());
    spoil_member(dice, members, &names[chosen]);
}

fn spoil_member(dice: &mut Dice, members: &mut serde_json::Map<String, Value>, name: &str) {
    if dice.roll(8) == 0 {
        members.remove(name);
    } else {
        spoil_value(dice, &mut members[name]);
    }
}

fn spoil_value(dice: &mut Dice, value: &mut Value) {
    match value {
        Value::Object(members) if !members.is_empty() && dice.roll(4) > 0 => {
            let name = members.keys().nth(dice.roll(members.len())).cloned();
            spoil_member(dice, members, &name.unwrap_or_default());
        }
        Value::Array(items) if !items.is_empty() && dice.roll(4) > 0 => {
            let index = dice.roll(items.len());
            spoil_value(dice, &mut items[index]);
        }
        _ => {
            *value = match dice.roll(7) {
                0 | 1 => Value::Null,
                2 => json!(5),
                3 => json!(true),
                4 => json!("text"),
                5 => json!([]),
                _ => json!({}),
            };
        }
    }
}

/// Of a strategy: one to four, some without weight.
fn variants(dice: &mut Dice) -> Vec<Value> {
    let count = 1 + dice.roll(4);
    let names = ["b", "a", "control", "stable"];
    let names = names.iter().take(count).enumerate();
    let variants = names.map(|(index, name)| {
        let weight = if index == 0 {
            1 + dice.roll(500)
        } else {
            dice.roll(3) * 250
        };
        json!({
            "name": name,
            "weight": weight,
            "payload": { "type": "string", "value": format!("value of {name}") },
        })
    });
    variants.collect()
}

/// The same with stickiness and overrides.
fn flag_variants(dice: &mut Dice) -> Value {
    let stickiness = if dice.roll(12) == 0 {
        "random"
    } else {
        stickiness(dice)
    };
    let mut variants = variants(dice);
    for variant in &mut variants {
        variant["stickiness"] = stickiness.into();
        if dice.roll(4) == 0 {
            let name = dice.pick(&["userId", "region", "environment", "remoteAddress", "plan"]);
            let values = [dice.pick(pool(name)), dice.pick(pool(name))];
            variant["overrides"] = json!([{ "contextName": name, "values": values }]);
        }
    }
    variants.into()
}
