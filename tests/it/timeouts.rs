//! How long upstreams may take: `timeouts` of services and `timeout` of routes.

use std::net::{Ipv4Addr, SocketAddr, TcpStream as BlockingStream};
use std::time::{Duration, Instant};

use serde_json::json;
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::harness::wire::WireStream;
use crate::harness::{Gateway, Origin, Raw, assert_has, fill, get, in_time, outlast, pause, post};

/// A port that takes no connection, nor refuses one: its backlog is full.
struct BlackHole {
    address: SocketAddr,
    _listening: Socket,
    _filling: Vec<BlockingStream>,
}

impl BlackHole {
    fn open() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        socket.bind(&any.into()).expect("a free port");
        socket.listen(0).expect("a listening socket");
        let address = socket.local_addr().ok().and_then(|a| a.as_socket());
        let address = address.expect("an address");
        let patience = Duration::from_millis(200);
        let mut filling = Vec::new();
        while let Ok(stream) = BlockingStream::connect_timeout(&address, patience) {
            filling.push(stream);
            assert!(filling.len() < 100, "the backlog has no end");
        }
        Self {
            address,
            _listening: socket,
            _filling: filling,
        }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// Fails when something was over before its limit. Each test has no other limit that would have ended it before the
/// deadline that all answers are waited for with.
fn not_before(millis: u64, begun: Instant) {
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(millis), "{took:?}");
}

#[tokio::test]
async fn a_response_must_begin_in_time() {
    let origin = Origin::start("origin").await;
    let config = "
services: { search: { stable: @origin, timeouts: { response: 300ms } } }
routes: [{ path: /, service: search }]
";
    let gateway = Gateway::start(fill(config, [&origin])).await;
    origin.hold();
    let mut kept = gateway.connect().await;
    for call in [get("/get"), post("/post", "pay")] {
        let begun = Instant::now();
        let answer = gateway.send(call).await;
        not_before(300, begun);
        assert_eq!((answer.status, answer.origin()), (504, "-"));
    }
    let mut multiplexed = gateway.connect_h2c().await;
    let (one, two) = tokio::join!(kept.send(get("/one")), multiplexed.send(get("/two")));
    assert_eq!((one.status, two.status), (504, 504));
    assert_eq!(origin.count(), 4, "none is sent twice");
    origin.release();
    gateway.send(get("/")).await.assert_from("origin");
}

#[tokio::test]
async fn a_black_hole_is_left_in_time() {
    let (stable, hole) = (Origin::start("stable").await, BlackHole::open());
    let config = "
services:
  search: { stable: @stable, timeouts: { connect: 300ms } }
  lost: { stable: @hole, timeouts: { connect: 300ms } }
  hurried: { stable: @hole, timeouts: { connect: 60s }, retries: { attempts: 3 } }
flags:
  search.new: { url: @hole, rings: [{ name: all, when: { userId: [u1] } }] }
routes:
  - { path: /, service: search }
  - { path: /lost, service: lost }
  - { path: /hurried, service: hurried, timeout: 500ms }
identity: { user_id: [{ header: x-user-id, trust: anyone }] }
";
    let config = fill(&config.replace("@hole", &hole.url()), [&stable]);
    let gateway = Gateway::start(config).await;
    for call in [get("/get"), post("/post", vec![b'x'; 200_000])] {
        let begun = Instant::now();
        let answer = gateway.send(call.user("u1")).await;
        not_before(300, begun);
        answer.assert_from("stable");
    }
    let line = gateway.await_access_log_of("/post").await;
    let expected = json!({ "assigned": "search.new", "served": "stable", "cause": "connect" });
    assert_has(&line, &expected);

    // One attempt and one retry.
    let begun = Instant::now();
    let answer = gateway.send(get("/lost")).await;
    not_before(300, begun);
    assert!(matches!(answer.status, 502 | 504), "{answer:?}");

    // The route's timeout holds for all attempts together, however long one of them may take.
    let begun = Instant::now();
    let answer = gateway.send(get("/hurried")).await;
    not_before(500, begun);
    assert_eq!((answer.status, answer.origin()), (504, "-"));
}

