use serde_json::{Value, json};

use super::ExplainDocument;
use crate::context::Moment;
use crate::identity::Anonymous;
use crate::snapshot::sample;

fn explain(mut document: Value) -> Result<Value, String> {
    document["host"] = json!("api.example.com");
    let document: ExplainDocument =
        serde_json::from_value(document).map_err(|error| error.to_string())?;
    let view = document.explain(
        &sample::snapshot(Anonymous::Stable),
        Moment { unix_ms: 0 },
        None,
    )?;
    Ok(serde_json::to_value(view).unwrap())
}

#[test]
fn every_step_is_there() {
    let document = json!({ "user_id": "ann", "path": "/plain", "method": "GET" });
    insta::assert_json_snapshot!(explain(document).unwrap());
    let bob = json!({ "user_id": "bob", "path": "/plain?x=1", "remote_address": "10.0.0.1" });
    insta::assert_json_snapshot!(explain(bob).unwrap());
}

#[test]
fn the_user_is_read_from_the_request_unless_told() {
    let user = |document: Value| {
        let answer = explain(document).unwrap();
        answer["decision"]["assigned"].clone()
    };
    let headers = json!({ "X-User-Id": "ann" });
    assert_eq!(
        user(json!({ "path": "/plain", "headers": headers })),
        "search.a"
    );
    assert_eq!(
        user(json!({ "path": "/plain", "headers": headers, "user_id": "bob" })),
        user(json!({ "path": "/plain", "user_id": "bob" })),
    );
    assert_eq!(user(json!({ "path": "/plain" })), "stable");
}

#[test]
fn without_a_route_the_nearest_is_named() {
    for (path, route) in [
        (
            "/serach/x",
            "`/search`, which takes the path /search and what is below it",
        ),
        ("/plian", "`/plain`, which"),
        ("/pingg", "`/ping`, which"),
    ] {
        let error = explain(json!({ "path": path })).expect_err(path);
        assert!(error.contains(route), "{error}");
    }
}

#[test]
fn an_answer_needs_no_decision() {
    let answer = explain(json!({ "path": "/ping" })).unwrap();
    assert_eq!(answer["action"], "respond");
    assert_eq!(answer.get("decision"), None);
}

#[test]
fn what_cannot_be_asked_is_said() {
    for (document, complaint) in [
        (json!({ "path": "/nowhere" }), "no route"),
        (json!({ "user": "ann" }), "unknown field `user`"),
        (
            json!({ "path": "/search", "properties": { "plan": "pro" } }),
            "there is no property \"plan\"",
        ),
        (json!({ "properties": { "plan": [] } }), "must be a text"),
        (json!({ "remote_address": "here" }), "IP address"),
    ] {
        let error = explain(document.clone()).expect_err(&document.to_string());
        assert!(error.contains(complaint), "{document}: {error}");
    }
}
