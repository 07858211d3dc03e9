//! The admin listener: probes, status, figures, explanations.

mod access;
mod schemathesis;
mod scopes;
mod tls;
mod tokens;

use http::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Call, Gateway, Origin, assert_has, fill, get, until};

const CONFIG: &str = "
services:
  search: { stable: @stable, canaries: [search.team, 'search.*'] }
  plain: @stable
flags:
  search.team: { url: @canary, rings: [{ name: team, segment: Team }] }
  search.early:
    variants:
      - { name: control, weight: 50% }
      - { name: treatment, weight: 50%, url: @canary }
    rings: [{ name: early, rollout: 50% }]
segments: { Team: { any: [{ email: { ends_with: '@example.com' } }, { userId: [u1] }] } }
routes:
  - { path: /, service: search }
  - { path: /plain, service: plain }
identity:
  user_id: [{ header: x-user-id, trust: anyone }]
  properties: { email: { header: x-email } }
";

async fn start() -> (Origin, Origin, Gateway) {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let gateway = Gateway::start(fill(CONFIG, [&stable, &canary])).await;
    (stable, canary, gateway)
}

#[tokio::test]
async fn status_says_what_is_in_force() {
    let (_stable, _canary, gateway) = start().await;
    assert_eq!(gateway.admin("/livez").await.status, 200);
    assert_eq!(gateway.admin("/readyz").await.status, 200);
    let status = gateway.status().await;
    let expected = json!({
        "version": env!("CARGO_PKG_VERSION"), "generation": 1, "restart_needed": [], "warnings": [],
    });
    assert_has(&status, &expected);
    assert!(
        status["uptime_seconds"].as_f64().is_some_and(|s| s >= 0.0),
        "{status}"
    );
    assert!(
        status["digest"].as_str().is_some_and(|d| d.len() >= 16),
        "{status}"
    );
    let file = &status["sources"][0];
    assert_has(file, &json!({ "name": "file", "last_error": null }));
    assert!(
        file["age_seconds"].as_f64().is_some_and(|age| age < 60.0),
        "{status}"
    );
}

#[tokio::test]
async fn services_are_shown_with_deployments_and_endpoints() {
    let (stable, canary, gateway) = start().await;
    gateway.get_as("u1", "/").await.assert_from("canary");
    gateway.get_as("u1", "/plain").await.assert_from("stable");
    gateway
        .await_metric("serin_requests_total", &[("code", "200")], 2.0)
        .await;
    let all = gateway.admin("/api/v1/services").await;
    assert_eq!(all.status, 200);
    for (service, deployment, origin) in [
        ("search", "stable", &stable),
        ("search", "search.team", &canary),
        ("search", "search.early", &canary),
        ("plain", "stable", &stable),
    ] {
        let one = gateway
            .admin(&format!("/api/v1/services/{service}"))
            .await
            .json();
        let all = all.json().to_string();
        let deployments = one["deployments"].as_array().expect("deployments");
        let named = |shown: &&Value| shown["name"] == deployment;
        let shown = deployments
            .iter()
            .find(named)
            .unwrap_or_else(|| panic!("{one:#}"));
        assert_eq!(shown["url"], origin.url(), "{one:#}");
        assert_eq!(
            shown["endpoints"][0]["address"],
            origin.address().to_string()
        );
        assert!(all.contains(deployment) && all.contains(service), "{all}");
    }
    assert_problem(&gateway.admin("/api/v1/services/none").await, 404);
}

/// RFC 9457, with the status repeated and something for people to read.
#[track_caller]
fn assert_problem(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json")
    );
    let problem = answer.json();
    assert_eq!(problem["status"], status, "{problem}");
    assert!(
        problem["title"]
            .as_str()
            .is_some_and(|title| !title.is_empty()),
        "{problem}"
    );
}

fn explain(body: &impl ToString) -> Call {
    Call::new(Method::POST, "/api/v1/explain")
        .header("content-type", "application/json")
        .body(body.to_string())
}

