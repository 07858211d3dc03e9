//! What is refused: with a status, the field that is wrong and a hint, and without any change.

use http::Method;
use serde_json::{Value, json};

use super::{RANKER, Stage, call, put};
use crate::harness::{Answer, Call, Gateway, Origin, fill, get, post};

/// The problem document of a refusal.
fn refused(answer: &Answer, status: u16) -> Value {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json")
    );
    let problem = answer.json();
    assert_eq!(problem["status"], status);
    problem
}

#[tokio::test]
async fn every_error_of_a_document_is_told_at_once_with_its_field_and_a_hint() {
    let stage = Stage::start().await;
    let wrong = json!({
        "ulr": "http://127.0.0.1:1", "enabled": "yes", "stickiness": "userid", "expires": "soon",
        "rings": [{ "segment": "Taem", "rollout": "5" }, { "when": { "plna": "new" } }, 7],
    });
    let problem = refused(&stage.put(RANKER, &wrong).await, 422);
    let errors = problem["errors"].as_array().expect("errors");
    let mut pointers: Vec<&str> = errors
        .iter()
        .filter_map(|error| error["pointer"].as_str())
        .collect();
    pointers.sort_unstable();
    assert_eq!(
        pointers,
        [
            "/enabled",
            "/expires",
            "/rings/0/rollout",
            "/rings/0/segment",
            "/rings/1/when/plna",
            "/rings/2",
            "/stickiness",
            "/ulr"
        ]
    );
    let hint = |pointer: &str| {
        let error = errors.iter().find(|error| error["pointer"] == pointer);
        error.map(|error| error["hint"].clone())
    };
    assert_eq!(hint("/ulr"), Some(json!("did you mean `url`?")));
    assert_eq!(
        hint("/rings/0/segment"),
        Some(json!("did you mean `Team`?"))
    );
    assert_eq!(stage.gateway.admin(RANKER).await.status, 404);
    assert_eq!(stage.gateway.generation().await, 1);
}

