//! Whatever happens to a flag server: decisions stay, and it is said what is wrong.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use super::{Parts, await_error, await_origin, first, source};
use crate::harness::flag_server::{Fault, feature};
use crate::harness::{DEADLINE, Gateway, Setup, assert_has, eventually, eventually_within, post};

fn server(state: &TempDir, more: &str) -> String {
    let state = state.path().display();
    format!("server: {{ threads: 2, shutdown_delay: 1ms, state_dir: '{state}'{more} }}\n")
}

#[tokio::test]
async fn whatever_it_answers_the_last_good_flags_stay() {
    let mut parts = Parts::start().await;
    let gateway = parts.gateway().await;
    for (fault, told) in [
        (Fault::Status(500), "500"),
        (Fault::Status(429), "429"),
        (Fault::Status(404), "check `url`"),
        (Fault::Html, "web page"),
        (Fault::Empty, "no body"),
        (Fault::Truncated, "broke off"),
        (Fault::Other, "features"),
        (Fault::Endless, "64 MiB"),
    ] {
        parts.server.break_with(fault);
        let error = await_error(&gateway, told).await;
        gateway.get_as("u1", "/").await.assert_from("canary");
        parts.server.break_with(Fault::None);
        await_error(&gateway, "").await;
        assert_eq!(gateway.generation().await, 2, "{fault:?}: {error}");
    }
    parts.server.stop().await;
    await_error(&gateway, "refused").await;
    gateway.get_as("u1", "/").await.assert_from("canary");
    let answer = gateway
        .admin_send(post("/api/v1/sources/unleash/refresh", ""))
        .await;
    assert_eq!(answer.status, 502, "{answer:?}");
    assert!(answer.text().contains("refused"), "{answer:?}");
    // What is said has grown old, and is said to have.
    let age = source(&gateway, "unleash").await["age_seconds"]
        .as_f64()
        .expect("a number");
    let metrics = gateway.metrics().await;
    let labels = [("source", "unleash")];
    assert!(metrics.sum("serin_snapshot_age_seconds", &labels) >= age);
    assert!(metrics.sum("serin_source_errors_total", &labels) >= 10.0);
    parts.switch(false);
    parts.server.restart().await;
    await_origin(&gateway, "stable").await;
    await_error(&gateway, "").await;
}

#[tokio::test]
async fn a_server_that_hangs_or_drips_is_given_up_on_after_ten_seconds() {
    tokio::join!(
        is_given_up_on(Fault::Silent, "no response"),
        is_given_up_on(Fault::Drip, "too slowly"),
    );
}

async fn is_given_up_on(fault: Fault, told: &str) {
    let parts = Parts::start().await;
    let gateway = parts.gateway().await;
    parts.server.break_with(fault);
    parts.server.await_more("/client/features", 1).await;
    let begun = Instant::now();
    let what = format!("a last error with {told:?}");
    eventually_within(2 * DEADLINE, &what, || async {
        gateway.get_as("u1", "/").await.assert_from("canary");
        let source = source(&gateway, "unleash").await;
        let error = source["last_error"].as_str()?;
        error.contains(told).then_some(())
    })
    .await;
    // Ten seconds are promised, and the question had been asked for a moment.
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(9), "{took:?}");
}

#[tokio::test]
async fn a_gateway_starts_from_what_was_stored_without_the_server() {
    let mut parts = Parts::start().await;
    let state = TempDir::new().expect("a folder");
    let config = parts.config("", &server(&state, ""));
    let mut gateway = Gateway::start(config.clone()).await;
    gateway.get_as("u1", "/").await.assert_from("canary");
    let digest = gateway.status().await["digest"].clone();
    assert!(gateway.terminate().await.success());
    parts.server.stop().await;

    let gateway = Setup::new(config.clone()).start().await;
    gateway.get_as("u1", "/").await.assert_from("canary");
    let status = gateway.status().await;
    assert_eq!(
        (&status["generation"], &status["digest"]),
        (&json!(1), &digest)
    );
    let facts = source(&gateway, "unleash").await;
    assert_has(&facts, &json!({ "answered": false, "revision": 1 }));
    // It catches up when the server is back.
    parts.switch(false);
    parts.server.restart().await;
    await_origin(&gateway, "stable").await;
}

