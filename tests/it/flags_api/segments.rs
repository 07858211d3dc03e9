//! Segments that Serin keeps, and whoever else asks for flags.

use http::Method;
use serde_json::{Value, json};

use super::{RANKER, Stage, call};
use crate::harness::{assert_has, get};

const NEW: &str = "/api/v1/segments/New%20plans%2F%C3%BC";

fn flag(stage: &Stage) -> Value {
    json!({ "url": stage.canary.url(), "rings": [{ "name": "new", "segment": "New plans/ü" }] })
}

/// Who serves a user of a plan.
async fn served(stage: &Stage, plan: &str) -> String {
    let call = get("/").user("eve").header("x-plan", plan);
    stage.gateway.send(call).await.origin().to_owned()
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a life is told in its order")]
async fn a_segment_is_put_used_changed_and_deleted_when_nobody_uses_it() {
    let mut stage = Stage::start().await;
    let early = stage.put(RANKER, &flag(&stage)).await;
    assert_eq!(early.status, 422, "its segment is not there: {early:?}");
    let created = stage.put(NEW, &json!({ "plan": ["new"] })).await;
    assert_eq!(created.status, 201, "{created:?}");
    assert_has(
        &created.json(),
        &json!({ "kind": "segment", "name": "New plans/ü", "new": true }),
    );
    assert_eq!(stage.put(RANKER, &flag(&stage)).await.status, 201);
    assert_eq!(
        (served(&stage, "new").await, served(&stage, "old").await),
        ("canary".into(), "stable".into())
    );

    let changed = stage.put(NEW, &json!({ "plan": ["old"] })).await.json();
    assert_eq!(changed["changes"]["changed"], json!(["search.ranker"]));
    assert_eq!(changed["rings"][0]["other_audience"], true);
    assert_eq!(
        (served(&stage, "new").await, served(&stage, "old").await),
        ("stable".into(), "canary".into())
    );
    let of_segments = json!({ "all": [{ "segment": "New plans/ü" }, { "segment": "Team" }] });
    assert_eq!(
        stage
            .put("/api/v1/segments/Both", &of_segments)
            .await
            .status,
        201
    );

    let used = stage.delete(NEW).await;
    assert_eq!(used.status, 409, "{used:?}");
    assert_has(
        &used.json(),
        &json!({ "flags": ["search.ranker"], "segments": ["Both"] }),
    );
    let round = stage.put(NEW, &json!({ "segment": "Both" })).await;
    assert_eq!(round.status, 422, "{round:?}");
    assert!(
        round.json()["detail"]
            .as_str()
            .expect("a text")
            .contains("in a circle")
    );
    stage.restart().await;
    assert_eq!(served(&stage, "old").await, "canary");

    let listed = stage.gateway.admin("/api/v1/segments").await.json();
    let segments = listed["segments"].as_array().expect("segments");
    let named: Vec<_> = segments
        .iter()
        .map(|one| (&one["name"], &one["kept_by"]))
        .collect();
    assert_eq!(
        json!(named),
        json!([
            ["Both", "serin"],
            ["New plans/ü", "serin"],
            ["Team", "routes.yaml"]
        ])
    );
    for path in [RANKER, "/api/v1/segments/Both", NEW] {
        assert_eq!(stage.delete(path).await.status, 200, "{path}");
    }
    assert_eq!(stage.delete(NEW).await.status, 404);
    for wrong in [
        json!({ "plna": "x" }),
        json!(7),
        json!({ "segment": "Gone" }),
    ] {
        assert_eq!(stage.put(NEW, &wrong).await.status, 422, "{wrong}");
    }
}

#[tokio::test]
async fn apps_are_answered_kept_flags_like_those_of_the_file() {
    let stage = Stage::with(
        "client_api: { path: /.serin, tokens: ['*:development.app'], rate_limit: { requests: 100000 } }\n",
    )
    .await;
    stage.put(RANKER, &stage.ranker("0%")).await;
    let frontend = |user: &str| {
        let path = format!("/.serin/api/frontend?userId={user}");
        let call = get(&path).header("authorization", "*:development.app");
        async { stage.gateway.send(call).await.json()["toggles"].to_string() }
    };
    assert!(frontend("ann").await.contains("search.ranker"));
    assert!(!frontend("eve").await.contains("search.ranker"));
    let ofrep = call(
        Method::POST,
        "/.serin/ofrep/v1/evaluate/flags/search.ranker",
        &json!({ "context": { "targetingKey": "ann" } }),
    );
    let ofrep = ofrep.header("authorization", "*:development.app");
    assert_eq!(
        stage.gateway.send(ofrep.clone()).await.json()["value"],
        true
    );
    assert_eq!(
        stage
            .patch("team", &json!({ "enabled": false }))
            .await
            .status,
        200
    );
    assert!(!frontend("ann").await.contains("search.ranker"));
    assert_eq!(stage.gateway.send(ofrep).await.json()["value"], false);
}
