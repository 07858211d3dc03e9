//! The kill switch: by API and command, at once, whatever the flag says, and over restarts.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Gateway, Origin, Setup, assert_has, eventually, fill, get, post, run_serin};

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

/// A kill that is meant to come before its flag.
const AHEAD: &str = r#"{"ahead":true}"#;

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
    // Most likely mistyped: it takes a word.
    let refused = gateway.admin_send(post(KILL, "")).await;
    assert_eq!(refused.status, 404, "{refused:?}");
    let killed = gateway.admin_send(post(KILL, AHEAD)).await.json();
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
    assert_eq!(nowhere.status.code(), Some(75));
}

/// A kill of `search.ranker`, well-formed.
const RANKER: &str =
    r#"{"service":"search","flag":"search.ranker","at_unix_ms":1760000000000,"by":"10.0.0.7"}"#;

/// A gateway with stored kills, ready or not, and the command that ends all doubts.
async fn start_with(kills: &str, state: &Path, config: &str) -> Gateway {
    fs::create_dir_all(state).expect("a folder");
    fs::write(state.join("kills.json"), kills).expect("a file");
    Setup::new(config).launch().await
}

/// Everybody is on stable, loudly, and the gateway is not ready.
async fn assert_doubted(gateway: &Gateway, ranker_is_known: bool, unread: &str) {
    // The first is killed in three of the files, and may be in the last; the second may be in each of them.
    let answer = gateway.get_as("u1", "/doubted").await;
    answer.assert_from("stable");
    let readyz = gateway.admin("/readyz").await;
    assert_eq!(readyz.status, 503, "{readyz:?}");
    let missing = readyz.json()["missing"].to_string();
    assert!(missing.contains(unread), "{missing}");
    let warnings = gateway.status().await["warnings"].to_string();
    assert!(warnings.contains(unread), "{warnings}");
    gateway.await_log("until the file is mended").await;
    let service = gateway.admin("/api/v1/services/search").await.json();
    let first = if ranker_is_known { "killed" } else { "unknown" };
    assert_eq!(service["deployments"][1]["withdrawn"], first);
    assert_eq!(service["deployments"][2]["withdrawn"], "unknown");
    assert_eq!(gateway.admin("/livez").await.status, 200);
}

