//! Another process takes over from a running gateway, and nobody notices: by `--upgrade`, by SIGUSR2, under load; and where it
//! cannot, the running one goes on.

mod activation;
mod failures;
mod fencing;
mod load;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::client::{Call, send};
use crate::harness::successor::{Stranger, TAKEN_OVER};
use crate::harness::{
    Answer, Connection, Gateway, Origin, Setup, eventually, fill, get, in_time, post, run_serin,
    until,
};

const CONFIG: &str = "
services:
  search: { stable: @stable, canaries: ['search.*'] }
flags:
  search.ranker: { url: @canary, rings: [{ name: all, when: { userId: { starts_with: c } } }] }
routes: [{ path: /, service: search, expose: true }]
identity: { user_id: [{ header: x-user-id, trust: anyone }] }
attribution:
  exposures: { key: a-key-of-sixteen-bytes }
  sinks: [{ name: lake, file: { path: lake } }]
";

const KILL: &str = "/api/v1/services/search/canaries/search.ranker/kill";
const RESTORE: &str = "/api/v1/services/search/canaries/search.ranker/restore";
const REGISTERED: &str = "/api/v1/services/search/canaries/search.registered";

async fn start() -> (Origin, Origin, Gateway) {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let gateway = Gateway::start(fill(CONFIG, [&stable, &canary])).await;
    (stable, canary, gateway)
}

/// Gives an order, again where a process that hands over asks for that.
async fn ordered(gateway: &Gateway, call: Call) -> Answer {
    eventually("an order to be carried out", || async {
        let answer = gateway.admin_send(call.clone()).await;
        if answer.status == 503 && answer.text().contains("takes over") {
            assert_eq!(answer.header("retry-after"), Some("1"));
            return None;
        }
        assert!([200, 201].contains(&answer.status), "{answer:?}");
        Some(answer)
    })
    .await
}

fn register(url: &str) -> Call {
    let body = json!({ "url": url, "ttl": "10m", "rings": [{ "name": "all", "when": { "userId": ["r1"] } }] });
    Call::new(http::Method::PUT, REGISTERED)
        .header("content-type", "application/json")
        .body(body.to_string())
}

/// The exposures that the sink has: user, and the ID that is the same for the same exposure.
fn exposures(gateway: &Gateway) -> Vec<(String, String)> {
    let path = gateway.folder().join("lake/exposures.ndjson");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines = text.lines().map(|line| {
        let line: Value = serde_json::from_str(line).expect("JSON");
        let member = |name: &str| line[name].as_str().expect("a text").to_owned();
        (member("user"), member("id"))
    });
    lines.collect()
}

/// Waits until the sink has exposures of so many users, and fails unless it has each once.
async fn assert_told_once(gateway: &Gateway, users: usize) {
    let told = until("all exposures", || {
        let told = exposures(gateway);
        let seen: BTreeSet<_> = told.iter().map(|(user, _)| user).collect();
        (seen.len() >= users).then(|| told.clone())
    })
    .await;
    let ids: BTreeSet<_> = told.iter().map(|(_, id)| id).collect();
    assert_eq!(ids.len(), told.len(), "each once: {told:?}");
}

/// The version that the audit trail says the gateway has taken over from.
async fn upgraded_from(gateway: &Gateway) -> Option<String> {
    let entries = gateway.admin("/api/v1/audit").await.json();
    let entries = entries["entries"].as_array().expect("entries");
    let from = entries
        .iter()
        .find_map(|entry| entry["after"]["upgraded_from"].as_str());
    from.map(str::to_owned)
}

