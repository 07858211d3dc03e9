//! Three gateways on one real Redis behave as one: what is done at any of them is so at all, in one order, and nothing that
//! was answered is lost.

mod clocks;
mod crashes;
mod order;
mod racing;

use std::cell::RefCell;

use http::Method;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::harness::redis::Redis;
use crate::harness::{Answer, Call, Gateway, Origin, Setup, assert_has, eventually, fill, post};

const CONFIG: &str = "
services:
  search: { stable: @stable, canaries: ['search.*'] }
segments: { team: { userId: [ann, bob] }, cat: { userId: [cat] }, dan: { userId: [dan] } }
flags:
  search.of-git: { url: @canary, rings: [{ name: cat, segment: cat }] }
routes: [{ path: /, service: search, expose: true }]
identity: { user_id: [{ header: x-user-id, trust: anyone }] }
server: { threads: 2, shutdown_delay: 1ms, shutdown_grace: 8s, state_dir: '%state%' }
";

const CANARIES: &str = "/api/v1/services/search/canaries";

/// What the gateways stand between, and what they share.
pub(crate) struct House {
    pub(crate) stable: Origin,
    pub(crate) canary: Origin,
    pub(crate) other: Origin,
    pub(crate) redis: Redis,
}

/// A gateway with a folder of its own.
pub(crate) struct Member {
    pub(crate) gateway: Gateway,
    pub(crate) state: TempDir,
}

impl House {
    pub(crate) async fn new() -> Self {
        Self {
            stable: Origin::start("stable").await,
            canary: Origin::start("canary").await,
            other: Origin::start("other").await,
            redis: Redis::start().await,
        }
    }

    fn config(&self, state: &TempDir) -> String {
        let config = fill(CONFIG, [&self.stable, &self.canary]);
        config.replace("%state%", &state.path().display().to_string())
    }

    /// A gateway that shares its state.
    pub(crate) fn setup(&self, state: &TempDir) -> Setup {
        let redis = format!("redis: {{ url: '{}' }}\n", self.redis.url());
        Setup::new(self.config(state) + &redis)
    }

    /// A gateway that has its state for itself.
    fn alone(&self, state: &TempDir) -> Setup {
        Setup::new(self.config(state))
    }

    async fn member(&self) -> Member {
        let state = TempDir::new().expect("a folder");
        let gateway = self.setup(&state).start().await;
        Member { gateway, state }
    }

    pub(crate) async fn three(&self) -> [Member; 3] {
        [
            self.member().await,
            self.member().await,
            self.member().await,
        ]
    }
}

fn call(method: Method, path: &str, document: &Value) -> Call {
    Call::new(method, path).body(document.to_string())
}

pub(crate) fn canary(name: &str) -> String {
    format!("{CANARIES}/search.{name}")
}

/// What opens a canary for Ann and Bob.
pub(crate) fn team(url: &str) -> Value {
    json!({ "url": url, "ttl": "30m", "rings": [{ "name": "team", "segment": "team" }] })
}

impl Member {
    pub(crate) async fn put(&self, path: &str, document: &Value) -> Answer {
        self.gateway
            .admin_send(call(Method::PUT, path, document))
            .await
    }

    /// Gives an order that is carried out.
    async fn done(&self, method: Method, path: &str, document: &Value) -> Value {
        let order = match document {
            Value::Null => Call::new(method, path),
            document => call(method, path, document),
        };
        let answer = self.gateway.admin_send(order).await;
        assert!([200, 201].contains(&answer.status), "{path}: {answer:?}");
        answer.json()
    }

    async fn register(&self, name: &str, url: &str) -> Value {
        self.done(Method::PUT, &canary(name), &team(url)).await
    }

    async fn order(&self, name: &str, verb: &str) -> Value {
        let path = format!("{}/{verb}", canary(name));
        let answer = self.gateway.admin_send(post(&path, "")).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.json()
    }

    pub(crate) async fn shown(&self, path: &str) -> Value {
        let answer = self.gateway.admin(path).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.json()
    }

    async fn await_state(&self, name: &str, state: &str) {
        let what = format!("{name} to be {state}");
        eventually(&what, || async {
            let answer = self.gateway.admin(&canary(name)).await;
            (answer.status == 200 && answer.json()["state"] == state).then_some(())
        })
        .await;
    }

    /// Who serves a user, and why.
    async fn served(&self, user: &str) -> (String, String) {
        let answer = self.gateway.get_as(user, "/").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let decision = answer.header("x-serin-decision").unwrap_or_default();
        let reason = decision.split("reason=").nth(1).unwrap_or_default();
        (
            answer.origin().to_owned(),
            reason.trim_matches('"').to_owned(),
        )
    }

