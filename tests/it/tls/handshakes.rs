//! Handshakes that come to nothing, and how little others notice of them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::{CONFIG, listener};
use crate::harness::authority::{Authority, connect};
use crate::harness::{Connection, Gateway, Origin, Setup, fill, get, in_time};

async fn start(authority: &Authority, server: &str) -> (Origin, Gateway) {
    authority.issue("own", &["localhost"]);
    let stable = Origin::start("stable").await;
    let listeners = listener(authority, &["own"], "");
    let config = format!(
        "listeners:\n{listeners}server: {{ threads: 1, shutdown_delay: 1ms, shutdown_grace: 1m{server} }}\n{}",
        fill(CONFIG, [&stable])
    );
    (stable, Setup::new(config).start().await)
}

#[tokio::test]
async fn a_handshake_has_a_deadline_and_holds_up_nobody() {
    let authority = Authority::new();
    let (_stable, gateway) = start(&authority, ", timeouts: { header_read: 1s }").await;
    let client = authority.client(rustls::ALL_VERSIONS, None);
    let mut half = Vec::new();
    for _ in 0..200 {
        let mut socket = TcpStream::connect(gateway.address())
            .await
            .expect("a connection");
        // The beginning of a record with a greeting in it that never ends.
        let begun = [0x16, 3, 1, 2, 0, 1, 0, 1];
        socket.write_all(&begun).await.expect("an open socket");
        half.push(socket);
    }
    let stream = connect(&client, gateway.address(), "localhost").await;
    let mut connection = Connection::over(stream.expect("a handshake")).await;
    connection.send(get("/")).await.assert_from("stable");
    for mut socket in half {
        let mut rest = Vec::new();
        let _ = in_time("the deadline", socket.read_to_end(&mut rest)).await;
    }
    let late = [("result", "timeout")];
    gateway
        .await_metric("serin_tls_handshakes_total", &late, 200.0)
        .await;
    connection.send(get("/")).await.assert_from("stable");
}

#[tokio::test]
async fn a_gateway_that_drains_waits_for_no_client_that_says_nothing() {
    let authority = Authority::new();
    let (_stable, mut gateway) = start(&authority, "").await;
    let client = authority.client(rustls::ALL_VERSIONS, None);
    // One that has not begun to shake hands, and one that has and asks for nothing.
    let silent = TcpStream::connect(gateway.address())
        .await
        .expect("a connection");
    let shaken = connect(&client, gateway.address(), "localhost")
        .await
        .expect("a handshake");
    // Another one has agreed on HTTP/2, and begins none.
    let offering = authority.client_offering(&[b"h2"]);
    let agreed = connect(&offering, gateway.address(), "localhost").await;
    let agreed = agreed.expect("a handshake");
    // Long before its grace of a minute is over.
    assert!(gateway.terminate().await.success());
    drop((silent, shaken, agreed));
}

/// Shakes hands and goes, again and again, until `ended`.
async fn flood(client: tokio_rustls::TlsConnector, address: SocketAddr, ended: Instant) -> u32 {
    let mut count = 0;
    while Instant::now() < ended {
        if connect(&client, address, "localhost").await.is_ok() {
            count += 1;
        }
    }
    count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_only_shake_hands_take_nothing_from_those_that_are_served() {
    let authority = Authority::new();
    let (_stable, gateway) = start(&authority, "").await;
    let client = authority.client(rustls::ALL_VERSIONS, None);
    let stream = connect(&client, gateway.address(), "localhost").await;
    let mut served = Connection::over(stream.expect("a handshake")).await;
    let ended = Instant::now() + Duration::from_secs(3);
    let mut floods = JoinSet::new();
    for _ in 0..64 {
        // Each with sessions of its own: all of them are full.
        let client = authority.client(rustls::ALL_VERSIONS, None);
        floods.spawn(flood(client, gateway.address(), ended));
    }
    let mut answered = 0;
    while Instant::now() < ended {
        served.send(get("/")).await.assert_from("stable");
        answered += 1;
    }
    let shaken: u32 = floods.join_all().await.into_iter().sum();
    assert!(shaken > 100, "{shaken} handshakes");
    // All in turn would be one answer for 64 handshakes.
    assert!(
        answered > shaken / 16,
        "{answered} answers beside {shaken} handshakes"
    );
}
