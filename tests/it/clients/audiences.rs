//! Two audiences, one answer: what a client is told equals the deployment that its request is assigned to, for every user
//! and in every snapshot of a run in which flags change in the file and in a real Unleash.
//!
//! Every user is asked about in this process, on snapshots that the gateway's own publisher makes of what Unleash itself
//! sent; of each snapshot some users are asked about through the built binary as well.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;
use serin::client_api::{ApiRequest, ClientApi};
use serin::config::{self, Config, OnUnset};
use serin::context::Moment;
use serin::dispatch::{Dispatch, Terms, dispatch};
use serin::engine::unleash::FeatureSet;
use serin::identity::token::ShownToken;
use serin::publisher::{Publisher, PublisherHandle};
use serin::quarantine::Quarantine;
use serin::registry::kills::Kills;
use serin::request::{HeaderList, RequestHead};
use serin::resolver::ClusterManager;
use serin::resolver::dns::Dns;
use serin::served::ServedMemory;
use serin::snapshot::Snapshot;
use serin::source::environment::NoEnvironment;
use serin::telemetry::metrics::MeterRegistry;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use crate::clients::app;
use crate::harness::client;
use crate::harness::unleash::{TOKEN, Unleash, rollout, variants};
use crate::harness::{Gateway, Origin, eventually, fill, get};

const USERS: usize = 10_000;
/// Of each snapshot so many are asked about through the binary.
const SAMPLE: usize = 20;
/// How often each of the two is changed.
const CHANGES: usize = 25;
const NOW: Moment = Moment {
    unix_ms: 1_800_000_000_000,
};

/// A file whose local flag takes so many percent; the rest is up to Unleash.
fn text(origins: [&Origin; 2], api: &str, percent: usize) -> String {
    let config = r#"
services:
  audiences: { stable: @stable, canaries: [audiences.local, audiences.*] }
routes: [{ path: /, service: audiences, expose: true }]
identity: { user_id: [{ header: x-user-id, trust: anyone }] }
client_api: { path: /.serin, tokens: ["*:development.app"], flags: [audiences.*], rate_limit: { requests: 1000000 } }
canary_urls: { allow: [127.0.0.0/8] }
"#;
    let flags = format!(
        "flags: {{ audiences.local: {{ url: @canary, rings: [{{ name: some, rollout: {percent}.5% }}] }} }}\n"
    );
    let unleash = format!("unleash: {{ url: '{api}', token: '{TOKEN}', poll: 200ms }}\n");
    fill(&format!("{config}{flags}"), origins) + &unleash
}

fn compiled(text: &str) -> Config {
    let listeners = "listeners: [127.0.0.1:0]\n";
    config::compile(
        &format!("{listeners}{text}"),
        &NoEnvironment,
        OnUnset::Refuse,
        NOW,
    )
    .expect("a valid file")
}

/// The flags of Unleash, as it sends them.
async fn fetched(unleash: &Unleash) -> FeatureSet {
    let call = get("/api/client/features").header("unleash-client-spec", "5.2.0");
    let answer = client::send(unleash.address(), call.header("authorization", TOKEN)).await;
    FeatureSet::parse(&answer.body).expect("a document")
}

/// The deployment that an answer of the frontend API comes to.
fn told(answer: &Value) -> String {
    let toggles = answer["toggles"].as_array().expect("toggles");
    let on: Vec<_> = toggles
        .iter()
        .filter(|toggle| toggle["enabled"] == true)
        .map(|toggle| {
            let name = toggle["name"].as_str().expect("a name");
            (name, toggle["variant"]["name"].as_str().expect("a variant"))
        })
        .collect();
    match on[..] {
        [] | [(_, "control")] => "stable".to_owned(),
        [(flag, _)] => flag.to_owned(),
        _ => panic!("a user is on one canary at most: {on:?}"),
    }
}

/// In how many cases of all users the two disagree, and how many users are on a canary.
fn disagreements(snapshot: &Arc<Snapshot>) -> (usize, usize) {
    let now = Instant::now();
    let quarantine = Quarantine::new(now);
    let api = Arc::new(ClientApi::new(Arc::default(), now));
    let config = snapshot.client_api.as_deref().expect("it is on");
    let (mut wrong, mut on_canary) = (0, 0);
    for user in 0..USERS {
        let headers: HeaderList = [
            ("host", "api.example.com".to_owned()),
            ("x-user-id", format!("user-{user}")),
        ]
        .into_iter()
        .collect();
        let head = |path| RequestHead {
            method: "GET",
            authority: "api.example.com",
            path,
            query: None,
            headers: &headers,
            peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
            peer_trusted: false,
        };
        let request = dispatch(
            snapshot,
            &head("/"),
            Terms::default(),
            NOW,
            &mut String::new,
        );
        let Dispatch::Forward(plan) = request else {
            panic!("{request:?}");
        };
        let service = snapshot.services.get(plan.service);
        let assigned = &*service.deployments.get(plan.decision.assigned).name;
        let asked = ApiRequest {
            snapshot,
            config,
            head: &head("/.serin/api/frontend"),
            token: &ShownToken::Nothing,
            https: false,
            quarantine: &quarantine,
            receipts: None,
            served: &ServedMemory::default(),
            moment: NOW,
            now,
        };
        let answer = api.answer(&asked, "/api/frontend", b"");
        let answer = serde_json::from_slice(&answer.body).expect("JSON");
        wrong += usize::from(told(&answer) != assigned);
        on_canary += usize::from(assigned != "stable");
    }
    (wrong, on_canary)
}

