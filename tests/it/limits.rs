//! What one client may take: `server.limits` and `server.timeouts`.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::wire::WireStream;
use crate::harness::{
    Call, Gateway, Origin, Reply, assert_has, eventually, fill, get, in_time, outlast, pause, post,
    until,
};

fn config(server: &str, origin: &Origin) -> String {
    let template = format!(
        "
server: {{ threads: 1, shutdown_delay: 1ms, {server} }}
services: {{ search: @origin }}
routes: [{{ path: /, service: search }}]
"
    );
    fill(&template, [origin])
}

async fn start(server: &str) -> (Origin, Gateway) {
    let origin = Origin::start("origin").await;
    let gateway = Gateway::start(config(server, &origin)).await;
    (origin, gateway)
}

/// How many requests that no route took were answered with this status.
fn refused(code: &str) -> [(&str, &str); 2] {
    [("service", "-"), ("code", code)]
}

/// Fails when a limit ended something before its time. That it ended it at all is what the test has waited for, and no
/// other limit of these tests is as short.
fn assert_not_before(expected_ms: u64, begun: Instant) {
    let (took, expected) = (begun.elapsed(), Duration::from_millis(expected_ms));
    // A deadline is never early, but for the clock's grain.
    let early = expected - Duration::from_millis(5);
    assert!(took >= early, "{took:?}");
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let (origin, gateway) = start("limits: { header_bytes: 2KiB, headers: 10 }").await;
    let filler = |bytes: usize| "x".repeat(bytes);
    let many = |count: usize| {
        (0..count).fold(get("/many"), |call, n| {
            call.header("x-many", &n.to_string())
        })
    };
    // Beside `Host`, and `x-` fields that say nothing.
    gateway.send(many(9)).await.assert_from("origin");
    gateway
        .send(get("/fits").header("x-long", &filler(1900)))
        .await
        .assert_from("origin");
    let long = get("/long").header("x-long", &filler(2048));
    let path = get(&format!("/path{}", filler(2048)));
    for (sent, call) in (1..).zip([long.clone(), path, many(10)]) {
        let answer = gateway.send(call.clone()).await;
        assert_eq!((answer.status, answer.origin()), (431, "-"));
        assert_eq!(answer.header("connection"), Some("close"));
        // The host is a header field of HTTP/1.1 only.
        let mut multiplexed = gateway.connect_h2c().await;
        let answer = multiplexed.send(call.header("x-one", "1")).await;
        assert_eq!((answer.status, answer.origin()), (431, "-"));
        gateway
            .await_metric("serin_requests_total", &refused("431"), 2.0 * sent as f64)
            .await;
    }
    let line = gateway.await_access_log_of("/long").await;
    assert_has(&line, &json!({ "status": 431, "service": null }));
    assert_eq!(origin.count(), 2);
}

#[tokio::test]
async fn a_head_without_an_end_is_refused_when_it_is_too_large() {
    let (_origin, gateway) = start("limits: { header_bytes: 8KiB }").await;
    let endless = format!("GET / HTTP/1.1\r\nx-long: {}", "x".repeat(200_000));
    let answer = gateway.raw(&endless).await;
    assert_eq!(answer.status(), 431, "{}", answer.text());
    // Behind another request, too.
    let first = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut connection = gateway.open_raw().await;
    connection.write(first.as_bytes()).await;
    connection.read_until(b"}").await;
    connection.write(endless.as_bytes()).await;
    let answer = connection.read_to_end().await;
    assert!(answer.starts_with(b"HTTP/1.1 431 "));
    gateway
        .await_metric("serin_requests_total", &refused("431"), 2.0)
        .await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let (origin, gateway) = start("limits: { body_bytes: 1MiB }").await;
    let exact = vec![b'x'; 1 << 20];
    let pieces = |body: &[u8]| {
        let pieces = body.chunks(64 << 10).map(Bytes::copy_from_slice);
        Call::new(Method::POST, "/pieces").chunks(pieces.collect::<Vec<_>>())
    };
    gateway
        .send(post("/whole", exact.clone()))
        .await
        .assert_from("origin");
    gateway.send(pieces(&exact)).await.assert_from("origin");
    // One that says how long it is, is refused before it has come; its client still hears so.
    for large in [exact.len() + 1, 10 << 20] {
        let answer = gateway.send(post("/whole", vec![b'x'; large])).await;
        assert_eq!((answer.status, answer.origin()), (413, "-"));
        assert_eq!(answer.header("connection"), Some("close"));
    }
    gateway
        .await_metric("serin_requests_total", &refused("413"), 2.0)
        .await;
    // Of one that does not, the upstream gets no end.
    let large = vec![b'x'; exact.len() + 1];
    let answer = gateway.send(pieces(&large)).await;
    assert_eq!((answer.status, answer.origin()), (413, "-"));
    let mut h2 = gateway.connect_h2c().await;
    for call in [pieces(&large), post("/whole", large.clone())] {
        assert_eq!(h2.send(call).await.status, 413);
    }
    assert_eq!(origin.count(), 2);
    let labels = [("service", "search"), ("served", "-"), ("code", "413")];
    gateway
        .await_metric("serin_requests_total", &labels, 2.0)
        .await;
    let refused = |line: &serde_json::Value| line["path"] == "/pieces" && line["status"] == 413;
    let line = gateway.await_access_log(refused).await;
    assert_has(&line, &json!({ "service": "search", "served": null }));
}

