//! How a stream ends whose user leaves its canary, byte by byte, and when a lease ends.

use http::Method;
use serde_json::json;

use super::{HANDSHAKE, Open, RESTART, Stage};
use crate::harness::frames::{DATA, END_STREAM, Frame, Frames, RST_STREAM, head};
use crate::harness::script::Visit;
use crate::harness::{Call, Gateway, eventually, in_time, pause};

const CLOSE_SOON: &str = "streams: { on_leave: close, within: 1s }";

const SWITCH: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

/// A frame of 20 bytes.
fn small() -> Vec<u8> {
    [&[0x82, 20][..], &[7; 20]].concat()
}

/// A frame that comes in several pieces, however it is read.
fn large() -> Vec<u8> {
    [&[0x82, 126, 0xc3, 0x50][..], &[7; 50_000]].concat()
}

/// Opens a WebSocket whose frames come byte by byte, one behind the other: one is always on its way.
pub(super) async fn slow_frames(mut visit: Visit) {
    visit.say(SWITCH).await;
    for byte in small().iter().cycle() {
        if !visit.say([*byte]).await {
            return;
        }
        pause(5).await;
    }
}

/// Opens a WebSocket with large frames, one behind the other: many pieces of them are read at a time.
pub(super) async fn large_frames(mut visit: Visit) {
    visit.say(SWITCH).await;
    let frame = large();
    while visit.say(&frame).await {
        pause(1).await;
    }
}

/// Kills the canary of a WebSocket, and holds what its client gets against the frame that is sent all the time.
async fn closed_between_frames(path: &str, frame: &[u8]) {
    let stage = Stage::set(CLOSE_SOON).await;
    let mut socket = stage.gateway.open_raw().await;
    let head = format!("GET {path} HTTP/1.1\r\nx-user-id: c1\r\n{HANDSHAKE}");
    socket.write(head.as_bytes()).await;
    socket.read_until(b"\r\n\r\n").await;
    stage.kill("search", "search.ranker").await;
    let came = in_time("the end", socket.read_to_end()).await;
    let (frames, close) = came.split_at(came.len() - RESTART.len());
    assert_eq!(close, RESTART);
    assert!(!frames.is_empty());
    for came in frames.chunks(frame.len()) {
        assert!(came == frame, "{} of {} bytes", came.len(), frame.len());
    }
}

#[tokio::test]
async fn a_websocket_is_closed_between_two_frames() {
    closed_between_frames("/frames", &small()).await;
}

#[tokio::test]
async fn a_websocket_with_large_frames_is_closed_between_two_of_them() {
    closed_between_frames("/large-frames", &large()).await;
}

/// What a client of HTTP/1.1 gets that is on the canary, to the end of the connection.
async fn cut(stage: &Stage, path: &str, last: &[u8]) -> Vec<u8> {
    let mut client = stage.gateway.open_raw().await;
    let head = format!("GET {path} HTTP/1.1\r\nHost: a.example.com\r\nx-user-id: c1\r\n\r\n");
    client.write(head.as_bytes()).await;
    client.read_until(last).await;
    stage.kill("search", "search.ranker").await;
    in_time("the end", client.read_to_end()).await
}

#[tokio::test]
async fn an_answer_over_http1_ends_after_a_whole_chunk_and_is_seen_to_be_cut() {
    for (path, last) in [
        ("/events", &b"data: canary\n\n\r\n"[..]),
        ("/lines", b"5\r\nfirst\r\n"),
        ("/long", b"first"),
    ] {
        let stage = Stage::set(CLOSE_SOON).await;
        // Neither a last chunk nor the rest of what was promised.
        assert_eq!(cut(&stage, path, last).await, b"", "{path}");
    }
}

/// A request of a user of the canary.
fn asked(stream: u32, path: &str) -> Frame {
    let mut head = head(stream, "GET", path, &[("x-user-id", "c1")]);
    head.flags |= END_STREAM;
    head
}

#[tokio::test]
async fn an_answer_over_http2_ends_with_a_reset_and_the_connection_goes_on() {
    const NO_ERROR: u32 = 0;
    const INTERNAL_ERROR: u32 = 2;
    let stage = Stage::set(CLOSE_SOON).await;
    let mut client = Frames::open(stage.gateway.address()).await;
    let expected = [
        (1, "/events", NO_ERROR),
        (3, "/lines", INTERNAL_ERROR),
        (5, "/long", INTERNAL_ERROR),
    ];
    for (stream, path, _) in expected {
        client.send(&[asked(stream, path)]).await;
        while client.next().await.expect("an answer").kind != DATA {}
    }
    stage.kill("search", "search.ranker").await;
    let mut ends = Vec::new();
    while ends.len() < expected.len() {
        let frame = client.next().await.expect("an open connection");
        assert_eq!(frame.kind, RST_STREAM, "{frame:?}");
        let code = frame.payload.try_into().map(u32::from_be_bytes);
        ends.push((frame.stream, code.expect("a code")));
    }
    ends.sort_unstable();
    assert_eq!(ends, expected.map(|(stream, _, code)| (stream, code)));
    client.send(&[asked(7, "/")]).await;
    let answer = client.answer(7).await;
    assert!(
        format!("{answer:?}").starts_with("Answered(200"),
        "{answer:?}"
    );
}

async fn register(gateway: &Gateway, service: &str, name: &str, url: &str) {
    let rings = json!([{ "name": "all", "when": { "userId": { "starts_with": "r" } } }]);
    let body = json!({ "url": url, "ttl": "2s", "rings": rings }).to_string();
    let path = format!("/api/v1/services/{service}/canaries/{name}");
    let call = Call::new(Method::PUT, &path);
    let answer = gateway
        .admin_send(call.header("content-type", "application/json").body(body))
        .await;
    assert!([200, 201].contains(&answer.status), "{answer:?}");
}

#[tokio::test]
async fn when_a_lease_ends_streams_are_kept_or_closed_as_their_service_says() {
    for (streams, closes) in [("streams: {}", false), (CLOSE_SOON, true)] {
        let stage = Stage::set(streams).await;
        let gateway = &stage.gateway;
        let url = stage.scripts[1].url();
        register(gateway, "search", "search.registered", &url).await;
        eventually("the canary has its users", async || {
            (gateway.get_as("r1", "/").await.text() == "canary").then_some(())
        })
        .await;
        let mut socket = gateway.open_raw().await;
        let head = format!("GET /ws HTTP/1.1\r\nx-user-id: r1\r\n{HANDSHAKE}");
        socket.write(head.as_bytes()).await;
        socket.read_until(b"\x81\x06canary").await;
        eventually("the lease to end", async || {
            (gateway.get_as("r1", "/").await.text() == "stable").then_some(())
        })
        .await;
        if closes {
            let rest = in_time("the end", socket.read_to_end()).await;
            assert_eq!(rest, RESTART);
            let line = gateway.await_access_log_of("/ws").await;
            assert_eq!(line["cause"], "lease_over", "{line}");
        } else {
            // So long that it would have been closed by now, were it a service that closes.
            gateway.rewrite_config(&stage.config.replace("timeout: none", "timeout: 9s"));
            gateway
                .await_generation(gateway.generation().await + 1)
                .await;
            let mut open = Open::WebSocket(socket);
            open.assert_open().await;
            assert_eq!(stage.closed("search", "search.registered").await, 0.0);
        }
    }
}
