//! A client's stream as pingora's sessions want it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::SslDigest;
use pingora::protocols::{
    Digest, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf};

use crate::proxy::client::ClientStream;

/// A client's stream with what pingora asks of one.
#[derive(Debug)]
pub(super) struct SessionStream<S = ClientStream> {
    client: S,
    id: UniqueIDType,
    digest: Arc<SocketDigest>,
    /// There is one where what is sent is encrypted; pingora only hands it on.
    encrypted: Option<Arc<SslDigest>>,
}

impl SessionStream {
    /// Of a client's stream.
    pub(super) fn new(client: ClientStream) -> Self {
        let digest = SocketDigest::from_raw_fd(client.fd());
        // Known already; it saves the system call of asking for it.
        let _ = digest.peer_addr.set(Some(client.peer().into()));
        let encrypted = client.is_encrypted().then(|| {
            let digest = SslDigest::new("", "TLS", None, None, Vec::new());
            Arc::new(digest)
        });
        Self {
            id: client.fd(),
            client,
            digest: Arc::new(digest),
            encrypted,
        }
    }
}

impl SessionStream<DuplexStream> {
    /// Of a pipe that stands for a request over a connection that others share.
    pub(super) fn of_pipe(client: DuplexStream, connection: &Digest) -> Self {
        let digest = connection.socket_digest.clone();
        Self {
            client,
            // There is no socket.
            id: -1,
            digest: digest.unwrap_or_else(|| Arc::new(SocketDigest::from_raw_fd(-1))),
            encrypted: connection.ssl_digest.clone(),
        }
    }
}

impl<S: Send + Sync> SessionStream<S> {
    /// What pingora tells hooks of the connection that requests share over HTTP/2.
    pub(super) fn digest(&self) -> Digest {
        Digest {
            socket_digest: self.get_socket_digest(),
            ssl_digest: self.get_ssl_digest(),
            ..Digest::default()
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for SessionStream<S> {
    #[inline]
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.client).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for SessionStream<S> {
    #[inline]
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.client).poll_write(cx, bytes)
    }

    #[inline]
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.client).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.client.is_write_vectored()
    }

    #[inline]
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.client).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.client).poll_shutdown(cx)
    }
}

#[async_trait]
impl<S: AsyncWrite + Unpin + Send> Shutdown for SessionStream<S> {
    async fn shutdown(&mut self) {
        // An error is a client that has gone.
        let _ = self.client.shutdown().await;
    }
}

impl<S> UniqueID for SessionStream<S> {
    fn id(&self) -> UniqueIDType {
        self.id
    }
}

impl<S> Ssl for SessionStream<S> {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.encrypted.clone()
    }
}

impl<S: Send> Peek for SessionStream<S> {}

impl<S> GetTimingDigest for SessionStream<S> {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        // Its times are not used; pingora collects them for every request.
        Vec::new()
    }
}

impl<S> GetProxyDigest for SessionStream<S> {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl<S> GetSocketDigest for SessionStream<S> {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(self.digest.clone())
    }
}