/// Accepts one connection, and reads a request's head.
async fn accept(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = listener.accept().await.expect("a connection");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a request's head"));
    }
    stream
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    let listener = listener.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    (listener, url)
}

#[tokio::test]
async fn a_stream_of_events_may_be_silent() {
    let (listener, url) = listen().await;
    let config = format!(
        "
services: {{ search: {{ stable: '{url}', timeouts: {{ response: 200ms, idle: 200ms }} }} }}
routes: [{{ path: /, service: search, timeout: 300ms }}]
server: {{ shutdown_delay: 1ms, timeouts: {{ idle: 200ms, body_read: 200ms, write: 200ms, header_read: 200ms }} }}
"
    );
    let gateway = Gateway::start(config).await;
    let address = gateway.address();
    tokio::spawn(async move {
        let mut stream = accept(&listener).await;
        let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
        stream.write_all(head).await.expect("it is taken");
        for event in [&b"data: one\n\n"[..], b"data: two\n\n"] {
            outlast(address, 4).await;
            stream.write_all(event).await.expect("it is taken");
        }
    });
    let mut events = Raw::open(gateway.address()).await;
    let request = b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n";
    events.write(request).await;
    events.read_until(b"data: one\n\n").await;
    events.read_until(b"data: two\n\n").await;
}

