//! Buckets and variations, held against the evaluator that LaunchDarkly publishes.

use std::collections::HashMap;
use std::sync::Arc;

use launchdarkly_server_sdk_evaluation as theirs;
use serde_json::{Value, json};

use crate::context::{Context, Field, Moment, Slot};
use crate::engine::condition::{Condition, Constraint, Operator};
use crate::engine::trace::Silent;
use crate::engine::{
    Bucketing, Dependency, Flag, LaunchDarklySalt, Origin, ParentState, Ring, Rollout, Stickiness,
    Variant, Variants,
};

const NOW: Moment = Moment { unix_ms: 0 };

/// One rule's weighted variations: their indices and weights.
type Weighted<'a> = &'a [(usize, u32)];

const WEIGHTS: [Weighted<'_>; 6] = [
    &[(0, 50_000), (1, 50_000)],
    &[(2, 33_333), (0, 33_333), (1, 33_334)],
    &[(0, 1), (1, 99_998), (2, 1)],
    &[(1, 0), (0, 25_000), (2, 0), (1, 75_000)],
    &[(0, 10_000), (1, 20_000), (2, 0)],
    &[(0, 100_000), (1, 0)],
];

/// The flags and segments that an evaluation may look up.
#[derive(Default)]
struct Store(HashMap<String, theirs::Flag>);

impl theirs::Store for Store {
    fn flag(&self, key: &str) -> Option<theirs::Flag> {
        self.0.get(key).cloned()
    }

    fn segment(&self, _: &str) -> Option<theirs::Segment> {
        None
    }
}

fn their_flag(document: &Value) -> theirs::Flag {
    serde_json::from_value(document.clone()).expect("a flag")
}

/// A flag in LaunchDarkly's words; `more` says what is different from one that is on and serves its last variation.
fn document(key: &str, salt: &str, more: Value) -> Value {
    let mut document = json!({
        "key": key, "version": 1, "on": true, "salt": salt,
        "targets": [], "prerequisites": [], "rules": [],
        "fallthrough": { "variation": 2 }, "offVariation": 2,
        "variations": ["http://127.0.0.1:9001", "", "off"], "clientSide": false,
    });
    if let (Value::Object(document), Value::Object(more)) = (&mut document, more) {
        document.extend(more);
    }
    document
}

/// A variation, called by its index.
fn variation(index: usize, weight: u32) -> Variant {
    Variant {
        name: index.to_string().into(),
        weight,
        url: None,
        service: None,
        payload: None,
        nearly: None,
    }
}

fn weighted(
    salt: LaunchDarklySalt,
    stickiness: Stickiness,
    list: Weighted<'_>,
) -> Option<Variants> {
    let list = list.iter().map(|&(index, weight)| variation(index, weight));
    let bucketing = Bucketing::LaunchDarkly(salt);
    Variants::as_served(list.collect(), bucketing, stickiness, Vec::new())
}

/// A rule for everyone who meets a condition.
fn rule(condition: Condition, variants: Option<Variants>) -> Ring {
    Ring {
        name: "rule".into(),
        enabled: true,
        condition,
        rollout: Rollout::everybody(&"rule".into()),
        variants,
    }
}

fn everyone() -> Condition {
    Condition::All(Vec::new())
}

fn flag(key: &str, rings: Vec<Ring>) -> Flag {
    Flag {
        origin: Origin::LaunchDarkly("launchdarkly".into()),
        rings,
        ..Flag::new(key)
    }
}

fn keyed(key: &str, salt: &str) -> LaunchDarklySalt {
    LaunchDarklySalt::Keyed {
        key: key.into(),
        salt: salt.into(),
    }
}

fn user(id: &str) -> Context<'_> {
    Context {
        user_id: Some(id.into()),
        ..Context::default()
    }
}

fn their_user(id: &str) -> theirs::Context {
    theirs::ContextBuilder::new(id).build().expect("a context")
}

/// The index of the variation that our engine serves.
fn served(flag: &Flag, context: &Context<'_>) -> Option<usize> {
    let evaluation = flag.evaluate(context, NOW, &mut Silent);
    let variant = evaluation.variant.and_then(|at| flag.variant(at))?;
    variant.name.parse().ok()
}

/// The index of the variation that theirs serves.
fn theirs(store: &Store, flag: &theirs::Flag, context: &theirs::Context) -> Option<usize> {
    let detail = theirs::evaluate(store, flag, context, None);
    detail
        .variation_index
        .and_then(|index| index.try_into().ok())
}

fn weights_of(list: Weighted<'_>) -> Value {
    let weights = list.iter();
    weights
        .map(|(index, weight)| json!({ "variation": index, "weight": weight }))
        .collect()
}

