//! Requests that outlive the decision that they began under (`services.*.streams`): of a killed canary, of one whose lease
//! ends, of users who are moved.

mod endings;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use http_body_util::BodyExt as _;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::harness::script::Visit;
use crate::harness::streams::read;
use crate::harness::wire::WireStream;
use crate::harness::{
    Call, Gateway, Raw, Script, Stream, Streams, assert_has, eventually, get, in_time, post,
};

/// Users whose ID begins with `c` are the canaries'.
const CONFIG: &str = "
services:
  search: { stable: @stable, @streams }
  calls: { stable: @other, @streams }
flags:
  search.ranker: { url: @canary, rings: [{ name: some, when: { userId: { starts_with: c } } }] }
  calls.next: { url: @called, rings: [{ name: some, when: { userId: { starts_with: c } } }] }
routes:
  - { path: /, service: search }
  - { path: /calls, service: calls, timeout: none }
identity: { user_id: [{ header: x-user-id, trust: anyone }] }
logging: { level: info, format: json, access: all }
";

const HANDSHAKE: &str = "Host: api.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// How a server closes a WebSocket whose client is to come back.
const RESTART: [u8; 4] = [0x88, 2, 0x03, 0xf4];

/// A stable deployment and a canary of each service, with a gateway before them.
struct Stage {
    gateway: Gateway,
    config: String,
    /// Has all streams of events say one more.
    more: Arc<Semaphore>,
    scripts: [Script; 2],
    _calls: [Streams; 2],
}

impl Stage {
    async fn set(streams: &str) -> Self {
        let more = Arc::new(Semaphore::new(0));
        let scripts = [script("stable", &more).await, script("canary", &more).await];
        let calls = [echoes().await, echoes().await];
        let config = CONFIG
            .replace("@streams", streams)
            .replace("@stable", &scripts[0].url())
            .replace("@canary", &scripts[1].url())
            .replace("@other", &calls[0].url())
            .replace("@called", &calls[1].url());
        Self {
            gateway: Gateway::start(config.as_str()).await,
            more,
            config,
            scripts,
            _calls: calls,
        }
    }

    async fn kill(&self, service: &str, flag: &str) {
        let path = format!("/api/v1/services/{service}/canaries/{flag}/kill");
        let killed = self.gateway.admin_send(post(&path, "")).await;
        assert_eq!(killed.status, 200, "{killed:?}");
    }

    async fn open(&self, kind: Kind, user: &str) -> Open {
        match kind {
            Kind::WebSocket => Open::WebSocket(websocket(&self.gateway, user).await),
            Kind::Events => Open::Events(events(&self.gateway, user).await),
            Kind::Call => call(&self.gateway, user).await,
        }
    }

    async fn closed(&self, service: &str, deployment: &str) -> f64 {
        let labels = [("service", service), ("deployment", deployment)];
        let metrics = self.gateway.metrics().await;
        metrics.sum("serin_streams_closed_total", &labels)
    }
}

/// A server that says who it is, and keeps every answer open.
async fn script(name: &'static str, more: &Arc<Semaphore>) -> Script {
    let more = more.clone();
    Script::start(move |mut visit: Visit| {
        let more = more.clone();
        async move {
            let kind = visit.head.split(['/', ' ']).nth(2).map(str::to_owned);
            match kind.as_deref() {
                Some("ws") => {
                    let switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
                    visit.say(switch).await;
                    visit.say([&[0x81, 6], name.as_bytes()].concat()).await;
                    echo(visit).await;
                }
                Some("events") => {
                    let event = format!("data: {name}\n\n");
                    let chunk = format!("{:x}\r\n{event}\r\n", event.len());
                    visit.say("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n").await;
                    visit.say(&chunk).await;
                    more.acquire().await.expect("a permit").forget();
                    visit.say(&chunk).await;
                    visit.ended().await;
                }
                Some("lines") => {
                    visit.say("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n").await;
                    visit.ended().await;
                }
                Some("long") => {
                    visit.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst").await;
                    visit.ended().await;
                }
                Some("silent") if name == "canary" => {
                    visit.ended().await;
                }
                Some("frames") => endings::slow_frames(visit).await,
                Some("large-frames") => endings::large_frames(visit).await,
                _ => {
                    let length = name.len();
                    let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
                    visit.say(head + name).await;
                }
            }
        }
    })
    .await
}

async fn echo(mut visit: Visit) {
    let mut buffer = [0; 1024];
    while let Ok(count @ 1..) = visit.stream.read(&mut buffer).await {
        if visit.stream.write_all(&buffer[..count]).await.is_err() {
            break;
        }
    }
}

/// A server of calls that never end by themselves.
async fn echoes() -> Streams {
    Streams::start(1000, async |mut stream: Stream| {
        let mut body = stream.begin(200);
        while let Some(message) = stream.read().await {
            if body.send_data(message, false).is_err() {
                return;
            }
        }
        // Its client may have gone.
        let _ = body.send_data(Bytes::new(), true);
    })
    .await
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    WebSocket,
    Events,
    Call,
}

