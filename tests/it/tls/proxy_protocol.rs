//! PROXY headers: who the client is, by the word of a load balancer, before HTTP and before TLS.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{CONFIG, ask};
use crate::harness::authority::{Authority, shake};
use crate::harness::{Gateway, Origin, Setup, eventually, fill, in_time};

const V1: &[u8] = b"PROXY TCP4 198.51.100.7 203.0.113.1 40000 443\r\n";

fn v2() -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x10".to_vec();
    header.extend([198, 51, 100, 7, 203, 0, 113, 1, 0x9c, 0x40, 1, 187]);
    // What some load balancers add.
    header.extend([4, 0, 1, 0]);
    header
}

/// A gateway with a plain listener and one with TLS, both behind a load balancer, and one that has none before it.
async fn start(authority: &Authority, trusted: &str) -> (Origin, Gateway) {
    authority.issue("own", &["localhost"]);
    let (cert, key) = (authority.path("own.crt"), authority.path("own.key"));
    let stable = Origin::start("stable").await;
    let config = format!(
        "listeners:\n  - {{ address: 127.0.0.1:0, proxy_protocol: true }}\n  \
         - {{ address: 127.0.0.1:0, proxy_protocol: true, tls: {{ certificates: [{{ cert: {cert}, key: {key} }}] }} }}\n  \
         - 127.0.0.1:0\n\
         server: {{ trusted_proxies: [{trusted}], shutdown_delay: 1ms, timeouts: {{ header_read: 1s }} }}\n{}",
        fill(CONFIG, [&stable])
    );
    let gateway = Setup::new(config).start().await;
    (stable, gateway)
}

#[tokio::test]
async fn the_client_is_who_a_trusted_load_balancer_says() {
    let authority = Authority::new();
    let (stable, gateway) = start(&authority, "127.0.0.0/8").await;
    let [plain, tls, _] = gateway.addresses() else {
        panic!("three listeners");
    };
    for header in [V1.to_vec(), v2()] {
        // In one piece with the request, and byte by byte.
        let request = b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.99\r\nConnection: close\r\n\r\n";
        let whole = [&header[..], request].concat();
        for pieces in [vec![&whole[..]], whole.chunks(1).collect()] {
            let mut socket = TcpStream::connect(plain).await.expect("a connection");
            socket.set_nodelay(true).expect("an open socket");
            for piece in pieces {
                socket.write_all(piece).await.expect("an open socket");
                tokio::task::yield_now().await;
            }
            let mut answer = String::new();
            let read = socket.read_to_string(&mut answer);
            in_time("an answer", read).await.expect("an answer");
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
            // The client itself is no trusted proxy.
            let sent = stable.last().header("x-forwarded-for");
            assert_eq!(sent.as_deref(), Some("198.51.100.7"));
        }
        let mut socket = TcpStream::connect(tls).await.expect("a connection");
        socket.write_all(&header).await.expect("an open socket");
        let client = authority.client(rustls::ALL_VERSIONS, None);
        let mut stream = shake(&client, socket, "localhost")
            .await
            .expect("a handshake");
        let answer = ask(&mut stream).await.expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        let sent = stable.last();
        assert_eq!(
            sent.header("x-forwarded-for").as_deref(),
            Some("198.51.100.7")
        );
        assert_eq!(sent.header("x-forwarded-proto").as_deref(), Some("https"));
    }
    // The load balancer's own health check is its own.
    let check = [
        &b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"[..],
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    ];
    let mut socket = TcpStream::connect(plain).await.expect("a connection");
    socket
        .write_all(&check.concat())
        .await
        .expect("an open socket");
    let mut answer = String::new();
    in_time("an answer", socket.read_to_string(&mut answer))
        .await
        .expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(
        stable.last().header("x-forwarded-for").as_deref(),
        Some("127.0.0.1")
    );
}

#[tokio::test]
async fn without_a_header_that_can_be_read_from_whom_it_is_due_nobody_is_served() {
    let authority = Authority::new();
    let (_stable, gateway) = start(&authority, "127.0.0.0/8").await;
    let (_other, distrustful) = start(&authority, "192.0.2.0/24").await;
    let closed = async |gateway: &Gateway, bytes: &[u8]| {
        let mut socket = TcpStream::connect(gateway.address())
            .await
            .expect("a connection");
        // It may be closed amid this.
        let _ = socket.write_all(bytes).await;
        let mut answer = Vec::new();
        let _ = in_time("the end", socket.read_to_end(&mut answer)).await;
        assert!(answer.is_empty(), "{}", answer.escape_ascii());
    };
    let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    closed(&gateway, request).await;
    closed(&gateway, &[&b"PROXY TCP4 nobody\r\n"[..], request].concat()).await;
    // One that does not come to its end.
    closed(&gateway, b"PROXY TCP4 198.51.100.7").await;
    closed(&distrustful, &[V1, request].concat()).await;
    gateway
        .await_metric("serin_proxy_headers_refused_total", &[], 3.0)
        .await;
    distrustful
        .await_metric("serin_proxy_headers_refused_total", &[], 1.0)
        .await;
    // Where none is due, one is no request.
    let mut socket = TcpStream::connect(gateway.addresses()[2])
        .await
        .expect("a connection");
    let _ = socket.write_all(&[V1, request].concat()).await;
    let mut answer = String::new();
    let _ = in_time("an answer", socket.read_to_string(&mut answer)).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

#[tokio::test]
async fn a_client_behind_a_load_balancer_has_its_own_limits_and_no_word_of_a_proxy() {
    let stable = Origin::start("stable").await;
    let config = format!(
        "listeners: [{{ address: 127.0.0.1:0, proxy_protocol: true }}]\n\
         server: {{ trusted_proxies: [127.0.0.0/8], shutdown_delay: 1ms, limits: {{ connections_per_client: 2 }} }}\n{}",
        fill(CONFIG, [&stable])
    );
    let gateway = Setup::new(config).start().await;
    let ask = async |header: &[u8]| {
        let mut socket = TcpStream::connect(gateway.address())
            .await
            .expect("a connection");
        let request = b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.99\r\n\r\n";
        // One that is turned away may be closed amid this.
        let _ = socket.write_all(&[header, request].concat()).await;
        let mut answer = [0; 12];
        let read = in_time("an answer", socket.read_exact(&mut answer)).await;
        (
            socket,
            read.is_ok_and(|_| answer.starts_with(b"HTTP/1.1 200")),
        )
    };
    let (one, first) = ask(V1).await;
    let (_two, second) = ask(V1).await;
    let (_three, third) = ask(V1).await;
    assert_eq!((first, second, third), (true, true, false));
    let other = b"PROXY TCP4 198.51.100.8 203.0.113.1 40000 443\r\n";
    assert!(ask(other).await.1, "another client");
    drop(one);
    until_served(async || ask(V1).await.1).await;
    // Whose connection it is the load balancer does not say: what comes is no proxy's word.
    assert!(ask(b"PROXY UNKNOWN\r\n").await.1);
    assert_eq!(
        stable.last().header("x-forwarded-for").as_deref(),
        Some("0.0.0.0")
    );
}

/// Asks until there is an answer.
async fn until_served(ask: impl AsyncFn() -> bool) {
    eventually("an answer", || async { ask().await.then_some(()) }).await;
}