#[test]
fn weighted_variations_fall_to_the_same_users() {
    const SALTS: [(&str, &str); 4] = [
        ("search.ranker", "salty"),
        ("a", ""),
        ("Flagge — ä", "0123456789abcdef0123456789abcdef"),
        ("checkout.beta", "a.b"),
    ];
    const SEEDS: [Option<i64>; 4] = [None, Some(61), Some(-7), Some(i64::MAX)];
    let store = Store::default();
    let mut counts = [0_u32; 3];
    for (key, salt) in SALTS {
        for seed in SEEDS {
            let pairs = WEIGHTS.map(|list| {
                let rollout = json!({ "variations": weights_of(list), "seed": seed });
                let more = json!({ "fallthrough": { "rollout": rollout } });
                let salted = seed.map_or_else(|| keyed(key, salt), LaunchDarklySalt::Seed);
                let sticky = Stickiness::Field(Field::UserId);
                let fallthrough = rule(everyone(), weighted(salted, sticky, list));
                (
                    flag(key, vec![fallthrough]),
                    their_flag(&document(key, salt, more)),
                )
            });
            for number in 0..2_000 {
                let id = format!("user-{number}");
                let (context, their_context) = (user(&id), their_user(&id));
                for (ours, their_flag) in &pairs {
                    let served = served(ours, &context);
                    let expected = theirs(&store, their_flag, &their_context);
                    assert_eq!(served, expected, "{id} of {key:?}, {salt:?}, {seed:?}");
                    counts[served.expect("a variation")] += 1;
                }
            }
        }
    }
    assert!(counts.iter().all(|&count| count > 10_000), "{counts:?}");
}

#[test]
fn any_attribute_can_be_hashed_and_none_is_the_first_variation() {
    let (key, list) = ("search.ranker", WEIGHTS[0]);
    let rollout = json!({ "variations": weights_of(list), "bucketBy": "customer" });
    let more = json!({ "fallthrough": { "rollout": rollout } });
    let their_flag = their_flag(&document(key, "salty", more));
    let sticky = Stickiness::Field(Field::Property(Slot(0)));
    let fallthrough = rule(everyone(), weighted(keyed(key, "salty"), sticky, list));
    let ours = flag(key, vec![fallthrough]);
    let mut counts = [0, 0];
    for number in 0..2_000 {
        let customer = format!("customer {number}");
        let mut context = user("u1");
        context.properties.push(Some(customer.as_str().into()));
        let mut builder = theirs::ContextBuilder::new("u1");
        builder.set_string("customer", customer.as_str());
        let their_context = builder.build().expect("a context");
        let served = served(&ours, &context);
        assert_eq!(
            served,
            theirs(&Store::default(), &their_flag, &their_context)
        );
        counts[served.expect("a variation")] += 1;
    }
    assert!(counts.iter().all(|&count| count > 900), "{counts:?}");

    let without = ours.evaluate(&user("u1"), NOW, &mut Silent);
    let expected = theirs(&Store::default(), &their_flag, &their_user("u1"));
    assert_eq!((served(&ours, &user("u1")), expected), (Some(0), Some(0)));
    assert!(!without.randomised && !without.missing_id, "{without:?}");
    assert!(
        ours.evaluate(
            &Context {
                properties: [Some("c".into())].into_iter().collect(),
                ..Context::default()
            },
            NOW,
            &mut Silent
        )
        .randomised
    );
}

#[test]
fn rules_before_the_fallthrough_have_weights_of_their_own() {
    let key = "search.rules";
    let team = ["user-1", "user-2", "user-3"];
    let clause = |op: &str, values: &[&str]| json!({ "attribute": "key", "op": op, "negate": false, "values": values });
    let rollout = |list, seed: Option<i64>| json!({ "variations": weights_of(list), "seed": seed });
    let more = json!({
        "rules": [
            { "id": "team", "clauses": [clause("in", &team)], "variation": 1, "trackEvents": false },
            { "id": "even", "clauses": [clause("endsWith", &["0", "2", "4"])], "rollout": rollout(WEIGHTS[1], Some(5)), "trackEvents": false },
        ],
        "fallthrough": { "rollout": rollout(WEIGHTS[3], None) },
    });
    let their_flag = their_flag(&document(key, "salty", more));
    let id = |operator: Operator, values: &[&str]| {
        let constraint = Constraint::new(Field::UserId, "key".into(), operator, values, false);
        Condition::Test(constraint.expect("a constraint"))
    };
    let sticky = Stickiness::Field(Field::UserId);
    let salted = || keyed(key, "salty");
    let ours = flag(
        key,
        vec![
            rule(
                id(Operator::In, &team),
                weighted(salted(), sticky, &[(1, 100_000)]),
            ),
            rule(
                id(Operator::EndsWith, &["0", "2", "4"]),
                weighted(LaunchDarklySalt::Seed(5), sticky, WEIGHTS[1]),
            ),
            rule(everyone(), weighted(salted(), sticky, WEIGHTS[3])),
        ],
    );
    for number in 0..5_000 {
        let id = format!("user-{number}");
        let expected = theirs(&Store::default(), &their_flag, &their_user(&id));
        assert_eq!(served(&ours, &user(&id)), expected, "{id}");
    }
}

