//! SIGTERM under load: nobody who asks in time is turned away, nobody who has been taken is dropped.

use std::error::Error as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::client::send;
use crate::harness::wire::WireStream;
use crate::harness::{
    Connection, Gateway, H2Connection, Origin, eventually, fill, get, in_time, until,
};

const CONFIG: &str = "
services: { search: @origin }
routes: [{ path: /, service: search }]
logging: { level: info, format: json, access: off }
";

async fn start(server: &str) -> (Origin, Gateway) {
    let origin = Origin::start("origin").await;
    let config = format!("server: {server}\n{}", fill(CONFIG, [&origin]));
    (origin, Gateway::start(config).await)
}

/// Waits for a moment that the contract names.
async fn await_time(moment: Instant) {
    until("a moment", || (Instant::now() >= moment).then_some(())).await;
}

/// For how long the gateway takes connections once it has been told to end.
const TAKES: Duration = Duration::from_secs(2);

/// Load, until told to end: everybody who connects while the gateway takes connections must be served.
struct Load {
    address: std::net::SocketAddr,
    over: tokio::sync::watch::Receiver<bool>,
    /// When the gateway was told to end.
    told: Arc<OnceLock<Instant>>,
    served: Arc<AtomicUsize>,
}

impl Load {
    fn is_over(&self) -> bool {
        *self.over.borrow()
    }

    fn note(&self, answer: &crate::harness::Answer) {
        answer.assert_from("origin");
        self.served.fetch_add(1, Ordering::SeqCst);
    }

    /// A connection; `None`: the time to take any is over, and a refusal is right.
    async fn connect(&self, offer: &[&[u8]]) -> Option<WireStream> {
        match WireStream::try_connect(self.address, offer).await {
            Ok(stream) => Some(stream),
            Err(error) => {
                let told = self.told.get().map(Instant::elapsed);
                assert!(
                    told.is_some_and(|since| since >= TAKES),
                    "{error} {told:?} after it was told to end"
                );
                None
            }
        }
    }

    /// One connection after the other, each for as long as it is kept open.
    async fn keep_alive(self) {
        while !self.is_over()
            && let Some(stream) = self.connect(&[]).await
        {
            let mut connection = Connection::over(stream).await;
            while !self.is_over() {
                let answer = connection.send(get("/kept")).await;
                self.note(&answer);
                if answer.header("connection") == Some("close") {
                    break;
                }
            }
        }
    }

    /// A connection for each request.
    async fn fresh(self) {
        while !self.is_over()
            && let Some(stream) = self.connect(&[]).await
        {
            let answer = Connection::over(stream).await.send(get("/fresh")).await;
            self.note(&answer);
        }
    }

    /// HTTP/2, each connection for as long as it takes new streams.
    async fn http2(self) {
        while !self.is_over()
            && let Some(stream) = self.connect(&[b"h2"]).await
        {
            let mut connection = H2Connection::over(stream).await;
            while !self.is_over() && !connection.is_closed() {
                match connection.try_send(get("/h2")).await {
                    Ok(answer) => self.note(&answer),
                    // Told to go away before it was sent: the client's library would ask elsewhere.
                    Err(error) => {
                        assert!(error.is_canceled() || was_refused(&error), "{error:?}");
                        break;
                    }
                }
            }
        }
    }
}