#[tokio::test]
async fn an_upload_may_be_slow() {
    let origin = Origin::start("origin").await;
    let config = "
services: { search: { stable: @origin, timeouts: { response: 300ms, idle: 300ms } } }
routes: [{ path: /, service: search, timeout: 400ms }]
server: { shutdown_delay: 1ms, timeouts: { idle: 300ms, body_read: 300ms, header_read: 300ms } }
";
    let gateway = Gateway::start(fill(config, [&origin])).await;
    let mut upload = gateway.open_raw().await;
    let head = "POST /slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 12\r\n\r\n";
    upload.write(head.as_bytes()).await;
    let begun = Instant::now();
    for _ in 0..12 {
        pause(100).await;
        upload.write(b"x").await;
    }
    not_before(1000, begun);
    let answer = upload.read_to_end().await;
    assert!(
        answer.starts_with(b"HTTP/1.1 200 "),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    assert_eq!(&origin.last().body[..], b"xxxxxxxxxxxx");
}

#[tokio::test]
async fn nobody_gets_a_pooled_connection_that_is_being_closed() {
    let origin = Origin::start("origin").await;
    let config = "
services: { search: { stable: @origin, timeouts: { idle: 20ms }, retries: { attempts: 0 } } }
routes: [{ path: /, service: search }]
";
    let gateway = Gateway::start(fill(config, [&origin])).await;
    // Every pause is about as long as a connection may rest, so that some requests come at that very moment; a POST that
    // had been sent could not be sent again.
    for turn in 0..150 {
        pause(20 + turn % 25).await;
        gateway.send(post("/", "x")).await.assert_from("origin");
    }
    assert!(origin.connections() > 1, "no connection was ever closed");
}

#[tokio::test]
async fn a_pooled_connection_is_closed_when_it_has_been_idle() {
    let (listener, url) = listen().await;
    let config = format!(
        "
services: {{ search: {{ stable: '{url}', timeouts: {{ idle: 400ms }} }} }}
routes: [{{ path: /, service: search }}]
"
    );
    let gateway = Gateway::start(config).await;
    let (closed, end) = oneshot::channel();
    tokio::spawn(async move {
        let mut stream = accept(&listener).await;
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(answer).await.expect("it is taken");
        let idle = Instant::now();
        let read = stream.read(&mut [0]).await.expect("an end");
        assert_eq!(read, 0);
        closed.send(idle.elapsed()).expect("somebody waits");
    });
    assert_eq!(gateway.send(get("/")).await.status, 200);
    let idle = in_time("the end of a pooled connection", end).await;
    let idle = idle.expect("an end");
    assert!(idle >= Duration::from_millis(390), "{idle:?}");
}

const PAUSES: &str = "
services:
  search:
    stable: @stable
    timeouts: { response: 300ms }
    outlier: { consecutive_failures: 3 }
flags:
  search.ranker: { url: @canary, rings: [{ name: some, when: { userId: { starts_with: c } } }] }
routes: [{ path: /, service: search, timeout: 400ms }]
identity: { user_id: [{ header: x-user-id, trust: anyone }] }
";

/// Sends a request in two halves with a pause between them; without `more` the second never comes. The status of its
/// answer.
async fn upload(gateway: &Gateway, h2: bool, user: &str, silent_ms: u64, more: bool) -> u16 {
    if h2 {
        let socket = WireStream::connect_http2(gateway.address()).await;
        let (mut client, connection) = h2::client::handshake(socket).await.expect("HTTP/2");
        let running = tokio::spawn(connection);
        let request = http::Request::post("http://api.example.com/upload")
            .header("x-user-id", user)
            .body(())
            .expect("a request");
        let (response, mut body) = client.send_request(request, false).expect("a stream");
        body.send_data("half".into(), false).expect("a stream");
        pause(silent_ms).await;
        if more {
            body.send_data("half".into(), true).expect("a stream");
        }
        let response = in_time("an answer", response).await.expect("an answer");
        running.abort();
        return response.status().as_u16();
    }
    let mut client = gateway.open_raw().await;
    let head = format!(
        "POST /upload HTTP/1.1\r\nHost: a\r\nx-user-id: {user}\r\nConnection: close\r\n\
         Content-Length: 8\r\n\r\nhalf"
    );
    client.write(head.as_bytes()).await;
    pause(silent_ms).await;
    if more {
        client.write(b"half").await;
    }
    let answer = String::from_utf8_lossy(&client.read_to_end().await).into_owned();
    let status = answer.get(9..12).and_then(|status| status.parse().ok());
    status.unwrap_or_else(|| panic!("no answer: {answer:?}"))
}

/// Stable and a canary, both over HTTP/2 or both not.
async fn pair(h2: bool) -> (Origin, Origin) {
    match h2 {
        true => (
            Origin::start_h2c("stable").await,
            Origin::start_h2c("canary").await,
        ),
        false => (Origin::start("stable").await, Origin::start("canary").await),
    }
}

async fn all_are_healthy(gateway: &Gateway) {
    let service = gateway.admin("/api/v1/services/search").await.json();
    for deployment in [0, 1] {
        let endpoint = &service["deployments"][deployment]["endpoints"][0];
        assert_eq!(endpoint["health"], "healthy", "{endpoint}");
    }
}

const WAYS: [(bool, bool); 4] = [(false, false), (false, true), (true, false), (true, true)];

#[tokio::test]
async fn a_client_that_pauses_in_its_upload_is_waited_for_and_nobody_is_late() {
    for (to_upstream, to_client) in WAYS {
        let (stable, canary) = pair(to_upstream).await;
        let gateway = Gateway::start(fill(PAUSES, [&stable, &canary])).await;
        let users = ["c0", "c1", "c2", "c3", "s0", "s1", "s2", "s3"];
        let uploads = users.map(|user| upload(&gateway, to_client, user, 900, true));
        let statuses = futures_util::future::join_all(uploads).await;
        assert_eq!(statuses, [200; 8], "h2: {to_upstream} {to_client}");
        assert_eq!((stable.count(), canary.count()), (4, 4));
        assert_eq!(&canary.last().body[..], b"halfhalf");
        all_are_healthy(&gateway).await;
        // Once all of it has been passed on, it is the upstream who is awaited.
        stable.hold();
        canary.hold();
        for user in ["c1", "s1"] {
            let begun = Instant::now();
            assert_eq!(upload(&gateway, to_client, user, 500, true).await, 504);
            not_before(800, begun);
        }
    }
}

#[tokio::test]
async fn a_client_that_never_sends_the_rest_is_the_one_who_is_late() {
    let config =
        format!("{PAUSES}server: {{ shutdown_delay: 1ms, timeouts: {{ body_read: 300ms }} }}\n");
    for (to_upstream, to_client) in WAYS {
        let (stable, canary) = pair(to_upstream).await;
        let gateway = Gateway::start(fill(&config, [&stable, &canary])).await;
        let users = ["c0", "c1", "c2", "c3", "s0", "s1", "s2", "s3"];
        let uploads = users.map(|user| upload(&gateway, to_client, user, 0, false));
        let statuses = futures_util::future::join_all(uploads).await;
        assert_eq!(statuses, [408; 8], "h2: {to_upstream} {to_client}");
        assert_eq!((stable.count(), canary.count()), (0, 0));
        all_are_healthy(&gateway).await;
    }
}

/// Sends a head and so many bytes, while it waits for the answer. The answer's first bytes.
async fn pour(gateway: &Gateway, bytes: usize) -> String {
    let socket = WireStream::connect(gateway.address()).await;
    let (mut reader, mut writer) = tokio::io::split(socket);
    let head = format!("POST /pour HTTP/1.1\r\nHost: a\r\nContent-Length: {bytes}\r\n\r\n");
    let pouring = tokio::spawn(async move {
        // It may be refused at any moment.
        let _ = writer.write_all(head.as_bytes()).await;
        let _ = writer.write_all(&vec![b'x'; bytes]).await;
        writer
    });
    let mut answer = [0; 12];
    let read = in_time("an answer", reader.read_exact(&mut answer)).await;
    read.expect("an answer");
    pouring.abort();
    String::from_utf8_lossy(&answer).into_owned()
}

/// A listener whose connections take little that has not been read.
fn narrow() -> (TcpListener, String) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(16 * 1024).expect("a size");
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    socket.bind(&any.into()).expect("a free port");
    socket.listen(16).expect("a listening socket");
    socket.set_nonblocking(true).expect("a non-blocking socket");
    let listener = TcpListener::from_std(socket.into()).expect("a listener");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    (listener, url)
}

