//! Our evaluation, held against the engines that vendors publish; here Unleash's.

mod launchdarkly;

use std::collections::HashMap;

use unleash_yggdrasil::{ClientFeatures, Context as TheirContext, EngineState};

use super::bucketing::rollout_position;
use super::condition::{Condition, Constraint, Operator};
use super::trace::Silent;
use super::{Bucketing, Flag, Ring, Rollout, Stickiness, Variant, Variants};
use crate::context::{Context, Field, Moment, Slot};
use crate::flag::Share;

const GROUPS: [&str; 4] = ["search.ranker-v2", "g", "Gruppe — ä", "checkout:beta 2"];

/// A numbered stream of numbers, always the same one (splitmix64).
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % sides as u64) as usize
    }

    pub(super) fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.roll(from.len())]
    }

    pub(super) fn word(&mut self, alphabet: &[&str], longest: usize) -> String {
        (0..=self.roll(longest))
            .map(|_| self.pick(alphabet))
            .collect()
    }
}

fn engine(features: impl IntoIterator<Item = serde_json::Value>) -> EngineState {
    let features: serde_json::Value = features.into_iter().collect();
    let document = serde_json::json!({ "version": 2, "features": features });
    let features: ClientFeatures = serde_json::from_value(document).expect("a feature document");
    let engine = EngineState::default();
    assert!(
        engine.apply_client_features(features).is_none(),
        "their compiler complains"
    );
    engine
}

fn their_user(id: &str) -> TheirContext {
    TheirContext {
        user_id: Some(id.to_owned()),
        ..TheirContext::default()
    }
}

fn rollout(group: &str, hundredths: u16) -> Rollout {
    Rollout {
        share: Share::new(hundredths).expect("a share"),
        bucketing: Bucketing::unleash(group),
        stickiness: Stickiness::Field(Field::UserId),
        needs_id: true,
    }
}

fn flag(condition: Condition, rollout: Rollout, variants: Option<Variants>) -> Flag {
    Flag {
        rings: vec![Ring {
            name: "ring".into(),
            enabled: true,
            condition,
            rollout,
            variants,
        }],
        ..Flag::new("flag")
    }
}

#[test]
fn whole_percentages_take_the_same_users() {
    const PERCENTAGES: [u16; 5] = [1, 10, 33, 50, 99];
    let name = |group: &str, percent: u16| format!("{group} {percent}");
    let feature = |(group, percent): (&str, u16)| {
        serde_json::json!({ "name": name(group, percent), "enabled": true, "strategies": [{
            "name": "flexibleRollout",
            "parameters": { "rollout": percent.to_string(), "stickiness": "userId", "groupId": group },
        }]})
    };
    let all = GROUPS.map(|group| PERCENTAGES.map(|percent| (group, percent)));
    let engine = engine(all.as_flattened().iter().copied().map(feature));
    let names = GROUPS.map(|group| PERCENTAGES.map(|percent| name(group, percent)));
    for number in 0..100_000 {
        let id = format!("user-{number}");
        let theirs = their_user(&id);
        for (group, names) in GROUPS.iter().zip(&names) {
            let position = rollout_position(group, &id);
            for (percent, name) in PERCENTAGES.iter().zip(names) {
                assert_eq!(
                    position < percent * 100,
                    engine.is_enabled(name, &theirs, &None),
                    "{id} at {percent} % of {group}"
                );
            }
        }
    }
}

#[test]
fn no_id_is_off_even_at_a_hundred_percent() {
    let engine = engine([
        serde_json::json!({ "name": "flag", "enabled": true, "strategies": [{
            "name": "flexibleRollout",
            "parameters": { "rollout": "100", "stickiness": "userId", "groupId": "g" },
        }]}),
    ]);
    let ours = flag(Condition::All(vec![]), rollout("g", 10_000), None);
    for user_id in [None, Some("u1")] {
        let theirs = TheirContext {
            user_id: user_id.map(str::to_owned),
            ..TheirContext::default()
        };
        let context = Context {
            user_id: user_id.map(Into::into),
            ..Context::default()
        };
        assert_eq!(
            ours.evaluate(&context, Moment { unix_ms: 0 }, &mut Silent)
                .on,
            engine.is_enabled("flag", &theirs, &None),
            "{user_id:?}"
        );
    }
}

