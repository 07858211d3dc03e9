//! Leases of canaries that are shared: they do not run out while nobody can renew them.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use redis::FromRedisValue;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{House, await_store, folder};
use crate::harness::client::Answer;
use crate::harness::redis::{Redis, Server};
use crate::harness::{Gateway, eventually, eventually_within, post};
use crate::registrations::{RANKER, put};

const TTL: Duration = Duration::from_secs(3);

/// What Redis goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It crashes, and comes back as it was.
    Crashed,
    /// It stops where it is, and goes on.
    Frozen,
}

impl Fate {
    fn begin(self, redis: &mut impl Server) {
        match self {
            Self::Crashed => redis.kill(),
            Self::Frozen => redis.freeze(),
        }
    }

    async fn end(self, redis: &mut impl Server) {
        match self {
            Self::Crashed => redis.start_again().await,
            Self::Frozen => redis.thaw(),
        }
    }
}

/// A server that loses its data when it crashes.
struct Forgetful(Redis);

impl Server for Forgetful {
    fn url(&self) -> String {
        self.0.url()
    }

    fn shown(&self) -> String {
        self.0.shown()
    }

    fn kill(&mut self) {
        self.0.kill();
    }

    async fn start_again(&mut self) {
        self.0.start_empty().await;
    }

    fn freeze(&self) {
        self.0.freeze();
    }

    fn thaw(&self) {
        self.0.thaw();
    }

    fn ask<T: FromRedisValue>(&self, command: &[&str]) -> T {
        self.0.ask(command)
    }
}

/// A gateway whose service has canaries that pipelines register.
async fn gateway(house: &House<impl Server>, state: &TempDir) -> Gateway {
    let url = house.redis.url();
    house
        .gateway_of(REGISTERED, state, &format!("redis: {{ url: {url} }}\n"))
        .await
}

const REGISTERED: &str = "
services:
  search: { stable: @stable, canaries: ['search.*'] }
routes: [{ path: /, service: search, expose: true }]
identity: { user_id: [{ header: x-user-id, trust: anyone }] }
";

async fn registered(house: &House<impl Server>, gateway: &Gateway) {
    let body = json!({
        "url": house.canary.url(),
        "ttl": format!("{}s", TTL.as_secs()),
        "rings": [{ "name": "all" }],
    });
    let answer = gateway.admin_send(put(RANKER, &body)).await;
    assert_eq!(answer.status, 201, "{answer:?}");
}

async fn renew(gateway: &Gateway) -> Answer {
    let call = post(&format!("{RANKER}/renew"), "");
    gateway.admin_send(call).await
}

/// Users come to the canary, or to stable for that reason.
async fn await_users(gateway: &Gateway, origin: &str) -> Answer {
    let what = format!("users on {origin}");
    eventually_within(Duration::from_secs(30), &what, || async {
        let answer = gateway.get_as("u1", "/").await;
        (answer.origin() == origin).then_some(answer)
    })
    .await
}

async fn shown(gateway: &Gateway) -> Value {
    gateway.admin(RANKER).await.json()
}

/// Waits until the moment has passed at which the lease would have ended.
async fn outlive(gateway: &Gateway) {
    let shown = shown(gateway).await;
    let expires = shown["lease"]["expires_at"].as_str().expect("a moment");
    let expires: jiff::Timestamp = expires.parse().expect("a moment");
    eventually("the planned end", || async {
        (jiff::Timestamp::now() > expires).then_some(())
    })
    .await;
}

/// What has happened to a canary. A gateway to which Redis is back more than a quarter of the TTL after another one stores a later
/// end than that one: both are one thing here.
fn happened(canary: &Value) -> Vec<&str> {
    let history = canary["history"].as_array().expect("a history");
    let what = history.iter().filter_map(|entry| entry["what"].as_str());
    let mut what: Vec<_> = what.collect();
    what.dedup_by(|next, last| (&**next, &**last) == ("held", "held"));
    what
}

async fn await_history(gateway: &Gateway, expected: &[&str]) {
    let what = format!("a history of {expected:?}");
    let last = RefCell::new(Value::Null);
    let fact = || async {
        let canary = shown(gateway).await;
        // What is printed is seen if it stays in vain.
        if last.borrow()["history"] != canary["history"] {
            println!("{canary}");
        }
        let is_so = happened(&canary) == expected;
        last.replace(canary);
        is_so.then_some(())
    };
    eventually_within(Duration::from_secs(20), &what, fact).await;
}

async fn assert_held(gateway: &Gateway) {
    gateway.get_as("u1", "/").await.assert_from("canary");
    let canary = shown(gateway).await;
    assert_eq!(canary["state"], "ready", "{canary}");
    let reason = canary["lease"]["held"]["reason"].as_str();
    assert!(reason.is_some_and(|reason| reason.contains("cannot be reached")));
    let asked = post("/api/v1/explain", json!({ "user_id": "u1" }).to_string())
        .header("content-type", "application/json");
    let explained = gateway.admin_send(asked).await.json();
    assert_eq!(
        explained["held_leases"][0]["name"], "search.ranker",
        "{explained}"
    );
}