/// A stream that the test's client has open.
enum Open {
    WebSocket(Raw),
    Events(hyper::body::Incoming),
    Call(h2::SendStream<Bytes>, h2::RecvStream),
}

impl Open {
    /// Waits until it ends as it should whose canary is left; says when that was.
    async fn left(self) -> Instant {
        match self {
            Self::WebSocket(mut socket) => {
                let rest = socket.read_to_end().await;
                assert_eq!(rest, RESTART);
            }
            Self::Events(mut body) => {
                // Over HTTP/1.1 the last chunk is missing, which is an error.
                while let Some(Ok(_)) = body.frame().await {}
            }
            Self::Call(_asked, mut answers) => {
                assert!(read(&mut answers).await.is_none());
                let trailers = answers.trailers().await.expect("a whole answer");
                let trailers = trailers.expect("trailers");
                assert_eq!(trailers["grpc-status"], "14");
                let why = "the user has left the deployment that answered";
                assert_eq!(trailers["grpc-message"], why);
            }
        }
        Instant::now()
    }

    /// Fails unless it still passes what is said.
    async fn assert_open(&mut self) {
        match self {
            Self::WebSocket(socket) => {
                let message = b"\x81\x05hello";
                socket.write(message).await;
                assert_eq!(socket.read_until(message).await, message);
            }
            Self::Events(body) => {
                let event = in_time("an event", body.frame()).await.expect("an event");
                event.expect("a frame");
            }
            Self::Call(asked, answers) => {
                asked
                    .send_data("more".into(), false)
                    .expect("an open stream");
                let answer = in_time("an answer", read(answers)).await;
                assert_eq!(answer.as_deref(), Some(&b"more"[..]));
            }
        }
    }
}

/// A WebSocket that the deployment has greeted.
async fn websocket(gateway: &Gateway, user: &str) -> Raw {
    let mut socket = gateway.open_raw().await;
    let head = format!("GET /ws HTTP/1.1\r\nx-user-id: {user}\r\n{HANDSHAKE}");
    socket.write(head.as_bytes()).await;
    let greeting = [&[0x81, 6], deployment_of(user).as_bytes()].concat();
    socket.read_until(&greeting).await;
    socket
}

/// Events of which the first has come.
async fn events(gateway: &Gateway, user: &str) -> hyper::body::Incoming {
    let mut connection = gateway.connect().await;
    let answer = connection.begin(get("/events").user(user)).await;
    let mut body = answer.expect("an answer").into_body();
    let first = in_time("an event", body.frame()).await.expect("an event");
    let first = first.expect("a frame").into_data().expect("data");
    assert_eq!(first, format!("data: {}\n\n", deployment_of(user)));
    body
}

/// A call whose first message has been answered.
async fn call(gateway: &Gateway, user: &str) -> Open {
    let socket = WireStream::connect_http2(gateway.address()).await;
    let (client, connection): (SendRequest<Bytes>, _) =
        h2::client::handshake(socket).await.expect("HTTP/2");
    tokio::spawn(async move {
        // How it ends is seen by whoever uses it.
        let _ = connection.await;
    });
    let request = Request::post("http://api.example.com/calls")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("x-user-id", user)
        .body(())
        .expect("a request");
    let (response, asked) = client
        .clone()
        .send_request(request, false)
        .expect("a stream");
    let response = in_time("an answer", response).await.expect("an answer");
    let mut open = Open::Call(asked, response.into_body());
    open.assert_open().await;
    open
}

fn deployment_of(user: &str) -> &'static str {
    match user.starts_with('c') {
        true => "canary",
        false => "stable",
    }
}

