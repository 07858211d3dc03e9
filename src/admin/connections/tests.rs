use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::BytesRejection;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::{Limits, Service, serve};
use crate::admin::problem::Problem;
use crate::certificates::tests::files;
use crate::certificates::{OwnSecret, Owner, ServerTls};
use crate::custody::Custody;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
const HALF_BODY: &[u8] =
    b"POST /body HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\nConnection: close\r\n\r\nhalf";

struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

async fn start(router: Router, limits: Limits) -> Server {
    start_with(router, limits, None).await
}

async fn start_with(router: Router, limits: Limits, tls: Option<Arc<ServerTls>>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let stopped = async { stopped.await.unwrap_or_default() };
    let service = Service {
        router,
        limits,
        tls,
        orders: Custody::default(),
    };
    let ended = tokio::spawn(serve(listener, service, stopped));
    Server {
        address,
        stop,
        ended,
    }
}

/// As patient as a test is.
fn limits(connections: usize) -> Limits {
    let long = Duration::from_secs(60);
    Limits {
        connections,
        header_read: long,
        body_read: long,
        write: long,
    }
}

const SHORT: Duration = Duration::from_millis(100);

fn hello() -> Router {
    Router::new()
        .route("/", get(async || "hello"))
        .route("/body", post(read))
}

async fn read(body: Result<Bytes, BytesRejection>) -> Result<impl IntoResponse, Problem> {
    Ok(body?)
}

async fn send(address: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

/// Whatever comes until the other side closes.
async fn rest(mut stream: TcpStream) -> String {
    let mut text = Vec::new();
    match stream.read_to_end(&mut text).await {
        Err(error) if error.kind() != io::ErrorKind::ConnectionReset => panic!("{error}"),
        _ => String::from_utf8(text).unwrap(),
    }
}

async fn is_answered(stream: &mut TcpStream) {
    let mut head = [0; 15];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200 OK");
}

#[tokio::test]
async fn who_says_nothing_or_half_a_head_is_closed() {
    let limits = Limits {
        header_read: SHORT,
        ..limits(4)
    };
    let server = start(hello(), limits).await;
    let half = send(server.address, b"GET / HTTP/1.1\r\nHost: local").await;
    let silent = send(server.address, b"").await;
    let idle = send(server.address, REQUEST).await;
    assert!(!rest(half).await.contains("hello"));
    assert_eq!(rest(silent).await, "");
    assert!(rest(idle).await.ends_with("hello"), "answered, then closed");
}

/// The beginning of a record that holds a client's greeting.
const HALF_GREETING: &[u8] = &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01];

#[tokio::test]
async fn who_does_not_finish_shaking_hands_is_closed() {
    let limits = Limits {
        header_read: SHORT,
        ..limits(4)
    };
    let folder = tempfile::tempdir().unwrap();
    let tls = ServerTls::open(
        Owner::Admin,
        files(folder.path()),
        &[],
        &OwnSecret::random(),
    )
    .unwrap();
    let server = start_with(hello(), limits, Some(tls)).await;
    for sent in [&b""[..], HALF_GREETING] {
        let half = send(server.address, sent).await;
        assert_eq!(rest(half).await, "");
    }
}

#[tokio::test]
async fn who_does_not_finish_shaking_hands_makes_room() {
    let folder = tempfile::tempdir().unwrap();
    let tls = ServerTls::open(
        Owner::Admin,
        files(folder.path()),
        &[],
        &OwnSecret::random(),
    )
    .unwrap();
    let server = start_with(hello(), limits(2), Some(tls)).await;
    let first = send(server.address, HALF_GREETING).await;
    let _second = send(server.address, HALF_GREETING).await;
    let _third = send(server.address, HALF_GREETING).await;
    // It ends, although nothing is over but its turn.
    assert_eq!(rest(first).await, "");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_408() {
    let limits = Limits {
        body_read: SHORT,
        ..limits(4)
    };
    let server = start(hello(), limits).await;
    let answer = rest(send(server.address, HALF_BODY).await).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("application/problem+json"), "{answer}");
}

