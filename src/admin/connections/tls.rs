//! TLS on an admin listener, and what those are told who speak HTTP without it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::writes::TimedWrites;
use crate::admin::problem::Problem;
use crate::certificates::ServerTls;

/// How much of a request is read away, so that its sender gets to read the answer.
const MOST_UNREAD: u64 = 64 * 1024;

/// What requests come through.
pub(super) enum Transport {
    Plain(TimedWrites<TcpStream>),
    Tls(Box<TlsStream<TimedWrites<TcpStream>>>),
}

/// Shakes hands with a client. `write` is how long it may take nothing of what is written.
pub(super) async fn accept(
    mut socket: TcpStream,
    tls: &ServerTls,
    write: Duration,
) -> io::Result<Transport> {
    let mut first = [0];
    socket.peek(&mut first).await?;
    // Methods begin with a capital letter, and no record of TLS does.
    if first[0].is_ascii_uppercase() {
        refuse_plain_http(&mut socket).await?;
        return Err(io::Error::other("it spoke HTTP without TLS"));
    }
    let acceptor = TlsAcceptor::from(tls.config());
    let socket = TimedWrites::new(socket, write);
    match acceptor.accept(socket).into_fallible().await {
        Ok(stream) => Ok(Transport::Tls(Box::new(stream))),
        Err((why, mut socket)) => {
            // The alert that says why is on its way.
            let _ = part(&mut socket).await;
            Err(why)
        }
    }
}

/// Ends what is written, and reads on for a while: closed with something unread in it, a socket takes back what was
/// written last.
async fn part(socket: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<()> {
    socket.shutdown().await?;
    tokio::io::copy(&mut socket.take(MOST_UNREAD), &mut tokio::io::sink()).await?;
    Ok(())
}

/// Says that requests need TLS here.
async fn refuse_plain_http(socket: &mut TcpStream) -> io::Result<()> {
    let problem = Problem::new(
        400,
        "this listener speaks TLS: its address begins with https://",
    );
    let body = serde_json::to_string(&problem)?;
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: application/problem+json\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    );
    socket.write_all(answer.as_bytes()).await?;
    part(socket).await
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(context, parts),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(context, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