/// Asks the binary about some users, twice: how many pairs of answers were of one snapshot, and how many disagree.
async fn sampled(gateway: &Gateway, round: usize) -> (usize, usize) {
    let mut connection = gateway.connect().await;
    let (mut compared, mut wrong) = (0, 0);
    for number in 0..SAMPLE {
        let user = format!("user-{}", (round * 397 + number * 7919) % USERS);
        let ask = || app("/api/frontend").user(&user);
        let before = connection.send(ask()).await;
        let routed = connection.send(get("/").user(&user)).await;
        let after = connection.send(ask()).await;
        // The version begins with the digest.
        let digest = |answer: &client::Answer| {
            let etag = answer.header("etag").expect("a version").to_owned();
            etag.split(':').next().map(str::to_owned)
        };
        if digest(&before) != digest(&after) {
            continue;
        }
        compared += 1;
        let decision = routed.header("x-serin-decision").expect("a decision");
        let assigned = decision.split('"').nth(1).expect("a deployment");
        wrong += usize::from(told(&before.json()) != assigned);
    }
    (compared, wrong)
}

async fn publisher(first: Config, set: FeatureSet) -> PublisherHandle {
    let control = Handle::current();
    let dns = Dns::new(None).expect("a resolver");
    let clusters = ClusterManager::new(dns, control.clone(), Box::default());
    let stored = vec![("unleash".into(), set.into())];
    let kills = Kills::in_memory();
    let meters = MeterRegistry::default();
    Publisher::start(Arc::new(first), stored, clusters, meters, kills, &control)
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_told_what_requests_are_routed_by() {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let unleash = Unleash::shared().await;
    let strategy = |percent: u8| {
        let mut strategy = rollout("audiences.remote", percent);
        let url = canary.url();
        strategy["variants"] = variants(&[("canary", 600, Some(&url)), ("control", 400, None)]);
        strategy
    };
    let remote = unleash.open("audiences.remote", strategy(30)).await;
    let file = |percent| text([&stable, &canary], &unleash.url(), percent);
    let gateway = Gateway::start(file(1)).await;
    let publisher = publisher(compiled(&file(1)), fetched(unleash).await).await;
    let mut checks = JoinSet::new();
    let (mut sample, mut wrong_in_sample) = (0, 0);
    for round in 0..CHANGES {
        let percent = u8::try_from(2 + round * 3).expect("a percentage");
        unleash.change(&remote, strategy(percent)).await;
        let file = file(2 + round);
        gateway.rewrite_config(&file);
        let published = publisher.publish(compiled(&file)).await.expect("it runs");
        assert!(published.is_new, "round {round}");
        let local = publisher.store().load();
        checks.spawn_blocking(move || disagreements(&local));
        let (compared, wrong) = sampled(&gateway, round).await;
        (sample, wrong_in_sample) = (sample + compared, wrong_in_sample + wrong);
        // Unleash's own caches take a second: the change is waited for.
        eventually("the change", || async {
            let set = fetched(unleash).await;
            let source = "unleash".into();
            let update = publisher.publish_flags(&source, set, Vec::new()).await;
            update.expect("it runs").is_new.then_some(())
        })
        .await;
        let remote = publisher.store().load();
        checks.spawn_blocking(move || disagreements(&remote));
        let (compared, wrong) = sampled(&gateway, round + CHANGES).await;
        (sample, wrong_in_sample) = (sample + compared, wrong_in_sample + wrong);
    }
    unleash.archive(&["audiences.remote"]).await;
    let (mut snapshots, mut wrong, mut on_canary) = (0, 0, 0);
    while let Some(check) = checks.join_next().await {
        let (more, canaries) = check.expect("no panic");
        (snapshots, wrong, on_canary) = (snapshots + 1, wrong + more, on_canary + canaries);
    }
    println!(
        "{wrong} disagreements among {} answers ({snapshots} snapshots, {USERS} users, {on_canary} on a canary); \
         through the binary {wrong_in_sample} of {sample}",
        snapshots * USERS
    );
    assert_eq!((snapshots, wrong, wrong_in_sample), (2 * CHANGES, 0, 0));
    assert!(sample > CHANGES * SAMPLE, "{sample}");
    assert!(on_canary > USERS, "{on_canary}");
}
