//! What one client can cost others: connections to upstreams, files, memory; and what a service is spared.

mod clients;
mod queues;
mod rates;

use std::net::Ipv4Addr;
use std::time::Instant;

use bytes::Bytes;
use http::Method;
use serde_json::json;

use crate::harness::{Call, Gateway, Origin, Setup, assert_has, fill, get, pause, until};
use clients::{Flood, Open, connect};

const CONFIG: &str = "
services: { search: @origin }
routes:
  - { path: /, service: search }
  - { path: /pong, respond: { status: 200, body: pong } }
logging: { level: info, format: json, access: all }
";

async fn start() -> (Origin, Gateway) {
    let origin = Origin::start("origin").await;
    let gateway = Gateway::start(fill(CONFIG, [&origin])).await;
    (origin, gateway)
}

const AWAITING: &str = "serin_requests_awaiting_body";

#[tokio::test]
async fn over_http2_an_upstream_is_asked_when_there_is_something_to_send() {
    let (origin, gateway) = start().await;
    let mut client = Open::connect(gateway.address()).await;
    let mut held = Vec::new();
    for n in 0..50 {
        held.push(client.post(&format!("/held/{n}"), &[]).await);
    }
    gateway.await_metric(AWAITING, &[], 50.0).await;
    // An empty piece is nothing to send.
    held[0].send(b"", false);
    gateway.send(get("/other")).await.assert_from("origin");
    assert_eq!((origin.count(), origin.connections()), (1, 1));
    for (n, stream) in held.iter_mut().enumerate() {
        match n % 3 {
            0 => stream.send(b"one", false),
            1 => stream.send(b"one and only", true),
            _ => stream.send(b"", true),
        }
    }
    for (n, stream) in held.iter_mut().enumerate() {
        if n % 3 == 0 {
            stream.send(b" and two", true);
        }
        assert_eq!(stream.status().await, 200, "{n}");
    }
    gateway.await_metric(AWAITING, &[], 0.0).await;
    for request in origin.requests().iter().skip(1) {
        let n = request.target.rsplit('/').next().unwrap();
        let n: usize = n.parse().unwrap();
        let expected = ["one and two", "one and only", ""][n % 3];
        assert_eq!(request.body, expected, "{n}");
    }
}

#[tokio::test]
async fn over_http1_an_upstream_is_asked_when_there_is_something_to_send() {
    let (origin, gateway) = start().await;
    let cases = [
        ("Content-Length: 4", "", "body"),
        ("Transfer-Encoding: chunked", "4\r", "\nbody\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked", "", "0\r\n\r\n"),
    ];
    let mut held = Vec::new();
    for (framing, first, rest) in cases {
        let mut client = gateway.open_raw().await;
        let head = format!("POST /held HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n{first}");
        client.write(head.as_bytes()).await;
        held.push((client, rest));
    }
    gateway.await_metric(AWAITING, &[], 3.0).await;
    gateway.send(get("/other")).await.assert_from("origin");
    assert_eq!((origin.count(), origin.connections()), (1, 1));
    for (mut client, rest) in held {
        client.write(rest.as_bytes()).await;
        let answer = client.read_until(b"\r\n\r\n").await;
        assert!(answer.starts_with(b"HTTP/1.1 200 "));
    }
    let bodies: Vec<Bytes> = origin.requests().into_iter().map(|it| it.body).collect();
    assert_eq!(bodies, ["", "body", "body", ""]);
    gateway.await_metric(AWAITING, &[], 0.0).await;
}

