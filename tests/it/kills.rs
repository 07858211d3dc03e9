//! The kill switch: by API and command, at once, whatever the flag says, and over restarts.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Gateway, Origin, assert_has, fill, get, post, run_serin};

const CONFIG: &str = "
services:
  search: { stable: @stable }
flags:
  search.ranker: { url: @canary, rings: [{ name: all }] }
  search.second: { url: @canary, rings: [{ name: all }] }
routes: [{ path: /, service: search, expose: true }]
identity: { user_id: [{ header: x-user-id, trust: anyone }] }
server: { threads: 2, shutdown_delay: 1ms, shutdown_grace: 8s, state_dir: '%state%' }
";

const KILL: &str = "/api/v1/services/search/canaries/search.ranker/kill";
const RESTORE: &str = "/api/v1/services/search/canaries/search.ranker/restore";

async fn order(gateway: &Gateway, path: &str) -> Value {
    let answer = gateway.admin_send(post(path, "")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

#[tokio::test]
async fn a_kill_holds_at_once_for_all_users_and_over_restarts() {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let state = TempDir::new().expect("a folder");
    let config = fill(CONFIG, [&stable, &canary]);
    let config = config.replace("%state%", &state.path().display().to_string());
    let mut gateway = Gateway::start(config.clone()).await;
    gateway.get_as("u1", "/before").await.assert_from("canary");
    let digest = gateway.status().await["digest"].clone();

    let killed = order(&gateway, KILL).await;
    let expected = json!({
        "service": "search", "flag": "search.ranker", "killed": true, "changed": true, "canaries": 1,
        "stored": true, "by": "127.0.0.1", "generation": 2,
    });
    assert_has(&killed, &expected);
    let answer = gateway.get_as("u1", "/after").await;
    answer.assert_from("stable");
    assert_eq!(
        answer.header("x-serin-decision"),
        Some(r#"search="stable";served="stable";reason="killed""#),
        "and never the next canary"
    );
    let line = gateway.await_access_log_of("/after").await;
    assert_has(
        &line,
        &json!({ "assigned": "stable", "flag": "search.ranker", "reason": "killed", "cause": null }),
    );
    assert_ne!(gateway.status().await["digest"], digest);
    let again = order(&gateway, KILL).await;
    assert_has(
        &again,
        &json!({ "killed": true, "changed": false, "since": killed["since"], "generation": 2 }),
    );
    gateway.await_log("a canary was killed").await;
    let service = gateway.admin("/api/v1/services/search").await.json();
    assert_has(
        &service["kills"][0],
        &json!({ "flag": "search.ranker", "by": "127.0.0.1" }),
    );
    assert_eq!(service["deployments"][1]["withdrawn"], "killed");

    gateway.terminate().await;
    drop(gateway);
    let gateway = Gateway::start(config).await;
    gateway
        .get_as("u1", "/restarted")
        .await
        .assert_from("stable");
    let restored = order(&gateway, RESTORE).await;
    assert_has(
        &restored,
        &json!({ "killed": false, "changed": true, "since": null }),
    );
    gateway
        .get_as("u1", "/restored")
        .await
        .assert_from("canary");
    assert_eq!(gateway.status().await["digest"], digest);
    assert_eq!(order(&gateway, RESTORE).await["changed"], false);
}

#[tokio::test]
async fn a_kill_may_come_before_its_flag() {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let config = fill(CONFIG, [&stable, &canary]).replace("%state%", "./state");
    let without = config.replace("flags:\n", "x-flags:\n");
    let gateway = Gateway::start(without).await;
    let killed = order(&gateway, KILL).await;
    assert_has(&killed, &json!({ "killed": true, "canaries": 0 }));
    let generation = gateway.generation().await;
    gateway.rewrite_config(&config);
    gateway.await_generation(generation + 1).await;
    gateway.get_as("u1", "/").await.assert_from("stable");
    assert_eq!(canary.count(), 0);
}

#[tokio::test]
async fn orders_that_make_no_sense_are_refused() {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let config = fill(CONFIG, [&stable, &canary]).replace("%state%", "./state");
    let gateway = Gateway::start(config).await;
    for (path, status) in [
        ("/api/v1/services/serach/canaries/search.ranker/kill", 404),
        (
            "/api/v1/services/search/canaries/search.ab:treatment/kill",
            422,
        ),
        (
            "/api/v1/services/search/canaries/search.ranker/explode",
            404,
        ),
    ] {
        let answer = gateway.admin_send(post(path, "")).await;
        assert_eq!(answer.status, status, "{path}: {answer:?}");
        assert_eq!(answer.json()["status"], status);
    }
    assert_eq!(gateway.admin_send(get(KILL)).await.status, 405);
    gateway.get_as("u1", "/").await.assert_from("canary");
}

#[tokio::test]
async fn the_command_does_the_same() {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let config = fill(CONFIG, [&stable, &canary]).replace("%state%", "./state");
    let gateway = Gateway::start(config).await;
    let admin = format!("http://{}", gateway.admin_address());
    let run = |args: &[&str]| {
        let output = run_serin([&["canary"], args, &["--admin", &admin]].concat());
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (
            output.status.code(),
            text,
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let (code, text, _) = run(&["kill", "search", "search.ranker"]);
    assert_eq!(
        (code, text.as_str()),
        (
            Some(0),
            "search.ranker of search is killed: its users are on stable\n"
        )
    );
    gateway.get_as("u1", "/").await.assert_from("stable");
    let (code, text, _) = run(&["kill", "search", "search.ranker", "--json"]);
    let answer: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(code, Some(0));
    assert_has(&answer, &json!({ "killed": true, "changed": false }));
    let text = gateway.explain("u1");
    assert!(text.contains("reason: killed"), "{text}");
    let (code, text, _) = run(&["restore", "search", "search.ranker"]);
    assert_eq!(code, Some(0));
    assert!(text.contains("restored"), "{text}");
    gateway.get_as("u1", "/").await.assert_from("canary");
    let (code, _, error) = run(&["kill", "serach", "search.ranker"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("there is no service \"serach\""), "{error}");
    assert_eq!(run(&["kill", "search"]).0, Some(2));
    let nowhere = run_serin([
        "canary",
        "kill",
        "search",
        "x",
        "--admin",
        "http://127.0.0.1:1",
    ]);
    assert_eq!(nowhere.status.code(), Some(1));
}
