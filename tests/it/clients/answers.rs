//! What is in the answers, and what never is.

use serde_json::{Value, json};

use super::{APP, Parts, SERVER, app, app_post, banner};
use crate::harness::{get, post};

fn toggle<'a>(answer: &'a Value, name: &str) -> Option<&'a Value> {
    let toggles = answer["toggles"].as_array().expect("toggles");
    toggles.iter().find(|toggle| toggle["name"] == name)
}

#[tokio::test]
async fn the_frontend_api_answers_queries_and_bodies_alike() {
    let parts = Parts::start([banner("shop.banner", "string", "hello")]).await;
    let query = "/api/frontend?userId=user-9&properties[plan]=free&appName=shop";
    let by_query = parts.gateway.send(app(query)).await;
    assert_eq!(by_query.status, 200, "{by_query:?}");
    let etag = by_query.header("etag").expect("a version").to_owned();
    let context = json!({ "context": { "userId": "user-9", "properties": { "plan": "free" } } });
    let by_body = parts
        .gateway
        .send(app_post("/api/frontend", &context))
        .await;
    assert_eq!(by_query.body, by_body.body);
    assert_eq!(by_body.header("etag"), Some(&*etag));
    let known = parts
        .gateway
        .send(app(query).header("if-none-match", &etag))
        .await;
    assert_eq!((known.status, known.body.len()), (304, 0));
    assert_eq!(known.header("etag"), Some(&*etag));
    let answer = by_query.json();
    let expected = json!({
        "name": "shop.banner", "enabled": true, "impressionData": true,
        "variant": {
            "name": "big", "enabled": true, "feature_enabled": true, "featureEnabled": true,
            "payload": { "type": "string", "value": "hello" },
        },
    });
    assert_eq!(toggle(&answer, "shop.banner"), Some(&expected));
    assert_eq!(toggle(&answer, "shop.tenth"), None);
    let all = parts
        .gateway
        .send(app("/api/frontend/all?userId=user-9"))
        .await
        .json();
    assert_eq!(toggle(&all, "shop.tenth").expect("it")["enabled"], false);
    // Another user, another version.
    let other = parts.gateway.send(app("/api/frontend?userId=user-8")).await;
    assert_ne!(other.header("etag"), Some(&*etag));
    parts
        .gateway
        .await_metric(
            "serin_client_api_requests_total",
            &[("endpoint", "frontend"), ("code", "304")],
            1.0,
        )
        .await;
    let services = parts
        .gateway
        .metrics()
        .await
        .sum("serin_requests_total", &[]);
    assert_eq!(services, 0.0, "the API is no service");
}

