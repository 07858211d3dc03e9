//! What Serin's own errors say: enough to report, nothing about the inside.

use http::Method;

use super::start_with;
use crate::harness::{Answer, Call, Gateway, Origin, get, post};

const CONFIG: &str = "
server: { threads: 1, shutdown_delay: 1ms, limits: { body_bytes: 1KiB, header_bytes: 4KiB }, timeouts: { header_read: 300ms } }
services:
  inner-dead: { stable: http://127.0.0.1:1, timeouts: { connect: 1s } }
  inner-slow: { stable: @origin, timeouts: { response: 300ms } }
  inner-full: { stable: @origin, max_requests: 1, queue: { wait: 300ms } }
  inner-lost: http://inner-host.invalid:7777
identity:
  user_id: [{ jwt: { secret: 0123456789abcdef0123456789abcdef, algorithms: [HS256], from: { header: authorization } } }]
routes:
  - { path: /dead, service: inner-dead }
  - { path: /slow, service: inner-slow }
  - { path: /full, service: inner-full }
  - { path: /lost, service: inner-lost }
  - { path: /mine, service: inner-slow, auth: required }
  - { path: /denied, service: inner-slow, deny: [127.0.0.0/8] }
  - { path: /often, respond: { body: pong }, rate_limit: { per: route, requests: 1, window: 1h } }
";

/// What tells of the inside: addresses and ports of upstreams, names of services and hosts, and what the gateway is made of.
fn inside(origin: &Origin) -> Vec<String> {
    let port = origin.port().to_string();
    let words = [
        "inner",
        "127.0.0.1",
        port.as_str(),
        "7777",
        "serin",
        "pingora",
        "rust",
        "hyper",
        "stable",
        "0.1.0",
        "panicked",
        ".rs:",
    ];
    words.map(str::to_owned).to_vec()
}

fn assert_tells_nothing(what: &str, text: &str, origin: &Origin) {
    let text = text.to_ascii_lowercase();
    // A random number may have any digits.
    let lines = text
        .lines()
        .filter(|line| !line.starts_with("x-request-id"));
    let text = lines.collect::<Vec<_>>().join("\n");
    for word in inside(origin) {
        assert!(!text.contains(&word), "{what} tells `{word}`:\n{text}");
    }
    for name in ["\nserver:", "\nvia:", "\nx-powered-by:"] {
        assert!(!text.contains(name), "{what} has{name}\n{text}");
    }
}

/// An answer as a client of HTTP/1.1 would see it.
fn shown(answer: &Answer) -> String {
    let fields = answer.headers.iter();
    let fields = fields.map(|(name, value)| format!("{name}: {}\n", value.to_str().expect("text")));
    format!("\n{}\n{}", fields.collect::<String>(), answer.text())
}

#[tokio::test]
async fn no_error_tells_of_the_inside() {
    let (origin, gateway) = start_with(CONFIG).await;
    origin.hold();
    let mut held = gateway.connect().await;
    let first = tokio::spawn(async move { held.try_send(get("/full/first")).await });
    origin.await_requests(1).await;
    gateway.send(get("/often")).await;
    let large = vec![b'x'; 2048];
    let calls: [(u16, _); 12] = [
        (400, get("/a%00b")),
        (401, get("/mine")),
        (401, get("/mine").header("authorization", "Bearer a.b.c")),
        (403, get("/denied")),
        (404, get("/nowhere")),
        (413, post("/slow", large.clone())),
        (429, get("/often")),
        (431, get("/slow").header("x-long", &"x".repeat(4096))),
        (502, get("/dead")),
        (503, get("/full/second")),
        (503, get("/lost")),
        (504, get("/slow")),
    ];
    for (status, call) in calls {
        let what = format!("{status} {call:?}");
        let answer = gateway.send(call.clone()).await;
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        assert_tells_nothing(&what, &shown(&answer), &origin);
        let mut h2 = gateway.connect_h2c().await;
        let answer = h2.send(call.clone()).await;
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        assert_tells_nothing(&what, &shown(&answer), &origin);
        let grpc = call.header("content-type", "application/grpc");
        let answer = gateway.connect_h2c().await.send(grpc).await;
        assert_tells_nothing(&what, &shown(&answer), &origin);
    }
    raw_errors(&gateway, &origin).await;
    origin.release();
    first.await.expect("no panic").expect("an answer");
}

/// What is answered before there is a request.
async fn raw_errors(gateway: &Gateway, origin: &Origin) {
    let endless = format!("GET /slow HTTP/1.1\r\nx-long: {}", "x".repeat(20_000));
    for (status, bytes) in [
        (400, "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
        (400, "no request at all\r\n\r\n"),
        (
            400,
            "POST /slow HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        ),
        (405, "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n"),
        (408, "GET / HTTP/1.1\r\nHost: a\r\n"),
        (431, endless.as_str()),
    ] {
        let answer = gateway.raw(bytes).await;
        assert_eq!(answer.status(), status, "{bytes:.60}: {}", answer.text());
        assert_tells_nothing(bytes.get(..20).unwrap_or_default(), &answer.text(), origin);
    }
    let connect = Call::new(Method::CONNECT, "");
    let mut h2 = gateway.connect_h2c().await;
    let answer = h2.send(connect).await;
    assert_eq!(answer.status, 405);
    assert_tells_nothing("CONNECT", &shown(&answer), origin);
}
