//! Paths and queries: what is compared, and what is sent on.

use http::Method;

use crate::harness::{Call, Gateway, Origin, fill, get};

const ROUTES: &str = "
services: { api: @api, files: @files, web: @web }
routes:
  - { path: /api, service: api }
  - { path: /static, service: files }
  - { path: /internal, respond: { status: 403, body: internal } }
  - { path: /admin, respond: { status: 403, body: admin } }
  - { path: /café, respond: { status: 200, body: café } }
  - { path: /th%C3%A9, respond: { status: 200, body: thé } }
  - { path: { exact: /a%20b }, respond: { status: 200, body: space } }
  - { path: { regex: '/r/[a-zß]+ x' }, respond: { status: 200, body: regex } }
  - { path: /v1, service: files, rewrite: { prefix: / } }
  - { path: /v2, service: files, rewrite: { prefix: /nouveauté } }
  - { path: /old, redirect: { to: / } }
  - { hosts: [one.example.com], service: web, rewrite: { prefix: /app } }
  - { hosts: [web.example.com], service: web }
";

async fn started() -> (Gateway, [Origin; 3]) {
    let origins = [
        Origin::start("api").await,
        Origin::start("files").await,
        Origin::start("web").await,
    ];
    let [api, files, web] = &origins;
    let gateway = Gateway::start(fill(ROUTES, [api, files, web])).await;
    (gateway, origins)
}

#[tokio::test]
async fn what_every_server_would_route_alike_passes_as_sent() {
    let (gateway, [api, files, _web]) = started().await;
    for path in [
        "/api/v4/projects/group%2Fproject/repository",
        "/api/@scope%2fpackage",
        "/api/_matrix/room/%23room%3Aexample.com",
        "/api/windows%5Cpath",
        "/api/a;b=c/d;e",
        "/api/%41//b/./c%252Fd",
        "/api/x/..;/y",
        "/%61pi/x",
        "//api/x",
        "/static/../api/x",
    ] {
        let answer = gateway.send(get(path)).await;
        assert_eq!(answer.origin(), "api", "{path}: {answer:?}");
        assert_eq!(api.last().target, path);
    }
    // Within one route it is for its service to say what it means.
    let path = "/static/a%2F..%2Fb";
    gateway.send(get(path)).await.assert_from("files");
    assert_eq!(files.last().target, path);
    // And as a whole with one route for everything.
    let path = "/a%2F..%2F..%2Fadmin%5C..%5C/..;x/b";
    let call = get(path).host("web.example.com");
    gateway.send(call).await.assert_from("web");
}

#[tokio::test]
async fn what_servers_would_route_apart_is_refused() {
    let (gateway, origins) = started().await;
    for path in [
        // A slash for those who decode first.
        "/static%2F..%2Fadmin",
        "/static/..%2Fadmin",
        "/static/..%2fadmin/x",
        "/static/%2e%2e%2Fadmin",
        "/static%2Fx",
        "/api%2F..%2Fstatic",
        "/x%2F..%2Fadmin",
        // A backslash.
        "/static/..%5Cadmin",
        "/static/..%5c..%5Cadmin",
        "/static\\..\\admin",
        // Parameters behind dots, and in disguise.
        "/static/..;/admin",
        "/static/..;a=b/admin",
        "/static/%2E%2e;/admin",
        "/admin%3Bx",
        // Empty segments, merged before dot segments are resolved or not.
        "/internal//../static",
        "/internal/;/../static",
        "/internal%2F%2F../static/x",
        // What ends the path for some servers, and what is no escape.
        "/static%00",
        "/static/x%00.png",
        "/static%",
        "/static%2",
        "/static%zz",
        "/api/%2",
    ] {
        let answer = gateway.send(get(path)).await;
        assert_eq!(answer.status, 400, "{path}: {answer:?}");
    }
    for origin in &origins {
        assert_eq!(origin.count(), 0);
    }
}

#[tokio::test]
async fn a_path_is_compared_decoded_and_without_parameters() {
    let (gateway, _origins) = started().await;
    for (path, body) in [
        ("/caf%C3%A9", "café"),
        ("/caf%c3%a9/x", "café"),
        ("/th%C3%A9", "thé"),
        ("/a%20b", "space"),
        ("/r/gro%C3%9F%20x", "regex"),
        ("/admin;a=b", "admin"),
        ("/admin;a=b/x", "admin"),
        ("/x/../admin;", "admin"),
        ("/;x/admin", "admin"),
    ] {
        let answer = gateway.send(get(path)).await;
        assert_eq!(answer.text(), body, "{path}: {answer:?}");
    }
    let raw = "GET /caf\u{e9} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = gateway.raw(raw.to_owned()).await;
    assert!(answer.text().contains("café"), "{}", answer.text());
}

#[tokio::test]
async fn a_rewrite_replaces_the_prefix_and_nothing_else() {
    let (gateway, [_api, files, web]) = started().await;
    for (path, target) in [
        ("/v1/x", "/x"),
        ("/v1", "/"),
        ("/v1?q=%41", "/?q=%41"),
        ("/v1/%41/b//c/./d%2Fe?x=%2f", "/%41/b//c/./d%2Fe?x=%2f"),
        ("/v1//x", "//x"),
        ("/%76%31/%7Euser", "/%7Euser"),
        ("/x/../v1/y/../z", "/y/../z"),
        ("/v1;a=b/c;d", "/c;d"),
        ("/v2/caf%c3%a9", "/nouveaut%C3%A9/caf%c3%a9"),
        ("/v2", "/nouveaut%C3%A9"),
    ] {
        gateway.send(get(path)).await.assert_from("files");
        assert_eq!(files.last().target, target, "{path}");
    }
    for (path, target) in [
        ("/x//%41", "/app/x//%41"),
        ("/../x", "/app/x"),
        ("/a/../../x", "/app/x"),
    ] {
        let call = get(path).host("one.example.com");
        gateway.send(call).await.assert_from("web");
        assert_eq!(web.last().target, target, "{path}");
    }
    // The same route either way, but behind another prefix another place.
    for (host, path) in [
        ("api.example.com", "/v2/x%2F..%2F..%2Fv2/y"),
        ("one.example.com", "/..%2Fx"),
        ("one.example.com", "/..;/x"),
        ("one.example.com", "/a/..%5C..%5Cx"),
    ] {
        let answer = gateway.send(get(path).host(host)).await;
        assert_eq!(answer.status, 400, "{path}: {answer:?}");
    }
}

