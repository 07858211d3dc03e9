//! Pipelines register canaries: by API, for a time, without a line in `routes.yaml`.

mod commands;
mod life;
mod refusals;
mod together;

use hyper::Method;
use serde_json::{Value, json};

use crate::harness::client::{Answer, Call};
use crate::harness::{Gateway, Origin, assert_has, eventually, get, post};

pub(crate) const CONFIG: &str = "
services:
  search: { stable: @stable, canaries: ['search.*'] }
  shop: { stable: @stable, canaries: ['shop.*'] }
segments: { team: { userId: [ann, bob] } }
flags:
  search.of-the-file: { url: 'http://127.0.0.1:9', rings: [{ name: none, rollout: 0% }] }
  search.opened: { variants: [{ name: on, weight: 100% }], rings: [{ name: all }] }
routes: [{ path: /shop, service: shop }, { path: /, service: search, expose: true }]
identity: { user_id: [{ header: x-user-id, trust: anyone }] }
server: { threads: 2, shutdown_delay: 1ms, shutdown_grace: 8s, state_dir: '%state%' }
";

pub(crate) const RANKER: &str = "/api/v1/services/search/canaries/search.ranker";

pub(crate) fn config(stable: &Origin) -> String {
    let config = CONFIG.replace("%state%", "./state");
    config.replace("@stable", &stable.url())
}

pub(crate) fn put(path: &str, body: &Value) -> Call {
    Call::new(Method::PUT, path)
        .header("content-type", "application/json")
        .body(body.to_string())
}

/// What opens a canary for Ann and Bob.
fn team(url: &str, ttl: &str) -> Value {
    json!({ "url": url, "ttl": ttl, "rings": [{ "name": "team", "segment": "team" }] })
}

async fn registered(gateway: &Gateway, path: &str, body: &Value) -> Value {
    let answer = gateway.admin_send(put(path, body)).await;
    assert!([200, 201].contains(&answer.status), "{answer:?}");
    answer.json()
}

