//! Ten upgrades in a row under load of every kind: not one request fails, and orders are taken all the time.
//!
//! Here with the rate that a debug build and two cores carry; `make upgrades` asks for the whole.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use http_body_util::BodyExt as _;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::{KILL, RESTORE, ordered};
use crate::drain::was_refused;
use crate::harness::streams::{finish, read};
use crate::harness::wire::WireStream;
use crate::harness::{
    Connection, Gateway, H2Connection, Origin, Stream, Streams, eventually, get, in_time, pause,
    post,
};

const CONFIG: &str = "
server: { threads: 2, shutdown_delay: 1s, shutdown_grace: 30s }
services:
  search: { stable: @stable, canaries: ['search.*'] }
  streams: { stable: @streams }
flags:
  search.ranker: { url: @stable, rings: [{ name: some, rollout: 10% }] }
routes:
  - { path: /stream, service: streams }
  - { path: /grpc, service: streams }
  - { path: /, service: search }
identity: { user_id: [{ header: x-user-id, trust: anyone }] }
logging: { level: info, format: json, access: off }
";

/// How much is asked.
#[derive(Clone, Copy)]
struct Rate {
    /// Connections of all kinds together.
    connections: usize,
    /// Requests of all of them in a second.
    requests: usize,
}

impl Rate {
    /// As the environment says it (`SERIN_UPGRADE_RATE`, in requests a second over 200 connections), or what a debug build carries.
    fn wanted() -> Self {
        let stated = std::env::var("SERIN_UPGRADE_RATE").ok();
        match stated.and_then(|rate| rate.parse().ok()) {
            Some(requests) => Self {
                connections: 200,
                requests,
            },
            None => Self {
                connections: 60,
                requests: 400,
            },
        }
    }
}

/// One client, until told to end.
#[derive(Clone)]
struct Client {
    address: SocketAddr,
    over: watch::Receiver<bool>,
    served: Arc<AtomicUsize>,
    /// Between two requests of one client.
    pause: Duration,
}

const PIECES: usize = 10;

impl Client {
    fn is_over(&self) -> bool {
        *self.over.borrow()
    }

    fn note(&self) {
        self.served.fetch_add(1, Ordering::SeqCst);
    }

    /// Short requests, over each connection for as long as it is kept open.
    async fn keep_alive(self) {
        let mut tick = ticking(self.pause);
        while !self.is_over() {
            let stream = WireStream::try_connect(self.address, &[]).await;
            let mut connection = Connection::over(stream.expect("a connection")).await;
            while !self.is_over() {
                tick.tick().await;
                let answer = connection.send(get("/kept").user("u1")).await;
                answer.assert_from("stable");
                self.note();
                if answer.header("connection") == Some("close") {
                    break;
                }
            }
        }
    }

    /// A connection for each request.
    async fn fresh(self) {
        let mut tick = ticking(self.pause);
        while !self.is_over() {
            tick.tick().await;
            let stream = WireStream::try_connect(self.address, &[]).await;
            let mut connection = Connection::over(stream.expect("a connection")).await;
            let answer = connection.send(get("/fresh")).await;
            answer.assert_from("stable");
            self.note();
        }
    }

    /// Short requests over HTTP/2, over each connection for as long as it takes new streams.
    async fn http2(self) {
        let mut tick = ticking(self.pause);
        while !self.is_over() {
            let stream = WireStream::try_connect(self.address, &[b"h2"]).await;
            let mut connection = H2Connection::over(stream.expect("a connection")).await;
            while !self.is_over() && !connection.is_closed() {
                tick.tick().await;
                match connection.try_send(get("/h2")).await {
                    Ok(answer) => {
                        answer.assert_from("stable");
                        self.note();
                    }
                    // Told to go away before it was sent: clients' libraries ask elsewhere.
                    Err(error) => {
                        let was_sent = !error.is_canceled() && !error.is_closed();
                        assert!(!was_sent || was_refused(&error), "{error:?}");
                        break;
                    }
                }
            }
        }
    }

    /// Answers that come piece by piece, each over a connection of its own.
    async fn streaming(self) {
        while !self.is_over() {
            let stream = WireStream::try_connect(self.address, &[]).await;
            let mut connection = Connection::over(stream.expect("a connection")).await;
            let answer = connection.begin(get("/stream")).await.expect("an answer");
            assert_eq!(answer.status(), 200);
            let body = in_time("a whole body", answer.into_body().collect()).await;
            let body = body.expect("a whole body").to_bytes();
            assert_eq!(body, "piece\n".repeat(PIECES).as_bytes());
            self.note();
        }
    }

