//! What a check is asked over.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Failure;
use crate::certificates::upstream;
use crate::cluster::policy::{ServerIdentity, UpstreamTls};
use crate::cluster::{Cluster, Scheme};

/// A connection to an endpoint, in the clear or over TLS.
pub(super) type Connection = Box<dyn Stream>;

pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Connects as a request would, with what the service states of TLS.
pub(super) async fn open(
    address: SocketAddr,
    cluster: &Cluster,
    tls: Option<&Arc<UpstreamTls>>,
    scheme: Scheme,
) -> Result<Connection, Failure> {
    let socket = TcpStream::connect(address).await?;
    if !scheme.is_tls() {
        return Ok(Box::new(socket));
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
    Ok(Box::new(stream))
}