fn before(url: &str) -> String {
    format!(
        "
services: {{ search: {{ stable: '{url}', timeouts: {{ response: 500ms }} }} }}
routes: [{{ path: /, service: search }}]
"
    )
}

#[tokio::test]
async fn an_upstream_that_takes_no_more_of_an_upload_is_late() {
    let (listener, url) = narrow();
    let gateway = Gateway::start(before(&url)).await;
    let upstream = tokio::spawn(async move { accept(&listener).await });
    let begun = Instant::now();
    let answer = pour(&gateway, 64 << 20).await;
    assert_eq!(answer, "HTTP/1.1 504");
    // Not only when a client would have been cut off who were the one that is awaited.
    not_before(500, begun);
    upstream.abort();
}

#[tokio::test]
async fn an_upstream_that_is_still_taking_an_upload_is_not_late() {
    let (listener, url) = narrow();
    let gateway = Gateway::start(before(&url)).await;
    let size = 1 << 20;
    let upstream = tokio::spawn(async move {
        let mut stream = accept(&listener).await;
        let mut left = size;
        let mut part = vec![0; 32 * 1024];
        while left > 0 {
            pause(60).await;
            left -= stream.read(&mut part).await.expect("more");
        }
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(answer).await.expect("it is taken");
        stream
    });
    let begun = Instant::now();
    assert_eq!(pour(&gateway, size).await, "HTTP/1.1 200");
    not_before(1500, begun);
    drop(upstream.await);
}

#[tokio::test]
async fn a_websocket_may_be_silent_for_longer_than_an_answer_may_take() {
    let (stable, canary) = pair(false).await;
    let gateway = Gateway::start(fill(PAUSES, [&stable, &canary])).await;
    for user in ["c1", "s1"] {
        let mut socket = gateway.open_raw().await;
        let head = format!(
            "GET /ws HTTP/1.1\r\nHost: a\r\nx-user-id: {user}\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        socket.write(head.as_bytes()).await;
        let answer = socket.read_until(b"\r\n\r\n").await;
        assert!(answer.starts_with(b"HTTP/1.1 101 "));
        for message in ["first", "second"] {
            pause(900).await;
            socket.write(message.as_bytes()).await;
            socket.read_until(message.as_bytes()).await;
        }
    }
}
