//! How the tests' clients come to a gateway: the one parameter that the whole suite can be run with.
//!
//! `SERIN_WIRE` is `http1` (the default), `h2c`, `tls-http1` or `tls-http2`. Every gateway whose file does not state
//! `listeners` itself has one that speaks so, and requests that a test leaves to the harness come that way. What a test says
//! byte by byte stays what it is; over TLS it is encrypted.

use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::authority::{Authority, shake};

/// What the clients of a run speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wire {
    tls: bool,
    http2: bool,
}

static WIRE: LazyLock<Wire> = LazyLock::new(|| {
    let (tls, http2) = match std::env::var("SERIN_WIRE").as_deref() {
        Err(_) | Ok("http1") => (false, false),
        Ok("h2c") => (false, true),
        Ok("tls-http1") => (true, false),
        Ok("tls-http2") => (true, true),
        Ok(other) => panic!("SERIN_WIRE={other}: http1, h2c, tls-http1 or tls-http2"),
    };
    Wire { tls, http2 }
});

/// Who vouches for the gateways of a run.
static AUTHORITY: LazyLock<Authority> = LazyLock::new(|| {
    let authority = Authority::new();
    authority.issue("gateway", &["localhost", "api.example.com"]);
    authority
});

/// Where listeners speak as [`WIRE`] says.
static LISTENERS: Mutex<Option<HashSet<SocketAddr>>> = Mutex::new(None);

/// The `listeners` of a file that has none.
pub(crate) fn listeners() -> String {
    if !WIRE.tls {
        return "listeners: [127.0.0.1:0]\n".to_owned();
    }
    let (cert, key) = (AUTHORITY.path("gateway.crt"), AUTHORITY.path("gateway.key"));
    format!(
        "listeners: [{{ address: 127.0.0.1:0, tls: {{ certificates: [{{ cert: {cert}, key: {key} }}] }} }}]\n"
    )
}

/// Notes whether a gateway's listeners speak as [`WIRE`] says.
pub(crate) fn note(listeners: &[SocketAddr], so: bool) {
    let mut known = LISTENERS.lock().unwrap_or_else(PoisonError::into_inner);
    let known = known.get_or_insert_default();
    for listener in listeners {
        match so {
            true => known.insert(*listener),
            false => known.remove(listener),
        };
    }
}

fn is_noted(address: SocketAddr) -> bool {
    let known = LISTENERS.lock().unwrap_or_else(PoisonError::into_inner);
    known.as_ref().is_some_and(|known| known.contains(&address))
}

/// Whether requests to this address go by HTTP/2.
pub(crate) fn is_http2(address: SocketAddr) -> bool {
    WIRE.http2 && is_noted(address)
}

/// A connection as a client has it.
#[derive(Debug)]
pub(crate) enum WireStream {
    /// As the bytes are.
    Plain(TcpStream),
    /// Encrypted.
    Tls(Box<TlsStream<TcpStream>>),
}

impl WireStream {
    /// Connects, to speak HTTP/1.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address, &[]).await.expect("a connection")
    }

    /// Connects, to speak HTTP/2.
    pub(crate) async fn connect_http2(address: SocketAddr) -> Self {
        Self::try_connect(address, &[b"h2"])
            .await
            .expect("a connection")
    }

    /// Connects; over TLS with an offer of protocols (ALPN).
    pub(crate) async fn try_connect(address: SocketAddr, offer: &[&[u8]]) -> io::Result<Self> {
        Self::shaken(TcpStream::connect(address).await?, offer).await
    }

    /// Over a socket that is connected already.
    pub(crate) async fn upon(socket: TcpStream, offer: &[&[u8]]) -> Self {
        Self::shaken(socket, offer).await.expect("a connection")
    }

    async fn shaken(socket: TcpStream, offer: &[&[u8]]) -> io::Result<Self> {
        if !(WIRE.tls && is_noted(socket.peer_addr()?)) {
            return Ok(Self::Plain(socket));
        }
        let client = AUTHORITY.client_offering(offer);
        let stream = shake(&client, socket, "localhost").await?;
        Ok(Self::Tls(Box::new(stream)))
    }

    /// Whether it is encrypted.
    pub(crate) fn is_encrypted(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// The socket beneath.
    pub(crate) fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }
}

impl From<TcpStream> for WireStream {
    fn from(socket: TcpStream) -> Self {
        Self::Plain(socket)
    }
}

impl From<TlsStream<TcpStream>> for WireStream {
    fn from(stream: TlsStream<TcpStream>) -> Self {
        Self::Tls(Box::new(stream))
    }
}

impl AsyncRead for WireStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for WireStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
