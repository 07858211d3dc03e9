//! The stream that pingora reads a client's octets from and writes to: a socket whose connection is told of both.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;

use super::ClientConnection;

/// How much is read at a time while a head comes. What of a body comes with it must fit pingora's buffer for retries,
/// from which the first attempt is sent (`super::super::first_byte`).
const HEAD_PIECE: usize = 32 * 1024;

/// The stream of a [`ClientConnection`].
#[derive(Debug)]
pub struct ClientStream {
    /// Given back to the connection in the end.
    socket: Option<TcpStream>,
    connection: Arc<ClientConnection>,
    /// Octets that were looked at and put back.
    put_back: Vec<u8>,
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
            socket: Some(socket),
            connection,
            put_back: Vec::new(),
            digest: Arc::new(digest),
        }
    }

    /// The connection.
    pub fn connection(&self) -> &Arc<ClientConnection> {
        &self.connection
    }

    /// Puts octets back that were read from it, to be read again.
    pub fn put_back(&mut self, octets: &[u8]) {
        self.put_back.splice(..0, octets.iter().copied());
        self.connection.has_put_back(octets.len());
    }

    fn socket(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        let socket = self.socket.as_mut().map(Pin::new);
        socket.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn wrote<T>(&self, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.connection.has_written(polled.is_pending());
        polled
    }
}

impl Drop for ClientStream {
    fn drop(&mut self) {
        if let Some(socket) = self.socket.take() {
            self.connection.leave(socket);
        }
    }
}

/// Reads [`HEAD_PIECE`] at most.
fn read_some(
    socket: Pin<&mut TcpStream>,
    cx: &mut Context<'_>,
    buffer: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    if buffer.remaining() <= HEAD_PIECE {
        return socket.poll_read(cx, buffer);
    }
    let mut piece = ReadBuf::new(buffer.initialize_unfilled_to(HEAD_PIECE));
    let polled = socket.poll_read(cx, &mut piece);
    let count = piece.filled().len();
    buffer.advance(count);
    polled
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
        if self.put_back.is_empty() {
            let polled = match self.connection.sends_head() {
                true => read_some(self.socket()?, cx, buffer),
                false => self.socket()?.poll_read(cx, buffer),
            };
            if polled.is_pending() {
                self.connection.waits_to_read();
            }
            std::task::ready!(polled)?;
        } else {
            let count = self.put_back.len().min(buffer.remaining());
            buffer.put_slice(&self.put_back[..count]);
            self.put_back.drain(..count);
        }
        match buffer.filled().len() - before {
            0 => {}
            octets => self.connection.has_read(octets),
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = self.socket()?.poll_write(cx, octets);
        self.wrote(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        octets: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = self.socket()?.poll_write_vectored(cx, octets);
        self.wrote(polled)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Whose head never came to an end is told so before the socket is closed.
        if self.connection.refusal().is_some() {
            return Poll::Ready(Ok(()));
        }
        self.socket()?.poll_shutdown(cx)
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
        self.socket.as_ref().map_or(-1, TcpStream::as_raw_fd)
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
