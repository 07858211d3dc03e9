//! Canaries of flag servers appear by themselves, and no running flag moves its users without a word.

use serde_json::{Value, json};

use crate::harness::flag_server::{FlagServer, feature};
use crate::harness::{Call, Gateway, Origin, Raw, assert_has, eventually, fill, get, post};

const CONFIG: &str = "
services:
  search: { stable: @stable }
  ads: { stable: @ads, canaries: [\"search.ads.*\", \"ads.*\"] }
routes:
  - { path: /, service: search, expose: true }
  - { path: /ads, service: ads, expose: true }
identity: { user_id: [{ header: x-user-id, trust: anyone }] }
";

/// The feature whose canary's payload is this JSON.
fn with_payload(name: &str, payload: &Value) -> Value {
    let mut feature = feature(name, "", true);
    feature["strategies"][0]["variants"][0]["payload"] =
        json!({ "type": "json", "value": payload.to_string() });
    feature
}

/// The feature, its only variant called otherwise.
fn with_variant(mut feature: Value, variant: &str) -> Value {
    feature["strategies"][0]["variants"][0]["name"] = json!(variant);
    feature
}

async fn await_answer(gateway: &Gateway, path: &str, status: u16, origin: &str) {
    let what = format!("{path} to be answered {status} by {origin}");
    eventually(&what, || async {
        let answer = gateway.get_as("u1", path).await;
        (answer.status == status && answer.origin() == origin).then_some(())
    })
    .await;
}

async fn explained(gateway: &Gateway, path: &str) -> Value {
    let body = json!({ "user_id": "u1", "path": path }).to_string();
    let call: Call = post("/api/v1/explain", body);
    gateway.admin_send(call).await.json()["decision"].clone()
}

#[tokio::test]
async fn a_new_flag_is_a_canary_without_any_edit_and_says_why() {
    let (stable, ads) = (Origin::start("stable").await, Origin::start("ads").await);
    let (one, two) = (Origin::start("one").await, Origin::start("two").await);
    let server = FlagServer::start().await;
    let gateway = Gateway::start(fill(CONFIG, [&stable, &ads]) + &server.config("")).await;
    await_answer(&gateway, "/", 200, "stable").await;

    server.put([feature("search.new", &one.url(), true)]);
    await_answer(&gateway, "/", 200, "one").await;
    let answer = gateway.get_as("u1", "/").await;
    assert_eq!(
        answer.header("x-serin-decision"),
        Some(r#"search="search.new";served="search.new";reason="strategy""#)
    );
    let decision = explained(&gateway, "/").await;
    assert_has(
        &decision,
        &json!({ "assigned": "search.new", "reason": "strategy", "ring": "flexibleRollout 1" }),
    );
    assert_has(
        &decision["flags"][0],
        &json!({ "source": "unleash", "on": true }),
    );
    let labels = [
        ("service", "search"),
        ("flag", "search.new"),
        ("reason", "strategy"),
    ];
    let counted = gateway
        .metrics()
        .await
        .sum("serin_decisions_total", &labels);
    assert!(counted >= 1.0, "{counted}");

    // Both services match it; the payload says which it is for, else the longer glob does.
    server.put([with_payload("search.ads.x", &json!({ "url": two.url() }))]);
    await_answer(&gateway, "/ads", 200, "two").await;
    let for_search = json!({ "url": two.url(), "service": "search" });
    server.put([with_payload("search.ads.x", &for_search)]);
    await_answer(&gateway, "/ads", 200, "ads").await;
    // There it is new, so that it comes behind the one that runs, unless it says otherwise.
    gateway.get_as("u1", "/").await.assert_from("one");
    let first = json!({ "url": two.url(), "service": "search", "priority": 1 });
    server.put([with_payload("search.ads.x", &first)]);
    await_answer(&gateway, "/", 200, "two").await;
    server.put([with_payload(
        "search.ads.x",
        &json!({ "url": two.url(), "service": "shop" }),
    )]);
    await_answer(&gateway, "/", 200, "one").await;
    let warnings = gateway.status().await["warnings"].to_string();
    assert!(
        warnings.contains("search.ads.x is for the service"),
        "{warnings}"
    );
    gateway.get_as("u1", "/ads").await.assert_from("ads");
}

#[tokio::test]
async fn a_flag_says_where_stable_is_and_until_one_does_requests_get_503() {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let server = FlagServer::start().await;
    let ads = Origin::start("ads").await;
    let template = CONFIG.replace("search: { stable: @stable }", "search: {}");
    let gateway = Gateway::start(fill(&template, [&ads]) + &server.config("")).await;
    let began = std::time::Instant::now();
    await_answer(&gateway, "/", 503, "-").await;
    assert!(began.elapsed().as_secs() < 5, "quickly");
    let warnings = gateway.status().await["warnings"].to_string();
    assert!(warnings.contains("answered 503"), "{warnings}");
    let service = gateway.admin("/api/v1/services/search").await.json();
    assert_eq!(service["deployments"][0]["url"], Value::Null);

    // A flag that is off will do.
    let base = with_variant(feature("search.base", &stable.url(), false), "stable");
    server.put([base]);
    await_answer(&gateway, "/", 200, "stable").await;
    server.put([feature("search.new", &canary.url(), true)]);
    await_answer(&gateway, "/", 200, "canary").await;
    server.remove("search.base");
    server.put([feature("search.new", &canary.url(), false)]);
    await_answer(&gateway, "/", 200, "stable").await;
    eventually("a warning of the last known", || async {
        let warnings = gateway.status().await["warnings"].to_string();
        warnings.contains("the last one known stays").then_some(())
    })
    .await;
}

#[tokio::test]
async fn without_an_answer_and_nothing_stored_there_are_no_flags() {
    let (stable, ads) = (Origin::start("stable").await, Origin::start("ads").await);
    let canary = Origin::start("canary").await;
    let mut server = FlagServer::start().await;
    server.stop().await;
    let local = format!(
        "flags: {{ ads.local: {{ url: '{}', rings: [{{ when: {{ userId: [u2] }} }}] }} }}\n",
        canary.url()
    );
    let ready = "server: { threads: 2, shutdown_delay: 1ms, ready_without_flags: 1ms }\n";
    let config = fill(CONFIG, [&stable, &ads]) + &local + ready + &server.config("");
    let gateway = Gateway::start(config).await;
    let reason = async |user: &str, path: &str| {
        let answer = gateway.send(get(path).user(user)).await;
        answer
            .header("x-serin-decision")
            .unwrap_or_default()
            .to_owned()
    };
    assert_eq!(
        reason("u1", "/").await,
        r#"search="stable";served="stable";reason="no_flags""#
    );
    assert_eq!(
        reason("u2", "/ads").await,
        r#"ads="ads.local";served="ads.local";reason="ring""#
    );
    assert_eq!(
        reason("u1", "/ads").await,
        r#"ads="stable";served="stable";reason="no_flags""#
    );
    server.put([feature("search.new", &canary.url(), true)]);
    server.restart().await;
    await_answer(&gateway, "/", 200, "canary").await;
    assert_eq!(
        reason("u1", "/ads").await,
        r#"ads="stable";served="stable";reason="default""#
    );
}

/// The stream of events, read one by one.
pub(crate) struct Events(Raw);

impl Events {
    pub(crate) async fn open(gateway: &Gateway) -> Self {
        let address = gateway.admin_address();
        let mut raw = Raw::open(address).await;
        let request = format!("GET /api/v1/events HTTP/1.1\r\nHost: {address}\r\n\r\n");
        raw.write(request.as_bytes()).await;
        raw.read_until(b"\r\n\r\n").await;
        let mut events = Self(raw);
        events.until("connected").await;
        events
    }

    /// The data of the next event of this name.
    pub(crate) async fn until(&mut self, name: &str) -> Value {
        loop {
            let message = String::from_utf8(self.0.read_until(b"\n\n").await).expect("text");
            if !message.contains(&format!("event: {name}\n")) {
                continue;
            }
            let data = message.lines().find_map(|line| line.strip_prefix("data: "));
            return serde_json::from_str(data.expect("data")).expect("JSON");
        }
    }
}

#[tokio::test]
async fn what_happens_to_flags_is_told_and_a_flag_that_moves_its_users_is_warned_of() {
    let (stable, ads) = (Origin::start("stable").await, Origin::start("ads").await);
    let mut server = FlagServer::start().await;
    let gateway = Gateway::start(fill(CONFIG, [&stable, &ads]) + &server.config("")).await;
    await_answer(&gateway, "/", 200, "stable").await;
    let mut events = Events::open(&gateway).await;
    let mut half = feature("search.new", &stable.url(), true);
    half["strategies"][0]["parameters"]["rollout"] = json!("50");
    server.put([half.clone()]);
    let told = events.until("snapshot").await;
    assert_has(
        &told["flags"],
        &json!({ "added": ["search.new"], "changed": [], "rebucketed": [] }),
    );
    assert_eq!(told["digest"], gateway.status().await["digest"]);

    half["strategies"][0]["parameters"]["groupId"] = json!("another");
    server.put([half.clone()]);
    let told = events.until("snapshot").await;
    let why = r#"its group is "another", was "search.new""#;
    assert_has(
        &told["flags"],
        &json!({ "added": [], "changed": ["search.new"] }),
    );
    assert_has(
        &told["flags"]["rebucketed"][0],
        &json!({ "flag": "search.new", "ring": "flexibleRollout 1", "why": why }),
    );
    gateway
        .await_log("the running flag search.new buckets its users anew")
        .await;
    let warned = async || {
        let warnings = gateway.status().await["warnings"].to_string();
        warnings.contains("search.new buckets its users anew")
    };
    assert!(warned().await);
    // Until it changes again, in a way that moves nobody.
    half["strategies"][0]["parameters"]["rollout"] = json!("60");
    server.put([half]);
    assert_has(
        &events.until("snapshot").await["flags"],
        &json!({ "rebucketed": [] }),
    );
    assert!(!warned().await);

    server.stop().await;
    assert_has(
        &events.until("source").await,
        &json!({ "source": "unleash", "state": "trouble" }),
    );
    server.restart().await;
    // It may have been in trouble in more than one way before.
    while events.until("source").await["state"] != "recovered" {}
}

#[tokio::test]
async fn a_local_flag_that_moves_its_users_is_warned_of_too() {
    let (stable, ads) = (Origin::start("stable").await, Origin::start("ads").await);
    let with = |share: &str| {
        let flag = format!(
            "flags: {{ search.new: {{ url: '{}', rings: [{{ name: some, rollout: {share} }}] }} }}\n",
            stable.url()
        );
        fill(CONFIG, [&stable, &ads]) + &flag
    };
    let gateway = Gateway::start(with("50%")).await;
    let mut events = Events::open(&gateway).await;
    gateway.rewrite_config(&(with("50%") + "segments: { nobody: { userId: [] } }\n"));
    let told = events.until("snapshot").await;
    assert_has(&told["flags"], &json!({ "changed": [] }));
    gateway.rewrite_config(&with("20%"));
    let told = events.until("snapshot").await;
    assert_has(
        &told["flags"]["rebucketed"][0],
        &json!({ "flag": "search.new", "ring": "some", "why": "its rollout is 20%, was 50%" }),
    );
}