const KINDS: [Kind; 3] = [Kind::WebSocket, Kind::Events, Kind::Call];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_stream_of_a_killed_canary_is_over_within_the_window_and_evenly() {
    const EACH: usize = 100;
    const WINDOW: Duration = Duration::from_secs(6);
    let stage = Stage::set("streams: { on_leave: close, within: 6s }").await;
    let (mut streams, mut others) = (Vec::new(), Vec::new());
    for number in 0..EACH {
        for kind in KINDS {
            streams.push((kind, stage.open(kind, &format!("c{number}")).await));
            if number % 20 == 0 {
                others.push(stage.open(kind, &format!("s{number}")).await);
            }
        }
    }
    let killed = Instant::now();
    stage.kill("search", "search.ranker").await;
    stage.kill("calls", "calls.next").await;
    let mut ends = JoinSet::new();
    for (kind, stream) in streams {
        ends.spawn(async move { (kind, stream.left().await) });
    }
    let ends = in_time("all ends", ends.join_all()).await;
    for kind in KINDS {
        let took = ends.iter().filter(|(ended, _)| *ended == kind);
        let took: Vec<Duration> = took.map(|(_, end)| *end - killed).collect();
        let last = took.iter().max().expect("ends");
        // What this machine needs to tell is none of the gateway's.
        assert!(*last <= WINDOW + WINDOW / 10, "{kind:?}: {last:?}");
        let mut tenths = [0; 11];
        for took in &took {
            tenths[(10.0 * took.as_secs_f64() / WINDOW.as_secs_f64()) as usize] += 1;
        }
        eprintln!("{kind:?}: the last after {last:?}, by tenths of the window {tenths:?}");
        assert!(tenths.iter().all(|count| *count <= EACH / 5), "{tenths:?}");
    }
    assert_eq!(
        stage.closed("search", "search.ranker").await,
        2.0 * EACH as f64
    );
    assert_eq!(stage.closed("calls", "calls.next").await, EACH as f64);
    assert_eq!(stage.closed("search", "stable").await, 0.0);
    stage.more.add_permits(Semaphore::MAX_PERMITS / 2);
    for other in &mut others {
        other.assert_open().await;
    }
    let back = stage.gateway.get_as("c1", "/").await;
    assert_eq!(back.text(), "stable");
    for path in ["/ws", "/events", "/calls"] {
        let wanted = |line: &serde_json::Value| line["path"] == path && line["cause"] == "killed";
        let line = stage.gateway.await_access_log(wanted).await;
        assert_eq!(line["served"], line["assigned"], "{line}");
    }
    let broken = stage.gateway.metrics().await;
    assert_eq!(broken.sum("serin_broken_responses_total", &[]), 0.0);
}

#[tokio::test]
async fn a_kill_closes_streams_that_are_kept_otherwise() {
    let stage = Stage::set("streams: { on_leave: keep }").await;
    let mut streams = Vec::new();
    for number in 0..60 {
        streams.push(stage.open(Kind::WebSocket, &format!("c{number}")).await);
    }
    stage.kill("search", "search.ranker").await;
    // Within 30 s all of them; the first ones come soon.
    let closed = eventually("the first ends", async || {
        let closed = stage.closed("search", "search.ranker").await;
        (closed >= 5.0).then_some(closed)
    });
    assert!(closed.await < 60.0, "they must not all end at once");
}

#[tokio::test]
async fn a_request_without_an_answer_goes_to_stable_if_it_may_be_sent_again() {
    let stage =
        Stage::set("timeouts: { response: 60s }, streams: { on_leave: close, within: 2s }").await;
    let gateway = &stage.gateway;
    let (mut reading, mut writing) = (gateway.connect().await, gateway.connect().await);
    let asked = |call: Call| call.user("c1");
    let (read, written, ()) = tokio::join!(
        reading.send(asked(get("/silent"))),
        writing.send(asked(post("/silent", "order"))),
        async {
            gateway
                .await_metric("serin_active_requests", &[], 2.0)
                .await;
            stage.kill("search", "search.ranker").await;
        }
    );
    assert_eq!((read.status, read.text()), (200, "stable"));
    assert_eq!(written.status, 502, "it may have had effects");
    let line = gateway
        .await_access_log(|line| line["method"] == "GET" && line["path"] == "/silent")
        .await;
    assert_has(
        &line,
        &json!({ "served": "stable", "cause": "killed", "assigned": "search.ranker" }),
    );
    let line = gateway
        .await_access_log(|line| line["method"] == "POST" && line["path"] == "/silent")
        .await;
    assert_has(
        &line,
        &json!({ "served": null, "cause": "killed", "status": 502 }),
    );
}

#[tokio::test]
async fn users_who_are_moved_come_back_and_the_others_stay() {
    let stage = Stage::set("streams: { on_leave: close, within: 1s }").await;
    let gateway = &stage.gateway;
    let moved = [
        stage.open(Kind::WebSocket, "c1").await,
        stage.open(Kind::Events, "c1").await,
    ];
    let mut stays = [
        stage.open(Kind::WebSocket, "c2").await,
        stage.open(Kind::WebSocket, "s1").await,
    ];
    let generation = gateway.generation().await;
    // Another change first, which moves nobody.
    gateway.rewrite_config(&stage.config.replace("path: /calls", "path: /called"));
    gateway.await_generation(generation + 1).await;
    gateway.rewrite_config(&stage.config.replace("starts_with: c }", "in: [c2, c3] }"));
    gateway.await_generation(generation + 2).await;
    for stream in moved {
        in_time("an end", stream.left()).await;
    }
    assert_eq!(gateway.get_as("c1", "/").await.text(), "stable");
    assert_eq!(stage.closed("search", "search.ranker").await, 2.0);
    let line = gateway.await_access_log_of("/ws").await;
    assert_has(
        &line,
        &json!({ "served": "search.ranker", "cause": "moved", "status": 101 }),
    );
    for stream in &mut stays {
        stream.assert_open().await;
    }
}
