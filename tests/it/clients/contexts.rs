//! What clients may say of a user, and how flags may be called.

use serde_json::{Value, json};

use super::{APP, Parts, SERVER, app, app_post, banner};
use crate::harness::{Call, post};

/// Whether a flag is on for a context that is POSTed.
async fn is_on(parts: &Parts, flag: &str, context: &Value) -> bool {
    let call = app_post("/api/frontend/all", &json!({ "context": context }));
    enabled(&parts.gateway.send(call).await.json(), flag)
}

fn enabled(answer: &Value, flag: &str) -> bool {
    let toggles = answer["toggles"].as_array().expect("toggles");
    let toggle = toggles.iter().find(|toggle| toggle["name"] == flag);
    toggle.expect("a toggle")["enabled"] == true
}

/// A flag that is on where a property has this value.
fn asking(name: &str, property: &str, value: &str) -> Value {
    let mut flag = banner(name, "string", "x");
    flag["strategies"][0]["constraints"] =
        json!([{ "contextName": property, "operator": "IN", "values": [value] }]);
    flag
}

#[tokio::test]
async fn contexts_may_hold_numbers_truth_values_null_lists_and_objects() {
    let parts = Parts::start([
        asking("shop.number", "size", "7"),
        asking("shop.truth", "beta", "true"),
        asking("shop.plain", "size", "8"),
    ])
    .await;
    let odd = json!({
        "userId": "user-9",
        "list": [1, { "a": null }],
        "object": { "size": 8 },
        "nothing": null,
        "properties": { "size": 7, "beta": true, "list": ["x"], "nothing": null, "object": {} },
    });
    for (flag, expected) in [
        ("shop.number", true),
        ("shop.truth", true),
        ("shop.plain", false),
    ] {
        assert_eq!(is_on(&parts, flag, &odd).await, expected, "{flag}");
    }
    // Not only within `properties`.
    let flat = json!({ "userId": 9, "size": 8, "properties": null });
    assert!(is_on(&parts, "shop.plain", &flat).await);
}

#[tokio::test]
async fn properties_stand_in_queries_in_every_spelling() {
    let parts = Parts::start([asking("shop.place", "home town", "São Paulo")]).await;
    for query in [
        "properties[home town]=São Paulo",
        "properties[home+town]=S%C3%A3o+Paulo",
        "properties%5Bhome%20town%5D=S%C3%A3o%20Paulo",
        "home%20town=S%C3%A3o%20Paulo",
    ] {
        let query = query.replace(' ', "%20").replace('ã', "%C3%A3");
        let path = format!("/api/frontend/all?userId=user-9&{query}");
        let answer = parts.gateway.send(app(&path)).await;
        assert!(enabled(&answer.json(), "shop.place"), "{query}");
    }
    let answer = parts
        .gateway
        .send(app("/api/frontend/all?userId=user-9"))
        .await;
    assert!(!enabled(&answer.json(), "shop.place"));
}

fn ofrep(key: &str) -> Call {
    let context = json!({ "context": { "targetingKey": "user-1" } }).to_string();
    post(&format!("/.serin/ofrep/v1/evaluate/flags{key}"), context)
}

#[tokio::test]
async fn flags_may_be_called_anything() {
    let names = [
        "team/price",
        "zwei Wörter",
        "a+b",
        "100%",
        "山田?#",
        "a/../b",
    ];
    let parts = Parts::start(names.map(|name| banner(name, "string", "x"))).await;
    for (key, name) in [
        ("/team/price", "team/price"),
        ("/team%2Fprice", "team/price"),
        ("/zwei%20W%C3%B6rter", "zwei Wörter"),
        ("/a+b", "a+b"),
        ("/a%2Bb", "a+b"),
        ("/100%25", "100%"),
        ("/%E5%B1%B1%E7%94%B0%3F%23", "山田?#"),
    ] {
        let answer = parts
            .gateway
            .send(ofrep(key).header("authorization", APP))
            .await;
        assert_eq!(answer.status, 200, "{key}: {answer:?}");
        assert_eq!(
            (&answer.json()["key"], &answer.json()["value"]),
            (&json!(name), &json!("x"))
        );
    }
}

#[tokio::test]
async fn an_api_key_is_a_token() {
    let parts = Parts::start([banner("shop.a", "string", "x")]).await;
    for (header, token, status) in [
        ("x-api-key", APP, 200),
        ("X-API-Key", APP, 200),
        ("x-api-key", SERVER, 403),
        ("x-api-key", "wrong", 401),
        ("x-api-key", "", 401),
    ] {
        let answer = parts
            .gateway
            .send(ofrep("/shop.a").header(header, token))
            .await;
        assert_eq!(answer.status, status, "{header}: {token}");
    }
    // What stands in Authorization counts where both are there.
    let both = |authorization: &str, key: &str| {
        ofrep("/shop.a")
            .header("authorization", authorization)
            .header("x-api-key", key)
    };
    assert_eq!(parts.gateway.send(both("wrong", APP)).await.status, 401);
    assert_eq!(
        parts
            .gateway
            .send(both(&format!("Bearer {APP}"), "wrong"))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn weak_versions_are_versions() {
    let parts = Parts::start([banner("shop.a", "string", "x")]).await;
    let calls: [fn() -> Call; 2] = [
        || ofrep("").header("authorization", APP),
        || app("/api/frontend?userId=user-1"),
    ];
    for call in calls {
        let first = parts.gateway.send(call()).await;
        let etag = first.header("etag").expect("a version").to_owned();
        for known in [
            format!("W/{etag}"),
            format!("\"x\", W/{etag}"),
            "*".to_owned(),
        ] {
            let answer = parts
                .gateway
                .send(call().header("if-none-match", &known))
                .await;
            assert_eq!((answer.status, answer.body.len()), (304, 0), "{known}");
        }
        let other = call().header("if-none-match", "W/\"another\"");
        assert_eq!(parts.gateway.send(other).await.status, 200);
    }
}
