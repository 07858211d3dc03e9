//! What flag servers are told: who asks, how flags are used, what became of requests.

use serde_json::{Value, json};

use super::Parts;
use crate::harness::flag_server::{Fault, TOKEN, feature};
use crate::harness::{Gateway, Reply, post};

/// What a flag's use adds up to, over every report that was taken so far.
fn uses(parts: &Parts, flag: &str) -> (u64, u64) {
    let mut reports = parts.server.asked("/client/metrics");
    reports.retain(|report| report.taken);
    let count = |what: &str| {
        let counts = reports
            .iter()
            .map(|report| &report.body["bucket"]["toggles"][flag][what]);
        counts.filter_map(Value::as_u64).sum()
    };
    (count("yes"), count("no"))
}

#[tokio::test]
async fn it_registers_itself() {
    let parts = Parts::start().await;
    let _gateway = Gateway::start(parts.config(", app_name: edge", "")).await;
    let asked = parts.server.await_asked("/client/register", |_| true).await;
    assert_eq!(asked.header("authorization"), Some(TOKEN));
    let body = &asked.body;
    assert_eq!(
        (&body["appName"], &body["interval"]),
        (&json!("edge"), &json!(200))
    );
    assert_eq!(body["specVersion"], "5.2.0");
    let strategies = body["strategies"].to_string();
    assert!(strategies.contains("flexibleRollout"), "{strategies}");
    assert_eq!(
        body["instanceId"].as_str(),
        asked.header("unleash-instanceid")
    );
}

#[tokio::test]
async fn decisions_are_reported_as_they_were_made_even_after_an_outage_and_at_the_end() {
    let parts = Parts::start().await;
    // Asked after search.v2, and so never about those whom that one takes.
    let of_u9 = json!({
        "name": "search.v3", "enabled": true, "variants": [],
        "strategies": [{ "name": "userWithId", "parameters": { "userIds": "u9" }, "constraints": [],
            "variants": [{ "name": "a", "weight": 1000, "stickiness": "userId",
                "payload": { "type": "string", "value": parts.canary.url() } }] }],
    });
    parts.server.put([of_u9]);
    let mut gateway = parts.gateway().await;
    for user in ["u1", "u2", "u3"] {
        gateway.get_as(user, "/").await.assert_from("canary");
    }
    let path = "/client/metrics";
    let first = parts.server.await_asked(path, |report| {
        report.body["bucket"]["toggles"]["search.v2"]["yes"] == 3
    });
    let first = first.await.body;
    let toggle = json!({ "yes": 3, "no": 0, "variants": { "canary": 3 } });
    assert_eq!(first["bucket"]["toggles"], json!({ "search.v2": toggle }));
    assert!(first["bucket"]["start"].is_string() && first["bucket"]["stop"].is_string());

    // While the server cannot be told, it is remembered.
    parts.server.break_with(Fault::Status(503));
    parts.canary.answer(|_| Reply::status(500));
    gateway.get_as("u1", "/").await;
    parts.server.await_more(path, 1).await;
    parts.server.break_with(Fault::None);
    parts
        .server
        .put([feature("search.v2", &parts.canary.url(), false)]);
    let refresh = post("/api/v1/sources/unleash/refresh", "");
    assert_eq!(gateway.admin_send(refresh).await.status, 200);
    for _ in 0..4 {
        gateway.get_as("u2", "/").await.assert_from("stable");
    }
    gateway.get_as("u9", "/").await;
    assert!(gateway.terminate().await.success());
    assert_eq!(uses(&parts, "search.v2"), (4, 5));
    assert_eq!(uses(&parts, "search.v3"), (1, 4));
}

#[tokio::test]
async fn what_became_of_requests_is_reported_by_deployment() {
    let parts = Parts::start().await;
    parts.canary.answer(|_| Reply::status(500));
    let mut gateway = parts.gateway().await;
    for _ in 0..3 {
        // What has reached a canary and may have had effects is its own to answer.
        let call = post("/", "").header("x-user-id", "u1");
        assert_eq!(gateway.send(call).await.status, 500);
    }
    assert!(gateway.terminate().await.success());
    let reports = parts.server.asked("/client/metrics");
    let all: Vec<&Value> = reports
        .iter()
        .filter_map(|report| report.body["impactMetrics"].as_array())
        .flatten()
        .collect();
    let sum = |name: &str, what: &str| -> u64 {
        let samples = all.iter().filter(|metric| metric["name"] == name);
        let samples = samples
            .filter_map(|metric| metric["samples"].as_array())
            .flatten();
        let ours = samples.filter(|sample| sample["labels"]["deployment"] == "search.v2");
        ours.filter_map(|sample| sample[what].as_u64()).sum()
    };
    assert_eq!(sum("serin_requests_total", "value"), 3);
    assert_eq!(sum("serin_request_errors_total", "value"), 3);
    assert_eq!(sum("serin_request_duration_seconds", "count"), 3);
    let labels = &all[0]["samples"][0]["labels"];
    assert_eq!(
        (&labels["service"], &labels["appName"]),
        (&json!("search"), &json!("serin"))
    );
}