#[tokio::test]
async fn a_redirect_never_leads_to_another_host() {
    let (gateway, _origins) = started().await;
    for (path, location) in [
        ("/old/x/%41%2Fb?q=1", "/x/%41%2Fb?q=1"),
        ("/old//evil.example.com", "/evil.example.com"),
        ("/old///evil.example.com/x", "/evil.example.com/x"),
        ("/old/\\evil.example.com", "/evil.example.com"),
    ] {
        let answer = gateway.send(get(path)).await;
        assert_eq!(answer.header("location"), Some(location), "{path}");
    }
}

const QUERIES: &str = r#"
services: { web: { stable: @web, canaries: ["web.*"] } }
identity:
  user_id: [{ query: "u[id]", trust: anyone }]
flags:
  web.one: { url: @one, rings: [{ name: some, when: { userId: ["ann b"] } }] }
routes:
  - { path: /q, query: { "a[]": "x y" }, respond: { status: 200, body: list } }
  - { path: /q, query: { "a[]": { regex: "[é]+" } }, respond: { status: 200, body: regex } }
  - { path: /q, respond: { status: 200, body: other } }
  - { path: /, service: web }
"#;

#[tokio::test]
async fn a_query_is_compared_decoded_and_passes_as_sent() {
    let (web, one) = (Origin::start("web").await, Origin::start("one").await);
    let gateway = Gateway::start(fill(QUERIES, [&web, &one])).await;
    for (path, body) in [
        ("/q?a%5B%5D=x%20y", "list"),
        ("/q?a%5b%5d=x+y", "list"),
        ("/q?a[]=x+y", "list"),
        ("/q?b&a[]=%C3%A9", "regex"),
        ("/q?a=x%20y", "other"),
        ("/q?a%5B%5D=x%2By", "other"),
        ("/q?a%255B%255D=x+y", "other"),
    ] {
        let answer = gateway.send(get(path)).await;
        assert_eq!(answer.text(), body, "{path}");
    }
    for path in [
        "/?u%5Bid%5D=ann+b",
        "/?u[id]=ann%20b",
        "/?x=%2f%00%zz&u%5bid]=ann+b&[]{}|^'`",
    ] {
        let call = Call::new(Method::GET, path);
        gateway.send(call).await.assert_from("one");
        assert_eq!(one.last().target, path);
    }
    gateway.send(get("/?u=ann")).await.assert_from("web");
}

#[tokio::test]
async fn a_target_that_no_uri_can_hold_passes_encoded() {
    let web = Origin::start("web").await;
    let config = fill(
        "services: { web: @web }\nroutes: [{ service: web }]\n",
        [&web],
    );
    let gateway = Gateway::start(config).await;
    let head = |target: &[u8], more: &str| {
        let more = format!(" HTTP/1.1\r\nHost: a\r\n{more}\r\n");
        [b"GET ", target, more.as_bytes()].concat()
    };
    let long = [b"/?".to_vec(), vec![b'<'; 9000]].concat();
    let encoded = format!("/?{}", "%3C".repeat(9000));
    for (target, expected) in [
        (
            &b"/?q=\"<b>\"&r=`|^{}[]~'\\"[..],
            "/?q=%22%3Cb%3E%22&r=`|^{}[]~'\\",
        ),
        (b"/a<b>`\"", "/a%3Cb%3E%60\""),
        (b"/caf\xe9?\xff", "/caf%E9?%FF"),
        (b"http://a/?<", "/?%3C"),
        (&long, &encoded),
    ] {
        let answer = gateway.raw(head(target, "Connection: close\r\n")).await;
        let shown = target.escape_ascii().to_string();
        assert_eq!(answer.status(), 200, "{shown}: {}", answer.text());
        assert_eq!(web.last().target, expected, "{shown}");
    }
    // Of every request on a connection, and of none's header fields.
    let both = [
        head(b"/?<1", "x-a: <\"\r\n"),
        head(b"/?<2", "x-a: <\"\r\nConnection: close\r\n"),
    ];
    let before = web.count();
    let answer = gateway.raw(both.concat()).await;
    assert_eq!(
        answer.text().matches("HTTP/1.1 200").count(),
        2,
        "{}",
        answer.text()
    );
    let seen = &web.requests()[before..];
    let targets: Vec<&str> = seen.iter().map(|request| request.target.as_str()).collect();
    assert_eq!(targets, ["/?%3C1", "/?%3C2"]);
    assert!(
        seen.iter()
            .all(|request| request.header("x-a").as_deref() == Some("<\""))
    );
    // Spaces and controls are no part of a target.
    for target in [&b"/?< >"[..], b"/?<\x01", b"/?<\x7f"] {
        let answer = gateway.raw(head(target, "Connection: close\r\n")).await;
        assert_eq!(answer.status(), 400, "{}", target.escape_ascii());
    }
}
