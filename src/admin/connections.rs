//! The connections of the admin listener: few, and none for those who say nothing.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// How much of the process the admin listener may take, so that traffic never lacks a socket for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// How many connections are open at a time; further ones wait to be accepted.
    pub(super) connections: usize,
    /// How long a connection may take to send a request's head. It runs between requests too, so that an idle
    /// connection ends.
    pub(super) header_read: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            header_read: Duration::from_secs(10),
        }
    }
}

/// Where a request came from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller(pub(super) IpAddr);

/// Serves a bound listener until `stopped` comes true and the requests that are running have ended.
pub(super) async fn serve(
    mut listener: TcpListener,
    router: Router,
    limits: Limits,
    stopped: impl Future<Output = ()>,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.header_read);
    let places = Arc::new(Semaphore::new(limits.connections));
    let running = GracefulShutdown::new();
    let accept = async {
        // The semaphore is never closed.
        while let Ok(place) = places.clone().acquire_owned().await {
            // In axum's words: it waits when there are no sockets left, and goes on.
            let (socket, peer) = Listener::accept(&mut listener).await;
            let router = router.clone().layer(Extension(Caller(peer.ip())));
            let service = TowerToHyperService::new(router);
            let connection = running.watch(http.serve_connection(TokioIo::new(socket), service));
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "an admin connection has ended");
                }
                drop(place);
            });
        }
    };
    tokio::select! {
        () = accept => {}
        () = stopped => {}
    }
    drop(listener);
    running.shutdown().await;
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::net::SocketAddr;
    use std::time::Duration;

    use axum::Router;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::oneshot;
    use tokio::task::JoinHandle;

    use super::{Limits, serve};

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

    struct Server {
        address: SocketAddr,
        stop: oneshot::Sender<()>,
        ended: JoinHandle<()>,
    }

    async fn start(router: Router, limits: Limits) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let stopped = async { stopped.await.unwrap_or_default() };
        let ended = tokio::spawn(serve(listener, router, limits, stopped));
        Server {
            address,
            stop,
            ended,
        }
    }

    fn limits(connections: usize, milliseconds: u64) -> Limits {
        Limits {
            connections,
            header_read: Duration::from_millis(milliseconds),
        }
    }

    fn hello() -> Router {
        Router::new().route("/", get(async || "hello"))
    }

    async fn send(address: SocketAddr, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream
    }

    /// Whatever comes until the other side closes.
    async fn rest(mut stream: TcpStream) -> String {
        let mut text = String::new();
        match stream.read_to_string(&mut text).await {
            Err(error) if error.kind() != io::ErrorKind::ConnectionReset => panic!("{error}"),
            _ => text,
        }
    }

    #[tokio::test]
    async fn who_says_nothing_or_half_a_head_is_closed() {
        let server = start(hello(), limits(4, 100)).await;
        let half = send(server.address, b"GET / HTTP/1.1\r\nHost: local").await;
        let silent = send(server.address, b"").await;
        let idle = send(server.address, REQUEST).await;
        assert!(!rest(half).await.contains("hello"));
        assert_eq!(rest(silent).await, "");
        assert!(rest(idle).await.ends_with("hello"), "answered, then closed");
    }

    #[tokio::test]
    async fn a_connection_too_many_waits_for_a_place() {
        let server = start(hello(), limits(2, 60_000)).await;
        let one = send(server.address, b"GET").await;
        let two = send(server.address, b"GET").await;
        let third = send(server.address, REQUEST).await;
        let mut byte = [0];
        let early = tokio::time::timeout(Duration::from_millis(200), third.peek(&mut byte)).await;
        assert!(early.is_err(), "it was answered beside two others");
        drop(one);
        third.peek(&mut byte).await.unwrap();
        assert_eq!(&byte, b"H");
        drop(two);
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
        let server = start(slow, limits(2, 60_000)).await;
        let running = send(server.address, REQUEST).await;
        is_running.recv().await.unwrap();
        server.stop.send(()).unwrap();
        release.send(true).unwrap();
        assert!(rest(running).await.ends_with("hello"));
        server.ended.await.unwrap();
        assert!(TcpStream::connect(server.address).await.is_err());
    }
}
