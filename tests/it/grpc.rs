//! gRPC's four kinds of calls pass, and may be silent: between messages, and on a route that says so also before the
//! first.

mod official;

use std::sync::Arc;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::Request;
use tokio::sync::Semaphore;

use crate::harness::streams::{ANY_FRAMES, finish, read};
use crate::harness::wire::WireStream;
use crate::harness::{Gateway, Stream, Streams, in_time, pause, until};

/// Much shorter than the silences.
const CONFIG: &str = "
services:
  search: { stable: @stable, timeouts: { response: 200ms, idle: 200ms } }
flags:
  search.ranker: { url: @canary, rings: [{ name: some, when: { userId: { starts_with: c } } }] }
routes:
  - { path: /, service: search, timeout: 250ms }
  - { path: /patient, service: search, timeout: none }
identity: { user_id: [{ header: x-user-id, trust: anyone }] }
";

const SILENCE: u64 = 700;

async fn before(upstream: &Streams) -> Gateway {
    let config = CONFIG.replace("@stable", &upstream.url());
    Gateway::start(config.replace("@canary", &upstream.url())).await
}

struct Client(SendRequest<Bytes>);

impl Client {
    async fn connect(gateway: &Gateway) -> Self {
        let socket = WireStream::connect_http2(gateway.address()).await;
        let mut builder = h2::client::Builder::new();
        builder.data_frame_budget(ANY_FRAMES);
        let (client, connection) = builder.handshake(socket).await.expect("HTTP/2");
        tokio::spawn(async move {
            // How it ends is seen by whoever uses it.
            let _ = connection.await;
        });
        Self(client)
    }

    fn call(&self, path: &str, kind: &str, user: &str) -> (ResponseFuture, SendStream<Bytes>) {
        let request = Request::post(format!("http://api.example.com{path}"))
            .header("content-type", kind)
            .header("te", "trailers")
            .header("x-user-id", user)
            .body(())
            .expect("a request");
        self.0
            .clone()
            .send_request(request, false)
            .expect("a stream")
    }
}

const GRPC: &str = "application/grpc+proto";

fn say(body: &mut SendStream<Bytes>, message: &'static str, end: bool) {
    body.send_data(message.into(), end).expect("an open stream");
}

async fn begun(response: ResponseFuture) -> RecvStream {
    let response = in_time("an answer", response).await.expect("an answer");
    assert_eq!(response.status(), 200);
    response.into_body()
}

async fn heard(body: &mut RecvStream, message: &str) {
    let data = in_time("a message", read(body)).await;
    assert_eq!(data.as_deref(), Some(message.as_bytes()));
}

/// Fails unless the answer ends, and well.
async fn ended(mut body: RecvStream) {
    let rest = in_time("the end", read(&mut body)).await;
    assert_eq!(rest.unwrap_or_default(), "");
    let trailers = in_time("trailers", body.trailers()).await;
    let trailers = trailers.expect("a whole answer").expect("trailers");
    assert_eq!(trailers["grpc-status"], "0");
}

/// Answers as the kinds do: once or message by message, after one or after all that is asked.
async fn upstream() -> Streams {
    Streams::start(100, async |mut stream: Stream| {
        let path = stream.path().to_owned();
        if path == "/bidi" {
            let mut body = stream.begin(200);
            while let Some(message) = stream.read().await {
                if !message.is_empty() {
                    body.send_data(message, false).expect("an open stream");
                }
            }
            return finish(&mut body);
        }
        while stream.read().await.is_some() {}
        let mut body = stream.begin(200);
        say(&mut body, "one", false);
        if path == "/server" {
            pause(SILENCE).await;
            say(&mut body, "two", false);
        }
        finish(&mut body);
    })
    .await
}

#[tokio::test]
async fn four_kinds_of_calls_pass_and_may_be_silent() {
    let upstream = upstream().await;
    let gateway = before(&upstream).await;
    let client = Client::connect(&gateway).await;
    for user in ["s1", "c1"] {
        let (response, mut body) = client.call("/unary", GRPC, user);
        say(&mut body, "ask", true);
        let mut answer = begun(response).await;
        heard(&mut answer, "one").await;
        ended(answer).await;

        let (response, mut body) = client.call("/server", GRPC, user);
        say(&mut body, "ask", true);
        let mut answer = begun(response).await;
        heard(&mut answer, "one").await;
        heard(&mut answer, "two").await;
        ended(answer).await;

        // The client pauses, and nobody else is late for that.
        let (response, mut body) = client.call("/client", GRPC, user);
        say(&mut body, "ask", false);
        pause(SILENCE).await;
        say(&mut body, "more", true);
        let mut answer = begun(response).await;
        heard(&mut answer, "one").await;
        ended(answer).await;

        let (response, mut body) = client.call("/bidi", GRPC, user);
        say(&mut body, "one", false);
        let mut answer = begun(response).await;
        heard(&mut answer, "one").await;
        pause(SILENCE).await;
        say(&mut body, "two", false);
        heard(&mut answer, "two").await;
        pause(SILENCE).await;
        say(&mut body, "", true);
        ended(answer).await;
    }
}

