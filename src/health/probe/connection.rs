//! What a check is asked over.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::Failure;
use crate::certificates::upstream;
use crate::cluster::policy::{ServerIdentity, UpstreamTls};
use crate::cluster::{Cluster, Scheme};

/// A connection to an endpoint, in the clear or over TLS.
pub(super) enum Connection {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection {
    /// Connects as a request would, with what the service states of TLS.
    pub(super) async fn open(
        address: SocketAddr,
        cluster: &Cluster,
        tls: Option<&Arc<UpstreamTls>>,
        scheme: Scheme,
    ) -> Result<Self, Failure> {
        let socket = TcpStream::connect(address).await?;
        if !scheme.is_tls() {
            return Ok(Self::Plain(socket));
        }
        let server = ServerIdentity::of(cluster, tls.map(|tls| &**tls));
        let protocol: &[u8] = match scheme.is_http2() {
            true => b"h2",
            false => b"http/1.1",
        };
        let config = upstream::client_config(tls, server.verify, protocol);
        let connector = TlsConnector::from(Arc::new(config.map_err(Failure::Tls)?));
        let name = ServerName::try_from(server.name);
        let name = name.map_err(|error| Failure::Tls(error.to_string()))?;
        let stream = connector.connect(name, socket).await;
        let stream = stream.map_err(|error| Failure::Tls(error.to_string()))?;
        Ok(Self::Tls(Box::new(stream)))
    }
}

impl AsyncRead for Connection {
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

impl AsyncWrite for Connection {
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