/// Whether the connection was told to go away before the request was taken (RFC 9113, section 6.8): streams above the
/// last one that it names were not looked at.
pub(crate) fn was_refused(error: &hyper::Error) -> bool {
    let cause = error
        .source()
        .and_then(|cause| cause.downcast_ref::<h2::Error>());
    cause.is_some_and(|cause| {
        cause.is_go_away() && cause.is_remote() && cause.reason() == Some(h2::Reason::NO_ERROR)
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_the_gateway_drains_under_load() {
    let (origin, mut gateway) = start("{ shutdown_delay: 2s, shutdown_grace: 30s }").await;
    let (end, over) = tokio::sync::watch::channel(false);
    let served = Arc::new(AtomicUsize::new(0));
    let told = Arc::new(OnceLock::new());
    let load = || Load {
        address: gateway.address(),
        over: over.clone(),
        told: told.clone(),
        served: served.clone(),
    };
    let running = [
        tokio::spawn(load().keep_alive()),
        tokio::spawn(load().keep_alive()),
        tokio::spawn(load().fresh()),
        tokio::spawn(load().http2()),
    ];
    let count = || served.load(Ordering::SeqCst);
    eventually("load", || async { (count() > 100).then_some(()) }).await;

    let begun = *told.get_or_init(Instant::now);
    gateway.sigterm();
    gateway.await_log("draining").await;
    let before = count();
    eventually("load while it drains", || async {
        (count() > before + 100).then_some(())
    })
    .await;
    // Until shortly before it closes its sockets. Where this comes late, refusals may have come first.
    await_time(begun + Duration::from_millis(1_700)).await;
    end.send_replace(true);
    for task in running {
        in_time("the last answers", task).await.expect("no failure");
    }
    // The grace is longer than its end is waited for.
    assert_eq!(gateway.await_exit().await.code(), Some(0));
    assert_eq!(origin.count(), count(), "what was asked was answered");
}

#[tokio::test]
async fn what_the_kernel_had_accepted_is_served() {
    let (_origin, mut gateway) = start("{ shutdown_delay: 1s, shutdown_grace: 30s }").await;
    gateway.sigterm();
    gateway.await_log("draining").await;
    // Its time to accept runs out while it stands still, and connections wait in its queue.
    gateway.pause();
    let begun = Instant::now();
    let mut waiting = Vec::new();
    for _ in 0..50 {
        let mut stream = TcpStream::connect(gateway.address())
            .await
            .expect("a queue");
        let request = b"GET /queued HTTP/1.1\r\nHost: a.example.com\r\n\r\n";
        stream.write_all(request).await.expect("it is sent");
        waiting.push(stream);
    }
    await_time(begun + Duration::from_millis(1_200)).await;
    gateway.resume();
    for mut stream in waiting {
        let mut answer = Vec::new();
        let read = in_time("an answer", stream.read_to_end(&mut answer)).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(
            read.is_ok() && answer.starts_with("HTTP/1.1 200 "),
            "{read:?} {answer}"
        );
        assert!(
            answer.to_lowercase().contains("connection: close"),
            "{answer}"
        );
    }
    assert_eq!(gateway.await_exit().await.code(), Some(0));
}

#[tokio::test]
async fn a_silent_connection_holds_nobody_up() {
    // The grace is longer than its end is waited for.
    let (_origin, mut gateway) = start("{ shutdown_delay: 1ms, shutdown_grace: 60s }").await;
    // One of each kind: without a word, amid a head, after an answer.
    let silent = gateway.open_raw().await;
    let mut half = gateway.open_raw().await;
    half.write(b"GET / HTTP/1.1\r\nHost: a.exam").await;
    let mut idle = gateway.connect().await;
    idle.send(get("/")).await.assert_from("origin");
    assert_eq!(gateway.terminate().await.code(), Some(0));
    drop((silent, half));
}

#[tokio::test]
async fn a_response_that_begins_late_says_that_it_is_the_last() {
    let (origin, mut gateway) = start("{ shutdown_delay: 1ms, shutdown_grace: 60s }").await;
    origin.hold();
    let slow = tokio::spawn(send(gateway.address(), get("/slow")));
    origin.await_requests(1).await;
    gateway.sigterm();
    gateway.await_log("draining").await;
    // Its sockets are closed, and what runs runs on.
    eventually("refusals", || async {
        TcpStream::connect(gateway.address())
            .await
            .is_err()
            .then_some(())
    })
    .await;
    origin.release();
    let answer = slow.await.expect("an answer");
    answer.assert_from("origin");
    assert_eq!(answer.header("connection"), Some("close"));
    // The grace is longer than its end is waited for.
    assert_eq!(gateway.await_exit().await.code(), Some(0));
}

#[tokio::test]
async fn http2_connections_are_told_to_go_away() {
    let (origin, mut gateway) = start("{ shutdown_delay: 2s, shutdown_grace: 30s }").await;
    let mut idle = gateway.connect_h2c().await;
    idle.send(get("/")).await.assert_from("origin");
    origin.hold();
    let mut busy = gateway.connect_h2c().await;
    let slow = tokio::spawn(async move { busy.send(get("/slow")).await });
    origin.await_requests(2).await;
    gateway.sigterm();
    eventually("GOAWAY", || async { idle.is_closed().then_some(()) }).await;
    // Who comes now is served once more, and told then.
    let mut late = gateway.connect_h2c().await;
    let early = tokio::spawn(async move {
        let answer = late.send(get("/late")).await;
        (answer, late)
    });
    origin.await_requests(3).await;
    origin.release();
    slow.await.expect("an answer").assert_from("origin");
    let (answer, late) = early.await.expect("an answer");
    answer.assert_from("origin");
    eventually("GOAWAY", || async { late.is_closed().then_some(()) }).await;
    assert_eq!(gateway.await_exit().await.code(), Some(0));
}

#[tokio::test]
async fn an_upgraded_connection_is_cut_when_the_grace_is_over() {
    let (_origin, mut gateway) = start("{ shutdown_delay: 1ms, shutdown_grace: 1s }").await;
    let mut socket = gateway.open_raw().await;
    let head = "GET /ws HTTP/1.1\r\nHost: a.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    socket.write(head.as_bytes()).await;
    socket.read_until(b"\r\n\r\n").await;
    gateway.sigterm();
    let begun = Instant::now();
    gateway.await_log("draining").await;
    socket.write(b"still here").await;
    socket.read_until(b"still here").await;
    assert_eq!(gateway.await_exit().await.code(), Some(0));
    let took = begun.elapsed();
    assert!(took > Duration::from_millis(900), "{took:?}");
    assert_eq!(socket.read_to_end().await, b"");
    assert!(gateway.log().contains("connections were cut"));
}

#[tokio::test]
async fn who_says_it_twice_does_not_want_to_wait() {
    let (_origin, mut gateway) = start("{ shutdown_delay: 1h, shutdown_grace: 30s }").await;
    gateway.sigterm();
    gateway.await_log("draining").await;
    let mut late = gateway.connect().await;
    late.send(get("/")).await.assert_from("origin");
    assert_eq!(gateway.terminate().await.code(), Some(0));
}