    /// All that people can see of what is shared, and the digest of what requests are decided on.
    async fn told(&self) -> Value {
        let mut canaries = Map::new();
        for listed in array(&self.shown(CANARIES).await["canaries"]) {
            let name = listed["name"].as_str().expect("a name").to_owned();
            let mut shown = self.shown(&format!("{CANARIES}/{name}")).await;
            // What each gateway finds out for itself, and what grows by the second.
            for own in ["check", "requests", "age_seconds"] {
                shown.as_object_mut().expect("an object").remove(own);
            }
            canaries.insert(name, shown);
        }
        let mut service = self.shown("/api/v1/services/search").await;
        json!({
            "digest": self.gateway.status().await["digest"],
            "flags": self.shown("/api/v1/flags").await["flags"],
            "segments": self.shown("/api/v1/segments").await["segments"],
            "kills": service["kills"].take(),
            "canaries": canaries,
        })
    }
}

fn array(value: &Value) -> Vec<Value> {
    value.as_array().expect("an array").clone()
}

/// Waits until all tell the same. What a gateway has answered it tells, so that then all of them do.
async fn agreed(members: &[Member]) -> Value {
    let apart = RefCell::new(String::new());
    let agreeing = eventually("gateways that agree", || async {
        let first = members[0].told().await;
        for (number, other) in members.iter().enumerate().skip(1) {
            let told = other.told().await;
            if told != first {
                *apart.borrow_mut() = differences(&first, &told, number);
                return None;
            }
        }
        Some(first)
    });
    let said = Said(&apart);
    let told = agreeing.await;
    drop(said);
    told
}

/// Prints what gateways differ in, if it is all that is left to say.
struct Said<'a>(&'a RefCell<String>);

impl Drop for Said<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.0.borrow());
        }
    }
}

