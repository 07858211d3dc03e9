//! Flags from Unleash: what deciding on them costs beside Unleash's published engine, and what a new set of them does.
//! Stops when a limit of the contract is broken.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::Criterion;
use serde_json::{Value, json};
use serin::cluster::policy::UrlPolicy;
use serin::context::schema::ContextSchema;
use serin::context::{Context, Moment};
use serin::engine::Flag;
use serin::engine::compile_context::CompileContext;
use serin::engine::trace::Silent;
use serin::engine::unleash::{Compiled, FeatureSet, compile};
use unleash_yggdrasil::{ClientFeatures, Context as TheirContext, EngineState};

use crate::yaml::NOW;

const FLAGS: usize = 10_000;
const IDS: usize = 100;
const USERS: usize = 1_000;

/// The limits: time for a whole set, its memory, time for one changed flag, and the share of their time.
const WHOLE: Duration = Duration::from_millis(500);
const MEMORY: u64 = 100 << 20;
const ONE: Duration = Duration::from_millis(5);
const SHARE: u32 = 4;

/// Everything about Unleash's flags.
pub(crate) fn group() {
    let mut criterion = Criterion::default()
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    a_new_set();
    decide(&mut criterion);
    criterion.final_summary();
}

struct Stage {
    source: Arc<str>,
    vocabulary: ContextSchema,
    policy: UrlPolicy,
}

impl Stage {
    fn new() -> Self {
        Self {
            source: "unleash".into(),
            vocabulary: ContextSchema::new(&["appVersion".into()]),
            policy: UrlPolicy {
                networks: vec!["127.0.0.0/8".parse().expect("a network")],
                ..UrlPolicy::nothing()
            },
        }
    }

    fn compile(&mut self, set: &FeatureSet, previous: Option<&Compiled>) -> Compiled {
        let surroundings = CompileContext {
            source: &self.source,
            vocabulary: &mut self.vocabulary,
            canary_urls: &self.policy,
            app_name: "serin",
            environment: Some("production"),
            hostname: "gateway",
        };
        compile(set, surroundings, previous)
    }
}

/// A flag as teams make them: some IDs by hand, then a percentage of those with a new app, with two variants.
fn feature(name: &str, ids: usize, seed: usize) -> Value {
    let id = |number: usize| format!("customer-{}", 1_000_000 + seed * 7 + number * 13);
    let ids: Vec<_> = (0..ids).map(id).collect();
    let variant = |name: &str, url: &str| {
        json!({ "name": name, "weight": 500, "stickiness": "userId",
            "payload": { "type": "json", "value": format!("{{\"url\":\"{url}\"}}") } })
    };
    let strategy = |percent: &str, constraint: Value| {
        json!({ "name": "flexibleRollout",
            "parameters": { "rollout": percent, "stickiness": "userId", "groupId": name },
            "constraints": [constraint],
            "variants": [
                variant("canary", "http://127.0.0.1:9001"), variant("control", "http://127.0.0.1:9000") ] })
    };
    json!({ "name": name, "enabled": true, "strategies": [
        strategy("100", json!({ "contextName": "userId", "operator": "IN", "values": ids })),
        strategy("10", json!({ "contextName": "appVersion", "operator": "SEMVER_GTE", "value": "10.1.0" })),
    ]})
}

fn answer(change: Option<usize>) -> String {
    let features: Vec<_> = (0..FLAGS)
        .map(|number| {
            let mut one = feature(&format!("team-{}.flag-{number}", number % 50), IDS, number);
            one["enabled"] = (change != Some(number)).into();
            one
        })
        .collect();
    json!({ "version": 2, "features": features, "meta": { "revisionId": 7 } }).to_string()
}

