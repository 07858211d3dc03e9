//! Which route takes a request, and what a route does with it.

use http::Method;
use serde_json::json;

use crate::harness::{Call, Gateway, Origin, assert_has, fill, get, post};

const MATCHING: &str = r#"
services: { unused: http://127.0.0.1:9 }
routes:
  - { path: /a, respond: { status: 200, body: any host } }
  - { hosts: ["*.example.com"], path: /a, respond: { status: 200, body: wildcard } }
  - { hosts: ["*.b.example.com"], path: /a, respond: { status: 200, body: longer wildcard } }
  - { hosts: [api.example.com, www.example.com], path: /a, respond: { status: 200, body: exact host } }
  - { path: /e, respond: { status: 200, body: prefix } }
  - { path: /e/x/y, respond: { status: 200, body: longer prefix } }
  - { path: { regex: "/e/[a-z]+" }, respond: { status: 200, body: regex } }
  - { path: { regex: "/e/[a-w]+" }, respond: { status: 200, body: later regex } }
  - { path: { exact: /e/x }, respond: { status: 200, body: exact path } }
  - { path: /m, respond: { status: 200, body: any method } }
  - { path: /m, methods: [POST, PUT], respond: { status: 200, body: method } }
  - { path: /h, respond: { status: 200, body: no header } }
  - { path: /h, headers: { x-api: v2 }, respond: { status: 200, body: header } }
  - { path: /h, headers: { x-api: { regex: "v[3-9]" } }, respond: { status: 200, body: header regex } }
  - { path: /h, headers: { x-api: v2, x-b: { present: true } }, respond: { status: 200, body: two headers } }
  - { path: /q, respond: { status: 200, body: no query } }
  - { path: /q, query: { a: "1" }, respond: { status: 200, body: query } }
  - { path: /q, query: { a: "1", b: { present: true } }, respond: { status: 200, body: two queries } }
  - { path: /q, query: { c: { regex: "[0-9]+" } }, respond: { status: 200, body: query regex } }
"#;

#[tokio::test]
async fn the_most_specific_route_takes_a_request() {
    let gateway = Gateway::start(MATCHING).await;
    let mut connection = gateway.connect().await;
    let h = |value: &str| get("/h").header("x-api", value);
    let put = |path: &str| Call::new(Method::PUT, path);
    for (call, expected) in [
        (get("/a"), "exact host"),
        (get("/a").host("www.example.com"), "exact host"),
        (get("/a").host("API.Example.COM:8080"), "exact host"),
        (get("/a").host("x.example.com"), "wildcard"),
        (get("/a").host("x.y.example.com"), "wildcard"),
        (get("/a").host("x.b.example.com"), "longer wildcard"),
        (get("/a").host("b.example.com"), "wildcard"),
        (get("/a").host("example.com"), "any host"),
        (get("/a").host("example.org"), "any host"),
        (get("/a/b/c"), "exact host"),
        (get("/a/"), "exact host"),
        (get("/a?x=y"), "exact host"),
        // A host's own routes come first, but do not hide those of every host.
        (get("/e/x"), "exact path"),
        (get("/e/abc"), "regex"),
        (get("/e/x/y/z"), "longer prefix"),
        (get("/e/x/yz"), "prefix"),
        (get("/e/1"), "prefix"),
        (get("/m"), "any method"),
        (post("/m", ""), "method"),
        (put("/m/x"), "method"),
        (get("/h"), "no header"),
        (h("v2"), "header"),
        (h("v1"), "no header"),
        (h("v22"), "no header"),
        (h("v7"), "header regex"),
        (h("v77"), "no header"),
        (h("v1").header("x-api", "v2"), "header"),
        (h("v2").header("x-b", ""), "two headers"),
        (get("/q"), "no query"),
        (get("/q?a=1"), "query"),
        (get("/q?a=%31"), "query"),
        (get("/q?a=2"), "no query"),
        (get("/q?a=1&b"), "two queries"),
        (get("/q?c=12"), "query regex"),
        (get("/q?c=1x"), "no query"),
    ] {
        let shown = format!("{call:?}");
        let answer = connection.send(call).await;
        assert_eq!((answer.status, answer.text()), (200, expected), "{shown}");
    }
    for call in [get("/"), get("/ab"), get("/e1"), get("/A"), put("/zzz")] {
        let shown = format!("{call:?}");
        assert_eq!(connection.send(call).await.status, 404, "{shown}");
    }
    let labels = [("service", "-"), ("code", "404")];
    gateway
        .await_metric("serin_requests_total", &labels, 5.0)
        .await;
    let line = gateway.await_access_log_of("/zzz").await;
    let expected = json!({
        "status": 404, "route": null, "service": null, "assigned": null, "served": null,
    });
    assert_has(&line, &expected);
}

#[tokio::test]
async fn paths_are_matched_as_servers_would_read_them() {
    let gateway = Gateway::start(MATCHING).await;
    let mut connection = gateway.connect().await;
    for path in [
        "/%61",
        "/%61/b",
        "//a",
        "/x/../a",
        "/x/%2e%2e/a",
        "/x/%2E./a",
        "/./a",
        "/e/..//a",
    ] {
        let answer = connection.send(get(path)).await;
        assert_eq!(
            (answer.status, answer.text()),
            (200, "exact host"),
            "{path}"
        );
    }
    // Nobody can know how the server behind would read these.
    for path in [
        "/a%00", "/a%2fb", "/a%2Fb", "/a%5cb", "/a%5C", "/a%", "/a%2", "/a%zz",
    ] {
        let answer = connection.send(get(path)).await;
        assert_eq!(answer.status, 400, "{path}: {answer:?}");
    }
    // Above the root there is nothing.
    for path in ["/../a", "/%2e%2e/a"] {
        let answer = connection.send(get(path)).await;
        assert!([200, 400].contains(&answer.status), "{path}: {answer:?}");
    }
    // In a query they mean nothing.
    assert_eq!(connection.send(get("/a?x=%2f%00%zz")).await.status, 200);
}

#[tokio::test]
async fn a_malformed_request_is_refused() {
    let gateway = Gateway::start(MATCHING).await;
    for (what, head) in [
        ("no host", "GET /a HTTP/1.1\r\nConnection: close"),
        (
            "two hosts",
            "GET /a HTTP/1.1\r\nConnection: close\r\nHost: a\r\nHost: b",
        ),
        (
            "a list of hosts",
            "GET /a HTTP/1.1\r\nConnection: close\r\nHost: a, b",
        ),
        (
            "a path in the host",
            "GET /a HTTP/1.1\r\nConnection: close\r\nHost: a/x",
        ),
        (
            "two lengths",
            "POST /a HTTP/1.1\r\nConnection: close\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 1",
        ),
        (
            "a list of lengths",
            "POST /a HTTP/1.1\r\nConnection: close\r\nHost: a\r\nContent-Length: 0, 0",
        ),
    ] {
        let answer = gateway.raw(format!("{head}\r\n\r\n")).await;
        assert_eq!(answer.status(), 400, "{what}: {}", answer.text());
    }
    let fine = "GET /a HTTP/1.1\r\nConnection: close\r\nHost: a\r\n\r\n";
    assert_eq!(gateway.raw(fine).await.status(), 200);
}

#[tokio::test]
async fn a_request_is_rewritten_on_its_way() {
    let (search, own) = (Origin::start("search").await, Origin::start("own").await);
    let config = fill(
        "
services:
  search: { stable: @search }
  own: { stable: @own, preserve_host: false }
routes:
  - { path: /plain, service: search }
  - { path: /api, service: search, rewrite: { prefix: / } }
  - { path: /old, service: search, rewrite: { prefix: /new/v2 } }
  - { path: { exact: /one }, service: search, rewrite: { prefix: /two } }
  - { path: /own, service: own }
",
        [&search, &own],
    );
    let gateway = Gateway::start(config).await;
    for (path, target) in [
        ("/plain/a%20b?c=d%2f", "/plain/a%20b?c=d%2f"),
        ("/api/x?q=1", "/x?q=1"),
        ("/api", "/"),
        ("/api?x", "/?x"),
        ("/api/", "/"),
        ("/old/x/y", "/new/v2/x/y"),
        ("/old", "/new/v2"),
        ("/one?a", "/two?a"),
    ] {
        gateway.send(get(path)).await.assert_from("search");
        assert_eq!(search.last().target, target, "{path}");
        assert_eq!(search.last().host, "api.example.com");
    }
    gateway.send(get("/own")).await.assert_from("own");
    assert_eq!(own.last().host, own.address().to_string());
    let line = gateway.await_access_log_of("/api/x").await;
    assert_has(
        &line,
        &json!({ "route": "/api", "service": "search", "status": 200 }),
    );
}

#[tokio::test]
async fn headers_are_edited_both_ways() {
    let stable = Origin::start("stable").await;
    stable.answer(|_| {
        crate::harness::Reply::status(200)
            .header("x-a", "up")
            .header("x-gone", "1")
    });
    let config = fill(
        "
services: { search: @stable }
routes:
  - path: /
    service: search
    request_headers:
      set: { x-set: gateway }
      add: { x-many: more }
      remove: [x-gone]
    response_headers:
      set: { x-a: down }
      add: { x-b: both }
      remove: [x-gone]
  - path: /ping
    respond: { status: 200, body: pong }
    response_headers: { set: { cache-control: no-store } }
",
        [&stable],
    );
    let gateway = Gateway::start(config).await;
    let call = get("/x")
        .header("x-set", "client")
        .header("x-many", "one")
        .header("x-gone", "1");
    let answer = gateway.send(call).await;
    answer.assert_from("stable");
    assert_eq!(answer.header("x-a"), Some("down"));
    assert_eq!(answer.header("x-b"), Some("both"));
    assert_eq!(answer.header("x-gone"), None);
    let seen = stable.last();
    assert_eq!(seen.all("x-set"), ["gateway"]);
    assert_eq!(seen.all("x-many"), ["one", "more"]);
    assert_eq!(seen.header("x-gone"), None);
    let answer = gateway.send(get("/ping")).await;
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn a_route_can_answer_by_itself() {
    let config = "
services: { unused: http://127.0.0.1:9 }
routes:
  - { path: /old, redirect: { to: /search, status: 308 } }
  - { path: /older, redirect: { to: 'https://www.example.com/new', status: 301 } }
  - { path: /oldest, redirect: { to: / } }
  - { path: /ping, respond: { status: 200, body: pong } }
  - { path: /gone, respond: { status: 410, body: '' } }
";
    let gateway = Gateway::start(config).await;
    for (path, status, location) in [
        ("/old", 308, "/search"),
        ("/old/x?q=1", 308, "/search/x?q=1"),
        ("/older/x?q", 301, "https://www.example.com/new/x?q"),
        ("/oldest/x", 308, "/x"),
        ("/oldest", 308, "/"),
        // Never to another host, whatever the path looks like.
        ("/oldest//evil.example.com", 308, "/evil.example.com"),
    ] {
        let answer = gateway.send(get(path)).await;
        assert_eq!(
            (answer.status, answer.header("location")),
            (status, Some(location)),
            "{path}"
        );
    }
    let answer = gateway.send(get("/ping")).await;
    assert_eq!((answer.status, answer.text()), (200, "pong"));
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(answer.header("content-length"), Some("4"));
    let answer = gateway.send(Call::new(Method::HEAD, "/ping")).await;
    assert_eq!((answer.status, answer.text()), (200, ""));
    // The body of a request that is answered here does not end up before the next request.
    let mut connection = gateway.connect().await;
    let answer = connection.send(post("/ping", vec![b'x'; 20_000])).await;
    assert_eq!((answer.status, answer.text()), (200, "pong"));
    if !connection.is_closed() {
        assert_eq!(connection.send(get("/gone")).await.status, 410);
    }
}

#[tokio::test]
async fn a_route_and_a_service_have_their_patience() {
    let (quick, slow) = (Origin::start("quick").await, Origin::start("slow").await);
    let config = fill(
        "
services:
  quick: @quick
  slow: @slow
  hasty: { stable: @slow, timeouts: { response: 200ms } }
routes:
  - { path: /quick, service: quick, timeout: 200ms }
  - { path: /slow, service: slow, timeout: 200ms }
  - { path: /hasty, service: hasty }
",
        [&quick, &slow],
    );
    let gateway = Gateway::start(config).await;
    slow.hold();
    gateway.send(get("/quick")).await.assert_from("quick");
    for path in ["/slow", "/hasty"] {
        let answer = gateway.send(get(path)).await;
        assert_eq!((answer.status, answer.origin()), (504, "-"), "{path}");
        let line = gateway.await_access_log_of(path).await;
        assert_has(&line, &json!({ "status": 504, "cause": "timeout" }));
    }
    assert_eq!(slow.count(), 2, "a request that arrived is not sent twice");
}
