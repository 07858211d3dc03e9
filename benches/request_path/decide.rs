//! Deciding among three canaries on a thousand flags, beside Unleash's published engine doing the same.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::Criterion;
use serde_json::{Value, json};
use serin::cluster::UpstreamUrl;
use serin::config::Config;
use serin::context::{Context, Field, Slot};
use serin::decide::decide;
use serin::engine::condition::{Condition, Constraint, Operator};
use serin::engine::{CanaryUrl, Flag, Ring, Rollout, Stickiness, Variant, Variants};
use serin::flag::Share;
use serin::snapshot::assemble::assemble;
use serin::snapshot::offline::{Offline, Unread};
use serin::snapshot::{Service, Snapshot};
use unleash_yggdrasil::{ClientFeatures, Context as TheirContext, EngineState};

use crate::yaml::{NOW, config};

const FLAGS: usize = 1_000;
const CANDIDATES: usize = 3;
const USERS: usize = 10_000;

/// Ours and theirs, hot (one user again and again) and cold (another user with every decision).
pub(crate) fn group() {
    let mut criterion = Criterion::default()
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    let snapshot = snapshot();
    let service = &snapshot.services[0];
    let theirs = engine();
    let users = users();
    let contexts: Vec<_> = users.iter().map(User::context).collect();
    let their_contexts: Vec<_> = users.iter().map(User::their_context).collect();
    let nobody = agree(service, &theirs, &contexts, &their_contexts);

    let mut group = criterion.benchmark_group("decide");
    for (name, range) in [
        ("one user", nobody..nobody + 1),
        ("10,000 users in turn", 0..USERS),
    ] {
        let (ours, their) = (&contexts[range.clone()], &their_contexts[range]);
        let mut turn = ours.iter().cycle();
        group.bench_function(format!("serin, {name}"), |bencher| {
            bencher.iter(|| {
                turn.next()
                    .map(|user| decide(black_box(service), user, NOW))
            });
        });
        let mut turn = their.iter().cycle();
        group.bench_function(format!("yggdrasil, {name}"), |bencher| {
            bencher.iter(|| turn.next().map(|user| first_on(black_box(&theirs), user)));
        });
    }
    group.finish();
    criterion.final_summary();
}

/// A comparison of two that decide differently would be worth nothing. Gives a user whom no flag takes, though the app
/// is new enough: the longest way there is.
fn agree(
    service: &Service,
    theirs: &EngineState,
    contexts: &[Context<'_>],
    their_contexts: &[TheirContext],
) -> usize {
    let mut on = [0; CANDIDATES + 1];
    let mut nobody = 0;
    for (index, (user, their_user)) in contexts.iter().zip(their_contexts).enumerate() {
        let decision = decide(service, user, NOW);
        let theirs = first_on(theirs, their_user);
        assert_eq!(decision.candidate, theirs.as_ref().map(|(index, _)| *index));
        on[decision.candidate.unwrap_or(CANDIDATES)] += 1;
        if decision.candidate.is_none() && decision.randomised {
            nobody = index;
        }
    }
    assert!(on.iter().all(|&count| count > USERS / 50), "{on:?}");
    nobody
}

/// What a gateway would ask of the published engine: the flags in order, until one is on.
fn first_on(engine: &EngineState, user: &TheirContext) -> Option<(usize, String)> {
    CANARIES.iter().enumerate().find_map(|(index, name)| {
        let variant = engine.get_variant(name, user, &None);
        variant.feature_enabled.then_some((index, variant.name))
    })
}

const CANARIES: [&str; CANDIDATES] = ["search.a", "search.b", "search.c"];

struct User {
    id: String,
    version: &'static str,
}

fn users() -> Vec<User> {
    let versions = ["9.7.1", "10.2.0", "10.1.0-rc.2", "11.0.3"];
    let user = |number: usize| User {
        id: format!("customer-{number}-7f3a9c"),
        version: versions[number % versions.len()],
    };
    (0..USERS).map(user).collect()
}

impl User {
    fn context(&self) -> Context<'_> {
        Context {
            user_id: Some(self.id.as_str().into()),
            properties: [Some(self.version.into())].into_iter().collect(),
            ..Context::default()
        }
    }

    fn their_context(&self) -> TheirContext {
        let properties = HashMap::from([("appVersion".to_owned(), self.version.to_owned())]);
        TheirContext {
            user_id: Some(self.id.clone()),
            properties: Some(properties),
            ..TheirContext::default()
        }
    }
}

