//! WebSockets over HTTP/2 (RFC 8441): an extended CONNECT of the client's is an Upgrade of HTTP/1.1 to the upstream.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::ext::Protocol;
use h2::{Reason, RecvStream, SendStream};
use http::{Method, Request};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::harness::script::Visit;
use crate::harness::streams::read;
use crate::harness::wire::WireStream;
use crate::harness::{Gateway, Script, assert_has, get, in_time, post, until};

const CONFIG: &str = "
services: { search: { stable: @stable, streams: { within: 1s, on_leave: close } } }
flags:
  search.ranker: { url: @canary, rings: [{ name: some, when: { userId: { starts_with: c } } }] }
routes:
  - { path: /, service: search, expose: true }
  - { path: /closed, service: search, upgrade: [] }
identity: { user_id: [{ header: x-user-id, trust: anyone }] }
logging: { level: info, format: json, access: all }
";

/// How the frame begins that a server says first.
const GREETING: [u8; 2] = [0x81, 126];

const KEY: &str = "\r\nsec-websocket-key: ";

/// A server of WebSockets.
async fn server(name: &'static str) -> Script {
    Script::start(move |visit: Visit| serve(name, visit)).await
}

/// Tells the client what was asked, and then sends back what it gets.
async fn serve(name: &str, mut visit: Visit) {
    let head = visit.head.to_ascii_lowercase();
    let path = head.split(' ').nth(1).unwrap_or_default();
    if path == "/refuse" {
        let refused =
            "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nContent-Length: 2\r\n\r\nno";
        visit.say(refused).await;
        return;
    }
    let begin = head.find(KEY).map(|at| at + KEY.len());
    let key = begin.and_then(|begin| visit.head[begin..].lines().next());
    let proof = key.unwrap_or_default().to_owned() + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    let accept = match path {
        "/wrong" => "bm90aGluZw==".to_owned(),
        _ => BASE64_STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, proof.as_bytes())),
    };
    let switch = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Protocol: chat\r\nX-Origin: {name}\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    let length = u16::try_from(visit.head.len()).expect("a short head");
    let greeting = [&GREETING, &length.to_be_bytes()[..], visit.head.as_bytes()].concat();
    visit.say([switch.as_bytes(), &greeting].concat()).await;
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = visit.stream.read(&mut buffer).await {
        if visit.stream.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

async fn stage() -> (Gateway, [Script; 2]) {
    let servers = [server("stable").await, server("canary").await];
    let config = CONFIG
        .replace("@stable", &servers[0].url())
        .replace("@canary", &servers[1].url());
    (Gateway::start(config).await, servers)
}

async fn connect(gateway: &Gateway) -> SendRequest<Bytes> {
    let socket = WireStream::connect_http2(gateway.address()).await;
    let (client, connection) = h2::client::handshake(socket).await.expect("HTTP/2");
    tokio::spawn(async move {
        // How it ends is seen by whoever uses it.
        let _ = connection.await;
    });
    // Said in the gateway's SETTINGS.
    until("the gateway to offer WebSockets", || {
        client.is_extended_connect_protocol_enabled().then_some(())
    })
    .await;
    client
}

fn ask(
    client: &SendRequest<Bytes>,
    path: &str,
    user: &str,
    protocol: Option<&'static str>,
) -> (ResponseFuture, SendStream<Bytes>) {
    let mut request = Request::builder()
        .method(Method::CONNECT)
        .uri(match protocol {
            Some(_) => format!("http://api.example.com{path}"),
            None => "api.example.com:443".to_owned(),
        })
        .header("sec-websocket-version", "13")
        .header("sec-websocket-protocol", "chat, superchat")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .header("x-user-id", user)
        .body(())
        .expect("a request");
    if let Some(protocol) = protocol {
        request
            .extensions_mut()
            .insert(Protocol::from_static(protocol));
    }
    let mut client = client.clone();
    client.send_request(request, false).expect("a stream")
}

/// A WebSocket that has been opened, and what the upstream was asked.
async fn open(client: &SendRequest<Bytes>, user: &str) -> (SendStream<Bytes>, RecvStream, String) {
    let (response, sends) = ask(client, "/chat?room=1", user, Some("websocket"));
    let response = in_time("an answer", response).await.expect("an answer");
    assert_eq!(response.status(), 200);
    let headers = response.headers();
    assert_eq!(headers["sec-websocket-protocol"], "chat");
    for of_http1 in ["connection", "upgrade", "sec-websocket-accept"] {
        assert!(!headers.contains_key(of_http1), "{headers:?}");
    }
    let mut body = response.into_body();
    let mut greeting = Vec::new();
    while !greeting.ends_with(b"\r\n\r\n") {
        let part = in_time("the greeting", read(&mut body)).await;
        greeting.extend(part.expect("a part"));
    }
    assert_eq!(greeting[..2], GREETING);
    let asked = String::from_utf8(greeting.split_off(4)).expect("text");
    (sends, body, asked.to_ascii_lowercase())
}

/// Fails unless a stream ends with nothing more, and in order.
async fn ended(body: &mut RecvStream) {
    let end = in_time("the end", read(body)).await;
    assert!(end.unwrap_or_default().is_empty() && body.is_end_stream());
}

#[tokio::test]
async fn a_websocket_passes_over_http2_and_ends_from_either_side() {
    let (gateway, _servers) = stage().await;
    let client = connect(&gateway).await;
    let (mut sends, mut body, asked) = open(&client, "s1").await;
    assert!(
        asked.starts_with("get /chat?room=1 http/1.1\r\n"),
        "{asked}"
    );
    for field in [
        "\r\nhost: api.example.com\r\n",
        "\r\nconnection: upgrade\r\n",
        "\r\nupgrade: websocket\r\n",
        "\r\nsec-websocket-version: 13\r\n",
        "\r\nsec-websocket-protocol: chat, superchat\r\n",
        "\r\ncookie: a=1; b=2\r\n",
        "\r\nx-serin-deployment: stable\r\n",
    ] {
        assert_eq!(asked.matches(field).count(), 1, "{field:?} {asked}");
    }
    // More than any window: it flows both ways at the same time.
    let whole: Bytes = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let sent = whole.clone();
    let sending = tokio::spawn(async move {
        for part in sent.chunks(10_000) {
            sends.reserve_capacity(part.len());
            while sends.capacity() < part.len() {
                let room = std::future::poll_fn(|cx| sends.poll_capacity(cx)).await;
                room.expect("an open stream").expect("room");
            }
            let part = Bytes::copy_from_slice(part);
            sends.send_data(part, false).expect("an open stream");
        }
        sends
    });
    let mut came = Vec::new();
    while came.len() < whole.len() {
        came.extend(in_time("an echo", read(&mut body)).await.expect("more"));
    }
    assert!(came == whole);
    let mut sends = sending.await.expect("it is sent");
    sends.send_data(Bytes::new(), true).expect("an open stream");
    ended(&mut body).await;
    let line = gateway.await_access_log_of("/chat").await;
    assert_has(
        &line,
        &json!({ "status": 101, "served": "stable", "response_bytes": 4 + asked.len() + whole.len() }),
    );
    // One that is cancelled leaves nothing behind.
    let (mut sends, body, _) = open(&client, "s2").await;
    sends.send_reset(Reason::CANCEL);
    drop(body);
    gateway
        .await_metric("serin_active_requests", &[], 0.0)
        .await;
    gateway
        .await_metric("serin_upstream_connections", &[], 0.0)
        .await;
}

#[tokio::test]
async fn what_is_no_websocket_is_refused() {
    let (gateway, _servers) = stage().await;
    let client = connect(&gateway).await;
    for (path, protocol, status) in [
        ("/closed", Some("websocket"), 403),
        ("/refuse", Some("websocket"), 401),
        // Whoever answers that has not read the key.
        ("/wrong", Some("websocket"), 502),
        ("/chat", Some("connect-udp"), 405),
        ("/", None, 405),
    ] {
        let (response, _sends) = ask(&client, path, "s1", protocol);
        let response = in_time("an answer", response).await.expect("an answer");
        assert_eq!(response.status(), status, "{path}");
        let mut body = response.into_body();
        ended(&mut body).await;
    }
    let answer = gateway.send(get("/refuse")).await;
    assert_eq!((answer.status, answer.text()), (401, "no"));
}

#[tokio::test]
async fn one_on_a_killed_canary_is_closed() {
    let (gateway, _servers) = stage().await;
    let client = connect(&gateway).await;
    let (_sends, mut body, asked) = open(&client, "c1").await;
    assert!(asked.contains("\r\nx-serin-deployment: search.ranker\r\n"));
    let (mut stays, mut others, _) = open(&client, "s1").await;
    let kill = "/api/v1/services/search/canaries/search.ranker/kill";
    assert_eq!(gateway.admin_send(post(kill, "")).await.status, 200);
    let close = in_time("a close frame", read(&mut body)).await;
    assert_eq!(close.as_deref(), Some(&[0x88, 2, 0x03, 0xf4][..]));
    ended(&mut body).await;
    stays.send_data("on".into(), false).expect("an open stream");
    let echo = in_time("an echo", read(&mut others)).await;
    assert_eq!(echo.as_deref(), Some(&b"on"[..]));
    let (_sends, _body, asked) = open(&client, "c1").await;
    assert!(asked.contains("\r\nx-serin-deployment: stable\r\n"));
}