#[tokio::test]
async fn errors_are_problem_documents() {
    let (_stable, _canary, gateway) = start().await;
    for (call, status) in [
        (get("/api/v1/nothing"), 404),
        (get("/nothing"), 404),
        // No text, and so nobody's name.
        (get("/api/v1/services/%ff"), 400),
        (Call::new(Method::POST, "/api/v1/sources/%FF/refresh"), 400),
        (
            Call::new(Method::POST, "/api/v1/services/%ff/canaries/x/kill"),
            400,
        ),
        (get("/api/v1/%ff"), 404),
        (get("/api/v1/explain"), 405),
        (Call::new(Method::DELETE, "/api/v1/status"), 405),
        (explain(&"{"), 400),
    ] {
        assert_problem(&gateway.admin_send(call).await, status);
    }
    for body in [
        json!({ "user_id": "u1", "paht": "/" }),
        json!({ "user_id": 7 }),
        json!("u1"),
    ] {
        let answer = gateway.admin_send(explain(&body)).await;
        assert!([400, 422].contains(&answer.status), "{body}: {answer:?}");
        assert_problem(&answer, answer.status);
    }
    let answer = gateway.admin_send(explain(&"x".repeat(100_000))).await;
    assert_problem(&answer, 413);
}

#[tokio::test]
async fn explain_says_what_the_proxy_does() {
    let (_stable, _canary, gateway) = start().await;
    let mut connection = gateway.connect().await;
    let mut seen = std::collections::BTreeMap::new();
    for n in 0..200 {
        let user = format!("u{n}");
        let email = if n % 10 == 0 {
            "a@example.com"
        } else {
            "a@example.org"
        };
        let call = get("/x").user(&user).header("x-email", email);
        let served = connection.send(call).await.json()["deployment"].clone();
        let body = json!({
            "user_id": user, "host": "api.example.com", "path": "/x", "method": "GET",
            "properties": { "email": email },
        });
        let answer = gateway.admin_send(explain(&body)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let explained = answer.json();
        assert_eq!(explained["decision"]["assigned"], served, "{explained:#}");
        *seen.entry(served.to_string()).or_insert(0) += 1;
        if n == 1 {
            // The proxy's user u1 is on the canary by segment; a canary further down is preempted or off.
            let text = answer.text();
            let expected = json!({ "flag": "search.team", "reason": "ring", "ring": "team" });
            assert_has(&explained["decision"], &expected);
            assert!(text.contains("Team") && text.contains("userId"), "{text}");
        }
    }
    assert_eq!(seen.len(), 3, "{seen:?}");
}

#[tokio::test]
async fn explain_knows_routes() {
    let (_stable, _canary, gateway) = start().await;
    let body = json!({ "user_id": "u1", "path": "/plain/x" });
    let explained = gateway.admin_send(explain(&body)).await.json();
    let expected = json!({ "service": "plain", "assigned": "stable", "reason": "default" });
    assert_has(&explained["decision"], &expected);
}

type Labels = &'static [(&'static str, &'static str)];

/// Figures with their labels, after one request that the canary served and one that it could not.
const FIGURES: [(&str, Labels, f64); 11] = [
    (
        "serin_requests_total",
        &[("served", "stable"), ("code", "200")],
        1.0,
    ),
    (
        "serin_request_duration_seconds_count",
        &[("service", "search"), ("assigned", "search.team")],
        2.0,
    ),
    (
        "serin_upstream_duration_seconds_count",
        &[("assigned", "search.team"), ("served", "stable")],
        1.0,
    ),
    (
        "serin_attempt_duration_seconds_count",
        &[("deployment", "search.team"), ("outcome", "answered")],
        1.0,
    ),
    (
        "serin_attempt_duration_seconds_count",
        &[("deployment", "search.team"), ("outcome", "connect")],
        1.0,
    ),
    (
        "serin_attempt_duration_seconds_count",
        &[("deployment", "stable"), ("outcome", "answered")],
        1.0,
    ),
    (
        "serin_rescues_total",
        &[("from", "search.team"), ("cause", "connect")],
        1.0,
    ),
    (
        "serin_decisions_total",
        &[("flag", "search.team"), ("reason", "ring")],
        2.0,
    ),
    ("serin_active_requests", &[], 0.0),
    (
        "serin_endpoint_healthy",
        &[("service", "search"), ("deployment", "stable")],
        1.0,
    ),
    ("serin_snapshot_generation", &[], 1.0),
];

#[tokio::test]
async fn figures_are_for_prometheus() {
    let (_stable, mut canary, gateway) = start().await;
    gateway.get_as("u1", "/").await.assert_from("canary");
    canary.stop().await;
    gateway.get_as("u1", "/").await.assert_from("stable");
    let assigned = [("service", "search"), ("assigned", "search.team")];
    gateway
        .await_metric("serin_requests_total", &assigned, 2.0)
        .await;
    let metrics = gateway.metrics().await;
    for (name, labels, value) in FIGURES {
        assert_eq!(metrics.sum(name, labels), value, "{name}{labels:?}");
    }
    for name in [
        "serin_snapshot_age_seconds",
        "process_resident_memory_bytes",
        "process_cpu_seconds_total",
    ] {
        assert_eq!(metrics.matching(name, &[]).count(), 1, "{name}");
    }
    let buckets: Vec<f64> = metrics
        .matching(
            "serin_request_duration_seconds_bucket",
            &[("assigned", "search.team"), ("served", "stable")],
        )
        .map(|sample| sample.value)
        .collect();
    assert_eq!(buckets.len(), 17, "16 bounds and +Inf");
    assert!(
        buckets.is_sorted() && buckets.last() == Some(&1.0),
        "{buckets:?}"
    );
}

/// A canary that hangs is the slow one, whoever answers in the end.
#[tokio::test]
async fn what_a_canary_keeps_waiting_stands_under_its_name() {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    canary.hold();
    let config = CONFIG.replace(
        "canaries: [search.team, 'search.*']",
        "canaries: [search.team, 'search.*'], rescue: { after: 300ms }",
    );
    let gateway = Gateway::start(fill(&config, [&stable, &canary])).await;
    gateway.get_as("u1", "/").await.assert_from("stable");
    gateway.get_as("u2", "/plain").await.assert_from("stable");
    let timeout = [("deployment", "search.team"), ("outcome", "timeout")];
    gateway
        .await_metric("serin_attempt_duration_seconds_count", &timeout, 1.0)
        .await;
    let assigned = [("assigned", "search.team"), ("served", "stable")];
    gateway
        .await_metric("serin_request_duration_seconds_count", &assigned, 1.0)
        .await;
    let metrics = gateway.metrics().await;
    assert!(metrics.sum("serin_attempt_duration_seconds_sum", &timeout) >= 0.3);
    assert!(metrics.sum("serin_request_duration_seconds_sum", &assigned) >= 0.3);
    let of_stable = [("service", "search"), ("assigned", "stable")];
    assert_eq!(
        metrics.sum("serin_request_duration_seconds_count", &of_stable),
        0.0
    );
    assert_eq!(
        metrics.sum("serin_upstream_duration_seconds_count", &assigned),
        1.0
    );

    // A client that does not wait is no answer and no failure of the canary's.
    let mut impatient = gateway.open_raw().await;
    impatient
        .write(b"POST / HTTP/1.1\r\nHost: api.example.com\r\nx-user-id: u1\r\nContent-Length: 0\r\n\r\n")
        .await;
    until("the canary's request", || {
        (canary.count() == 2).then_some(())
    })
    .await;
    impatient.reset();
    let abandoned = [("deployment", "search.team"), ("outcome", "abandoned")];
    gateway
        .await_metric("serin_attempt_duration_seconds_count", &abandoned, 1.0)
        .await;
    canary.release();
}

#[tokio::test]
async fn figures_come_in_two_formats() {
    let (_stable, _canary, gateway) = start().await;
    let open = get("/metrics").header("accept", "application/openmetrics-text; version=1.0.0");
    let answer = gateway.admin_send(open).await;
    let kind = answer.header("content-type").unwrap_or_default();
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    assert!(answer.text().ends_with("# EOF\n"));
    let plain = gateway.admin("/metrics").await;
    let kind = plain.header("content-type").unwrap_or_default();
    assert!(kind.starts_with("text/plain"), "{kind}");
}

#[tokio::test]
async fn no_label_is_made_of_what_a_client_sends() {
    let (_stable, _canary, gateway) = start().await;
    let call = Call::new(Method::from_bytes(b"BREW").unwrap(), "/unheard-of")
        .user("someone-special")
        .host("strange.example.org");
    gateway.send(call).await.assert_from("stable");
    gateway
        .await_metric("serin_requests_total", &[("code", "200")], 1.0)
        .await;
    let text = gateway.admin("/metrics").await.text().to_owned();
    for sent in [
        "BREW",
        "unheard-of",
        "someone-special",
        "strange.example.org",
    ] {
        assert!(!text.contains(sent), "{sent}");
    }
}

#[tokio::test]
async fn a_web_page_elsewhere_cannot_speak_to_the_admin_listener() {
    let (_stable, _canary, gateway) = start().await;
    // DNS rebinding: a browser would send the foreign name.
    let address = gateway.admin_address();
    let call = get("/api/v1/status").host("evil.example.com");
    let answer = crate::harness::client::send(address, call).await;
    assert!([400, 403, 421].contains(&answer.status), "{answer:?}");
    let call = get("/api/v1/status").host(&format!("localhost:{}", address.port()));
    assert_eq!(
        crate::harness::client::send(address, call).await.status,
        200
    );
}
