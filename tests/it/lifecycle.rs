//! From start to drain, and what a proxy must do with every kind of message.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;

use crate::harness::client::send;
use crate::harness::{Call, Gateway, Origin, Raw, Reply, assert_has, eventually, fill, get, post};

const CONFIG: &str = "
services: { search: @origin }
routes:
  - { path: /, service: search }
  - { path: /ping, respond: { status: 200, body: pong } }
";

async fn start() -> (Origin, Gateway) {
    let origin = Origin::start("origin").await;
    let gateway = Gateway::start(fill(CONFIG, [&origin])).await;
    (origin, gateway)
}

/// As [`start`], with a `server:` line of the test's own.
async fn start_with(server: &str) -> (Origin, Gateway) {
    let origin = Origin::start("origin").await;
    let config = format!("server: {server}\n{}", fill(CONFIG, [&origin]));
    (origin, Gateway::start(config).await)
}

#[tokio::test]
async fn sigterm_drains() {
    let (origin, mut gateway) = start_with("{ shutdown_delay: 2s, shutdown_grace: 30s }").await;
    let mut kept = gateway.connect().await;
    let first = kept.send(get("/ping")).await;
    assert_ne!(first.header("connection"), Some("close"));
    origin.hold();
    let slow = tokio::spawn(send(gateway.address(), get("/slow")));
    origin.await_requests(1).await;

    gateway.sigterm();
    let begun = Instant::now();
    eventually("readiness to end", || async {
        (gateway.admin("/readyz").await.status == 503).then_some(())
    })
    .await;
    // It ended before the delay did: connections are still taken, for load balancers that have not noticed yet, and told
    // to go elsewhere.
    let mut late = gateway.connect().await;
    for connection in [&mut late, &mut kept] {
        let answer = connection.send(get("/ping")).await;
        assert_eq!(
            (answer.status, answer.header("connection")),
            (200, Some("close"))
        );
    }
    assert_eq!(gateway.admin("/livez").await.status, 200);

    origin.release();
    slow.await.expect("an answer").assert_from("origin");
    assert_eq!(gateway.await_exit().await.code(), Some(0));
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(2), "{took:?}");
    // What was told on the way out has been written.
    gateway.await_access_log_of("/slow").await;
}

#[tokio::test]
async fn an_idle_gateway_ends_without_waiting_for_its_grace() {
    // The grace is longer than its end is waited for.
    let (_origin, mut gateway) = start_with("{ shutdown_delay: 1ms, shutdown_grace: 60s }").await;
    let mut idle = gateway.connect().await;
    idle.send(get("/")).await.assert_from("origin");
    assert_eq!(gateway.terminate().await.code(), Some(0));
    assert!(!gateway.log().contains("connections were cut"));
}

#[tokio::test]
async fn a_running_request_outlives_the_delay_but_not_the_grace() {
    let (origin, mut gateway) = start_with("{ shutdown_delay: 1ms, shutdown_grace: 1s }").await;
    origin.hold();
    let mut stuck = gateway.connect().await;
    let stuck = tokio::spawn(async move { stuck.try_send(get("/")).await });
    origin.await_requests(1).await;
    let begun = Instant::now();
    gateway.terminate().await;
    let took = begun.elapsed();
    // Its end is not waited for much longer.
    assert!(took >= Duration::from_millis(900), "{took:?}");
    let answer = stuck.await.expect("the client's end");
    assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status >= 500));
}

#[tokio::test]
async fn the_access_log_is_as_chatty_as_the_file_says() {
    for (access, expected) in [
        ("access: all", &["/fine", "/fine", "/broken"][..]),
        ("access: sampled, sample: 0%", &["/broken"]),
        ("access: off", &[]),
    ] {
        let origin = Origin::start("origin").await;
        origin.answer(|request| {
            Reply::status(if request.target == "/broken" {
                500
            } else {
                200
            })
        });
        let config = fill(CONFIG, [&origin]);
        let mut gateway = Gateway::start(format!("logging: {{ {access} }}\n{config}")).await;
        for path in ["/fine", "/fine", "/broken"] {
            gateway.send(get(path)).await;
        }
        gateway
            .await_metric("serin_requests_total", &[("service", "search")], 3.0)
            .await;
        gateway.terminate().await;
        let paths: Vec<_> = gateway
            .access_log()
            .iter()
            .map(|line| line["path"].clone())
            .collect();
        assert_eq!(paths, expected, "{access}");
    }
}