#[tokio::test]
async fn old_flags_hold_with_a_warning() {
    let mut parts = Parts::start().await;
    let state = TempDir::new().expect("a folder");
    let old = parts.config("", &server(&state, ", snapshot_max_age: 1ms"));
    let mut gateway = Gateway::start(old.clone()).await;
    assert!(gateway.terminate().await.success());
    parts.server.stop().await;
    let gateway = Setup::new(old).start().await;
    gateway.get_as("u1", "/").await.assert_from("canary");
    gateway.await_log("snapshot_max_age").await;
}

#[tokio::test]
async fn a_damaged_file_is_set_aside() {
    let parts = Parts::start().await;
    let state = TempDir::new().expect("a folder");
    let file = state.path().join("flags-unleash.snapshot");
    fs::write(&file, "serin-flags 1 sha256=00\n{}\n{}").expect("a file");
    parts.server.break_with(Fault::Status(503));
    let config = parts.config("", &server(&state, ""));
    let gateway = Setup::new(config).launch().await;
    gateway.await_log("damaged").await;
    assert!(state.path().join("flags-unleash.snapshot.damaged").exists());
    gateway.get_as("u1", "/").await.assert_from("stable");
    parts.server.break_with(Fault::None);
    await_origin(&gateway, "canary").await;
    await_error(&gateway, "").await;
    assert!(file.exists());
}

#[tokio::test]
async fn a_disk_that_takes_nothing_stops_nothing() {
    let parts = Parts::start().await;
    let state = TempDir::new().expect("a folder");
    // A file in the folder's place: nobody can write below it, not even root.
    let place = state.path().join("state");
    fs::write(&place, "").expect("a file");
    let at = format!(
        "server: {{ threads: 2, shutdown_delay: 1ms, state_dir: '{}' }}\n",
        place.display()
    );
    let gateway = Gateway::start(parts.config("", &at)).await;
    gateway.get_as("u1", "/").await.assert_from("canary");
    await_error(&gateway, "cannot be stored").await;
    parts.switch(false);
    await_origin(&gateway, "stable").await;
}

#[tokio::test]
async fn a_server_that_has_lost_its_memory_takes_nothing_away_at_once() {
    let parts = Parts::start().await;
    let others: Vec<String> = (0..19).map(|number| format!("other.{number}")).collect();
    parts
        .server
        .put(others.iter().map(|name| feature(name, "", true)));
    let guard = "server: { threads: 2, shutdown_delay: 1ms, removal_guard: 2s }\n";
    let gateway = Gateway::start(parts.config("", guard)).await;
    gateway.get_as("u1", "/").await.assert_from("canary");
    parts.server.keep_only(&["other.0"]);
    let held = || async {
        let source = source(&gateway, "unleash").await;
        source["held"].as_array().map_or(0, Vec::len)
    };
    eventually("flags that are held", || async {
        (held().await == 19).then_some(())
    })
    .await;
    gateway.get_as("u1", "/").await.assert_from("canary");
    // What is in the answer takes effect at once.
    parts
        .server
        .put([feature("search.v1", &first(&parts.stable), true)]);
    await_origin(&gateway, "stable").await;
    assert_eq!(held().await, 19);
    eventually("their end", || async { (held().await == 0).then_some(()) }).await;
    let call = post("/api/v1/explain", r#"{"user_id":"u1"}"#);
    let explained = gateway.admin_send(call).await.text().to_owned();
    assert!(!explained.contains("search.v2"), "{explained}");
}

#[tokio::test]
async fn a_held_removal_goes_when_it_is_accepted() {
    let parts = Parts::start().await;
    let gateway = parts.gateway().await;
    parts.server.keep_only(&[]);
    let call = |what: &str| post(&format!("/api/v1/sources/unleash/{what}"), "");
    let refreshed = gateway.admin_send(call("refresh")).await.json();
    assert_has(&refreshed, &json!({ "held": ["search.v2"] }));
    gateway.get_as("u1", "/").await.assert_from("canary");
    let accepted = gateway.admin_send(call("accept")).await;
    assert_eq!(accepted.status, 200);
    assert_has(&accepted.json(), &json!({ "held": [], "changed": true }));
    gateway.get_as("u1", "/").await.assert_from("stable");
    let nothing = gateway.admin_send(call("accept")).await.json();
    assert_has(&nothing, &json!({ "changed": false }));
}