#[tokio::test]
async fn a_connection_without_a_request_is_closed() {
    let (_origin, gateway) = start("timeouts: { idle: 400ms, header_read: 30s }").await;
    let begun = Instant::now();
    assert_eq!(gateway.raw("").await.text(), "");
    assert_not_before(400, begun);

    let mut kept = gateway.connect().await;
    for _ in 0..4 {
        kept.send(get("/")).await.assert_from("origin");
        pause(200).await;
    }
    kept.send(get("/")).await.assert_from("origin");
    let begun = Instant::now();
    until("the end of an idle connection", || {
        kept.is_closed().then_some(())
    })
    .await;
    assert_not_before(400, begun);

    let mut multiplexed = gateway.connect_h2c().await;
    multiplexed.send(get("/")).await.assert_from("origin");
    let begun = Instant::now();
    until("the end of an idle connection", || {
        multiplexed.is_closed().then_some(())
    })
    .await;
    assert_not_before(400, begun);
}

#[tokio::test]
async fn a_request_that_takes_its_time_is_not_idle() {
    let (origin, gateway) = start("timeouts: { idle: 200ms, header_read: 200ms }").await;
    origin.hold();
    let (mut plain, mut multiplexed) = (gateway.connect().await, gateway.connect_h2c().await);
    let both = async { tokio::join!(plain.send(get("/")), multiplexed.send(get("/"))) };
    let release = async {
        origin.await_requests(2).await;
        outlast(gateway.address(), 3).await;
        origin.release();
    };
    let ((one, two), ()) = tokio::join!(both, release);
    one.assert_from("origin");
    two.assert_from("origin");
}

/// Writes an byte now and then, and reads until the gateway closes.
async fn dribble(address: SocketAddr, first: &str) -> String {
    let (mut reader, mut writer) = tokio::io::split(WireStream::connect(address).await);
    writer.write_all(first.as_bytes()).await.unwrap();
    let writing = tokio::spawn(async move {
        while writer.write_all(b"x").await.is_ok() {
            pause(50).await;
        }
    });
    let mut seen = Vec::new();
    // A reset ends the reading; what came before it counts.
    let _ = in_time("the answer", reader.read_to_end(&mut seen)).await;
    writing.abort();
    String::from_utf8(seen).unwrap()
}

#[tokio::test]
async fn a_head_must_come_to_an_end_in_time() {
    let (origin, gateway) = start("timeouts: { header_read: 400ms }").await;
    let begun = Instant::now();
    let answer = dribble(gateway.address(), "GET / HTTP/1.1\r\nHost: a").await;
    assert_not_before(400, begun);
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    // Nor may the second one take longer.
    let two = "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a";
    let answer = dribble(gateway.address(), two).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("HTTP/1.1 408 "), "{answer}");
    // Nor the beginning of HTTP/2.
    let begun = Instant::now();
    assert_eq!(gateway.raw("PRI * HT").await.status(), 408);
    assert_not_before(400, begun);
    gateway
        .await_metric("serin_requests_total", &refused("408"), 3.0)
        .await;
    assert_eq!(origin.count(), 1);
}

