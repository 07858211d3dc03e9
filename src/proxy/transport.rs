//! What carries a client's bytes.
//!
//! Everything above reads, writes, shuts down and watches a client's connection through [`Transport`], and asks for the
//! socket's number only to set deadlines by it. A transport that encrypts belongs here, and nowhere else.

use std::fmt;
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd as _, RawFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use super::listener::Listener;

/// How often a client that only listens is asked whether it is there. Systems forget a socket that was closed after a
/// minute or so, and answer with a reset from then on.
const ASKED_EVERY: Duration = Duration::from_secs(15);

/// A client's connection, over plain TCP.
#[derive(Debug)]
pub struct Transport {
    /// Shared with a [`ResetWatch`] only.
    socket: Arc<TcpStream>,
    listener: Arc<Listener>,
}

impl Transport {
    /// For a socket that was accepted on a listener. Belongs to the runtime that this is called on.
    pub fn accepted(socket: std::net::TcpStream, listener: Arc<Listener>) -> io::Result<Self> {
        let transport = Self::over(TcpStream::from_std(socket)?, listener);
        // An error is a client that has gone: reading will say so.
        let _ = transport.socket.set_nodelay(true);
        Ok(transport)
    }

    /// For a socket that is read and written as it is.
    pub(super) fn over(socket: TcpStream, listener: Arc<Listener>) -> Self {
        Self {
            socket: Arc::new(socket),
            listener,
        }
    }

    /// The listener that the client came by.
    pub fn listener(&self) -> &Listener {
        &self.listener
    }

    /// The socket's number, to set deadlines by (`proxy::deadlines`).
    pub fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Waits until the client has sent something, or has gone.
    pub async fn readable(&self) -> io::Result<()> {
        self.socket.peek(&mut [0]).await.map(drop)
    }

    /// Has the connection end with a reset, in place of an orderly end.
    pub fn reset_at_end(&self) {
        // An error is a client that has reset it already.
        let _ = self.socket.set_zero_linger();
    }

    /// Begins to watch for a reset. Nothing can be read before the watch is dropped.
    pub fn watch_reset(&self) -> ResetWatch {
        ResetWatch::begin(self.socket.clone())
    }

    fn poll_write_by(
        &self,
        cx: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            std::task::ready!(self.socket.poll_write_ready(cx))?;
            match write(&self.socket) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match Arc::get_mut(&mut self.socket) {
            Some(socket) => Pin::new(socket).poll_read(cx, buffer),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl AsyncWrite for Transport {
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
        Poll::Ready(SockRef::from(&*self.socket).shutdown(std::net::Shutdown::Write))
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
