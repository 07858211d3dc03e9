//! Registrations that are refused, each with the field that is wrong; nothing changes.

use hyper::Method;
use serde_json::{Value, json};

use super::{RANKER, config, put};
use crate::harness::client::Call;
use crate::harness::{Gateway, Origin, post};

const OF_SEARCH: &str = "/api/v1/services/search/canaries";

fn with(url: &str, field: &str, value: Value) -> Value {
    let mut body = json!({ "url": url });
    body[field] = value;
    body
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a life is told in its order")]
async fn what_is_wrong_is_said_and_changes_nothing() {
    let stable = Origin::start("stable").await;
    let gateway = Gateway::start(config(&stable)).await;
    let generation = gateway.generation().await;
    let good = "http://127.0.0.1:9009";
    let long = "x".repeat(501);
    let cases = [
        (json!({}), None, "missing field `url`"),
        (json!([]), None, "expected an object"),
        (with(good, "tll", json!("30m")), None, "unknown field `tll`"),
        (json!({ "url": "search-v2:8080" }), Some("url"), "is no URL"),
        (
            json!({ "url": "ftp://search-v2" }),
            Some("url"),
            "is no URL",
        ),
        (
            json!({ "url": "http://8.8.8.8" }),
            Some("url"),
            "`canary_urls` does not allow",
        ),
        (
            json!({ "url": "http://169.254.169.254" }),
            Some("url"),
            "`canary_urls` does not allow",
        ),
        (with(good, "ttl", json!("soon")), Some("ttl"), "is no TTL"),
        (
            with(good, "ttl", json!("1ms")),
            Some("ttl"),
            "shorter than 1s",
        ),
        (
            with(good, "ttl", json!("8d")),
            Some("ttl"),
            "longer than `registry.ttl.max`, which is 7d",
        ),
        (
            with(good, "branch", json!(long)),
            Some("branch"),
            "one line of at most 500 bytes",
        ),
        (
            with(good, "owner", json!("a\nb")),
            Some("owner"),
            "one line of at most 500 bytes",
        ),
        (
            with(good, "health", json!({ "path": "healthz" })),
            Some("health.path"),
            "is no path",
        ),
        (
            with(good, "rings", json!("all")),
            Some("rings"),
            "is a list of rings",
        ),
        (
            with(good, "rings", json!([{ "name": "a", "segment": "teem" }])),
            Some("rings[0].segment"),
            "the rings cannot be used",
        ),
        (
            with(good, "rings", json!([{ "name": "a", "rollout": "1000%" }])),
            Some("rings[0].rollout"),
            "the rings cannot be used",
        ),
    ];
    for (body, field, words) in cases {
        let answer = gateway.admin_send(put(RANKER, &body)).await;
        assert_eq!(answer.status, 422, "{body}: {answer:?}");
        let problem = answer.json();
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!(detail.contains(words), "{body}: {detail}");
        let named = problem["errors"][0]["path"].as_str();
        assert_eq!(named, field, "{body}: {problem}");
    }
    let broken = put(RANKER, &json!(null)).body("{");
    assert_eq!(gateway.admin_send(broken).await.status, 400);
    assert_eq!(gateway.generation().await, generation);
    assert_eq!(
        gateway.admin_send(crate::harness::get(RANKER)).await.status,
        404
    );
}

#[tokio::test]
async fn a_name_must_be_a_canary_of_the_service() {
    let stable = Origin::start("stable").await;
    let gateway = Gateway::start(config(&stable)).await;
    let body = json!({ "url": "http://127.0.0.1:9009" });
    for (path, status, words) in [
        (
            "/api/v1/services/serach/canaries/search.a",
            404,
            "there is no service `serach`",
        ),
        (
            "/api/v1/services/search/canaries/shop.a",
            422,
            "none of the canaries of search: search.*",
        ),
        (
            "/api/v1/services/search/canaries/search.a:b",
            422,
            "cannot be the name of a canary",
        ),
        (
            "/api/v1/services/search/canaries/search.of-the-file",
            409,
            "git owns it",
        ),
    ] {
        let answer = gateway.admin_send(put(path, &body)).await;
        assert_eq!(answer.status, status, "{path}: {answer:?}");
        let problem = answer.json();
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!(detail.contains(words), "{path}: {detail}");
    }
    for call in [
        Call::new(Method::DELETE, RANKER),
        post(&format!("{RANKER}/renew"), ""),
        crate::harness::get(RANKER),
        crate::harness::get("/api/v1/services/serach/canaries"),
    ] {
        let answer = gateway.admin_send(call).await;
        assert_eq!(answer.status, 404, "{answer:?}");
    }
    let list = gateway.admin(OF_SEARCH).await;
    assert_eq!(list.json()["canaries"], json!([]));
}