#[tokio::test]
async fn what_cannot_be_read_of_stored_kills_lifts_none_until_an_operator_says_so() {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    for (kills, ranker, unread) in [
        (
            format!(r#"{{"version":1,"kills":[{RANKER},{{"flag":7}}]}}"#),
            true,
            "one of the kills",
        ),
        (
            format!(r#"{{"version":7,"kills":[{RANKER}]}}"#),
            true,
            "another version (7)",
        ),
        (
            format!(r#"{{"version":1,"kills":[{RANKER},{{"ser"#),
            true,
            "cannot all be read",
        ),
        (
            "\u{0}\u{0}\u{0}\u{0}".to_owned(),
            false,
            "cannot all be read",
        ),
    ] {
        let state = TempDir::new().expect("a folder");
        let config = fill(CONFIG, [&stable, &canary]);
        let config = config.replace("%state%", &state.path().display().to_string());
        let mut gateway = start_with(&kills, state.path(), &config).await;
        assert_doubted(&gateway, ranker, unread).await;

        // A restart settles nothing by itself, whatever was ordered meanwhile.
        let ahead = post(&KILL.replace("ranker", "other"), AHEAD);
        assert_eq!(gateway.admin_send(ahead).await.status, 200);
        gateway.terminate().await;
        drop(gateway);
        let gateway = Setup::new(&*config).launch().await;
        assert_eq!(gateway.admin("/readyz").await.status, 503);
        gateway.get_as("u1", "/again").await.assert_from("stable");
        assert!(state.path().join("kills.json.damaged.1").exists());

        let admin = format!("http://{}", gateway.admin_address());
        let command = ["canary", "restore", "--all-unknown", "--admin", &admin];
        for said in ["is restored", "no canary of unknown standing"] {
            let output = run_serin(command);
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && text.contains(said), "{output:?}");
        }
        assert_eq!(gateway.admin("/readyz").await.status, 200);
        // What was well-formed holds, the rest is as its flag says.
        let from = if ranker { "stable" } else { "canary" };
        gateway.get_as("u1", "/settled").await.assert_from(from);
        order(&gateway, RESTORE).await;
        gateway
            .get_as("u1", "/restored")
            .await
            .assert_from("canary");
        let text = fs::read_to_string(state.path().join("kills.json")).expect("a file");
        assert!(
            text.contains("search.other") && !text.contains("unknown"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_mended_file_makes_ready_without_a_restart() {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let state = TempDir::new().expect("a folder");
    let config = fill(CONFIG, [&stable, &canary]);
    let config = config.replace("%state%", &state.path().display().to_string());
    let gateway = start_with("{", state.path(), &config).await;
    gateway.get_as("u1", "/").await.assert_from("stable");
    let mended = r#"{"version":1,"kills":[{"service":"search","flag":"search.second"}]}"#;
    fs::write(state.path().join("kills.json"), mended).expect("a file");
    eventually("readiness", || async {
        (gateway.admin("/readyz").await.status == 200).then_some(())
    })
    .await;
    eventually("the canary", || async {
        (gateway.get_as("u1", "/").await.origin() == "canary").then_some(())
    })
    .await;
    let service = gateway.admin("/api/v1/services/search").await.json();
    assert_eq!(service["deployments"][2]["withdrawn"], "killed");
}

#[tokio::test]
async fn one_canary_of_unknown_standing_can_be_restored_alone() {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let state = TempDir::new().expect("a folder");
    let config = fill(CONFIG, [&stable, &canary]);
    let config = config.replace("%state%", &state.path().display().to_string());
    let gateway = start_with("{", state.path(), &config).await;
    let restored = order(&gateway, RESTORE).await;
    assert_has(&restored, &json!({ "changed": true, "stored": true }));
    gateway.get_as("u1", "/").await.assert_from("canary");
    let service = gateway.admin("/api/v1/services/search").await.json();
    assert_eq!(service["deployments"][2]["withdrawn"], "unknown");
    assert_eq!(gateway.admin("/readyz").await.status, 503);
}

#[tokio::test]
async fn kills_of_names_that_no_flag_has_are_bounded_and_shown() {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let state = TempDir::new().expect("a folder");
    let config = fill(CONFIG, [&stable, &canary]);
    let config = config.replace("%state%", &state.path().display().to_string());
    let kill = |number: usize| format!(r#"{{"service":"search","flag":"search.x{number}"}}"#);
    let kills: Vec<String> = (0..1000).map(kill).collect();
    let kills = format!(r#"{{"version":1,"kills":[{}]}}"#, kills.join(","));
    let gateway = start_with(&kills, state.path(), &config).await;
    assert_eq!(gateway.admin("/readyz").await.status, 200);
    let refused = gateway
        .admin_send(post(&KILL.replace("ranker", "y"), AHEAD))
        .await;
    assert_eq!(refused.status, 409, "{refused:?}");
    // What exists can always be killed, what is killed already is, and one less makes room for one more.
    let killed = order(&gateway, KILL).await;
    assert_has(&killed, &json!({ "killed": true, "canaries": 1 }));
    gateway.get_as("u1", "/").await.assert_from("stable");
    let again = order(&gateway, &KILL.replace("ranker", "x7")).await;
    assert_has(&again, &json!({ "killed": true, "changed": false }));
    order(&gateway, &RESTORE.replace("ranker", "x7")).await;
    let ahead = post(&KILL.replace("ranker", "y"), AHEAD);
    assert_eq!(gateway.admin_send(ahead).await.status, 200);
    let service = gateway.admin("/api/v1/services/search").await.json();
    let kills = service["kills"].as_array().expect("kills");
    let of = |flag: &str| kills.iter().find(|kill| kill["flag"] == flag).expect(flag);
    assert_eq!(kills.len(), 1001);
    assert_eq!(of("search.ranker")["canaries"], 1);
    assert_eq!(of("search.y")["canaries"], 0);
    let warnings = gateway.status().await["warnings"].to_string();
    assert!(
        warnings.contains("kills of names that no flag has: 1000"),
        "{warnings}"
    );
}

#[tokio::test]
async fn a_kill_says_why_wherever_it_is_shown_and_a_mistyped_name_is_refused() {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let config = fill(CONFIG, [&stable, &canary]).replace("%state%", "./state");
    let gateway = Gateway::start(config).await;
    let mut events = crate::harness::Raw::open(gateway.admin_address()).await;
    events
        .write(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    events.read_until(b"\n\n\r\n").await;
    let run = |args: &[&str]| {
        let output = gateway.ask(&[&["canary", "kill", "search"], args].concat());
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).expect("text"))
    };
    let (code, said) = run(&["search.rankr"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("did you mean search.ranker?"), "{said}");
    gateway.get_as("u1", "/").await.assert_from("canary");
    assert_eq!(run(&["search.rankr", "--ahead"]).0, Some(0));
    gateway.get_as("u1", "/").await.assert_from("canary");

    let (code, said) = run(&["search.ranker", "--reason", "wrong prices"]);
    assert_eq!(code, Some(0), "{said}");
    gateway.get_as("u1", "/").await.assert_from("stable");
    let warnings = gateway.status().await["warnings"].to_string();
    assert!(
        warnings.contains("search.ranker of search is killed, since 20")
            && warnings.contains("by 127.0.0.1: wrong prices"),
        "{warnings}"
    );
    let killed = [("service", "search"), ("flag", "search.ranker")];
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.sum("serin_canary_killed", &killed), 1.0);
    assert!(
        gateway
            .explain("u1")
            .contains("search.ranker is killed, since 20")
    );
    assert!(gateway.explain("u1").contains("by 127.0.0.1: wrong prices"));
    let told =
        events.read_until(b"\"wrong prices\",\"service\":\"search\",\"state\":\"killed\"}\n\n\r\n");
    assert!(!told.await.is_empty());

    for body in [r#"{"raeson":"x"}"#, r#"{"reason":"two\nlines"}"#] {
        let answer = gateway.admin_send(post(KILL, body)).await;
        assert_eq!(answer.status, 422, "{body}: {answer:?}");
    }
    // It is stored with it, and goes with it.
    let file = gateway.folder().join("state/kills.json");
    assert!(
        fs::read_to_string(file)
            .expect("a file")
            .contains("wrong prices")
    );
    order(&gateway, RESTORE).await;
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.sum("serin_canary_killed", &killed), 0.0);
}