#[test]
fn variants_fall_to_the_same_users() {
    const WEIGHTS: [&[(&str, u32)]; 4] = [
        &[("control", 500), ("treatment", 500)],
        &[("a", 0), ("b", 1), ("c", 333), ("d", 666), ("e", 0)],
        &[("only", 1000)],
        &[("x", 7), ("y", 3), ("z", 1)],
    ];
    let name = |group: &str, index: usize| format!("{group} {index}");
    let mut features = Vec::new();
    for group in GROUPS {
        for (index, weights) in WEIGHTS.iter().enumerate() {
            let variants: Vec<_> = weights
                .iter()
                .map(|(name, weight)| serde_json::json!({ "name": name, "weight": weight, "stickiness": "userId" }))
                .collect();
            features.push(
                serde_json::json!({ "name": name(group, index), "enabled": true, "strategies": [{
                    "name": "flexibleRollout",
                    "parameters": { "rollout": "50", "stickiness": "userId", "groupId": group },
                    "variants": variants,
                }]}),
            );
        }
    }
    let engine = engine(features);
    for group in GROUPS {
        for (index, weights) in WEIGHTS.iter().enumerate() {
            // The order of the list must not matter: ours is handed over backwards.
            let list = weights.iter().rev().map(|(name, weight)| Variant {
                name: (*name).into(),
                weight: *weight,
                url: None,
                service: None,
                payload: None,
                nearly: None,
            });
            let sticky = Stickiness::Field(Field::UserId);
            let variants = Variants::new(list.collect(), Bucketing::unleash(group), sticky);
            let ours = flag(Condition::All(vec![]), rollout(group, 5_000), variants);
            for number in 0..2_000 {
                let id = format!("user-{number}");
                let context = Context {
                    user_id: Some(id.as_str().into()),
                    ..Context::default()
                };
                let chosen = ours
                    .evaluate(&context, Moment { unix_ms: 0 }, &mut Silent)
                    .variant
                    .and_then(|variant| ours.variant(variant))
                    .map_or("disabled", |variant| &variant.name);
                let theirs = engine.get_variant(&name(group, index), &their_user(&id), &None);
                assert_eq!(chosen, theirs.name, "{id} in {group}, {weights:?}");
            }
        }
    }
}

/// One constraint in both languages.
struct Pair {
    name: String,
    ours: Condition,
    theirs: serde_json::Value,
}

const LETTERS: &[&str] = &["a", "A", "b", "B", "ä", "Ä", "1", ".", "@", " ", "İ"];
const NUMBERS: &[&str] = &["0", "1", "1.5", "-3", "10", "1e3", "1000", "0.1", "18"];
const NOT_NUMBERS: &[&str] = &[
    "x", "1x", " 1", "NaN", "inf", "-inf", "1.", ".5", "1,5", "0x10",
];
const VERSIONS: &[&str] = &[
    "1.0.0",
    "1.0.1",
    "2.0.0-rc.1",
    "2.0.0-rc.11",
    "2.0.0",
    "2.0.0+build.5",
    "10.1.0",
    "2.0.0-alpha",
    "2.0.0-alpha.beta.gamma.delta",
    "0.0.1",
];
const NOT_VERSIONS: &[&str] = &[
    "v1.0.0", "1.0", "1", "latest", "1.0.0.0", "01.0.0", "1.0.0-",
];
const TIMES: &[&str] = &[
    "2026-01-01T00:00:00Z",
    "2026-01-01T00:00:00.001Z",
    "2026-01-01T01:00:00+01:00",
    "2025-12-31T23:59:59Z",
    "2027-06-30T12:00:00-07:00",
    "1969-12-31T23:59:59.999Z",
];
const NOT_TIMES: &[&str] = &[
    "soon",
    "2026-01-01",
    "2026-13-01T00:00:00Z",
    "2026-02-30T00:00:00Z",
    "0",
];
const PATTERNS: &[&str] = &["^a", "b$", "[aA].", "a|1", "ä", "^$", ".*", r"\d\."];
const NETWORKS: &[&str] = &[
    "10.0.0.0/8",
    "10.1.0.0/16",
    "192.0.2.7",
    "2001:db8::/32",
    "::1",
];
const ADDRESSES: &[&str] = &[
    "10.1.2.3",
    "10.2.0.1",
    "192.0.2.7",
    "192.0.2.8",
    "2001:db8::5",
    "::1",
    "127.0.0.1",
];

const POOLS: &[&[&str]] = &[
    LETTERS,
    NUMBERS,
    NOT_NUMBERS,
    VERSIONS,
    NOT_VERSIONS,
    TIMES,
    NOT_TIMES,
    PATTERNS,
    NETWORKS,
];

/// What the operator is called there, and which values are worth comparing with.
fn dialect(operator: Operator) -> (String, &'static [&'static str]) {
    let name = operator.name().to_uppercase();
    match operator {
        Operator::In | Operator::NotIn => (name, LETTERS),
        Operator::StartsWith | Operator::EndsWith | Operator::Contains => {
            (format!("STR_{name}"), LETTERS)
        }
        Operator::Number(_) => (format!("NUM_{name}"), NUMBERS),
        Operator::After | Operator::Before => (format!("DATE_{name}"), TIMES),
        Operator::Semver(_) => (name, VERSIONS),
        Operator::Matches => ("REGEX".to_owned(), PATTERNS),
    }
}