#[tokio::test]
async fn a_call_may_be_silent_at_first_where_the_route_says_so() {
    let go_on = Arc::new(Semaphore::new(0));
    let told = go_on.clone();
    let upstream = Streams::start(100, move |mut stream: Stream| {
        let told = told.clone();
        async move {
            while stream.read().await.is_some() {}
            if stream.path() == "/impatient" || stream.request.headers()["content-type"] != GRPC {
                // Nobody waits for this one to the end.
                std::future::pending::<()>().await;
            }
            told.acquire().await.expect("a permit").forget();
            let mut body = stream.begin(200);
            say(&mut body, "at last", false);
            finish(&mut body);
        }
    })
    .await;
    let gateway = before(&upstream).await;
    let client = Client::connect(&gateway).await;
    for user in ["s1", "c1"] {
        let (response, mut body) = client.call("/patient", GRPC, user);
        say(&mut body, "ask", true);
        pause(SILENCE).await;
        go_on.add_permits(1);
        let mut answer = begun(response).await;
        heard(&mut answer, "at last").await;
        ended(answer).await;
        // Who is no stream has the service's time.
        let (response, mut body) = client.call("/patient", "application/json", user);
        say(&mut body, "ask", true);
        let response = in_time("an answer", response).await.expect("an answer");
        assert_eq!(response.status(), 504);
    }
    // Elsewhere the route's time holds for calls, too.
    let (response, mut body) = client.call("/impatient", GRPC, "s1");
    say(&mut body, "ask", true);
    let response = in_time("an answer", response).await.expect("an answer");
    assert_ne!(
        response.headers().get("x-origin").map(|v| v.as_bytes()),
        Some(&b"streams"[..])
    );
}

#[tokio::test]
async fn calls_whose_client_has_said_nothing_share_a_connection() {
    let upstream = Streams::start(100, async |mut stream: Stream| {
        // Its server speaks first.
        let mut body = stream.begin(200);
        say(&mut body, "welcome", false);
        while stream.read().await.is_some() {}
        finish(&mut body);
    })
    .await;
    let gateway = before(&upstream).await;
    let client = Client::connect(&gateway).await;
    let mut calls = Vec::new();
    for n in 0..50 {
        let user = if n % 2 == 0 { "s1" } else { "c1" };
        let (response, body) = client.call("/chat", GRPC, user);
        if n < 2 {
            until("the first ones", || (upstream.streams() > n).then_some(())).await;
        }
        calls.push((response, body));
    }
    until("all calls", || (upstream.streams() == 50).then_some(())).await;
    // One of stable's, and one of the canary's.
    assert_eq!(upstream.connections(), 2);
    pause(SILENCE).await;
    for (response, mut body) in calls {
        let mut answer = begun(response).await;
        heard(&mut answer, "welcome").await;
        say(&mut body, "", true);
        ended(answer).await;
    }
}

/// The least message of gRPC: not compressed, and of no bytes.
const LEAST: &[u8; 5] = &[0; 5];

/// Reads a body to its end; says how many bytes it had.
async fn swallowed(body: &mut RecvStream) -> usize {
    let mut count = 0;
    while let Some(data) = in_time("more", read(body)).await {
        count += data.len();
    }
    count
}

#[tokio::test]
async fn many_small_messages_may_wait_for_whoever_takes_none() {
    const MANY: usize = 30_000;
    let upstream = Streams::start(100, async |mut stream: Stream| {
        // Takes nothing at first.
        pause(SILENCE).await;
        let sent = swallowed(stream.request.body_mut()).await;
        assert_eq!(sent, 10_000 * LEAST.len());
        let mut body = stream.begin(200);
        for _ in 0..MANY {
            say(&mut body, "\0\0\0\0\0", false);
        }
        finish(&mut body);
    })
    .await;
    let gateway = before(&upstream).await;
    let client = Client::connect(&gateway).await;
    for user in ["s1", "c1"] {
        let (response, mut body) = client.call("/patient", GRPC, user);
        for n in 1..=10_000 {
            say(&mut body, "\0\0\0\0\0", n == 10_000);
        }
        let mut answer = begun(response).await;
        pause(SILENCE).await;
        assert_eq!(swallowed(&mut answer).await, MANY * LEAST.len());
        ended(answer).await;
    }
}
