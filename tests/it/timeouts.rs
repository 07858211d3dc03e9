//! How long upstreams may take: `timeouts` of services and `timeout` of routes.

use std::net::{Ipv4Addr, SocketAddr, TcpStream as BlockingStream};
use std::time::{Duration, Instant};

use serde_json::json;
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::harness::{Gateway, Origin, Raw, assert_has, fill, for_a_while, get, in_time, post};

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

fn took(begun: Instant, millis: std::ops::Range<u64>) {
    let took = begun.elapsed();
    let bounds = Duration::from_millis(millis.start)..Duration::from_millis(millis.end);
    assert!(bounds.contains(&took), "{took:?}");
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
        took(begun, 300..1500);
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
  hurried: { stable: @hole, timeouts: { connect: 10s }, retries: { attempts: 3 } }
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
        took(begun, 300..2000);
        answer.assert_from("stable");
    }
    let line = gateway.await_access_log_of("/post").await;
    let expected = json!({ "assigned": "search.new", "served": "stable", "cause": "connect" });
    assert_has(&line, &expected);

    // One attempt and one retry.
    let begun = Instant::now();
    let answer = gateway.send(get("/lost")).await;
    took(begun, 300..2000);
    assert!(matches!(answer.status, 502 | 504), "{answer:?}");

    // The route's timeout holds for all attempts together, however long one of them may take.
    let begun = Instant::now();
    let answer = gateway.send(get("/hurried")).await;
    took(begun, 500..2000);
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
    tokio::spawn(async move {
        let mut stream = accept(&listener).await;
        let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
        stream.write_all(head).await.expect("it is taken");
        for event in [&b"data: one\n\n"[..], b"data: two\n\n"] {
            for_a_while(1000).await;
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
        for_a_while(100).await;
        upload.write(b"x").await;
    }
    took(begun, 1000..5000);
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
        for_a_while(20 + turn % 25).await;
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
    let bounds = Duration::from_millis(390)..Duration::from_secs(3);
    assert!(bounds.contains(&idle), "{idle:?}");
}
