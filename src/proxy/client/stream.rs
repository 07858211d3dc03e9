//! The stream that pingora reads what a client sends from, and writes to: a socket whose connection is told of both.
//!
//! Of what an HTTP/1 client sends, pingora is handed one request at a time, strictly up to its end
//! ([`crate::request::framing`]): nothing reaches its parsers that could be read in two ways, and what was sent ahead, or
//! the end of what the client sends, is no matter of the request that is being answered.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use bytes::BytesMut;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID, UniqueIDType,
};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;

use super::ClientConnection;
use super::half_closed::Reset;
use super::reading::Reading;
use crate::request::framing::Requests;
use crate::request::framing::frames::Frames;
use crate::request::target::Target;

/// The stream of a [`ClientConnection`].
#[derive(Debug)]
pub struct ClientStream {
    /// Given back to the connection in the end; shared only with `reset`.
    pub(super) socket: Option<Arc<TcpStream>>,
    pub(super) connection: Arc<ClientConnection>,
    /// Bytes that have come and are not yet to be handed on.
    pub(super) put_back: BytesMut,
    pub(super) reading: Reading,
    /// Of the current request, over HTTP/1.
    pub(super) target: Target,
    /// What of a target that was encoded had no room in the reader's buffer.
    pub(super) encoded: BytesMut,
    /// Watched while a client that sends nothing more waits for its answer.
    pub(super) reset: Option<Reset>,
    digest: Arc<SocketDigest>,
}

impl ClientStream {
    pub(super) fn new(
        socket: TcpStream,
        peer: SocketAddr,
        connection: Arc<ClientConnection>,
    ) -> Self {
        let digest = SocketDigest::from_raw_fd(socket.as_raw_fd());
        // Known already; it saves the system call of asking for it.
        let _ = digest.peer_addr.set(Some(peer.into()));
        Self {
            socket: Some(Arc::new(socket)),
            connection,
            put_back: BytesMut::new(),
            reading: Reading::Bytes,
            target: Target::default(),
            encoded: BytesMut::new(),
            reset: None,
            digest: Arc::new(digest),
        }
    }

    /// The connection.
    pub fn connection(&self) -> &Arc<ClientConnection> {
        &self.connection
    }

    /// Puts bytes back that were read from it, to be read again.
    pub fn put_back(&mut self, bytes: &[u8]) {
        let behind = std::mem::replace(&mut self.put_back, BytesMut::from(bytes));
        self.put_back.unsplit(behind);
        self.connection.has_put_back(bytes.len());
    }

    /// Reads HTTP/1 from now on.
    pub fn expect_requests(&mut self) {
        self.reading = Reading::Requests(Requests::default());
    }

    /// Reads HTTP/2 from now on.
    pub fn expect_frames(&mut self) {
        self.reading = Reading::Frames(Frames::default());
    }

    /// The socket, to read from it.
    pub(super) fn socket(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        let socket = self.socket.as_mut().and_then(Arc::get_mut);
        socket
            .map(Pin::new)
            .ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn poll_write_by(
        &self,
        cx: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let Some(socket) = &self.socket else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        let polled = loop {
            match socket.poll_write_ready(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => break Poll::Ready(Err(error)),
                Poll::Pending => break Poll::Pending,
            }
            match write(socket) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => break Poll::Ready(written),
            }
        };
        self.connection.has_written(polled.is_pending());
        polled
    }
}

impl Drop for ClientStream {
    fn drop(&mut self) {
        self.reset = None;
        if let Some(socket) = self.socket.take().and_then(Arc::into_inner) {
            self.connection.leave(socket);
        }
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.connection.refuses_more() {
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        let before = buffer.filled().len();
        let polled = self.poll_part(cx, buffer);
        if polled.is_pending() {
            self.connection.waits_to_read();
        }
        std::task::ready!(polled)?;
        match buffer.filled().len() - before {
            0 => {}
            bytes => self.connection.has_read(bytes),
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ClientStream {
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
        bytes: &[io::IoSlice<'_>],
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
        // Whose head never came to an end is told so before the socket is closed; whose answer broke off must not see an
        // orderly end.
        if self.connection.refusal().is_some() || self.connection.is_broken() {
            return Poll::Ready(Ok(()));
        }
        let socket = self.socket.as_deref();
        Poll::Ready(socket.map_or(Ok(()), |socket| {
            SockRef::from(socket).shutdown(std::net::Shutdown::Write)
        }))
    }
}

#[async_trait]
impl Shutdown for ClientStream {
    async fn shutdown(&mut self) {
        // An error is a client that has gone.
        let _ = AsyncWriteExt::shutdown(self).await;
    }
}

impl UniqueID for ClientStream {
    fn id(&self) -> UniqueIDType {
        let socket = self.socket.as_deref();
        socket.map_or(-1, TcpStream::as_raw_fd)
    }
}

impl Ssl for ClientStream {}

impl Peek for ClientStream {}

impl GetTimingDigest for ClientStream {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        // Nobody asks; pingora does so for every request.
        Vec::new()
    }
}

impl GetProxyDigest for ClientStream {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for ClientStream {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(self.digest.clone())
    }
}