    /// Calls by gRPC that last, message by message both ways.
    async fn grpc(self) {
        while !self.is_over() {
            let stream = WireStream::try_connect(self.address, &[b"h2"]).await;
            let handshake = h2::client::handshake(stream.expect("a connection"));
            let (client, connection) = handshake.await.expect("HTTP/2");
            tokio::spawn(async move {
                // How it ends is seen by whoever uses it.
                let _ = connection.await;
            });
            // One call a connection: how calls are put on others is a client library's affair.
            call(client).await;
            self.note();
        }
    }
}

fn ticking(pause: Duration) -> tokio::time::Interval {
    let mut tick = interval(pause);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick
}

async fn call(client: SendRequest<Bytes>) {
    let mut client = in_time("room for a call", client.ready())
        .await
        .expect("room");
    let request = Request::post("http://api.example.com/grpc")
        .header("content-type", "application/grpc+proto")
        .header("te", "trailers")
        .body(())
        .expect("a request");
    let (response, mut body) = client.send_request(request, false).expect("a stream");
    body.send_data("message".into(), false)
        .expect("an open stream");
    let response = in_time("an answer", response).await.expect("an answer");
    assert_eq!(response.status(), 200);
    let mut answer = response.into_body();
    for _ in 0..PIECES {
        let message = in_time("a message", read(&mut answer)).await;
        assert_eq!(message.as_deref(), Some(&b"message"[..]));
        pause(50).await;
        body.send_data("message".into(), false)
            .expect("an open stream");
    }
    body.send_data(Bytes::new(), true).expect("an open stream");
    while in_time("the rest", read(&mut answer)).await.is_some() {}
    let trailers = in_time("trailers", answer.trailers()).await;
    let trailers = trailers.expect("a whole answer").expect("trailers");
    assert_eq!(trailers["grpc-status"], "0");
}

/// Answers piece by piece, or message by message.
async fn origin() -> Streams {
    Streams::start(1_000, async |mut stream: Stream| {
        let is_call = stream.path() == "/grpc";
        let mut body = stream.begin(200);
        if is_call {
            while let Some(message) = stream.read().await {
                if !message.is_empty() && body.send_data(message, false).is_err() {
                    return;
                }
            }
            return finish(&mut body);
        }
        for _ in 0..PIECES {
            pause(50).await;
            if body.send_data("piece\n".into(), false).is_err() {
                return;
            }
        }
        // Whoever asked may have gone.
        let _ = body.send_data(Bytes::new(), true);
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_through_ten_upgrades_in_a_row() {
    let (stable, streams) = (Origin::start("stable").await, origin().await);
    let config = CONFIG.replace("@stable", &stable.url());
    let mut gateway = Gateway::start(config.replace("@streams", &streams.url())).await;
    let rate = Rate::wanted();
    let (end, over) = watch::channel(false);
    let served: [Arc<AtomicUsize>; 5] = Default::default();
    let each = rate.connections / 10;
    let short = 8 * each;
    let client = |kind: usize| Client {
        address: gateway.address(),
        over: over.clone(),
        served: served[kind].clone(),
        pause: Duration::from_secs_f64(short as f64 / rate.requests as f64),
    };
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..each {
        for _ in 0..5 {
            clients.spawn(client(0).keep_alive());
        }
        clients.spawn(client(1).fresh());
        for _ in 0..2 {
            clients.spawn(client(2).http2());
        }
        clients.spawn(client(3).streaming());
        clients.spawn(client(4).grpc());
    }
    let counts = || served.each_ref().map(|count| count.load(Ordering::SeqCst));
    let all_serve = async |before: [usize; 5]| {
        eventually("every kind of load", || async {
            let all = counts().into_iter().zip(before);
            all.into_iter()
                .all(|(now, before)| now > before)
                .then_some(())
        })
        .await;
    };
    all_serve(counts()).await;
    for round in 0..10 {
        let mut old = gateway.upgrade().await;
        let order = if round % 2 == 0 { KILL } else { RESTORE };
        ordered(&gateway, post(order, "")).await;
        all_serve(counts()).await;
        assert_eq!(old.await_exit().await.code(), Some(0), "{}", old.log());
        assert!(!old.log().contains("connections were cut"), "{}", old.log());
        while let Some(ended) = clients.try_join_next() {
            ended.expect("no failure");
        }
    }
    all_serve(counts()).await;
    end.send_replace(true);
    while let Some(ended) = in_time("the last answers", clients.join_next()).await {
        ended.expect("no failure");
    }
    eprintln!("served through ten upgrades: {:?}", counts());
}