/// A thousand IDs, some of which are users.
fn team() -> Vec<String> {
    let id = |number: usize| format!("customer-{}-7f3a9c", number * 20);
    (0..1_000).map(id).collect()
}

/// One flag of a thousand: a team by ID, then a percentage of those with a new app.
fn flag(name: &str, percent: u16) -> Flag {
    let team = team();
    let team: Vec<_> = team.iter().map(String::as_str).collect();
    let test = |field, name: &str, operator: &str, values: &[&str]| {
        let operator = Operator::from_name(operator).expect("an operator");
        let constraint = Constraint::new(field, name.into(), operator, values, false);
        Condition::Test(constraint.expect("a constraint"))
    };
    let property = Field::Property(Slot(0));
    let ring = |ring: &str, condition, share| Ring {
        name: ring.into(),
        condition,
        rollout: Rollout {
            share: Share::new(share).expect("a share"),
            group: name.into(),
            stickiness: Stickiness::Field(Field::UserId),
            needs_id: true,
        },
        variants: Variants::new(
            ["canary", "control"].map(variant_of).into(),
            name.into(),
            Stickiness::Field(Field::UserId),
        ),
    };
    Flag {
        rings: vec![
            ring("team", test(Field::UserId, "userId", "in", &team), 10_000),
            ring(
                "early",
                test(property, "appVersion", "semver_gte", &["10.1.0"]),
                percent * 100,
            ),
        ],
        ..Flag::new(name)
    }
}

fn variant_of(name: &str) -> Variant {
    Variant {
        name: name.into(),
        weight: 500,
        url: (name == "canary").then(|| CanaryUrl::Allowed(url("http://127.0.0.1:9001"))),
        service: None,
        payload: None,
    }
}

/// The same in the words of an Unleash server.
fn feature(name: &str, percent: u16) -> Value {
    let strategy = |percent: u16, constraint: Value| {
        json!({
            "name": "flexibleRollout",
            "parameters": { "rollout": percent.to_string(), "stickiness": "userId", "groupId": name },
            "constraints": [constraint],
            "variants": [
                { "name": "canary", "weight": 500, "stickiness": "userId",
                  "payload": { "type": "string", "value": "http://127.0.0.1:9001" } },
                { "name": "control", "weight": 500, "stickiness": "userId" },
            ],
        })
    };
    json!({ "name": name, "enabled": true, "strategies": [
        strategy(100, json!({ "contextName": "userId", "operator": "IN", "values": team() })),
        strategy(percent, json!({ "contextName": "appVersion", "operator": "SEMVER_GTE", "value": "10.1.0" })),
    ]})
}

/// The canaries among flags of other services; those have a percentage only, as most have.
fn names() -> impl Iterator<Item = (String, u16)> {
    let others = (CANDIDATES..FLAGS).map(|number| (format!("other.{number}"), 10));
    let canaries = CANARIES.iter().map(|name| ((*name).to_owned(), 10));
    canaries.chain(others)
}

fn engine() -> EngineState {
    let mut features: Vec<_> = Vec::new();
    for (name, percent) in names() {
        features.push(match CANARIES.contains(&name.as_str()) {
            true => feature(&name, percent),
            false => json!({ "name": name, "enabled": true, "strategies": [{ "name": "flexibleRollout",
                "parameters": { "rollout": percent.to_string(), "stickiness": "userId", "groupId": name } }] }),
        });
    }
    let document = json!({ "version": 2, "features": features });
    let features: ClientFeatures = serde_json::from_value(document).expect("a feature document");
    let engine = EngineState::default();
    assert!(engine.apply_client_features(features).is_none());
    engine
}

fn snapshot() -> Snapshot {
    let flags = names().map(|(name, percent)| {
        let mut flag = flag(&name, percent);
        if !CANARIES.contains(&name.as_str()) {
            flag.rings.remove(0);
        }
        Arc::new(flag)
    });
    let config = Config {
        flags: flags.collect(),
        ..config(1, 0)
    };
    assemble(&config, 1, &mut Offline::default(), &mut Unread)
}

fn url(text: &str) -> UpstreamUrl {
    text.parse().expect("an upstream URL")
}