/// A lease of which nobody hears any more ends a TTL after Redis is back, at every gateway.
pub(super) async fn a_lease_outlives(fate: Fate, mut house: House<impl Server>) {
    let folders = [folder(), folder()];
    let one = gateway(&house, &folders[0]).await;
    let two = gateway(&house, &folders[1]).await;
    registered(&house, &one).await;
    await_users(&one, "canary").await;
    await_users(&two, "canary").await;
    assert_eq!(renew(&two).await.status, 200);
    fate.begin(&mut house.redis);
    await_store(&one, false).await;
    await_store(&two, false).await;
    outlive(&two).await;
    assert_held(&one).await;
    assert_held(&two).await;
    assert_eq!(renew(&two).await.status, 503);
    // Not even a restart ends it, nor does one that finds nothing in its folder.
    one.kill().await;
    let one = gateway(&house, &folders[0]).await;
    assert_held(&one).await;
    let ignorant = gateway(&house, &folder()).await;

    let back = Instant::now();
    fate.end(&mut house.redis).await;
    await_store(&one, true).await;
    await_store(&two, true).await;
    let newcomer = gateway(&house, &folder()).await;
    let all = [&one, &two, &ignorant, &newcomer];
    for gateway in all {
        await_users(gateway, "canary").await;
        assert_eq!(shown(gateway).await["lease"]["held"], Value::Null);
    }
    for gateway in all {
        let over = await_users(gateway, "stable").await;
        assert!(back.elapsed() >= TTL, "{:?}", back.elapsed());
        let decision = over.header("x-serin-decision").unwrap_or_default();
        // The cause of one that was decided just before, and the reason of any later one.
        assert!(decision.contains("=\"lease_over\""), "{decision}");
        await_history(gateway, &["registered", "ready", "held", "lease_over"]).await;
    }
}

#[tokio::test]
async fn a_lease_outlives_a_redis_that_crashes() {
    a_lease_outlives(Fate::Crashed, House::new().await).await;
}

#[tokio::test]
async fn a_lease_outlives_a_redis_that_comes_back_empty() {
    let redis = Forgetful(Redis::start().await);
    a_lease_outlives(Fate::Crashed, House::with(redis).await).await;
}

#[tokio::test]
async fn a_lease_outlives_a_redis_that_is_frozen() {
    a_lease_outlives(Fate::Frozen, House::new().await).await;
}

#[tokio::test]
async fn a_lease_that_was_over_before_stays_over() {
    let mut house = House::new().await;
    let folders = [folder(), folder()];
    let one = gateway(&house, &folders[0]).await;
    let two = gateway(&house, &folders[1]).await;
    registered(&house, &one).await;
    await_users(&two, "canary").await;
    await_users(&two, "stable").await;
    await_users(&one, "stable").await;
    for gateway in [&one, &two] {
        await_history(gateway, &["registered", "ready", "lease_over"]).await;
    }
    house.redis.kill();
    await_store(&one, false).await;
    await_store(&two, false).await;
    one.kill().await;
    let one = gateway(&house, &folders[0]).await;
    for gateway in [&one, &two] {
        gateway.get_as("u1", "/").await.assert_from("stable");
        let canary = shown(gateway).await;
        assert_eq!(canary["state"], "over", "{canary}");
        assert_eq!(canary["lease"]["held"], Value::Null);
    }
    house.redis.start_again().await;
    await_store(&one, true).await;
    await_store(&two, true).await;
    for gateway in [&one, &two] {
        gateway.get_as("u1", "/").await.assert_from("stable");
    }
}

/// Once it is back, whoever renews a lease has it go on, and whoever takes it back ends it.
#[tokio::test]
async fn a_lease_that_is_renewed_later_goes_on() {
    let mut house = House::new().await;
    let folders = [folder(), folder()];
    let one = gateway(&house, &folders[0]).await;
    let two = gateway(&house, &folders[1]).await;
    registered(&house, &one).await;
    await_users(&one, "canary").await;
    await_users(&two, "canary").await;
    house.redis.kill();
    await_store(&one, false).await;
    await_store(&two, false).await;
    outlive(&two).await;
    house.redis.start_again().await;
    await_store(&one, true).await;
    await_store(&two, true).await;
    let back = Instant::now();
    while back.elapsed() < 2 * TTL {
        let renewed = renew(&one).await;
        assert_eq!(renewed.status, 200, "{renewed:?}");
        for gateway in [&one, &two] {
            gateway.get_as("u1", "/").await.assert_from("canary");
        }
        crate::harness::pause(100).await;
    }
    let taken_back = one
        .admin_send(crate::harness::client::Call::new(
            hyper::Method::DELETE,
            RANKER,
        ))
        .await;
    assert_eq!(taken_back.status, 200, "{taken_back:?}");
    await_users(&two, "stable").await;
}
