//! `server.timeouts.body_rate`.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::clients::{Open, OpenStream};
use crate::harness::{Gateway, Origin, assert_has, fill, in_time, pause};

async fn before(origin: &Origin) -> Gateway {
    let config = "
server: { threads: 1, shutdown_delay: 1ms, timeouts: { body_rate: 1KiB/s over 1s } }
services: { search: @origin }
routes: [{ path: /, service: search }]
logging: { level: info, format: json, access: all }
";
    Gateway::start(fill(config, [origin])).await
}

/// Sends a piece every tenth of a second, and reads until the gateway closes or has answered.
async fn trickle(address: SocketAddr, head: &str, piece: &'static str) -> String {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    writer.write_all(head.as_bytes()).await.unwrap();
    let writing = tokio::spawn(async move {
        while writer.write_all(piece.as_bytes()).await.is_ok() {
            pause(100).await;
        }
    });
    let mut seen = vec![0; 4096];
    let count = in_time("an answer", reader.read(&mut seen)).await.unwrap();
    writing.abort();
    seen.truncate(count);
    String::from_utf8(seen).unwrap()
}

#[tokio::test]
async fn a_body_that_trickles_is_refused() {
    let origin = Origin::start("origin").await;
    let gateway = before(&origin).await;
    let cases = [
        ("Content-Length: 1000000", "x"),
        ("Transfer-Encoding: chunked", "1\r\nx\r\n"),
    ];
    for (framing, piece) in cases {
        let begun = Instant::now();
        let head = format!("POST /slow HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n");
        let answer = trickle(gateway.address(), &head, piece).await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert!(begun.elapsed() >= Duration::from_secs(1));
    }
    let mut client = Open::connect(gateway.address()).await;
    let OpenStream { response, mut body } = client.post("/slow", &[]).await;
    let begun = Instant::now();
    let writing = tokio::spawn(async move {
        while body.send_data("x".into(), false).is_ok() {
            pause(100).await;
        }
    });
    let answer = in_time("an answer", response).await.unwrap();
    writing.abort();
    assert_eq!(answer.status(), 408);
    assert!(begun.elapsed() >= Duration::from_secs(1));
    let line = gateway.await_access_log_of("/slow").await;
    assert_has(
        &line,
        &json!({ "status": 408, "service": "search", "served": null }),
    );
    // Nobody got half a request for a whole one, and nobody is blamed.
    assert_eq!(origin.count(), 0);
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.sum("serin_endpoint_healthy", &[]), 1.0);
}

#[tokio::test]
async fn a_body_that_comes_fast_enough_may_take_long() {
    let origin = Origin::start("origin").await;
    let gateway = before(&origin).await;
    let mut client = Open::connect(gateway.address()).await;
    let mut steady = client.post("/steady", &[]).await;
    for n in 0..25 {
        steady.send(&[b'x'; 256], n == 24);
        pause(100).await;
    }
    assert_eq!(steady.status().await, 200);
    assert_eq!(origin.last().body.len(), 25 * 256);
    // One pause is forgiven.
    let mut pauses = client.post("/pauses", &[]).await;
    pauses.send(b"one", false);
    pause(2500).await;
    pauses.send(b"two", false);
    pauses.send(b"three", true);
    assert_eq!(pauses.status().await, 200);
    assert_eq!(origin.last().body, "onetwothree");
}

#[tokio::test]
async fn a_stream_of_rpc_sends_when_it_has_something_to_say() {
    let origin = Origin::start_h2c("origin").await;
    let gateway = before(&origin).await;
    let mut client = Open::connect(gateway.address()).await;
    let kind = [("content-type", "application/grpc"), ("te", "trailers")];
    let mut call = client.post("/a.Chat/Talk", &kind).await;
    for _ in 0..20 {
        call.send(b"x", false);
        pause(100).await;
    }
    call.send(b"y", true);
    assert_eq!(call.status().await, 200);
    assert_eq!(origin.last().body.len(), 21);
}