#[tokio::test]
async fn what_expects_word_from_upstream_is_not_held() {
    let (origin, gateway) = start().await;
    let mut client = gateway.open_raw().await;
    client
        .write(b"POST /expects HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        .await;
    until("a connection to the origin", || {
        (origin.connections() == 1).then_some(())
    })
    .await;
    client.write(b"body").await;
    client.read_until(b"200 OK\r\n").await;
    assert_eq!(origin.last().body, "body");
    // A call of gRPC, whose server may speak first; over a connection that others share.
    let grpc = Origin::start_h2c("origin").await;
    let gateway = Gateway::start(fill(CONFIG, [&grpc])).await;
    let mut client = Open::connect(gateway.address()).await;
    let kind = [
        ("content-type", "application/grpc+proto"),
        ("te", "trailers"),
    ];
    let mut call = client.post("/a.Chat/Talk", &kind).await;
    until("a connection to the origin", || {
        (grpc.connections() == 1).then_some(())
    })
    .await;
    call.send(b"hello", true);
    assert_eq!(call.status().await, 200);
    assert_eq!(grpc.last().body, "hello");
}

#[tokio::test]
async fn what_needs_no_body_is_answered_at_once() {
    let (origin, gateway) = start().await;
    let mut client = Open::connect(gateway.address()).await;
    for (path, status) in [("/pong", 200), ("/bad%00", 400)] {
        let mut stream = client.post(path, &[]).await;
        assert_eq!(stream.status().await, status, "{path}");
        let length = if status == 200 {
            "Content-Length: 9"
        } else {
            "Content-Length: 1"
        };
        let mut plain = gateway.open_raw().await;
        let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\n{length}\r\n\r\n");
        plain.write(head.as_bytes()).await;
        let answer = plain.read_until(b"\r\n").await;
        assert!(answer.starts_with(format!("HTTP/1.1 {status} ").as_bytes()));
    }
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn a_body_that_never_begins_is_not_awaited_for_ever() {
    let origin = Origin::start("origin").await;
    let config = format!(
        "server: {{ threads: 1, shutdown_delay: 1ms, timeouts: {{ body_read: 400ms }} }}\n{}",
        fill(CONFIG, [&origin])
    );
    let gateway = Gateway::start(config).await;
    let mut client = Open::connect(gateway.address()).await;
    let begun = Instant::now();
    let mut stream = client.post("/late", &[]).await;
    assert_eq!(stream.status().await, 408);
    assert!(begun.elapsed().as_millis() >= 395);
    let line = gateway.await_access_log_of("/late").await;
    assert_has(
        &line,
        &json!({ "status": 408, "service": "search", "served": null }),
    );
    // One that gives up is a client that is gone.
    client.post("/gone", &[]).await.reset();
    let gone = [("service", "search"), ("served", "-"), ("code", "499")];
    gateway
        .await_metric("serin_requests_total", &gone, 1.0)
        .await;
    assert_eq!(origin.connections(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_held_streams_cost_little() {
    const MIB: u64 = 1024 * 1024;
    let (origin, gateway) = start().await;
    gateway.send(get("/warm")).await.assert_from("origin");
    gateway.forget_peak();
    let (before, files) = (gateway.memory().resident, gateway.open_files());
    let flood = Flood::start(gateway.address(), 100, 99, b"").await;
    gateway.await_metric(AWAITING, &[], 9900.0).await;
    for _ in 0..100 {
        gateway.send(get("/other")).await.assert_from("origin");
    }
    let grown = gateway.memory().peak.saturating_sub(before);
    eprintln!("9,900 held streams: {} KiB", grown / 1024);
    assert!(grown <= 64 * MIB, "{} KiB", grown / 1024);
    assert!(
        gateway.open_files() <= files + 110,
        "{}",
        gateway.open_files()
    );
    drop(flood);
    gateway.await_metric(AWAITING, &[], 0.0).await;
    assert!(origin.connections() < 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_few_files_there_are_always_some_for_others() {
    let origin = Origin::start("origin").await;
    let setup = Setup::new(fill(CONFIG, [&origin])).open_files(1024, 1024);
    let gateway = setup.start().await;
    // Each stream has begun its body, and goes no further.
    let flood = Flood::start(gateway.address(), 11, 99, b"x").await;
    // Of what upstreams may have, one client gets half.
    let refused = [("limit", "upstream_connections")];
    gateway
        .await_metric("serin_client_refusals_total", &refused, 1089.0 - 160.0)
        .await;
    for _ in 0..20 {
        assert_eq!(gateway.admin("/livez").await.status, 200);
        // New connections are taken, and answered by the same service.
        gateway.send(get("/other")).await.assert_from("origin");
        pause(20).await;
    }
    let metrics = gateway.metrics().await;
    let connections = metrics.sum("serin_upstream_connections", &[("service", "search")]);
    assert!((130.0..=170.0).contains(&connections), "{connections}");
    assert!(!gateway.log().contains("accept failed"));
    drop(flood);
    gateway
        .await_metric(
            "serin_service_active_requests",
            &[("service", "search")],
            0.0,
        )
        .await;
}

#[tokio::test]
async fn one_client_does_not_get_every_connection() {
    let origin = Origin::start("origin").await;
    let setup = Setup::new(fill(CONFIG, [&origin])).open_files(1024, 1024);
    let gateway = setup.start().await;
    // Of 320 connections one client has half.
    let mut held = Vec::new();
    for _ in 0..400 {
        held.push(connect(Ipv4Addr::LOCALHOST, gateway.address()).await);
    }
    let refused = [("limit", "connections")];
    gateway
        .await_metric("serin_client_refusals_total", &refused, 240.0)
        .await;
    assert_eq!(gateway.admin("/livez").await.status, 200);
    for _ in 0..20 {
        let mut other = Open::from([127, 0, 0, 2].into(), gateway.address()).await;
        let mut stream = other.post("/other", &[]).await;
        stream.send(b"body", true);
        assert_eq!(stream.status().await, 200);
    }
    // So many are not all told: some are only closed.
    let refused = gateway.open_raw().await.read_to_end().await;
    assert!(refused.is_empty() || refused.starts_with(b"HTTP/1.1 503 "));
    assert!(!gateway.log().contains("accept failed"));
    drop(held);
    gateway.await_metric("serin_connections", &[], 0.0).await;
    gateway.send(get("/again")).await.assert_from("origin");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_leaves_some_files_to_the_others() {
    let origin = Origin::start("origin").await;
    let config = fill(
        "
services:
  slow: { stable: @origin, queue: { length: 0 } }
  quick: @origin
routes:
  - { path: /, service: slow }
  - { path: /quick, service: quick }
",
        [&origin],
    );
    let gateway = Setup::new(config).open_files(512, 512).start().await;
    // Of 512 files 192 are kept, and half of the rest are upstreams': 160, of which a service has 120 and a client 80.
    let one = Flood::start(gateway.address(), 1, 99, b"x").await;
    let refused = [("limit", "upstream_connections")];
    gateway
        .await_metric("serin_client_refusals_total", &refused, 19.0)
        .await;
    let other = Flood::from([127, 0, 0, 2].into(), gateway.address(), 1, 70, b"x").await;
    let full = [("service", "slow"), ("bound", "max_connections")];
    gateway
        .await_metric("serin_service_refused_requests_total", &full, 30.0)
        .await;
    let refused = gateway.send(get("/slow")).await;
    assert_eq!(refused.status, 503);
    assert_eq!(refused.header("retry-after"), Some("1"));
    gateway.send(get("/quick")).await.assert_from("origin");
    drop((one, other));
}

#[tokio::test]
async fn a_client_has_so_many_connections_and_streams() {
    let origin = Origin::start("origin").await;
    let config = format!(
        "
server:
  threads: 2
  shutdown_delay: 1ms
  trusted_proxies: [127.0.0.3]
  limits: {{ connections_per_client: 3, streams_per_client: 5 }}
{}",
        fill(CONFIG, [&origin])
    );
    let gateway = Gateway::start(config).await;
    let connect = |ip: u8| Open::from([127, 0, 0, ip].into(), gateway.address());
    let (mut one, mut two) = (connect(1).await, connect(1).await);
    let mut held = vec![
        one.post("/held", &[]).await,
        one.post("/held", &[]).await,
        one.post("/held", &[]).await,
        two.post("/held", &[]).await,
        two.post("/held", &[]).await,
    ];
    gateway.await_metric(AWAITING, &[], 5.0).await;
    // Over all its connections together.
    assert_eq!(two.post("/more", &[]).await.status().await, 503);
    let refusals = "serin_client_refusals_total";
    gateway
        .await_metric(refusals, &[("limit", "streams")], 1.0)
        .await;
    // Another client is none the worse, nor are many behind one proxy.
    let mut other = connect(2).await.post("/other", &[]).await;
    other.send(b"", true);
    assert_eq!(other.status().await, 200);
    let mut proxy = connect(3).await;
    for _ in 0..8 {
        held.push(proxy.post("/held", &[]).await);
    }
    gateway.await_metric(AWAITING, &[], 13.0).await;
    // When one has ended there is room again.
    held[0].send(b"", true);
    assert_eq!(held[0].status().await, 200);
    let mut again = two.post("/again", &[]).await;
    again.send(b"", true);
    assert_eq!(again.status().await, 200);
    // A third connection is one more, a fourth too many.
    let mut third = gateway.connect().await;
    third.send(get("/")).await.assert_from("origin");
    let refused = gateway.send(get("/fourth")).await;
    assert_eq!((refused.status, refused.origin()), (503, "-"));
    assert_eq!(refused.header("retry-after"), Some("1"));
    gateway
        .await_metric(refusals, &[("limit", "connections")], 1.0)
        .await;
    drop(connect(2).await);
    let _many: Vec<Open> = vec![connect(3).await, connect(3).await, connect(3).await];
    drop(third);
    crate::harness::eventually("room for a connection", || async {
        (gateway.send(get("/")).await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_bound_on_open_files_is_raised_and_told() {
    let origin = Origin::start("origin").await;
    let config = fill(CONFIG, [&origin]);
    let server =
        |limits: &str| format!("server: {{ threads: 1, shutdown_delay: 1ms{limits} }}\n{config}");
    let setup = Setup::new(server("")).open_files(256, 2048);
    let gateway = setup.start().await;
    let status = gateway.status().await;
    let files = json!({ "limit": 2048, "found": 256, "reserve": 512 });
    assert_eq!(status["capacity"]["open_files"], files);
    assert_eq!(status["capacity"]["connections"]["max"], 768);
    assert_eq!(status["capacity"]["upstream_connections"]["max"], 768);
    // What nobody asked for is no shortfall.
    assert_eq!(status["warnings"], json!([]));
    gateway.await_log("open files").await;
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.sum("process_max_fds", &[]), 2048.0);
    assert_eq!(metrics.sum("serin_connections_max", &[]), 768.0);
    // What the configuration asks for is held against it, then and there.
    gateway.rewrite_config(&server(", limits: { connections: 1000 }"));
    gateway.await_generation(2).await;
    gateway
        .await_log("`server.limits.connections` is 1000")
        .await;
    let warnings = gateway.status().await["warnings"].to_string();
    assert!(warnings.contains("only 768"), "{warnings}");
    gateway.rewrite_config(&server(", limits: { connections: 500 }"));
    gateway.await_generation(3).await;
    let status = gateway.status().await;
    assert_eq!(status["capacity"]["connections"]["max"], 500);
    assert_eq!(status["capacity"]["upstream_connections"]["max"], 1036);
    assert_eq!(status["warnings"], json!([]));
}

#[tokio::test]
async fn a_large_head_and_a_body_behind_it_arrive_whole() {
    let (origin, gateway) = start().await;
    for size in [30_000, 40_000, 60_000] {
        let head = format!(
            "POST /large HTTP/1.1\r\nHost: a\r\nX-Long: {}\r\nContent-Length: 300000\r\n\r\n",
            "x".repeat(size)
        );
        let mut message = head.into_bytes();
        message.extend((0..300_000).map(|n| b'a' + (n % 26) as u8));
        let mut client = gateway.open_raw().await;
        client.write(&message).await;
        client.read_until(b"200 OK\r\n").await;
        let body = origin.last().body;
        assert_eq!(body.len(), 300_000);
        assert_eq!(body, &message[message.len() - 300_000..]);
    }
    let call = Call::new(Method::POST, "/pieces").chunks(vec![Bytes::from(vec![b'x'; 200_000]); 3]);
    gateway.send(call).await.assert_from("origin");
    assert_eq!(origin.last().body.len(), 600_000);
}