#[tokio::test]
async fn upstreams_and_segments_are_for_servers_alone() {
    let url = "http://127.0.0.1:9001";
    let parts = Parts::start([
        banner("shop.text", "string", url),
        banner(
            "shop.json",
            "json",
            &format!(r#"{{"url":"{url}","service":"search","size":2}}"#),
        ),
        banner("shop.broken", "json", &format!(r#"{{"url":"{url}""#)),
    ])
    .await;
    let calls = [
        app("/api/frontend/all?userId=user-1"),
        app_post(
            "/ofrep/v1/evaluate/flags",
            &json!({ "context": { "targetingKey": "user-1" } }),
        ),
        get("/.serin/decisions").user("user-1"),
    ];
    for call in calls {
        let answer = parts.gateway.send(call).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        // The stream's own URL names the host that was asked.
        let text = answer.text().replace("http://api.example.com/.serin", "");
        assert!(
            !text.contains("://") && !text.contains("Insiders"),
            "{text}"
        );
    }
    let call = get("/.serin/api/client/features").header("authorization", SERVER);
    let whole = parts.gateway.send(call).await;
    assert!(whole.text().contains(url), "{whole:?}");
    let etag = whole.header("etag").expect("a version").to_owned();
    let call = get("/.serin/api/client/features").header("authorization", SERVER);
    let known = parts
        .gateway
        .send(call.header("if-none-match", &etag))
        .await;
    assert_eq!(known.status, 304);
}

#[tokio::test]
async fn the_requests_own_identity_wins() {
    let parts = Parts::start([]).await;
    let own = app("/api/frontend?userId=user-1").user("somebody-else");
    let answer = parts.gateway.send(own).await.json();
    let assigned = parts.assigned("somebody-else").await;
    assert_eq!(
        toggle(&answer, "search.v2").is_some(),
        assigned == "search.v2"
    );
    parts
        .gateway
        .await_metric("serin_client_api_disagreements_total", &[], 1.0)
        .await;
}

#[tokio::test]
async fn decisions_are_the_callers_own() {
    let parts = Parts::start([]).await;
    let answer = parts
        .gateway
        .send(get("/.serin/decisions?userId=user-2").user("user-1"))
        .await;
    let answer = answer.json();
    let decision = json!({
        "service": "search", "flag": "search.v2", "variant": null, "assigned": "search.v2",
        "served": null, "reason": "ring", "randomised": false,
    });
    assert_eq!(answer["decisions"], json!([decision]));
    assert_eq!(answer["digest"], parts.gateway.status().await["digest"]);
    // A user whom only the query names is nobody here.
    let nobody = parts
        .gateway
        .send(get("/.serin/decisions?userId=user-1"))
        .await
        .json();
    assert_eq!(nobody["decisions"][0]["assigned"], "stable");
}

#[tokio::test]
async fn ofrep_errors_say_what_every_provider_needs() {
    let parts = Parts::start([banner("team/price", "number", "7")]).await;
    let ask = |key: &str, body: &str| {
        post(
            &format!("/.serin/ofrep/v1/evaluate/flags{key}"),
            body.to_owned(),
        )
        .header("authorization", &format!("Bearer {APP}"))
    };
    let context = r#"{"context":{"targetingKey":"user-1"}}"#;
    for key in ["/team/price", "/team%2Fprice"] {
        let answer = parts.gateway.send(ask(key, context)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let answer = answer.json();
        let told = (&answer["key"], &answer["value"], &answer["variant"]);
        assert_eq!(told, (&json!("team/price"), &json!(7), &json!("big")));
        assert!(answer["reason"].is_string() && answer["metadata"]["digest"].is_string());
    }
    for (key, body, status, code) in [
        ("/nowhere", context, 404, "FLAG_NOT_FOUND"),
        ("/search.v2", "{", 400, "PARSE_ERROR"),
        ("/search.v2", r#"{"context":[]}"#, 400, "INVALID_CONTEXT"),
        (
            "/search.v2",
            r#"{"context":{"targetingKey":1}}"#,
            400,
            "INVALID_CONTEXT",
        ),
        (
            "/search.v2",
            r#"{"context":{}}"#,
            400,
            "TARGETING_KEY_MISSING",
        ),
        ("", "[]", 400, "PARSE_ERROR"),
    ] {
        let answer = parts.gateway.send(ask(key, body)).await;
        assert_eq!(answer.status, status, "{key} {body}: {answer:?}");
        let error = answer.json();
        assert_eq!(error["errorCode"], code, "{key} {body}");
        assert!(error["errorDetails"].is_string(), "{key} {body}");
        assert_eq!(error["key"].is_string(), !key.is_empty(), "{key} {body}");
    }
    let all = parts.gateway.send(ask("", context)).await;
    let etag = all.header("etag").expect("a version").to_owned();
    let again = parts
        .gateway
        .send(ask("", context).header("if-none-match", &etag))
        .await;
    assert_eq!(again.status, 304);
    let refetch = ask("?flagConfigEtag=x&flagConfigLastModified=1", context);
    assert_eq!(parts.gateway.send(refetch).await.body, all.body);
}