#[tokio::test]
async fn a_body_must_go_on_in_time() {
    let (origin, gateway) = start("timeouts: { body_read: 400ms }").await;
    for framing in [
        "Content-Length: 10\r\n\r\nhalf",
        "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf",
    ] {
        let begun = Instant::now();
        let request = format!("POST /half HTTP/1.1\r\nHost: a\r\n{framing}");
        let answer = gateway.raw(&request).await;
        assert_eq!(answer.status(), 408, "{}", answer.text());
        assert_not_before(400, begun);
    }
    assert_eq!(origin.count(), 0);
    let line = gateway.await_access_log_of("/half").await;
    assert_has(
        &line,
        &json!({ "status": 408, "service": "search", "served": null, "request_bytes": 4 }),
    );
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_let_go() {
    let (origin, gateway) = start("timeouts: { write: 400ms }").await;
    let size = 64 << 20;
    let body = Bytes::from(vec![0; size]);
    origin.answer(move |_| Reply::status(200).body(body.clone()));
    let mut stuck = gateway.open_raw().await;
    stuck.write(b"GET /stuck HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let line = gateway.await_access_log_of("/stuck").await;
    assert!(line["response_bytes"].as_u64().unwrap() < size as u64);
    gateway.await_metric("serin_connections", &[], 0.0).await;
    // One that takes it piece by piece has it all.
    let mut slow = WireStream::connect(gateway.address()).await;
    slow.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let (mut taken, mut piece) = (0, vec![0; 8 << 20]);
    loop {
        let count = in_time("reading", slow.read(&mut piece)).await.unwrap();
        if count == 0 {
            break;
        }
        if taken / (8 << 20) != (taken + count) / (8 << 20) {
            pause(100).await;
        }
        taken += count;
    }
    assert!(taken > size, "{taken}");
}

#[tokio::test]
async fn a_connection_has_a_number_of_requests() {
    let (origin, gateway) = start("limits: { requests_per_connection: 3 }").await;
    let mut plain = gateway.connect().await;
    for expected in ["keep-alive", "keep-alive", "close"] {
        let answer = plain.send(get("/")).await;
        answer.assert_from("origin");
        assert_eq!(answer.header("connection"), Some(expected));
    }
    until("the connection's end", || plain.is_closed().then_some(())).await;
    let mut multiplexed = gateway.connect_h2c().await;
    for _ in 0..3 {
        multiplexed.send(get("/")).await.assert_from("origin");
    }
    until("the connection's end", || {
        multiplexed.is_closed().then_some(())
    })
    .await;
    assert_eq!(origin.count(), 6);
}

#[tokio::test]
async fn connections_that_are_too_many_are_turned_away() {
    let (origin, gateway) = start("limits: { connections: 2 }").await;
    let (mut one, mut two) = (gateway.connect().await, gateway.connect().await);
    one.send(get("/")).await.assert_from("origin");
    two.send(get("/")).await.assert_from("origin");
    assert_eq!(gateway.metrics().await.sum("serin_connections", &[]), 2.0);

    // Without waiting for anything: connections rest for longer than answers are waited for.
    let answer = gateway.send(get("/")).await;
    assert_eq!((answer.status, answer.origin()), (503, "-"));
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(answer.header("connection"), Some("close"));
    // One that says nothing is told as well.
    assert_eq!(gateway.raw("").await.status(), 503);
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.sum("serin_connections_refused_total", &[]), 2.0);

    // There is room for another when one has gone, and those that are there are well.
    drop(one);
    gateway.await_metric("serin_connections", &[], 1.0).await;
    gateway.send(get("/")).await.assert_from("origin");
    two.send(get("/")).await.assert_from("origin");

    // And for more when the file says so.
    gateway.rewrite_config(&config("limits: { connections: 50 }", &origin));
    gateway.await_generation(2).await;
    let mut all = Vec::new();
    for _ in 0..20 {
        let mut connection = gateway.connect().await;
        connection.send(get("/")).await.assert_from("origin");
        all.push(connection);
    }
}

#[tokio::test]
async fn limits_are_reloaded() {
    let (origin, gateway) = start("limits: { headers: 100 }").await;
    let digest = gateway.status().await["digest"].clone();
    let mut kept = gateway.connect().await;
    let call = get("/").header("x-long", &"x".repeat(4000));
    kept.send(call.clone()).await.assert_from("origin");
    gateway.rewrite_config(&config(
        "limits: { header_bytes: 2KiB }, timeouts: { idle: 200ms }",
        &origin,
    ));
    gateway.await_generation(2).await;
    assert_eq!(kept.send(call).await.status, 431);
    let mut fresh = gateway.connect().await;
    fresh.send(get("/")).await.assert_from("origin");
    until("the end of an idle connection", || {
        fresh.is_closed().then_some(())
    })
    .await;
    // Requests are decided as before.
    assert_eq!(gateway.status().await["digest"], digest);
    assert!(
        gateway.status().await["restart_needed"]
            .as_array()
            .is_none_or(Vec::is_empty)
    );
}

#[tokio::test]
async fn an_idle_websocket_is_not_cut() {
    let (_origin, gateway) = start(
        "limits: { body_bytes: 10B }, \
         timeouts: { idle: 200ms, header_read: 200ms, body_read: 200ms, write: 200ms }",
    )
    .await;
    let mut socket = gateway.open_raw().await;
    let head = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    socket.write(head.as_bytes()).await;
    socket.read_until(b"\r\n\r\n").await;
    for message in ["first", "after a while, and longer than any body"] {
        outlast(gateway.address(), 4).await;
        socket.write(message.as_bytes()).await;
        let echo = socket.read_until(message.as_bytes()).await;
        assert_eq!(echo, message.as_bytes());
    }
}

#[tokio::test]
async fn the_shortest_request_is_answered() {
    let (_origin, gateway) = start("limits: {}").await;
    // Shorter than what HTTP/2 begins with.
    assert_eq!(gateway.raw("GET / HTTP/1.0\r\n\r\n").await.status(), 200);
    for pieces in [
        ["P", "RI / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"],
        ["PRI", " /x HTTP/1.0\r\n\r\n"],
    ] {
        let mut connection = gateway.open_raw().await;
        for piece in pieces {
            connection.write(piece.as_bytes()).await;
            pause(20).await;
        }
        let answer = connection.read_to_end().await;
        assert!(
            answer.starts_with(b"HTTP/1.1 200 "),
            "{}",
            String::from_utf8_lossy(&answer)
        );
    }
    let gone = || async { gateway.metrics().await.sum("serin_connections", &[]) == 0.0 };
    eventually("the end of all connections", || async {
        gone().await.then_some(())
    })
    .await;
}