/// Their flag `parent`: the rule for the team serves one variation, all others fall through to weights.
fn parent_document(on: bool, rule_serves: usize, team: &[&str]) -> Value {
    let clause = json!({ "attribute": "key", "op": "in", "negate": false, "values": team });
    let rule = json!({
        "id": "team", "clauses": [clause], "variation": rule_serves, "trackEvents": false,
    });
    let rollout = json!({ "variations": weights_of(WEIGHTS[1]) });
    let members = json!({ "on": on, "rules": [rule], "fallthrough": { "rollout": rollout } });
    document("parent", "p", members)
}

/// Their flag `child`: it asks for a variation of `parent`.
fn child_document(on: bool, asked: usize) -> Value {
    let members = json!({
        "on": on, "prerequisites": [{ "key": "parent", "variation": asked }],
        "fallthrough": { "rollout": { "variations": weights_of(WEIGHTS[0]) } },
    });
    document("child", "c", members)
}

#[test]
fn the_off_variation_is_served_wherever_theirs_serves_it() {
    let sticky = Stickiness::Field(Field::UserId);
    let team = ["user-1", "user-2", "user-3", "user-4"];
    let in_team = || {
        let constraint = Constraint::new(Field::UserId, "key".into(), Operator::In, &team, false);
        Condition::Test(constraint.expect("a constraint"))
    };
    let off = || Some(Box::new(variation(2, 1)));
    let mut served_off = [0, 0];
    // The parent's rule for the team, the variation that the child asks of it, and which of the two are on.
    for case in 0..36 {
        let (rule_serves, asked) = (case % 3, case / 3 % 3);
        let (parent_on, child_on) = (case / 9 % 2 == 0, case / 18 == 0);
        let parent_document = parent_document(parent_on, rule_serves, &team);
        let mut store = Store::default();
        store
            .0
            .insert("parent".into(), their_flag(&parent_document));
        let their_child = their_flag(&child_document(child_on, asked));

        let rules = vec![
            rule(
                in_team(),
                weighted(keyed("parent", "p"), sticky, &[(rule_serves, 100_000)]),
            ),
            rule(
                everyone(),
                weighted(keyed("parent", "p"), sticky, WEIGHTS[1]),
            ),
        ];
        let parent = Flag {
            enabled: parent_on,
            off_variant: off(),
            ..flag("parent", rules)
        };
        let fallthrough = rule(
            everyone(),
            weighted(keyed("child", "c"), sticky, WEIGHTS[0]),
        );
        let child = Flag {
            enabled: child_on,
            off_variant: off(),
            dependencies: vec![Dependency {
                name: "parent".into(),
                parent: Ok(Arc::new(parent)),
                state: ParentState::Taking,
                variants: vec![asked.to_string().into()],
            }],
            ..flag("child", vec![fallthrough])
        };
        for number in 0..200 {
            let id = format!("user-{number}");
            let expected = theirs(&store, &their_child, &their_user(&id));
            assert_eq!(served(&child, &user(&id)), expected, "{id}, case {case}");
            served_off[usize::from(expected == Some(2))] += 1;
        }
    }
    assert!(
        served_off.iter().all(|&count| count > 500),
        "{served_off:?}"
    );
}

#[test]
fn evaluating_launchdarklys_flags_allocates_nothing() {
    let sticky = Stickiness::Field(Field::UserId);
    let salts = [
        keyed("search.ranker", "salty"),
        LaunchDarklySalt::Seed(i64::MIN),
    ];
    let flags = salts.map(|salt| {
        flag(
            "f",
            vec![rule(everyone(), weighted(salt, sticky, WEIGHTS[1]))],
        )
    });
    let context = user("u1");
    let allocated = allocation_counter::measure(|| {
        for flag in &flags {
            assert!(flag.evaluate(&context, NOW, &mut Silent).variant.is_some());
        }
    });
    assert_eq!(allocated.count_total, 0);
}
