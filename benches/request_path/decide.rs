//! Deciding among three canaries on a thousand flags, beside the published engines of Unleash and LaunchDarkly doing
//! the same.

mod launchdarkly;
mod yggdrasil;

use std::hint::black_box;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use criterion::Criterion;
use serin::cluster::UpstreamUrl;
use serin::config::Config;
use serin::context::{Context, Field, Slot};
use serin::decide::{Decision, decide};
use serin::engine::condition::{Condition, Constraint, Operator};
use serin::engine::{Bucketing, CanaryUrl, Flag, Ring, Rollout, Stickiness, Variant, Variants};
use serin::flag::Share;
use serin::snapshot::assemble::assemble;
use serin::snapshot::offline::{NoopMeters, Offline};
use serin::snapshot::{CandidateIndex, Service, Snapshot};

use crate::yaml::{NOW, config};

const FLAGS: usize = 1_000;
const CANDIDATES: usize = 3;
const USERS: usize = 10_000;

/// Ours and theirs, hot (one user again and again) and cold (another user with every decision).
pub(crate) fn group() {
    let snapshot = snapshot();
    let service = &snapshot.services[0];
    let users = users();
    let contexts: Vec<_> = users.iter().map(User::context).collect();
    let unleash = yggdrasil::Engine::new(&users);
    let launchdarkly = launchdarkly::Engine::new(&users);
    let ours = |user: usize| position(&decide(service, &contexts[user], NOW));
    let nobody = agree(service, &contexts, &unleash, &launchdarkly);

    let mut criterion = Criterion::default()
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    let mut group = criterion.benchmark_group("decide");
    for (name, range) in [
        ("one user", nobody..nobody + 1),
        ("10,000 users in turn", 0..USERS),
    ] {
        let mut run = |engine: &str, decide: &dyn Fn(usize) -> Option<usize>| {
            let mut turn = range.clone().cycle();
            group.bench_function(format!("{engine}, {name}"), |bencher| {
                bencher.iter(|| turn.next().and_then(|user| decide(black_box(user))));
            });
            println!(
                "{engine}, {name}: {:.1} allocations a decision",
                allocations(range.clone(), decide)
            );
        };
        run("serin", &ours);
        run("yggdrasil", &|user| unleash.first_on(user));
        run("launchdarkly", &|user| launchdarkly.first_on(user));
    }
    group.finish();
    criterion.final_summary();
}

/// The position of the flag that decided.
fn position(decision: &Decision) -> Option<usize> {
    decision.candidate.map(CandidateIndex::position)
}

/// How often one decision asks for memory.
fn allocations(users: Range<usize>, decide: &dyn Fn(usize) -> Option<usize>) -> f64 {
    let decisions = users.len();
    let counted = allocation_counter::measure(|| {
        for user in users {
            black_box(decide(user));
        }
    });
    counted.count_total as f64 / decisions as f64
}

/// A comparison of two that decide differently would be worth nothing: Unleash's engine decides the same for every
/// user, LaunchDarkly's, whose hash is another, for about as many. Gives a user whom no flag takes, though the app is
/// new enough: the longest way there is.
fn agree(
    service: &Service,
    contexts: &[Context<'_>],
    unleash: &yggdrasil::Engine,
    launchdarkly: &launchdarkly::Engine,
) -> usize {
    let (mut on, mut on_there) = ([0_usize; CANDIDATES + 1], [0_usize; CANDIDATES + 1]);
    let mut nobody = 0;
    for (index, user) in contexts.iter().enumerate() {
        let decision = decide(service, user, NOW);
        let there = launchdarkly.first_on(index);
        assert_eq!(position(&decision), unleash.first_on(index));
        on[position(&decision).unwrap_or(CANDIDATES)] += 1;
        on_there[there.unwrap_or(CANDIDATES)] += 1;
        if decision.candidate.is_none() && there.is_none() && decision.randomised {
            nobody = index;
        }
    }
    for (here, there) in on.iter().zip(&on_there) {
        assert!(*here > USERS / 50, "{on:?}");
        assert!(here.abs_diff(*there) < USERS / 50, "{on:?} {on_there:?}");
    }
    nobody
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
        enabled: true,
        condition,
        rollout: Rollout {
            share: Share::new(share).expect("a share"),
            bucketing: Bucketing::unleash(name),
            stickiness: Stickiness::Field(Field::UserId),
            needs_id: true,
        },
        variants: Variants::new(
            ["canary", "control"].map(variant_of).into(),
            Bucketing::unleash(name),
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
        nearly: None,
    }
}

/// The canaries among flags of other services; those have a percentage only, as most have.
fn names() -> impl Iterator<Item = (String, u16)> {
    let others = (CANDIDATES..FLAGS).map(|number| (format!("other.{number}"), 10));
    let canaries = CANARIES.iter().map(|name| ((*name).to_owned(), 10));
    canaries.chain(others)
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
    assemble(&config, 1, &mut Offline::default(), &mut NoopMeters)
}

fn url(text: &str) -> UpstreamUrl {
    text.parse().expect("an upstream URL")
}
