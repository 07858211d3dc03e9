//! What carries a client's bytes.
//!
//! Everything above reads, writes, shuts down and watches a client's connection through [`Transport`], and asks for the
//! socket's number only to set deadlines by it. That what is sent is encrypted, nothing above has to know.

use std::fmt;
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd as _, RawFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::listener::Listener;

/// How often a client that only listens is asked whether it is there. Systems forget a socket that was closed after a
/// minute or so, and answer with a reset from then on.
const ASKED_EVERY: Duration = Duration::from_secs(15);

/// A client's connection.
#[derive(Debug)]
pub struct Transport {
    carrier: Carrier,
    listener: Arc<Listener>,
}

/// What bytes are written to and read from.
#[derive(Debug)]
enum Carrier {
    Plain(Socket),
    Tls(Box<TlsStream<Socket>>),
}

/// Which HTTP a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoken {
    /// HTTP/1.
    Http1,
    /// HTTP/2.
    Http2,
    /// The client's first bytes say which.
    Either,
}

impl Transport {
    /// For a socket that was accepted on a listener, and is read and written as it is. Belongs to the runtime that this
    /// is called on.
    pub fn accepted(socket: std::net::TcpStream, listener: Arc<Listener>) -> io::Result<Self> {
        let socket = TcpStream::from_std(socket)?;
        // An error is a client that has gone: reading will say so.
        let _ = socket.set_nodelay(true);
        Ok(Self::over(socket, listener))
    }

    /// The same, for a socket of this runtime.
    pub(super) fn over(socket: TcpStream, listener: Arc<Listener>) -> Self {
        Self::of(Socket(Arc::new(socket)), listener)
    }

    /// Over a socket that hands were not shaken on.
    pub(super) fn of(socket: Socket, listener: Arc<Listener>) -> Self {
        Self {
            carrier: Carrier::Plain(socket),
            listener,
        }
    }

    /// Over a socket that hands have been shaken on.
    pub(super) fn encrypted(stream: TlsStream<Socket>, listener: Arc<Listener>) -> Self {
        Self {
            carrier: Carrier::Tls(Box::new(stream)),
            listener,
        }
    }

    /// The socket, for whom hands are to be shaken on it, and the listener.
    pub(super) fn into_socket(self) -> (Socket, Arc<Listener>) {
        let socket = match self.carrier {
            Carrier::Plain(socket) => socket,
            Carrier::Tls(stream) => stream.into_inner().0,
        };
        (socket, self.listener)
    }

    /// The listener that the client came by.
    pub fn listener(&self) -> &Arc<Listener> {
        &self.listener
    }

    /// Whether what is sent is encrypted.
    pub fn is_encrypted(&self) -> bool {
        matches!(self.carrier, Carrier::Tls(_))
    }

    /// Which HTTP is spoken: over TLS the two ends have agreed on one (ALPN, RFC 7301).
    pub fn spoken(&self) -> Spoken {
        match &self.carrier {
            Carrier::Tls(stream) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
                Spoken::Http2
            }
            Carrier::Plain(_) if self.listener.http2 => Spoken::Either,
            Carrier::Tls(_) | Carrier::Plain(_) => Spoken::Http1,
        }
    }

    /// The socket's number, to set deadlines by (`proxy::deadlines`).
    pub fn fd(&self) -> RawFd {
        self.socket().as_raw_fd()
    }

    /// Waits until the client has sent something, or has gone, and takes none of it.
    pub async fn readable(&self) -> io::Result<()> {
        self.first_byte().await.map(drop)
    }

    /// The same, and answers the first byte; `None`: it has gone.
    pub(super) async fn first_byte(&self) -> io::Result<Option<u8>> {
        let mut first = [0];
        let came = self.peek(&mut first).await?;
        Ok(first.first().copied().filter(|_| came > 0))
    }

    /// What has come, without taking it, as much as there is room for; waits for some.
    pub(super) async fn peek(&self, room: &mut [u8]) -> io::Result<usize> {
        self.socket().peek(room).await
    }

    /// Takes bytes that have come.
    pub(super) async fn skip(&mut self, length: usize) -> io::Result<()> {
        let mut taken = vec![0; length];
        self.read_exact(&mut taken).await.map(drop)
    }

    /// Has the connection end with a reset, in place of an orderly end.
    pub fn reset_at_end(&self) {
        // An error is a client that has reset it already.
        let _ = self.socket().set_zero_linger();
    }

    /// Begins to watch for a reset. Nothing can be read before the watch is dropped.
    pub fn watch_reset(&self) -> ResetWatch {
        ResetWatch::begin(self.socket().clone())
    }

    /// Shared with a [`ResetWatch`] only.
    fn socket(&self) -> &Arc<TcpStream> {
        match &self.carrier {
            Carrier::Plain(socket) => &socket.0,
            Carrier::Tls(stream) => &stream.get_ref().0.0,
        }
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().carrier {
            Carrier::Plain(socket) => Pin::new(socket).poll_read(cx, buffer),
            Carrier::Tls(stream) => match Pin::new(stream).poll_read(cx, buffer) {
                // Many clients close the connection without a word of TLS. What was cut off by that, its framing tells.
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    Poll::Ready(Ok(()))
                }
                polled => polled,
            },
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().carrier {
            Carrier::Plain(socket) => Pin::new(socket).poll_write(cx, bytes),
            Carrier::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().carrier {
            Carrier::Plain(socket) => Pin::new(socket).poll_write_vectored(cx, bytes),
            Carrier::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bytes),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().carrier {
            Carrier::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Carrier::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().carrier {
            Carrier::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Carrier::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// A client's socket.
#[derive(Debug)]
pub(super) struct Socket(Arc<TcpStream>);

impl Socket {
    fn poll_write_by(
        &self,
        cx: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            std::task::ready!(self.0.poll_write_ready(cx))?;
            match write(&self.0) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match Arc::get_mut(&mut self.0) {
            Some(socket) => Pin::new(socket).poll_read(cx, buffer),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_by(cx, |socket| socket.try_write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_by(cx, |socket| socket.try_write_vectored(bytes))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Nothing is kept back from the socket.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(SockRef::from(&*self.0).shutdown(std::net::Shutdown::Write))
    }
}

/// Waits for a connection to be reset whose client has said all that it will, and still listens.
///
/// A client may shut its half of the connection down behind its request: `nc` does, and some probes. Its answer is due
/// all the same (RFC 9112, section 9.6). One that has gone looks no different at first: its system, too, only says that
/// there is nothing more to come. It answers what is sent to it with a reset, though, and after a while it does so to
/// keep-alive probes, which find out while nothing is being sent.
pub struct ResetWatch(Pin<Box<dyn Future<Output = ()> + Send + Sync>>);

impl ResetWatch {
    fn begin(socket: Arc<TcpStream>) -> Self {
        let probes = TcpKeepalive::new()
            .with_time(ASKED_EVERY)
            .with_interval(ASKED_EVERY);
        // An error is a socket that has been reset already.
        let _ = SockRef::from(&*socket).set_tcp_keepalive(&probes);
        Self(Box::pin(async move {
            // An error is the runtime's end.
            let _ = socket.ready(Interest::ERROR).await;
        }))
    }

    /// Whether it has been reset.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for ResetWatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ResetWatch")
    }
}