/// What verifying the audit trail says.
fn audit(gateway: &Gateway) -> String {
    let state = gateway.folder().join("state");
    let state = state.to_str().expect("a path");
    let output = run_serin(["audit", "verify", "--state-dir", state]);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
async fn what_was_ordered_and_seen_is_there_after_an_upgrade() {
    let (stable, canary, mut gateway) = start().await;
    let addresses = (gateway.address(), gateway.admin_address());
    for user in 0..20 {
        let user = format!("c{user}");
        gateway.get_as(&user, "/").await.assert_from("canary");
    }
    ordered(&gateway, register(&canary.url())).await;
    ordered(&gateway, post(KILL, "")).await;
    // One that is under way when the other process takes over.
    stable.hold();
    let late = tokio::spawn(send(gateway.address(), get("/late").user("c-late")));
    stable.await_requests(1).await;

    let mut old = gateway.upgrade().await;
    assert_eq!(
        (gateway.address(), gateway.admin_address()),
        addresses,
        "ports that were free once are those of the file now"
    );
    stable.release();
    let killed = gateway.get_as("c1", "/").await;
    killed.assert_from("stable");
    assert!(
        killed
            .header("x-serin-decision")
            .unwrap_or_default()
            .contains("killed")
    );
    let registered = gateway.admin(REGISTERED).await;
    assert_eq!(registered.json()["state"], "ready", "{registered:?}");
    gateway.get_as("r1", "/").await.assert_from("canary");
    ordered(&gateway, post(RESTORE, "")).await;
    in_time("the late answer", late)
        .await
        .expect("an answer")
        .assert_from("stable");
    assert_eq!(old.await_exit().await.code(), Some(0));
    assert!(
        old.log()
            .contains("another process serves: this one drains")
    );
    // Nothing that was seen before is told again.
    for user in 0..25 {
        let user = format!("c{user}");
        gateway.get_as(&user, "/").await.assert_from("canary");
    }
    assert_told_once(&gateway, 26).await;
    let figures = [("result", "done")];
    gateway
        .await_metric("serin_upgrades_total", &figures, 1.0)
        .await;
    let from = upgraded_from(&gateway).await;
    assert_eq!(from.as_deref(), Some(env!("CARGO_PKG_VERSION")));
    gateway.terminate().await;
    audit(&gateway);
}

#[tokio::test]
async fn sigusr2_has_the_program_at_the_same_path_take_over() {
    let (_stable, _canary, mut gateway) = start().await;
    gateway.get_as("c1", "/").await.assert_from("canary");
    gateway.sigusr2();
    gateway.await_log(TAKEN_OVER).await;
    let started = |line: &Value| {
        let is_it = line["message"] == "a new process is started to take over"
            || line["fields"]["message"] == "a new process is started to take over";
        let pid = line["pid"].as_u64().or(line["fields"]["pid"].as_u64());
        pid.filter(|_| is_it)
    };
    let pid = gateway.log_lines().iter().find_map(started);
    let next = Stranger::new(u32::try_from(pid.expect("a process")).expect("a process ID"));
    until("the end of the process that was", || {
        gateway.has_ended().then_some(())
    })
    .await;
    gateway.get_as("c2", "/").await.assert_from("canary");
    let answer = gateway.admin("/api/v1/status").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    next.terminate().await;
}

#[tokio::test]
async fn a_changed_file_brings_listeners_and_takes_others_away() {
    let stable = Origin::start("stable").await;
    let route = fill(
        "services: { search: @stable }\nroutes: [{ path: /, service: search }]\n",
        [&stable],
    );
    let one = "{ address: 127.0.0.1:0 }";
    let config = format!("listeners: [{one}, {{ address: '[::1]:0' }}]\n{route}");
    let mut gateway = Gateway::start(config).await;
    let [kept, gone] = <[_; 2]>::try_from(gateway.addresses().to_vec()).expect("two listeners");
    // What was a free port has a name now, and there is another one.
    let another = "{ address: 127.0.0.2:0 }";
    let listener = format!("{{ address: '{kept}' }}");
    gateway.rewrite_config(&format!("listeners: [{another}, {listener}]\n{route}"));
    let mut old = gateway.upgrade().await;
    assert_eq!(old.await_exit().await.code(), Some(0));
    gateway.learn_sockets();
    let [came, stayed] = <[_; 2]>::try_from(gateway.addresses().to_vec()).expect("two listeners");
    assert_eq!(stayed, kept);
    for address in [came, stayed] {
        send(address, get("/")).await.assert_from("stable");
    }
    let refused = tokio::net::TcpStream::connect(gone).await;
    assert!(refused.is_err(), "{refused:?}");
    assert!(
        gateway
            .log()
            .contains("the configuration has no listener there any more")
    );
}

#[tokio::test]
async fn a_user_who_is_spared_a_canary_stays_spared() {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let config = fill(CONFIG, [&stable, &canary]).replace(
        "canaries: ['search.*'] }",
        "canaries: ['search.*'], rescue: { on: [5xx], quarantine_after: 2, quarantine_for: 10m } }",
    );
    let mut gateway = Setup::new(config).start().await;
    canary.answer(|_| crate::harness::Reply::status(500));
    for _ in 0..2 {
        gateway.get_as("c1", "/").await.assert_from("stable");
    }
    let asked = canary.count();
    gateway.upgrade().await.await_exit().await;
    gateway.get_as("c1", "/").await.assert_from("stable");
    assert_eq!(canary.count(), asked, "the canary is spared this user");
    gateway.get_as("c2", "/").await.assert_from("stable");
    assert_eq!(canary.count(), asked + 1);
}

#[tokio::test]
async fn whoever_has_a_connection_to_the_admin_api_is_sent_to_the_new_process() {
    let (_stable, _canary, mut gateway) = start().await;
    let host = gateway.admin_address().to_string();
    let mut kept = Connection::open(gateway.admin_address()).await;
    let call = get("/api/v1/status").host(&host);
    assert_eq!(kept.send(call).await.status, 200);
    let mut old = gateway.upgrade().await;
    eventually("the end of the old connection", || async {
        kept.is_closed().then_some(())
    })
    .await;
    assert_eq!(old.await_exit().await.code(), Some(0));
    assert_eq!(gateway.admin("/readyz").await.status, 200);
}