/// Parsing and compiling ten thousand flags, and then one that has changed.
fn a_new_set() {
    let (body, changed) = (answer(None), answer(Some(FLAGS / 2)));
    let mut stage = Stage::new();
    let mut kept = None;
    let memory = allocation_counter::measure(|| {
        let set = FeatureSet::parse(body.as_bytes()).expect("an answer");
        let compiled = stage.compile(&set, None);
        kept = Some((set, compiled));
    });
    let (set, compiled) = kept.expect("compiled");
    let whole = (0..5).map(|_| {
        time(|| {
            let set = FeatureSet::parse(body.as_bytes()).expect("an answer");
            stage.compile(&set, None)
        })
    });
    let whole = whole.min().unwrap_or_default();
    let next = FeatureSet::parse(changed.as_bytes())
        .expect("an answer")
        .share(&set);
    let one = (0..20).map(|_| time(|| stage.compile(&next, Some(&compiled))));
    let one = one.min().unwrap_or_default();
    println!(
        "unleash/{FLAGS} flags with {IDS} IDs, {} MiB: parsed and compiled in {whole:?}, at most {} MiB; one changed: {one:?}",
        body.len() >> 20,
        memory.bytes_max >> 20,
    );
    assert!(whole < WHOLE && memory.bytes_max < MEMORY && one < ONE);
}

fn time<R>(act: impl FnOnce() -> R) -> Duration {
    let start = Instant::now();
    let result = black_box(act());
    let taken = start.elapsed();
    drop(result);
    taken
}

struct User {
    id: String,
    version: &'static str,
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
        let version = ("appVersion".to_owned(), self.version.to_owned());
        TheirContext {
            user_id: Some(self.id.clone()),
            properties: Some(HashMap::from([version])),
            ..TheirContext::default()
        }
    }
}

/// One flag for many users: ours and theirs in turn, so that both see the same machine.
fn decide(criterion: &mut Criterion) {
    const NAME: &str = "search.ranker-v2";
    let document = json!({ "version": 2, "features": [feature(NAME, 1_000, 0)] });
    let set = FeatureSet::parse(document.to_string().as_bytes()).expect("an answer");
    let compiled = Stage::new().compile(&set, None);
    let flag = compiled.flags.first().expect("a flag");
    let features: ClientFeatures = serde_json::from_value(document).expect("their form");
    let theirs = EngineState::default();
    assert!(theirs.apply_client_features(features).is_none());
    let versions = ["9.7.1", "10.2.0", "10.1.0-rc.2", "11.0.3"];
    let users: Vec<_> = (0..USERS)
        .map(|number| User {
            id: format!("customer-{}", 1_000_000 + number),
            version: versions[number % versions.len()],
        })
        .collect();
    let ours: Vec<_> = users.iter().map(User::context).collect();
    let their_users: Vec<_> = users.iter().map(User::their_context).collect();
    for (user, their_user) in ours.iter().zip(&their_users) {
        let answer = theirs.get_variant(NAME, their_user, &None);
        assert_eq!(ask(flag, user, NOW), answer.feature_enabled);
    }
    let allocated = allocation_counter::measure(|| {
        for user in &ours {
            black_box(ask(flag, user, NOW));
        }
    });
    assert_eq!(allocated.count_total, 0, "deciding allocates");
    let all_ours = || {
        ours.iter()
            .filter(|user| ask(black_box(flag), user, NOW))
            .count()
    };
    let all_theirs = || {
        let users = their_users.iter();
        users
            .filter(|user| theirs.get_variant(NAME, user, &None).feature_enabled)
            .count()
    };
    let rounds = (0..50).map(|_| (time(all_ours), time(all_theirs)));
    let (our_times, their_times): (Vec<_>, Vec<_>) = rounds.unzip();
    let best = |times: Vec<Duration>| times.into_iter().min().unwrap_or_default();
    let (our_time, their_time) = (best(our_times), best(their_times));
    println!(
        "unleash/{USERS} decisions: serin {our_time:?}, yggdrasil {their_time:?}, nothing allocated"
    );
    assert!(our_time * SHARE <= their_time);
    let mut group = criterion.benchmark_group("unleash");
    group.bench_function("serin, 1,000 users in turn", |bencher| {
        bencher.iter(all_ours);
    });
    group.bench_function("yggdrasil, 1,000 users in turn", |bencher| {
        bencher.iter(all_theirs);
    });
    group.finish();
}

fn ask(flag: &Flag, user: &Context<'_>, moment: Moment) -> bool {
    flag.evaluate(user, moment, &mut Silent).on
}