/// Sends the bytes one by one, over and over, until the other side has closed; what came back.
async fn drip(address: SocketAddr, begin: &[u8], bytes: &[u8]) -> String {
    let stream = send(address, begin).await;
    let (mut reading, mut writing) = stream.into_split();
    let writes = tokio::spawn({
        let bytes = bytes.to_vec();
        async move {
            for byte in bytes.iter().cycle() {
                if writing.write_all(&[*byte]).await.is_err() {
                    break;
                }
                tokio::time::sleep(SHORT / 10).await;
            }
        }
    });
    let mut text = Vec::new();
    // What came before the connection was reset counts.
    let _ = reading.read_to_end(&mut text).await;
    writes.abort();
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn heads_and_bodies_that_drip_are_cut_off() {
    let limits = Limits {
        header_read: SHORT,
        body_read: SHORT,
        ..limits(4)
    };
    let server = start(hello(), limits).await;
    let head = drip(server.address, b"GET / HTTP/1.1\r\n", b"a: b\r\n").await;
    assert!(!head.contains("200 OK"), "{head}");
    let chunked = b"POST /body HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    let body = drip(server.address, chunked, b"1\r\nx\r\n").await;
    assert!(body.starts_with("HTTP/1.1 408 "), "{body}");
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_closed() {
    let endless = get(async || {
        let part = Bytes::from(vec![b'x'; 1 << 20]);
        let parts = futures_util::stream::repeat_with(move || Ok::<_, io::Error>(part.clone()));
        Body::from_stream(parts)
    });
    let limits = Limits {
        write: SHORT,
        ..limits(1)
    };
    let server = start(Router::new().route("/", endless), limits).await;
    let mut deaf = send(server.address, REQUEST).await;
    deaf.readable().await.unwrap();
    // There is one place, and as long as it is answered, nobody else is.
    let mut next = send(server.address, REQUEST).await;
    is_answered(&mut next).await;
    // What had been sent before comes, and then the end.
    let mut sink = Vec::new();
    let _ = deaf.read_to_end(&mut sink).await;
}

#[tokio::test]
async fn who_keeps_the_gateway_waiting_makes_room() {
    for kept in [&b""[..], b"GET / HTT", HALF_BODY, REQUEST] {
        let server = start(hello(), limits(2)).await;
        let first = send(server.address, kept).await;
        let mut second = send(server.address, REQUEST).await;
        is_answered(&mut second).await;
        let mut third = send(server.address, REQUEST).await;
        is_answered(&mut third).await;
        // It ends, although nothing is over but its turn.
        rest(first).await;
        // The second is the longest now.
        let mut fourth = send(server.address, REQUEST).await;
        is_answered(&mut fourth).await;
        rest(second).await;
        third.write_all(REQUEST).await.unwrap();
        assert!(
            third.read_u8().await.is_ok(),
            "the youngest have their places"
        );
    }
}

#[tokio::test]
async fn who_is_being_answered_keeps_the_place() {
    let (entered, mut is_running) = tokio::sync::mpsc::channel(4);
    let (release, released) = tokio::sync::watch::channel(false);
    let slow = get(async move || {
        let mut released = released;
        entered.send(()).await.unwrap();
        released.wait_for(|&released| released).await.unwrap();
        "hello"
    });
    let server = start(Router::new().route("/", slow), limits(2)).await;
    let mut running = Vec::new();
    for _ in 0..2 {
        running.push(send(server.address, REQUEST).await);
        is_running.recv().await.unwrap();
    }
    let mut third = send(server.address, REQUEST).await;
    let mut byte = [0];
    let early = tokio::time::timeout(Duration::from_millis(200), third.peek(&mut byte)).await;
    assert!(early.is_err(), "it was answered beside two others");
    release.send(true).unwrap();
    is_answered(&mut third).await;
    for mut running in running {
        is_answered(&mut running).await;
    }
}

#[tokio::test]
async fn the_end_waits_for_what_is_running() {
    let (entered, mut is_running) = tokio::sync::mpsc::channel(1);
    let (release, released) = tokio::sync::watch::channel(false);
    let slow = Router::new().route(
        "/",
        get(async move || {
            let mut released = released;
            entered.send(()).await.unwrap();
            released.wait_for(|&released| released).await.unwrap();
            "hello"
        }),
    );
    let server = start(slow, limits(2)).await;
    let running = send(server.address, REQUEST).await;
    is_running.recv().await.unwrap();
    server.stop.send(()).unwrap();
    release.send(true).unwrap();
    assert!(rest(running).await.ends_with("hello"));
    server.ended.await.unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}
