//! HTTP/2: what happens to one request of a connection is no other's affair, and gRPC is told in its own words.

use serde_json::json;

use crate::harness::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, Frames, HEADERS, RST_STREAM, cancel,
    get as get_frame, post as post_frame,
};
use crate::harness::{Gateway, Origin, assert_has, eventually, fill, post};

const CONFIG: &str = "
services:
  search: @origin
  nobody: { stable: http://127.0.0.1:1, timeouts: { connect: 1s } }
  closed: { stable: @origin, shutoff: { flag: closed.shutoff, respond: { retry_after: 3s, body: 100 % shut } } }
flags: { closed.shutoff: { rings: [{ name: all }] } }
routes:
  - { path: /nobody, service: nobody }
  - { path: /closed, service: closed }
  - { path: /search, service: search }
logging: { access: all }
";

async fn start() -> (Origin, Gateway) {
    let origin = Origin::start("origin").await;
    let gateway = Gateway::start(fill(CONFIG, [&origin])).await;
    (origin, gateway)
}

#[tokio::test]
async fn many_requests_cancelled_at_once_end_no_other() {
    let (origin, gateway) = start().await;
    origin.hold();
    let mut client = Frames::open(gateway.address()).await;
    let others = [1, 3, 5, 7, 9];
    client
        .send(&others.map(|n| get_frame(n, "/search/other")))
        .await;
    origin.await_requests(5).await;
    // More than once what may be open at a time, in one piece.
    let cancelled: Vec<_> = (5..305)
        .map(|n| 2 * n + 1)
        .flat_map(|n| [get_frame(n, "/search/cancelled"), cancel(n)])
        .collect();
    client.send(&cancelled).await;
    let labels = [("service", "search"), ("code", "499")];
    gateway
        .await_metric("serin_requests_total", &labels, 300.0)
        .await;
    origin.release();
    let mut ended = Vec::new();
    while ended.len() < others.len() {
        let frame = client.next().await.expect("an open connection");
        let of_another = others.contains(&frame.stream);
        assert!(of_another && frame.kind != RST_STREAM, "{frame:?}");
        if frame.flags & END_STREAM != 0 {
            ended.push(frame.stream);
        }
    }
    // The connection is as good as new.
    client.send(&[get_frame(1001, "/search/next")]).await;
    assert_eq!(client.end_of(1001).await.kind, DATA);
    gateway
        .await_metric("serin_active_requests", &[], 0.0)
        .await;
    let labels = [("service", "search"), ("code", "200")];
    gateway
        .await_metric("serin_requests_total", &labels, 6.0)
        .await;
}

#[tokio::test]
async fn a_request_that_is_cancelled_is_no_bad_request() {
    let (origin, gateway) = start().await;
    origin.hold();
    let mut client = Frames::open(gateway.address()).await;
    client.send(&[get_frame(1, "/search/cancelled")]).await;
    origin.await_requests(1).await;
    client.send(&[cancel(1)]).await;
    let labels = [("service", "search"), ("code", "499")];
    gateway
        .await_metric("serin_requests_total", &labels, 1.0)
        .await;
    // Nor is one whose connection goes.
    client.send(&[get_frame(3, "/search/gone")]).await;
    origin.await_requests(2).await;
    drop(client);
    gateway
        .await_metric("serin_requests_total", &labels, 2.0)
        .await;
    assert_eq!(
        gateway
            .metrics()
            .await
            .sum("serin_requests_total", &[("code", "400")]),
        0.0
    );
}

#[tokio::test]
async fn a_grpc_call_that_fails_here_is_told_in_its_own_words() {
    let (origin, gateway) = start().await;
    let mut client = gateway.connect_h2c().await;
    let call = |path: &str, kind: &str| post(path, &b"\0\0\0\0\0"[..]).header("content-type", kind);
    let wanted = [
        ("/nobody/Method", "14", "the service could not be reached"),
        ("/nowhere/Method", "12", "no route for this request"),
        ("/closed/Method", "14", "100 %25 shut"),
    ];
    for kind in [
        "application/grpc",
        "application/grpc+proto",
        "application/grpc;x=y",
    ] {
        for (path, code, message) in wanted {
            let answer = client.send(call(path, kind)).await;
            let told = (
                answer.status,
                answer.header("grpc-status"),
                answer.header("grpc-message"),
                answer.header("content-type"),
                answer.text(),
            );
            let expected = (200, Some(code), Some(message), Some("application/grpc"), "");
            assert_eq!(told, expected, "{path}");
        }
    }
    let answer = client
        .send(call("/closed/Method", "application/grpc"))
        .await;
    assert_eq!(answer.header("retry-after"), Some("3"));
    // What happened stands in log and figures as ever.
    let line = gateway.await_access_log_of("/nobody/Method").await;
    assert_has(&line, &json!({ "status": 502, "cause": "connect" }));
    for (service, code) in [("nobody", "502"), ("-", "404"), ("closed", "503")] {
        let labels = [("service", service), ("code", code)];
        eventually("the figures", async || {
            (gateway.metrics().await.sum("serin_requests_total", &labels) >= 3.0).then_some(())
        })
        .await;
    }
    // Others are told as ever, and a call that works is none of Serin's business.
    for kind in [
        "application/json",
        "application/grpc-web",
        "application/grpcish",
    ] {
        let answer = client.send(call("/nobody/page", kind)).await;
        assert_eq!((answer.status, answer.header("grpc-status")), (502, None));
    }
    let answer = gateway.send(call("/nobody/page", "application/grpc")).await;
    assert_eq!((answer.status, answer.header("grpc-status")), (502, None));
    let answer = client
        .send(call("/search/Method", "application/grpc"))
        .await;
    answer.assert_from("origin");
    assert_eq!(origin.count(), 1);
}

/// A request with a body and these trailers, so many bytes of which are in their first frame.
fn upload(stream: u32, trailers: &[u8], split: usize) -> Vec<Frame> {
    let (first, second) = trailers.split_at(split);
    let mut frames = vec![
        post_frame(stream, "/search/trailers"),
        Frame::new(DATA, 0, stream, *b"hello"),
    ];
    if second.is_empty() {
        frames.push(Frame::new(HEADERS, END_STREAM | END_HEADERS, stream, first));
    } else {
        frames.push(Frame::new(HEADERS, END_STREAM, stream, first));
        frames.push(Frame::new(CONTINUATION, END_HEADERS, stream, second));
    }
    frames
}

#[tokio::test]
async fn trailers_with_pseudo_header_fields_are_an_error_of_their_stream() {
    let (origin, gateway) = start().await;
    let mut client = Frames::open(gateway.address()).await;
    // `:path: /search/indexed` gets into the connection's table, as its latest entry.
    let indexed = b"\x82\x86\x44\x0f/search/indexed\x01\x0da.example.com";
    let all = END_STREAM | END_HEADERS;
    client.send(&[Frame::new(HEADERS, all, 1, *indexed)]).await;
    client.end_of(1).await;
    assert_eq!(origin.last().target, "/search/indexed");
    let path = b"\x04\x06/other";
    let blocks: [&[u8]; 6] = [
        path,
        // By the static table, by the connection's, with a name in full, after a new size of the table.
        b"\x84",
        b"\xbe",
        b"\x00\x05:path\x06/other",
        b"\x3f\xe1\x1f\x84",
        b"\x00\x01a\x01b\x84",
    ];
    let mut stream = 1;
    for block in blocks {
        for split in [0, 1, block.len()] {
            // A new size of the table is told in the first frame.
            if block.starts_with(b"\x3f") && split < 3 {
                continue;
            }
            stream += 2;
            client.send(&upload(stream, block, split)).await;
            let end = client.end_of(stream).await;
            let protocol_error = 1_u32.to_be_bytes();
            assert_eq!(
                (end.kind, &end.payload[..]),
                (RST_STREAM, &protocol_error[..])
            );
        }
    }
    assert_eq!(origin.count(), 1);
    // Trailers that are some, whatever they say, on the very same connection.
    for block in [&b""[..], b"\x00\x01a\x01b", b"\x40\x01a\x01b", b"\xbe"] {
        stream += 2;
        client.send(&upload(stream, block, block.len())).await;
        assert_eq!(client.end_of(stream).await.kind, DATA);
        let seen = origin.last();
        assert_eq!(
            (&seen.target[..], &seen.body[..]),
            ("/search/trailers", &b"hello"[..])
        );
        assert_eq!((seen.header("a"), seen.header("x")), (None, None));
    }
}
