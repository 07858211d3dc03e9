//! Connections to endpoints for those that have no pool of a worker's: health checks, and copies for shadows.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::certificates::upstream;
use crate::cluster::policy::{ServerIdentity, UpstreamTls};
use crate::cluster::{AddressRefusal, Cluster, Scheme};

/// A connection to an endpoint, in the clear or over TLS.
pub type Connection = Box<dyn Stream>;

/// What a connection is read from and written to.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The address may not be connected to.
    #[error("no connection: {0}")]
    Refused(#[from] AddressRefusal),
    /// The system cannot make one.
    #[error("no connection: {0}")]
    Connect(#[from] io::Error),
    /// The other side does not speak TLS as is stated.
    #[error("no TLS: {0}")]
    Tls(String),
}

/// Connects as a request would, with what the service states of TLS. The address may have been allowed when this was planned:
/// the cluster is asked again.
pub async fn open(
    address: SocketAddr,
    cluster: &Cluster,
    tls: Option<&Arc<UpstreamTls>>,
    scheme: Scheme,
) -> Result<Connection, DialError> {
    cluster.judge(address)?;
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
    let connector = TlsConnector::from(Arc::new(config.map_err(DialError::Tls)?));
    let name = ServerName::try_from(server.name);
    let name = name.map_err(|error| DialError::Tls(error.to_string()))?;
    let stream = connector.connect(name, socket).await;
    let stream = stream.map_err(|error| DialError::Tls(error.to_string()))?;
    Ok(Box::new(stream))
}
