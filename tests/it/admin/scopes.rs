//! Tokens for some services: what they may see and change of everybody's.

use serde_json::{Value, json};

use crate::harness::{Answer, Call, Gateway, Origin, Raw, fill, get, post};

const CONFIG: &str = "
services:
  search: { stable: @stable, canaries: ['search.*'] }
  shop: { stable: @stable, canaries: ['shop.*', '*.both'], shutoff: { flag: search.off } }
flags:
  search.team: { url: @stable, rings: [{ name: all }] }
  shop.team: { url: @stable, rings: [{ name: all }] }
  search.off: { rings: [{ name: all, enabled: false }] }
segments: { Team: { userId: [u1] } }
routes: [{ path: /, service: search }, { path: /shop, service: shop }]
admin:
  address: 127.0.0.1:0
  tokens:
    - { name: search-only, role: admin, services: [search], token: a-token-for-search-alone }
    - { name: all, role: admin, token: a-token-for-all-services }
";

async fn start() -> (Origin, Gateway) {
    let stable = Origin::start("stable").await;
    let gateway = Gateway::start(fill(CONFIG, [&stable])).await;
    (stable, gateway)
}

fn of_search(call: Call) -> Call {
    call.header("authorization", "Bearer a-token-for-search-alone")
}

fn of_all(call: Call) -> Call {
    call.header("authorization", "Bearer a-token-for-all-services")
}

fn put(path: &str, body: &Value) -> Call {
    Call::new(http::Method::PUT, path).body(body.to_string())
}

fn ring(flag: &str) -> Call {
    let path = format!("/api/v1/flags/{flag}/rings/all");
    Call::new(http::Method::PATCH, &path).body(r#"{"enabled":false}"#)
}

#[track_caller]
fn assert_refused(answer: &Answer, why: &str) {
    assert_eq!(answer.status, 403, "{answer:?}");
    let detail = answer.json()["detail"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    assert!(
        detail.contains("for search only") && detail.contains(why),
        "{detail}"
    );
}

#[tokio::test]
async fn rings_and_flags_of_its_services_are_the_tokens_to_change() {
    let (stable, gateway) = start().await;
    let document = json!({ "url": stable.url(), "rings": [{ "name": "all" }] });
    let flag = |name: &str| put(&format!("/api/v1/flags/{name}"), &document);
    for name in ["search.own", "shop.own"] {
        assert_eq!(gateway.admin_send(of_all(flag(name))).await.status, 201);
    }
    for call in [flag("search.own"), flag("search.new"), ring("search.own")] {
        let answer = gateway.admin_send(of_search(call)).await;
        assert!(matches!(answer.status, 200 | 201), "{answer:?}");
    }
    let delete = |name: &str| {
        let path = format!("/api/v1/flags/{name}");
        Call::new(http::Method::DELETE, &path)
    };
    assert_eq!(
        gateway
            .admin_send(of_search(delete("search.new")))
            .await
            .status,
        200
    );
    for (name, why) in [
        ("shop.own", "`shop.own` is for \"shop\", too"),
        // Both services' `canaries` match it.
        ("search.both", "`search.both` is for \"shop\", too"),
        // It would cut users off from shop.
        ("search.off", "`search.off` is for \"shop\", too"),
        ("feature", "no `canaries` of theirs match it"),
    ] {
        for call in [flag(name), ring(name), delete(name)] {
            assert_refused(&gateway.admin_send(of_search(call)).await, why);
        }
    }
    let shown = gateway
        .admin_send(of_all(get("/api/v1/flags/shop.own")))
        .await;
    assert_eq!(shown.json()["rings"][0].get("enabled"), None, "{shown:?}");
    let segment = put("/api/v1/segments/Other", &json!({ "userId": ["u2"] }));
    let about_all = "about all of the gateway";
    assert_refused(&gateway.admin_send(of_search(segment)).await, about_all);
}

/// The names of what a list has.
async fn names(gateway: &Gateway, call: Call, list: &str) -> Vec<String> {
    let answer = gateway.admin_send(call).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = answer.json();
    let items = answer[list].as_array().expect("a list").iter();
    let names = items.map(|item| item["name"].as_str().expect("a name").to_owned());
    names.collect()
}

#[tokio::test]
async fn lists_have_what_is_for_the_tokens_services() {
    let (_stable, gateway) = start().await;
    let services = get("/api/v1/services");
    let flags = get("/api/v1/flags");
    let own = names(&gateway, of_search(services.clone()), "services").await;
    assert_eq!(own, ["search"]);
    let own = names(&gateway, of_search(flags.clone()), "flags").await;
    assert_eq!(own, ["search.off", "search.team"]);
    let all = names(&gateway, of_all(services), "services").await;
    assert_eq!(all, ["search", "shop"]);
    let all = names(&gateway, of_all(flags), "flags").await;
    assert_eq!(all, ["search.off", "search.team", "shop.team"]);
    for (path, status) in [
        ("/api/v1/flags/search.team", 200),
        ("/api/v1/flags/shop.team", 403),
        ("/api/v1/flags/nothing", 403),
        ("/api/v1/services/search", 200),
        ("/api/v1/services/shop", 403),
        ("/api/v1/openapi.json", 200),
        ("/api/v1/status", 403),
        ("/api/v1/log", 403),
        ("/api/v1/segments", 403),
        ("/api/v1/segments/Team", 403),
    ] {
        let answer = gateway.admin_send(of_search(get(path))).await;
        assert_eq!(answer.status, status, "{path} {answer:?}");
    }
    for (document, status) in [
        (json!({ "path": "/x", "user_id": "u1" }), 200),
        (json!({ "path": "/shop/x", "user_id": "u1" }), 403),
        (json!({ "flag": "search.team" }), 200),
        (json!({ "flag": "shop.team" }), 403),
    ] {
        let call = post("/api/v1/explain", document.to_string());
        let answer = gateway.admin_send(of_search(call)).await;
        assert_eq!(answer.status, status, "{document} {answer:?}");
    }
}

#[tokio::test]
async fn a_stream_of_events_tells_of_the_tokens_services_alone() {
    let (stable, gateway) = start().await;
    let mut stream = Raw::open(gateway.admin_address()).await;
    let request = "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer a-token-for-search-alone\r\n\r\n";
    stream.write(request.as_bytes()).await;
    stream.read_until(b"event: connected").await;
    let document = json!({ "url": stable.url(), "rings": [{ "name": "all" }] });
    for service in ["shop", "search"] {
        let kill = format!("/api/v1/services/{service}/canaries/{service}.team/kill");
        let flag = put(&format!("/api/v1/flags/{service}.kept"), &document);
        for call in [post(&kill, ""), flag, ring(&format!("{service}.kept"))] {
            let answer = gateway.admin_send(of_all(call)).await;
            assert!(matches!(answer.status, 200 | 201), "{answer:?}");
        }
    }
    // The last of all that was done.
    let told = stream.read_until(b"\"action\":\"ring\"").await;
    let told = String::from_utf8(told).expect("UTF-8");
    assert!(
        told.contains("search.team") && told.contains("search.kept"),
        "{told}"
    );
    assert!(!told.contains("shop"), "{told}");
}