/// Every operator, plain and turned round, with several values of its kind.
fn pairs(dice: &mut Dice) -> Vec<Pair> {
    let mut pairs = Vec::new();
    for operator in Operator::NAMES {
        let operator = Operator::from_name(operator).expect("an operator");
        let (theirs, pool) = dialect(operator);
        for round in 0..12 {
            let (inverted, ignore_case) = (round % 2 == 1, round % 4 > 1);
            // Their IN and NOT_IN always mind case.
            let ignore_case = ignore_case
                && operator.takes_ignore_case()
                && !matches!(operator, Operator::In | Operator::NotIn);
            let values: Vec<String> = match operator.takes_list() {
                true => (0..=dice.roll(3)).map(|_| dice.word(pool, 2)).collect(),
                false => vec![dice.pick(pool).to_owned()],
            };
            let (field, context_name) = match operator {
                Operator::After | Operator::Before if round > 7 => (Field::Now, "currentTime"),
                _ => (Field::Property(Slot(0)), "property"),
            };
            pairs.push(pair(
                field,
                context_name,
                operator,
                &theirs,
                &values,
                inverted,
                ignore_case,
                pairs.len(),
            ));
        }
    }
    for (operator, inverted) in [
        (Operator::In, false),
        (Operator::NotIn, false),
        (Operator::In, true),
    ] {
        let values: Vec<_> = (0..2).map(|_| dice.pick(NETWORKS).to_owned()).collect();
        // NOT_IN is what their engine calls IN_CIDR, turned round.
        let turned = inverted || operator == Operator::NotIn;
        let mut pair = pair(
            Field::RemoteAddress,
            "remoteAddress",
            operator,
            "IN_CIDR",
            &values,
            inverted,
            false,
            pairs.len(),
        );
        pair.theirs["inverted"] = turned.into();
        pairs.push(pair);
    }
    pairs
}

#[expect(
    clippy::too_many_arguments,
    reason = "a constraint has that many parts"
)]
fn pair(
    field: Field,
    context_name: &str,
    operator: Operator,
    theirs: &str,
    values: &[String],
    inverted: bool,
    ignore_case: bool,
    number: usize,
) -> Pair {
    let texts: Vec<_> = values.iter().map(String::as_str).collect();
    let constraint = Constraint::new(field, context_name.into(), operator, &texts, ignore_case)
        .expect("a constraint");
    let mut ours = Condition::Test(constraint);
    if inverted {
        ours = Condition::Not(Box::new(ours));
    }
    Pair {
        name: format!("flag-{number}"),
        ours,
        theirs: serde_json::json!({
            "contextName": context_name, "operator": theirs, "values": values, "value": values.first(),
            "inverted": inverted, "caseInsensitive": ignore_case,
        }),
    }
}

#[test]
fn every_operator_holds_for_the_same_values() {
    let mut dice = Dice(20_261_122);
    let pairs = pairs(&mut dice);
    let feature = |pair: &Pair| {
        serde_json::json!({ "name": pair.name, "enabled": true,
            "strategies": [{ "name": "default", "constraints": [pair.theirs] }] })
    };
    let engine = engine(pairs.iter().map(feature));
    let mut answers = [0, 0];
    for round in 0..400 {
        let value = match round % 8 {
            0 => None,
            1 | 2 => Some(dice.word(LETTERS, 5)),
            _ => {
                let pool = POOLS[dice.roll(POOLS.len())];
                Some(dice.pick(pool).to_owned())
            }
        };
        let (time, address) = (dice.pick(TIMES), dice.pick(ADDRESSES));
        let unix_ms = time
            .parse::<jiff::Timestamp>()
            .expect("a time")
            .as_millisecond();
        let context = Context {
            remote_address: address.parse().expect("an address"),
            properties: [value.as_deref().map(Into::into)].into_iter().collect(),
            ..Context::default()
        };
        let theirs = TheirContext {
            current_time: Some(time.to_owned()),
            remote_address: Some(address.to_owned()),
            properties: value
                .as_ref()
                .map(|value| HashMap::from([("property".to_owned(), value.clone())])),
            ..TheirContext::default()
        };
        for pair in &pairs {
            let ours = pair.ours.holds(&context, Moment { unix_ms }, &mut Silent);
            let expected = engine.is_enabled(&pair.name, &theirs, &None);
            assert_eq!(
                ours, expected,
                "{} with {value:?}, {time}, {address}",
                pair.ours
            );
            answers[usize::from(ours)] += 1;
        }
    }
    assert!(
        answers.iter().all(|&count| count > 10_000),
        "{answers:?} is no trial"
    );
}