#[tokio::test]
async fn a_line_of_the_access_log_is_one_line_whatever_was_asked() {
    let (_origin, gateway) = start().await;
    let call = post("/a%0Ab\"c?secret=1", "12345").host("api.example.com:81");
    gateway.send(call).await.assert_from("origin");
    let line = gateway.await_access_log_of("/a%0Ab\"c").await;
    let expected = json!({
        "method": "POST", "host": "api.example.com", "status": 200, "request_bytes": 5, "retries": 0,
    });
    assert_has(&line, &expected);
    assert!(!line.to_string().contains("secret"), "{line}");
    for key in ["upstream_seconds", "total_seconds"] {
        assert!(
            line[key]
                .as_f64()
                .is_some_and(|took| took > 0.0 && took < 10.0),
            "{line}"
        );
    }
    assert!(
        line["response_bytes"]
            .as_u64()
            .is_some_and(|count| count > 10),
        "{line}"
    );
}

#[tokio::test]
async fn http2_comes_in_and_goes_out_in_the_clear() {
    let (one, two) = (Origin::start("one").await, Origin::start_h2c("two").await);
    let config = fill(
        "
services: { one: @one, two: @two }
routes:
  - { path: /, service: one }
  - { hosts: [two.example.com], path: /, service: two }
",
        [&one, &two],
    );
    let gateway = Gateway::start(config).await;
    let body = vec![b'x'; 200_000];
    let mut new = gateway.connect_h2c().await;
    let mut old = gateway.connect().await;
    for (host, name, origin) in [
        ("one.example.com", "one", &one),
        ("two.example.com", "two", &two),
    ] {
        for _ in 0..3 {
            let call = post("/x", body.clone()).host(host);
            new.send(call.clone()).await.assert_from(name);
            assert_eq!(origin.last().host, host);
            assert_eq!(origin.last().body.len(), body.len());
            old.send(call).await.assert_from(name);
            assert_eq!(origin.last().body.len(), body.len());
            assert_eq!(origin.last().host, host);
        }
        assert_eq!(origin.count(), 6);
    }
    // Each worker has its own pool.
    assert!(two.connections() <= 2, "streams share connections");
}

#[tokio::test]
async fn upstream_connections_are_kept() {
    let (origin, gateway) = start().await;
    let mut connection = gateway.connect().await;
    for n in 0..20 {
        connection
            .send(post("/", format!("{n}")))
            .await
            .assert_from("origin");
    }
    assert_eq!(origin.connections(), 1);
    let over: Vec<usize> = origin
        .requests()
        .iter()
        .map(|request| request.connection)
        .collect();
    assert_eq!(over, [0; 20]);
}

#[tokio::test]
async fn a_websocket_passes() {
    let (origin, gateway) = start().await;
    let mut connection = gateway.open_raw().await;
    let head = "GET /ws HTTP/1.1\r\nHost: a.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    connection.write(head.as_bytes()).await;
    let answer = connection.read_until(b"\r\n\r\n").await;
    let answer = String::from_utf8_lossy(&answer).to_lowercase();
    assert!(
        answer.starts_with("http/1.1 101 ") && answer.contains("upgrade: websocket"),
        "{answer}"
    );
    for message in [&b"ping"[..], b"\x81\x05hello", &[7; 10_000]] {
        connection.write(message).await;
        let echo = connection.read_until(message).await;
        assert_eq!(echo, message);
    }
    assert_eq!(
        origin.last().header("upgrade").as_deref(),
        Some("websocket")
    );
    assert_eq!(
        origin.last().header("x-serin-deployment").as_deref(),
        Some("stable")
    );
}

#[tokio::test]
async fn bodies_of_any_size_pass_unchanged() {
    let (origin, gateway) = start().await;
    let size = 16 << 20;
    let body: Bytes = (0..size).map(|n: u32| (n % 251) as u8).collect();
    let sent = body.clone();
    origin.answer(move |_| Reply::status(200).body(sent.clone()));
    let answer = gateway.send(post("/whole", body.clone())).await;
    assert!(answer.status == 200 && answer.body == body);
    assert!(origin.last().body == body);
    let chunks = body.chunks(100_000).map(Bytes::copy_from_slice);
    let answer = gateway.send(post("/chunks", "").chunks(chunks)).await;
    assert!(answer.status == 200 && answer.body == body);
    assert!(origin.last().body == body);
    assert_eq!(
        origin.last().header("transfer-encoding").as_deref(),
        Some("chunked")
    );
    let line = gateway.await_access_log_of("/chunks").await;
    assert_has(
        &line,
        &json!({ "request_bytes": size, "response_bytes": size }),
    );
}

