//! What is let in, route by route: how often, from where, how large.

mod browsers;
mod errors;
mod floods;
mod rates;

use serde_json::json;

use crate::harness::{Gateway, Origin, assert_has, fill, get, post};

/// Starts a gateway with these routes to an origin called `origin`; users are named by a header, and loopback is trusted to
/// name clients.
async fn start(routes: &str) -> (Origin, Gateway) {
    let origin = Origin::start("origin").await;
    let gateway = Gateway::start(config(routes, &origin)).await;
    (origin, gateway)
}

/// Starts a gateway with this whole file, and an origin called `origin`.
async fn start_with(template: &str) -> (Origin, Gateway) {
    let origin = Origin::start("origin").await;
    let gateway = Gateway::start(fill(template, [&origin])).await;
    (origin, gateway)
}

fn config(routes: &str, origin: &Origin) -> String {
    let template = format!(
        "
server: {{ threads: 1, shutdown_delay: 1ms, trusted_proxies: [127.0.0.0/8] }}
services: {{ search: @origin }}
identity: {{ user_id: [{{ header: x-user-id, trust: anyone }}] }}
routes:
{routes}
"
    );
    fill(&template, [origin])
}

#[tokio::test]
async fn a_route_says_whether_websockets_may_be_opened() {
    let (origin, gateway) = start(
        "
  - { path: /, service: search }
  - { path: /closed, service: search, upgrade: [] }
",
    )
    .await;
    let asked = async |path: &str, upgrade: &str| {
        let mut client = gateway.open_raw().await;
        let head = format!("GET {path} HTTP/1.1\r\nHost: a.example.com\r\n{upgrade}\r\n");
        client.write(head.as_bytes()).await;
        let head = client.read_until(b"\r\n\r\n").await;
        String::from_utf8_lossy(&head[9..12]).into_owned()
    };
    const WEBSOCKET: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    assert_eq!(asked("/ws", WEBSOCKET).await, "101");
    assert_eq!(asked("/closed", WEBSOCKET).await, "403");
    let several = "Connection: keep-alive, upgrade\r\nUpgrade: h2c, WebSocket\r\n";
    assert_eq!(asked("/closed", several).await, "403");
    // It was meant for a hop before this one.
    assert_eq!(asked("/closed", "Upgrade: websocket\r\n").await, "200");
    for path in ["/open", "/closed"] {
        let other =
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n";
        assert_eq!(asked(path, other).await, "200");
        assert_eq!(origin.last().header("upgrade"), None);
    }
    let line = gateway.await_access_log_of("/closed").await;
    assert_has(
        &line,
        &json!({ "status": 403, "service": null, "upstream": null }),
    );
}

#[tokio::test]
async fn a_route_lets_in_the_networks_that_it_names() {
    let (origin, gateway) = start(
        "
  - { path: /inside, service: search, allow: [10.0.0.0/8, 2001:db8::/32], deny: [10.66.0.0/16] }
  - { path: /pong, respond: { body: pong }, deny: [127.0.0.0/8, 203.0.113.0/24] }
  - { path: /, service: search }
",
    )
    .await;
    let mut h2 = gateway.connect_h2c().await;
    for (path, forwarded, status) in [
        ("/inside", "10.1.2.3", 200),
        ("/inside", "::ffff:10.1.2.3", 200),
        ("/inside", "2001:db8::7", 200),
        ("/inside", "10.66.1.1", 403),
        ("/inside", "192.0.2.1", 403),
        // The nearest that no trusted proxy vouches for counts.
        ("/inside", "10.1.2.3, 192.0.2.1", 403),
        ("/inside", "192.0.2.1, 10.1.2.3, 127.0.0.1", 200),
        ("/inside", "nonsense", 403),
        ("/pong", "203.0.113.9", 403),
        ("/pong", "10.1.2.3", 200),
        ("/free", "203.0.113.9", 200),
    ] {
        let call = get(path).header("x-forwarded-for", forwarded);
        for answer in [gateway.send(call.clone()).await, h2.send(call).await] {
            assert_eq!(answer.status, status, "{path} {forwarded}");
            assert!(!answer.text().contains("10."), "{}", answer.text());
        }
    }
    assert_eq!(gateway.send(get("/inside")).await.status, 403);
    let line = gateway.await_access_log_of("/inside").await;
    assert_has(&line, &json!({ "route": "/inside" }));
    assert_eq!(origin.count(), 2 * 5);
}

#[tokio::test]
async fn an_address_is_believed_from_trusted_proxies_only() {
    let origin = Origin::start("origin").await;
    let routes = "  - { path: /, service: search, allow: [10.0.0.0/8] }";
    let config = config(routes, &origin).replace("trusted_proxies: [127.0.0.0/8]", "");
    let gateway = Gateway::start(config).await;
    let lie = get("/").header("x-forwarded-for", "10.1.2.3");
    assert_eq!(gateway.send(lie).await.status, 403);
    assert_eq!(origin.count(), 0);
}

#[tokio::test]
async fn a_body_is_as_large_as_its_route_allows() {
    let (origin, gateway) = start(
        "
  - { path: /small, service: search, body_bytes: 1KiB }
  - { path: /pong, respond: { body: pong }, body_bytes: 1KiB }
  - { path: /, service: search }
",
    )
    .await;
    let (exact, large) = (vec![b'x'; 1024], vec![b'x'; 1025]);
    let pieces = |path: &str, body: &[u8]| {
        let pieces: Vec<_> = body
            .chunks(100)
            .map(bytes::Bytes::copy_from_slice)
            .collect();
        post(path, "").chunks(pieces)
    };
    for (path, body, status) in [
        ("/small", &exact, 200),
        ("/small", &large, 413),
        ("/big", &large, 200),
    ] {
        for call in [post(path, body.clone()), pieces(path, body)] {
            let mut h2 = gateway.connect_h2c().await;
            for answer in [gateway.send(call.clone()).await, h2.send(call).await] {
                assert_eq!(answer.status, status, "{path}: {answer:?}");
            }
        }
    }
    assert_eq!(gateway.send(post("/pong", large.clone())).await.status, 413);
    let whole = origin.requests().into_iter();
    assert_eq!(
        whole.filter(|request| request.target == "/small").count(),
        4
    );
}