#[tokio::test]
async fn what_is_no_flag_is_refused() {
    let stage = Stage::start().await;
    let canary = stage.canary.url();
    for document in [
        json!(null),
        json!([]),
        json!("search.ranker"),
        json!({ "url": canary, "variants": [{ "name": "a", "weight": "100%" }] }),
        json!({ "url": "http://169.254.169.254/" }),
        json!({ "url": "http://8.8.8.8/" }),
        json!({ "url": "ftp://127.0.0.1/" }),
        json!({ "variants": [{ "name": "a", "weight": "99%", "url": canary }] }),
        json!({ "url": canary, "rings": [{ "name": "a" }, { "name": "a" }] }),
        json!({ "url": canary, "rings": [{ "when": { "plan": { "semver_gte": 1.5 } } }] }),
        json!({ "url": canary, "rings": [{ "rollout": "101%" }] }),
        json!({ "url": canary, "priority": -1 }),
    ] {
        let problem = refused(&stage.put(RANKER, &document).await, 422);
        assert!(
            !problem["errors"].as_array().expect("errors").is_empty(),
            "{problem}"
        );
    }
    let raw = |text: &str| {
        Call::new(Method::PUT, RANKER)
            .header("content-type", "application/json")
            .body(text.to_owned())
    };
    for (text, status) in [
        ("", 400),
        ("{", 400),
        ("{} {}", 400),
        ("\u{0}", 400),
        (
            r#"{"url":"http://127.0.0.1:1","url":"http://127.0.0.1:2"}"#,
            422,
        ),
    ] {
        refused(&stage.gateway.admin_send(raw(text)).await, status);
    }
    let large = json!({ "description": "x".repeat(70_000) });
    refused(&stage.put(RANKER, &large).await, 413);
    assert_eq!(stage.gateway.generation().await, 1);
    assert_eq!(
        stage.gateway.admin("/api/v1/flags").await.json()["flags"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
}

#[tokio::test]
async fn a_ring_is_changed_in_so_many_words_or_not_at_all() {
    let stage = Stage::start().await;
    stage.put(RANKER, &stage.ranker("5%")).await;
    for change in [
        json!({}),
        json!({ "enabled": "false" }),
        json!({ "enabled": 0 }),
        json!({ "rollout": 5 }),
        json!({ "rollout": "5" }),
        json!({ "rollout": "0.001%" }),
        json!({ "rolout": "5%" }),
        json!([true]),
    ] {
        refused(&stage.patch("all", &change).await, 422);
    }
    let percentage = refused(
        &stage.patch("all", &json!({ "rollout": "five" })).await,
        422,
    );
    assert_eq!(percentage["errors"][0]["pointer"], "/rollout");
    let ring = refused(&stage.patch("al", &json!({ "enabled": false })).await, 404);
    assert_eq!(
        ring["detail"],
        "the flag `search.ranker` has no ring `al`; it has `team`, `all`"
    );
    let other = call(
        Method::PATCH,
        "/api/v1/flags/search.rankr/rings/all",
        &json!({ "enabled": false }),
    );
    let flag = refused(&stage.gateway.admin_send(other).await, 404);
    assert_eq!(
        flag["detail"],
        "there is no flag `search.rankr`; did you mean `search.ranker`?"
    );
    assert_eq!(stage.gateway.admin(RANKER).await.json(), stage.ranker("5%"));
}

#[tokio::test]
async fn names_are_decoded_and_judged() {
    let stage = Stage::start().await;
    let flag = stage.ranker("0%");
    for (path, name) in [
        ("/api/v1/flags/search.a%2Fb", "search.a/b"),
        ("/api/v1/flags/search.%7Eodd_-x", "search.~odd_-x"),
        ("/api/v1/flags/sear%63h.plain", "search.plain"),
    ] {
        let answer = stage.put(path, &flag).await;
        assert_eq!(
            (answer.status, &answer.json()["name"]),
            (201, &json!(name)),
            "{answer:?}"
        );
        assert_eq!(stage.gateway.admin(path).await.json(), flag);
    }
    for path in [
        "/api/v1/flags/search.a%20b",
        "/api/v1/flags/search:a",
        "/api/v1/flags/%C3%BC",
        "/api/v1/flags/a%00b",
    ] {
        refused(&stage.put(path, &flag).await, 422);
    }
    refused(&stage.put("/api/v1/flags/%FF", &flag).await, 400);
    for path in ["/api/v1/flags/", "/api/v1/flags/a/b", "/api/v1/flags//"] {
        assert_eq!(stage.put(path, &flag).await.status, 404, "{path}");
    }
    let odd = json!({ "url": stage.canary.url(), "rings": [{ "name": "Users — Team / 1", "rollout": "0%" }] });
    stage.put(RANKER, &odd).await;
    let changed = stage
        .patch(
            "Users%20%E2%80%94%20Team%20%2F%201",
            &json!({ "rollout": "100%" }),
        )
        .await;
    assert_eq!(changed.status, 200, "{changed:?}");
    assert_eq!(stage.served(&["eve"]).await, ["canary"]);
}

#[tokio::test]
async fn what_git_has_and_methods_that_mean_nothing_are_refused() {
    let stage = Stage::start().await;
    let git = "/api/v1/flags/search.git";
    let off = json!({ "enabled": false });
    let ring = call(Method::PATCH, &format!("{git}/rings/nobody"), &off);
    for answer in [
        stage.put(git, &stage.ranker("5%")).await,
        stage.delete(git).await,
        stage.gateway.admin_send(ring).await,
        stage
            .put("/api/v1/segments/Team", &json!({ "userId": "eve" }))
            .await,
        stage.delete("/api/v1/segments/Team").await,
    ] {
        let problem = refused(&answer, 409);
        assert_eq!(problem["kept_by"], "routes.yaml");
    }
    let shown = stage.gateway.admin(git).await;
    assert_eq!(
        shown.json()["rings"],
        json!([{ "name": "nobody", "enabled": true, "rollout": "0%" }])
    );
    for call in [
        post("/api/v1/flags", "{}"),
        post(RANKER, "{}"),
        get(&format!("{RANKER}/rings/all")),
    ] {
        assert_eq!(stage.gateway.admin_send(call).await.status, 405);
    }
    let both = put(RANKER, &stage.ranker("5%"))
        .header("if-match", "*")
        .header("if-none-match", "*");
    refused(&stage.gateway.admin_send(both).await, 400);
    let odd = put(RANKER, &stage.ranker("5%")).header("if-match", "no quotes");
    refused(&stage.gateway.admin_send(odd).await, 400);
}

#[tokio::test]
async fn a_flag_that_an_unleash_server_keeps_is_its_own() {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let server = crate::harness::flag_server::FlagServer::start().await;
    server.put([crate::clients::banner(
        "search.theirs",
        "string",
        &canary.url(),
    )]);
    let config = fill(
        "
services: { search: { stable: @stable } }
routes: [{ path: /, service: search }]
identity: { user_id: [{ header: x-user-id, trust: anyone }] }
",
        [&stable],
    );
    let gateway = Gateway::start(config + &server.config("")).await;
    let path = "/api/v1/flags/search.theirs";
    let flag = json!({ "url": canary.url() });
    let ring = call(
        Method::PATCH,
        &format!("{path}/rings/flexibleRollout%201"),
        &json!({ "enabled": false }),
    );
    for call in [put(path, &flag), Call::new(Method::DELETE, path), ring] {
        let problem = refused(&gateway.admin_send(call).await, 409);
        let detail = problem["detail"].as_str().expect("a text");
        assert!(detail.contains("kept by the Unleash server"), "{problem}");
    }
    let listed = gateway.admin("/api/v1/flags").await.json();
    assert_eq!(listed["flags"][0]["kept_by"], "unleash");
    // What Serin keeps under a name stays its own when the server has one of that name later.
    let own = "/api/v1/flags/search.own";
    assert_eq!(gateway.admin_send(put(own, &flag)).await.status, 201);
    let generation = gateway.generation().await;
    server.put([crate::clients::banner(
        "search.own",
        "string",
        &canary.url(),
    )]);
    gateway.await_generation(generation + 1).await;
    let open = json!({ "url": canary.url(), "rings": [{ "name": "all", "rollout": "1%" }] });
    assert_eq!(gateway.admin_send(put(own, &open)).await.status, 200);
    let warnings = gateway.status().await["warnings"].to_string();
    assert!(warnings.contains("because serin comes first"), "{warnings}");
}

#[tokio::test]
async fn what_cannot_be_stored_is_not_in_force() {
    let mut stage = Stage::start().await;
    stage.put(RANKER, &stage.ranker("0%")).await;
    // A folder stands where the file is to be written.
    let temporary = stage.state.path().join("flags.json.tmp").join("in-the-way");
    std::fs::create_dir_all(&temporary).expect("a folder");
    refused(
        &stage.patch("all", &json!({ "rollout": "100%" })).await,
        503,
    );
    refused(&stage.put(RANKER, &stage.ranker("100%")).await, 503);
    refused(&stage.delete(RANKER).await, 503);
    assert_eq!(stage.served(&["ann", "eve"]).await, ["canary", "stable"]);
    assert_eq!(stage.gateway.admin(RANKER).await.json(), stage.ranker("0%"));
    std::fs::remove_dir_all(temporary.parent().expect("a folder")).expect("it is gone");
    assert_eq!(
        stage
            .patch("all", &json!({ "rollout": "100%" }))
            .await
            .status,
        200
    );
    stage.restart().await;
    assert_eq!(stage.served(&["eve"]).await, ["canary"]);
}