#[tokio::test]
async fn a_response_flows_while_it_is_made() {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .unwrap();
    let address = listener.local_addr().unwrap();
    let (go_on, waiting) = oneshot::channel::<()>();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let first = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst";
        stream.write_all(first).await.unwrap();
        waiting.await.unwrap();
        stream.write_all(b"later").await.unwrap();
        // Kept open until the gateway has had enough.
        let _ = stream.read_u8().await;
    });
    let config = CONFIG.replace("@origin", &format!("http://{address}"));
    let gateway = Gateway::start(config).await;
    let mut connection = gateway.open_raw().await;
    connection
        .write(b"GET / HTTP/1.1\r\nHost: a.example.com\r\n\r\n")
        .await;
    connection.read_until(b"\r\n\r\nfirst").await;
    go_on.send(()).unwrap();
    assert_eq!(connection.read_until(b"later").await, b"later");
}

#[tokio::test]
async fn answers_without_a_body_have_none() {
    let (origin, gateway) = start().await;
    origin.answer(|request| match request.target.as_str() {
        "/204" => Reply::status(204),
        "/304" => Reply::status(304).header("etag", "\"1\""),
        _ => Reply::status(200).body("12345"),
    });
    let mut connection = gateway.connect().await;
    for (call, status) in [
        (Call::new(Method::HEAD, "/"), 200),
        (get("/204"), 204),
        (get("/304"), 304),
        (Call::new(Method::OPTIONS, "/204"), 204),
    ] {
        let shown = format!("{call:?}");
        let answer = connection.send(call).await;
        assert_eq!((answer.status, answer.text()), (status, ""), "{shown}");
    }
    let head = connection.send(Call::new(Method::HEAD, "/")).await;
    assert_eq!(head.header("content-length"), Some("5"));
    let not_modified = connection.send(get("/304")).await;
    assert_eq!(not_modified.header("etag"), Some("\"1\""));
    let full = connection.send(get("/")).await;
    assert_eq!(full.text(), "12345");
}

#[tokio::test]
async fn a_client_that_asks_first_is_told_to_continue() {
    let (origin, gateway) = start().await;
    let mut connection = gateway.open_raw().await;
    let head = "POST /upload HTTP/1.1\r\nHost: a.example.com\r\nConnection: close\r\n\
        Expect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    connection.write(head.as_bytes()).await;
    let interim = connection.read_until(b"\r\n\r\n").await;
    assert!(
        interim.starts_with(b"HTTP/1.1 100 "),
        "{}",
        String::from_utf8_lossy(&interim)
    );
    connection.write(b"hello").await;
    let answer = connection.read_to_end().await;
    assert!(
        answer.starts_with(b"HTTP/1.1 200 "),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    assert_eq!(&origin.last().body[..], b"hello");
}

#[tokio::test]
async fn requests_sent_ahead_are_answered_in_order() {
    let (origin, gateway) = start().await;
    let request = |path: &str, connection: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: a.example.com\r\nConnection: {connection}\r\n\r\n")
    };
    let mut connection = Raw::open(gateway.address()).await;
    let both = request("/one", "keep-alive") + &request("/two", "close");
    connection.write(both.as_bytes()).await;
    let answers = String::from_utf8(connection.read_to_end().await).expect("UTF-8");
    let (one, two) = (answers.find("\"/one\""), answers.find("\"/two\""));
    assert!(one.is_some() && one < two, "{answers}");
    let targets: Vec<String> = origin.requests().into_iter().map(|r| r.target).collect();
    assert_eq!(targets, ["/one", "/two"]);
}

#[tokio::test]
async fn a_body_framed_twice_is_framed_once_behind_the_gateway() {
    let (origin, gateway) = start().await;
    let request = "POST /twice HTTP/1.1\r\nHost: a.example.com\r\nContent-Length: 3\r\n\
        Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n\
        GET /smuggled HTTP/1.1\r\nHost: a.example.com\r\n\r\n";
    // RFC 9112, section 6.3: an error, or the chunks alone count; and the connection is closed in either case.
    let answer = gateway.raw(request).await;
    if answer.status() == 200 {
        assert_eq!(origin.count(), 1);
        assert_eq!(&origin.last().body[..], b"hello");
        assert_eq!(origin.last().header("content-length"), None);
    } else {
        assert_eq!((answer.status(), origin.count()), (400, 0));
    }
}