async fn shown(gateway: &Gateway, path: &str) -> Value {
    let answer = gateway.admin(path).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

async fn await_state(gateway: &Gateway, path: &str, state: &str) -> Value {
    let what = format!("{path} to be {state}");
    eventually(&what, || async {
        let canary = shown(gateway, path).await;
        (canary["state"] == state).then_some(canary)
    })
    .await
}

fn decision(answer: &Answer) -> &str {
    answer.header("x-serin-decision").unwrap_or_default()
}

fn happened(canary: &Value) -> Vec<&str> {
    let history = canary["history"].as_array().expect("a history");
    let what = history.iter().filter_map(|entry| entry["what"].as_str());
    what.collect()
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a life is told in its order")]
async fn a_canary_is_registered_checked_opened_killed_and_taken_back() {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let gateway = Gateway::start(config(&stable)).await;
    let mut body = team(&canary.url(), "30m");
    for (key, value) in [
        ("branch", "feature/ranker-v2"),
        ("commit", "4f1c2ab"),
        ("owner", "search@example.com"),
    ] {
        body[key] = json!(value);
    }
    let answer = gateway.admin_send(put(RANKER, &body)).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let expected = json!({
        "service": "search", "name": "search.ranker",
        "flag": { "source": "registration", "on_for": "some" }, "recorded_in": ["state"], "branch": "feature/ranker-v2",
    });
    assert_has(&answer.json(), &expected);

    assert_eq!(answer.json()["lease"]["ttl"], "30m");
    let ready = await_state(&gateway, RANKER, "ready").await;
    assert_has(
        &ready,
        &json!({ "commit": "4f1c2ab", "by": "127.0.0.1", "killed": false, "warnings": [] }),
    );
    assert_eq!(happened(&ready), ["registered", "ready"]);
    let answer = gateway.get_as("ann", "/").await;
    answer.assert_from("canary");
    assert!(decision(&answer).contains("reason=\"ring\""), "{answer:?}");
    gateway.get_as("eve", "/").await.assert_from("stable");
    gateway.get_as("ann", "/shop").await.assert_from("stable");
    let states = [
        ("service", "search"),
        ("deployment", "search.ranker"),
        ("state", "ready"),
    ];
    gateway
        .await_metric("serin_canary_state", &states, 1.0)
        .await;
    gateway
        .await_metric("serin_leases", &[("service", "search")], 1.0)
        .await;
    gateway
        .await_metric("serin_leases", &[("service", "shop")], 0.0)
        .await;

    let again = gateway.admin_send(put(RANKER, &body)).await;
    assert_eq!(again.status, 200, "{again:?}");
    assert_eq!(again.json()["generation"], gateway.generation().await);
    let renewed = gateway
        .admin_send(post(&format!("{RANKER}/renew"), ""))
        .await;
    assert_eq!(renewed.status, 200, "{renewed:?}");
    assert_eq!(renewed.json()["state"], "ready");

    gateway
        .admin_send(post(&format!("{RANKER}/kill"), "{\"reason\":\"too slow\"}"))
        .await;
    let answer = gateway.get_as("ann", "/").await;
    answer.assert_from("stable");
    assert!(
        decision(&answer).contains("reason=\"killed\""),
        "{answer:?}"
    );
    gateway
        .admin_send(post(&format!("{RANKER}/restore"), ""))
        .await;
    gateway.get_as("ann", "/").await.assert_from("canary");
    let history = eventually("the kill in the history", || async {
        let canary = shown(&gateway, RANKER).await;
        (happened(&canary).len() == 4).then_some(canary)
    })
    .await;
    assert_eq!(
        happened(&history),
        ["registered", "ready", "killed", "restored"]
    );
    assert_eq!(history["history"][2]["detail"], "too slow");

    let gone = gateway.admin_send(Call::new(Method::DELETE, RANKER)).await;
    assert_eq!(
        (gone.status, gone.json()["state"].clone()),
        (200, json!("over"))
    );
    let answer = gateway.get_as("ann", "/").await;
    answer.assert_from("stable");
    assert!(
        decision(&answer).contains("reason=\"lease_over\""),
        "{answer:?}"
    );
    let again = gateway.admin_send(Call::new(Method::DELETE, RANKER)).await;
    assert_eq!(again.status, 404, "{again:?}");
    let list = shown(&gateway, "/api/v1/services/search/canaries").await;
    assert_eq!(list["canaries"][0]["state"], "over");

    let back = gateway.admin_send(put(RANKER, &body)).await;
    assert_eq!(back.status, 201, "{back:?}");
    await_state(&gateway, RANKER, "ready").await;
    gateway.get_as("ann", "/").await.assert_from("canary");
}

#[tokio::test]
async fn only_a_url_is_required_and_a_flag_says_who_the_users_are() {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let gateway = Gateway::start(config(&stable)).await;
    let body = json!({ "url": canary.url() });
    let nobody = registered(&gateway, RANKER, &body).await;
    assert_has(
        &nobody,
        &json!({ "flag": { "source": "registration", "on_for": "nobody" } }),
    );
    assert_eq!(nobody["lease"]["ttl"], "15m");
    let flags = shown(&gateway, "/api/v1/flags").await;
    let flags = flags["flags"].as_array().expect("flags").iter();
    let mut keepers = flags.map(|flag| (flag["name"].as_str(), flag["kept_by"].as_str()));
    assert!(keepers.any(|one| one == (Some("search.ranker"), Some("registration"))));
    let ring = Call::new(Method::PATCH, "/api/v1/flags/search.ranker/rings/team")
        .header("content-type", "application/json")
        .body("{\"enabled\":false}");
    let refused = gateway.admin_send(ring).await;
    assert_eq!(refused.status, 409, "{refused:?}");
    assert_has(&refused.json(), &json!({ "kept_by": "registration" }));
    await_state(&gateway, RANKER, "ready").await;
    gateway.get_as("ann", "/").await.assert_from("stable");

    let opened = "/api/v1/services/search/canaries/search.opened";
    let everybody = registered(&gateway, opened, &body).await;
    assert_has(
        &everybody,
        &json!({ "flag": { "source": "file", "on_for": "everybody" } }),
    );
    await_state(&gateway, opened, "ready").await;
    gateway.get_as("eve", "/").await.assert_from("canary");
    assert!(gateway.explain("eve").contains("search.opened"));
}

#[tokio::test]
async fn the_users_of_a_canary_that_is_not_ready_are_on_stable() {
    let (stable, mut canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let gateway = Gateway::start(config(&stable)).await;
    canary.answer(|_| crate::harness::Reply::status(302).header("location", "/elsewhere"));
    let mut body = team(&canary.url(), "30m");
    body["health"] = json!({ "path": "/healthz" });
    assert_eq!(
        registered(&gateway, RANKER, &body).await["state"],
        "checking"
    );
    let canary_view = eventually("a check that says why", || async {
        let canary = shown(&gateway, RANKER).await;
        canary["check"]["said"].is_string().then_some(canary)
    })
    .await;
    assert_eq!(canary_view["state"], "checking");
    let said = canary_view["check"]["said"].as_str().unwrap_or_default();
    assert!(
        said.contains("status 302"),
        "a redirect is followed by nobody: {said}"
    );
    let answer = gateway.get_as("ann", "/").await;
    answer.assert_from("stable");
    assert!(
        decision(&answer).contains("reason=\"not_ready\""),
        "{answer:?}"
    );
    assert!(
        canary
            .requests()
            .iter()
            .all(|request| request.target == "/healthz")
    );
    canary.stop().await;
    canary.restart().await;
    canary.answer(|_| crate::harness::Reply::status(200));
    await_state(&gateway, RANKER, "ready").await;
}

#[tokio::test]
async fn a_lease_ends_at_its_moment_and_renewals_keep_it() {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let gateway = Gateway::start(config(&stable)).await;
    registered(&gateway, RANKER, &team(&canary.url(), "2s")).await;
    await_state(&gateway, RANKER, "ready").await;
    // Longer than its TTL: without renewals it would be over twice.
    for _ in 0..40 {
        let renewed = gateway
            .admin_send(post(&format!("{RANKER}/renew"), ""))
            .await;
        assert_eq!(renewed.status, 200, "{renewed:?}");
        gateway.get_as("ann", "/").await.assert_from("canary");
        crate::harness::pause(100).await;
    }
    let over = eventually("users on stable", || async {
        let answer = gateway.get_as("ann", "/").await;
        (answer.origin() == "stable").then_some(answer)
    })
    .await;
    assert!(
        decision(&over).contains("reason=\"lease_over\""),
        "{over:?}"
    );
    let canary = await_state(&gateway, RANKER, "over").await;
    let noted = eventually("the end in the history", || async {
        let canary = shown(&gateway, RANKER).await;
        (happened(&canary).last() == Some(&"lease_over")).then_some(canary)
    })
    .await;
    assert_eq!(noted["lease"]["expires_at"], canary["lease"]["expires_at"]);
    let late = gateway
        .admin_send(post(&format!("{RANKER}/renew"), ""))
        .await;
    assert_eq!(late.status, 404, "{late:?}");
    gateway
        .await_metric("serin_leases", &[("service", "search")], 0.0)
        .await;
}

#[tokio::test]
async fn a_canary_moves_to_another_url_without_a_failed_request() {
    let stable = Origin::start("stable").await;
    let (old, new) = (Origin::start("old").await, Origin::start("new").await);
    let gateway = Gateway::start(config(&stable)).await;
    registered(&gateway, RANKER, &team(&old.url(), "30m")).await;
    await_state(&gateway, RANKER, "ready").await;
    new.answer(|_| crate::harness::Reply::status(503));
    let mut body = team(&new.url(), "30m");
    body["health"] = json!({ "path": "/healthz" });
    let moving = registered(&gateway, RANKER, &body).await;
    assert_has(
        &moving,
        &json!({ "state": "ready", "url": old.url(), "moving_to": new.url() }),
    );
    for _ in 0..20 {
        gateway.get_as("ann", "/").await.assert_from("old");
    }
    new.answer(|_| crate::harness::Reply::status(200));
    let mut moved = false;
    for _ in 0..2000 {
        let answer = gateway.get_as("ann", "/").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        moved = answer.origin() == "new";
        assert!(moved || answer.origin() == "old", "{answer:?}");
        if moved {
            break;
        }
        crate::harness::pause(5).await;
    }
    assert!(moved, "it never moved");
    let canary = shown(&gateway, RANKER).await;
    assert_has(
        &canary,
        &json!({ "url": new.url(), "moving_to": null, "state": "ready" }),
    );
    assert_eq!(
        happened(&canary),
        ["registered", "ready", "moving", "moved"]
    );
}

#[tokio::test]
async fn what_was_answered_outlives_the_process_however_it_ends() {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let state = tempfile::TempDir::new().expect("a folder");
    let config = CONFIG.replace("%state%", &state.path().display().to_string());
    let config = config.replace("@stable", &stable.url());
    let gateway = Gateway::start(config.clone()).await;
    registered(&gateway, RANKER, &team(&canary.url(), "30m")).await;
    await_state(&gateway, RANKER, "ready").await;
    let taken_back = "/api/v1/services/search/canaries/search.b";
    registered(&gateway, taken_back, &team(&canary.url(), "30m")).await;
    let gone = gateway
        .admin_send(Call::new(Method::DELETE, taken_back))
        .await;
    assert_eq!(gone.status, 200, "{gone:?}");
    let last = "/api/v1/services/search/canaries/search.last";
    let answer = registered(&gateway, last, &team(&canary.url(), "30m")).await;
    // SIGKILL, right after the answer.
    drop(gateway);

    let gateway = Gateway::start(config).await;
    gateway.get_as("ann", "/").await.assert_from("canary");
    assert_eq!(shown(&gateway, RANKER).await["state"], "ready");
    assert_eq!(shown(&gateway, taken_back).await["state"], "over");
    let kept = shown(&gateway, last).await;
    assert_eq!(kept["lease"], answer["lease"]);
    await_state(&gateway, last, "ready").await;
}

#[tokio::test]
async fn what_happens_to_a_canary_is_told_as_it_happens() {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let gateway = Gateway::start(config(&stable)).await;
    let mut events = crate::harness::Raw::open(gateway.admin_address()).await;
    events
        .write(b"GET /api/v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await;
    events.read_until(b"event: connected").await;
    registered(&gateway, RANKER, &team(&canary.url(), "30m")).await;
    for state in ["registered", "ready"] {
        events
            .read_until(format!("\"state\":\"{state}\"").as_bytes())
            .await;
    }
    gateway.admin_send(Call::new(Method::DELETE, RANKER)).await;
    events.read_until(b"\"state\":\"taken_back\"").await;
    assert_eq!(gateway.admin_send(get(RANKER)).await.status, 200);
}
