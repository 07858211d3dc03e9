//! The stream that HTTP is read from and written to: a transport whose connection hears of both.
//!
//! Of what an HTTP/1 client sends, one request at a time is handed on, strictly up to its end
//! ([`crate::request::framing`]): no parser gets what could be read in two ways, and what was sent ahead, or the end of
//! what the client sends, is no matter of the request that is being answered.

use std::io;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::ClientConnection;
use crate::proxy::transport::{ResetWatch, Spoken, Transport};
use crate::request::framing::Requests;
use crate::request::framing::control::ControlMeter;
use crate::request::framing::frames::Frames;
use crate::request::target::Target;

/// The stream of a [`ClientConnection`].
#[derive(Debug)]
pub struct ClientStream {
    /// Given back to the connection in the end.
    pub(super) transport: Option<Transport>,
    /// The client's address.
    peer: SocketAddr,
    pub(super) connection: Arc<ClientConnection>,
    /// Bytes that have come and are not yet to be handed on.
    pub(super) put_back: BytesMut,
    pub(super) reading: Reading,
    /// Of the current request, over HTTP/1.
    pub(super) target: Target,
    /// What of a target that was encoded had no room in the reader's buffer.
    pub(super) encoded: BytesMut,
    /// Watched while a client that sends nothing more waits for its answer.
    pub(super) reset: Option<ResetWatch>,
    /// Whether a word to a client that waits to send its body has yet to leave (TLS).
    pub(super) unflushed: bool,
    /// Bytes that have been written.
    pub(super) written: u64,
    /// Control frames of HTTP/2 that have come lately.
    pub(super) control: ControlMeter,
}

/// What is read.
#[derive(Debug)]
pub(super) enum Reading {
    /// Bytes: which HTTP it is has yet to be seen.
    Bytes,
    Requests(Requests),
    Frames(Frames),
}

impl ClientStream {
    pub(super) fn new(
        transport: Transport,
        peer: SocketAddr,
        connection: Arc<ClientConnection>,
    ) -> Self {
        Self {
            transport: Some(transport),
            peer,
            connection,
            put_back: BytesMut::new(),
            reading: Reading::Bytes,
            target: Target::default(),
            encoded: BytesMut::new(),
            reset: None,
            unflushed: false,
            written: 0,
            control: ControlMeter::begin(Instant::now()),
        }
    }

    /// The client's address.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Whether what is sent is encrypted.
    pub fn is_encrypted(&self) -> bool {
        let transport = self.transport.as_ref();
        transport.is_some_and(Transport::is_encrypted)
    }

    /// Which HTTP is spoken, as far as that is known before the client's first byte.
    pub fn spoken(&self) -> Spoken {
        let transport = self.transport.as_ref();
        transport.map_or(Spoken::Http1, Transport::spoken)
    }

    /// The number of its socket.
    pub fn fd(&self) -> RawFd {
        self.transport.as_ref().map_or(-1, Transport::fd)
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

    /// Notes how far writing has come.
    fn note_written(&mut self, polled: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(bytes)) = polled {
            self.written += *bytes as u64;
        }
        self.connection.has_written(polled.is_pending());
    }

    /// Whether what is written answers what is no request ([`ClientConnection::is_unreadable`]): nothing of it is sent.
    fn answers_nothing(&self, bytes: &[u8]) -> bool {
        matches!(self.reading, Reading::Requests(_)) && self.connection.is_unreadable(bytes)
    }

    /// What carries it.
    pub(super) fn transport(&mut self) -> io::Result<Pin<&mut Transport>> {
        let transport = self.transport.as_mut();
        transport
            .map(Pin::new)
            .ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Drop for ClientStream {
    fn drop(&mut self) {
        self.reset = None;
        if let Some(transport) = self.transport.take() {
            self.connection.leave(transport);
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
        self.continue_if_due(cx);
        let before = buffer.filled().len();
        let polled = self.poll_part(cx, buffer);
        if polled.is_pending() {
            self.connection.waits_to_read();
            self.connection.waits_for_body(cx.waker());
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
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.answers_nothing(bytes) {
            return Poll::Ready(Ok(bytes.len()));
        }
        let polled = self.transport()?.poll_write(cx, bytes);
        self.note_written(&polled);
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.answers_nothing(bytes.first().map_or(&[], |part| part)) {
            return Poll::Ready(Ok(bytes.iter().map(|part| part.len()).sum()));
        }
        let polled = self.transport()?.poll_write_vectored(cx, bytes);
        self.note_written(&polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = self.transport()?.poll_flush(cx);
        // What is encrypted may wait for the client here.
        if polled.is_pending() || self.connection.is_blocked() {
            self.connection.has_written(polled.is_pending());
        }
        polled
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A client whose head never came to an end gets an answer before the socket is closed; one whose answer broke off
        // must not see an orderly end.
        if self.connection.refusal().is_some() || self.connection.is_broken() {
            return Poll::Ready(Ok(()));
        }
        let polled = self.transport()?.poll_shutdown(cx);
        // TLS says that it ends, which may wait for the client, too.
        if polled.is_pending() || self.connection.is_blocked() {
            self.connection.has_written(polled.is_pending());
        }
        polled
    }
}
