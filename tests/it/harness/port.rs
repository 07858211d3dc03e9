//! A server's own port of 127.0.0.1, which it keeps while nothing listens there.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use rustls::pki_types::PrivateKeyDer;
use socket2::Socket;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::{origin, until};

/// A port, and those who connect while it is open.
pub(crate) struct Port {
    address: SocketAddr,
    /// Bound, but never listening: while the port is closed, nobody else can be given it.
    _reserved: Socket,
    running: Option<AbortHandle>,
}

impl Port {
    /// One that is free, and closed.
    pub(crate) fn reserve() -> Self {
        let reserved = origin::bind((Ipv4Addr::LOCALHOST, 0).into());
        let address = reserved.local_addr().expect("an address");
        Self {
            address: address.as_socket().expect("an address"),
            _reserved: reserved,
            running: None,
        }
    }

    /// Where it is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves each connection, unless it is open already.
    pub(crate) fn open<F: Future<Output = ()> + Send + 'static>(
        &mut self,
        serve: impl Fn(TcpStream) -> F + Send + 'static,
    ) {
        if self.running.is_some() {
            return;
        }
        let socket = origin::bind(self.address);
        socket.listen(128).expect("a listening socket");
        socket.set_nonblocking(true).expect("a non-blocking socket");
        let listener = TcpListener::from_std(socket.into()).expect("a listener");
        let accept = async move {
            // Dropped, and so cut, when the accepting task is.
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                connections.spawn(serve(stream));
            }
        };
        self.running = Some(tokio::spawn(accept).abort_handle());
    }

    /// Closes it, and cuts its connections.
    pub(crate) async fn close(&mut self) {
        if let Some(running) = self.running.take() {
            running.abort();
            until("the server's end", || running.is_finished().then_some(())).await;
        }
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.abort();
        }
    }
}

/// A connection, encrypted or not.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// What a client says, where it speaks TLS as well. `None`: it does not trust the certificate.
pub(crate) async fn secured(
    tls: Option<&TlsAcceptor>,
    stream: TcpStream,
) -> Option<Box<dyn Duplex>> {
    Some(match tls {
        None => Box::new(stream),
        Some(tls) => Box::new(tls.accept(stream).await.ok()?),
    })
}

/// TLS for 127.0.0.1 by a certificate that nobody vouches for, and the certificate to know it by.
pub(crate) fn self_signed() -> (TlsAcceptor, String) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]);
    let made = made.expect("a certificate");
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let provider = rustls::crypto::ring::default_provider();
    let config = rustls::ServerConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("a certificate");
    (TlsAcceptor::from(Arc::new(config)), made.cert.pem())
}