fn differences(first: &Value, other: &Value, number: usize) -> String {
    let first = first.as_object().expect("an object");
    let apart = first.iter().filter(|(key, value)| other[&**key] != **value);
    let lines = apart.map(|(key, value)| {
        format!(
            "{key}: the first tells {value:#}, and number {number} {:#}",
            other[&**key]
        )
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Waits until they agree, and a user is served by the same origin at each.
async fn assert_served(members: &[Member], user: &str, origin: &str) {
    agreed(members).await;
    for member in members {
        assert_eq!(member.served(user).await.0, origin, "{user}");
    }
}

fn happened(told: &Value, name: &str) -> Vec<String> {
    let history = array(&told["canaries"][format!("search.{name}")]["history"]);
    let what = history.iter().filter_map(|entry| entry["what"].as_str());
    what.map(str::to_owned).collect()
}

#[tokio::test]
async fn a_registration_a_kill_and_its_end_at_one_are_so_at_all() {
    let house = House::new().await;
    let members = house.three().await;
    let [one, two, three] = &members;
    let registered = one.register("ranker", &house.canary.url()).await;
    assert_eq!(registered["recorded_in"], json!(["state", "redis"]));
    for member in &members {
        member.await_state("ranker", "ready").await;
    }
    assert_served(&members, "ann", "canary").await;
    assert_served(&members, "eve", "stable").await;
    // Another gateway than the one that has it first.
    let again = two.register("ranker", &house.canary.url()).await;
    assert_eq!(again["state"], "ready");
    two.order("ranker", "renew").await;
    agreed(&members).await;

    two.order("ranker", "kill").await;
    assert_served(&members, "ann", "stable").await;
    three.order("ranker", "restore").await;
    assert_served(&members, "ann", "canary").await;
    let gone = three
        .done(Method::DELETE, &canary("ranker"), &Value::Null)
        .await;
    assert_eq!(gone["state"], "over");
    assert_served(&members, "ann", "stable").await;
    for member in &members {
        assert_eq!(member.served("ann").await.1, "lease_over");
    }
    one.register("ranker", &house.other.url()).await;
    for member in &members {
        member.await_state("ranker", "ready").await;
    }
    assert_served(&members, "ann", "other").await;
    // Each of it once, whoever else has heard of it.
    let told = agreed(&members).await;
    let life = [
        "registered",
        "ready",
        "killed",
        "restored",
        "taken_back",
        "registered",
        "ready",
    ];
    assert_eq!(happened(&told, "ranker"), life);
}

#[tokio::test]
async fn a_flag_a_segment_and_a_ring_at_one_are_so_at_all() {
    let house = House::new().await;
    let members = house.three().await;
    let [one, two, three] = &members;
    let (flag, segment) = ("/api/v1/flags/search.kept", "/api/v1/segments/night");
    two.done(Method::PUT, segment, &json!({ "userId": ["eve"] }))
        .await;
    agreed(&members).await;
    let document = json!({
        "url": house.canary.url(),
        "rings": [{ "name": "night", "segment": "night" }, { "name": "all", "rollout": "0%" }],
    });
    three.done(Method::PUT, flag, &document).await;
    assert_served(&members, "eve", "canary").await;
    assert_served(&members, "ann", "stable").await;
    let ring = |name: &str| format!("{flag}/rings/{name}");
    one.done(Method::PATCH, &ring("all"), &json!({ "rollout": "100%" }))
        .await;
    assert_served(&members, "ann", "canary").await;
    two.done(Method::PATCH, &ring("all"), &json!({ "enabled": false }))
        .await;
    assert_served(&members, "ann", "stable").await;
    assert_served(&members, "eve", "canary").await;
    three
        .done(Method::PUT, segment, &json!({ "userId": ["ann"] }))
        .await;
    assert_served(&members, "ann", "canary").await;
    assert_served(&members, "eve", "stable").await;
    // A tag that one gave is good at another, and stale when a third has changed what it is of.
    let tag = one.gateway.admin(flag).await;
    let tag = tag.header("etag").expect("a tag").to_owned();
    two.done(Method::PATCH, &ring("all"), &json!({ "enabled": true }))
        .await;
    agreed(&members).await;
    let stale = call(Method::PUT, flag, &document).header("if-match", &tag);
    let refused = three.gateway.admin_send(stale).await;
    assert_eq!(refused.status, 412, "{refused:?}");
    three.done(Method::DELETE, flag, &Value::Null).await;
    assert_served(&members, "ann", "stable").await;
    let told = agreed(&members).await;
    assert!(!told["flags"].to_string().contains("search.kept"), "{told}");
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a life is told in its order")]
async fn one_that_was_stopped_catches_up_and_neither_loses_nor_revives_anything() {
    let house = House::new().await;
    let members = house.three().await;
    let [one, two, three] = &members;
    let url = house.canary.url();
    for name in ["kept", "ended", "killed"] {
        one.register(name, &url).await;
        two.await_state(name, "ready").await;
    }
    two.order("of-git", "kill").await;
    let flag = "/api/v1/flags/search.flag";
    two.done(
        Method::PUT,
        flag,
        &json!({ "url": url, "rings": [{ "name": "all" }] }),
    )
    .await;
    let short = json!({ "url": house.other.url(), "ttl": "3s", "rings": [{ "name": "dan", "segment": "dan" }] });
    one.done(Method::PUT, &canary("short"), &short).await;
    three.await_state("short", "ready").await;
    agreed(&members).await;

    three.gateway.pause();
    one.register("new", &house.other.url()).await;
    one.done(Method::DELETE, &canary("ended"), &Value::Null)
        .await;
    two.order("killed", "kill").await;
    one.order("of-git", "restore").await;
    two.done(Method::DELETE, flag, &Value::Null).await;
    one.done(
        Method::PUT,
        "/api/v1/flags/search.late",
        &json!({ "url": url, "rings": [{ "name": "all", "rollout": "0%" }] }),
    )
    .await;
    two.order("kept", "renew").await;
    two.await_state("short", "over").await;
    // What Redis would have sent it is lost with its connections.
    house
        .redis
        .ask::<i64>(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    three.gateway.resume();
    // Its first decision: nobody has told it yet, but it has a clock.
    assert_ne!(three.served("dan").await.0, "other");
    two.await_state("new", "ready").await;
    let told = agreed(&members).await;
    let canaries = &told["canaries"];
    for (name, state) in [
        ("kept", "ready"),
        ("ended", "over"),
        ("new", "ready"),
        ("short", "over"),
    ] {
        assert_eq!(canaries[format!("search.{name}")]["state"], state, "{name}");
    }
    assert_eq!(canaries["search.killed"]["killed"], true);
    let kills: Vec<_> = array(&told["kills"])
        .iter()
        .map(|kill| kill["flag"].clone())
        .collect();
    assert_eq!(kills, ["search.killed"]);
    let flags = told["flags"].to_string();
    assert!(
        flags.contains("search.late") && !flags.contains("search.flag"),
        "{flags}"
    );
    // What it does from here on is heard by the others, and a restart finds the same.
    three.order("killed", "restore").await;
    agreed(&members).await;
    let [one, two, mut three] = members;
    three.gateway.terminate().await;
    three.gateway = house.setup(&three.state).start().await;
    let told = agreed(&[one, two, three]).await;
    assert_has(
        &told["canaries"]["search.ended"],
        &json!({ "state": "over", "killed": false }),
    );
}
