//! `max_requests`, `max_connections` and `queue` of a service.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::harness::{Gateway, Origin, fill, get, pause};

async fn before(origin: &Origin, bounds: &str) -> Gateway {
    let config = format!(
        "
services: {{ search: {{ stable: @origin, {bounds} }}, other: @origin }}
routes: [{{ path: /, service: search }}, {{ path: /other, service: other }}]
logging: {{ level: info, format: json, access: all }}
"
    );
    Gateway::start(fill(&config, [origin])).await
}

const SEARCH: &[(&str, &str)] = &[("service", "search")];

async fn send(address: SocketAddr, path: &'static str) -> (u16, Option<String>) {
    let answer = crate::harness::client::send(address, get(path)).await;
    let retry_after = answer.header("retry-after").map(str::to_owned);
    (answer.status, retry_after)
}

#[tokio::test]
async fn requests_beyond_the_bound_wait_for_their_turn() {
    for origin in [
        Origin::start("origin").await,
        Origin::start_h2c("origin").await,
    ] {
        let bounds = "max_requests: 2, queue: { length: 3, wait: 1m }";
        let gateway = before(&origin, bounds).await;
        origin.hold();
        let mut sent = JoinSet::new();
        for _ in 0..5 {
            sent.spawn(send(gateway.address(), "/held"));
        }
        gateway
            .await_metric("serin_service_queued_requests", SEARCH, 3.0)
            .await;
        origin.await_requests(2).await;
        let metrics = gateway.metrics().await;
        let active = metrics.sum("serin_service_active_requests", SEARCH);
        assert_eq!((active, origin.count()), (2.0, 2));
        // Beyond the queue there is nothing to wait for.
        let refused = send(gateway.address(), "/refused").await;
        assert_eq!(refused, (503, Some("1".to_owned())));
        let line = gateway.await_access_log_of("/refused").await;
        assert_eq!(
            (&line["cause"], &line["served"]),
            (&"overload".into(), &().into())
        );
        let bound = [("service", "search"), ("bound", "max_requests")];
        gateway
            .await_metric("serin_service_refused_requests_total", &bound, 1.0)
            .await;
        // Nor does it concern another service.
        let mut other = JoinSet::new();
        other.spawn(send(gateway.address(), "/other"));
        origin.await_requests(3).await;
        origin.release();
        while let Some(answer) = sent.join_next().await {
            assert_eq!(answer.unwrap().0, 200);
        }
        assert_eq!(other.join_next().await.unwrap().unwrap().0, 200);
        for name in [
            "serin_service_queued_requests",
            "serin_service_active_requests",
        ] {
            gateway.await_metric(name, SEARCH, 0.0).await;
        }
        assert_eq!(origin.count(), 6);
    }
}

#[tokio::test]
async fn a_turn_that_does_not_come_in_time_is_a_503() {
    let origin = Origin::start("origin").await;
    let gateway = before(&origin, "max_requests: 1, queue: { wait: 300ms }").await;
    origin.hold();
    let mut held = JoinSet::new();
    held.spawn(send(gateway.address(), "/held"));
    origin.await_requests(1).await;
    let refused = send(gateway.address(), "/late").await;
    assert_eq!(refused, (503, Some("1".to_owned())));
    origin.release();
    assert_eq!(held.join_next().await.unwrap().unwrap().0, 200);
    assert_eq!(send(gateway.address(), "/now").await.0, 200);
}

/// An upstream that takes a while for each answer, and knows how many connections it has.
struct Slow {
    address: SocketAddr,
    most: Arc<AtomicUsize>,
}

impl Slow {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (open, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let seen = most.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (open, seen) = (open.clone(), seen.clone());
                tokio::spawn(async move {
                    let now = open.fetch_add(1, Ordering::SeqCst) + 1;
                    seen.fetch_max(now, Ordering::SeqCst);
                    answer(stream).await;
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, most }
    }
}

async fn answer(mut stream: TcpStream) {
    let mut head = Vec::new();
    loop {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
        if head.ends_with(b"\r\n\r\n") {
            head.clear();
            pause(5).await;
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
            if stream.write_all(answer).await.is_err() {
                return;
            }
        }
    }
}

#[tokio::test]
async fn a_service_never_has_more_connections_than_it_may_have() {
    let slow = Slow::start().await;
    let config = format!(
        "
server: {{ threads: 4, shutdown_delay: 1ms }}
services:
  search:
    stable: http://{}
    max_connections: 3
    queue: {{ length: 200, wait: 1m }}
routes: [{{ path: /, service: search }}]
",
        slow.address
    );
    let gateway = Gateway::start(config).await;
    // Connections at rest in one worker's pool give way to another worker's requests.
    for _ in 0..3 {
        let mut sent = JoinSet::new();
        for _ in 0..60 {
            sent.spawn(send(gateway.address(), "/"));
        }
        while let Some(answer) = sent.join_next().await {
            assert_eq!(answer.unwrap().0, 200);
        }
    }
    assert_eq!(slow.most.load(Ordering::SeqCst), 3);
    let metrics = gateway.metrics().await;
    assert!(metrics.sum("serin_upstream_connections", SEARCH) <= 3.0);
    assert_eq!(metrics.sum("serin_endpoint_healthy", &[]), 1.0);
}

#[tokio::test]
async fn connections_over_http2_give_way_too() {
    let origin = Origin::start_h2c("origin").await;
    let config = fill(
        "
server: { threads: 4, shutdown_delay: 1ms }
services: { search: { stable: @origin, max_connections: 3, queue: { length: 200, wait: 1m } } }
routes: [{ path: /, service: search }]
",
        [&origin],
    );
    let gateway = Gateway::start(config).await;
    for _ in 0..3 {
        let mut sent = JoinSet::new();
        for _ in 0..60 {
            sent.spawn(send(gateway.address(), "/"));
        }
        let metrics = gateway.metrics().await;
        assert!(metrics.sum("serin_upstream_connections", SEARCH) <= 3.0);
        while let Some(answer) = sent.join_next().await {
            assert_eq!(answer.unwrap().0, 200);
        }
    }
    let metrics = gateway.metrics().await;
    let open = metrics.sum("serin_upstream_connections", SEARCH);
    assert!((1.0..=3.0).contains(&open), "{open}");
}
