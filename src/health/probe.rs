//! One check of one endpoint, over a connection of its own: so that accepting is checked, too.

mod grpc;

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::task::JoinSet;

use crate::cluster::endpoint::Finding;
use crate::cluster::policy::{HealthPolicy, Probe};
use crate::cluster::{Cluster, Scheme, UpstreamUrl};
use crate::dial::{self, Connection, DialError};

/// The user agent of health checks, by which services' logs tell them from users' requests.
const USER_AGENT: &str = concat!("serin/", env!("CARGO_PKG_VERSION"), " health");

/// Why a check failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("no answer: {0}")]
    Http(#[from] hyper::Error),
    #[error("the check cannot be asked: {0}")]
    Request(#[from] http::Error),
    #[error("status {}", .0.as_u16())]
    Status(StatusCode),
    #[error("{0}")]
    Grpc(#[from] grpc::NotServing),
}

/// Asks an endpoint how it is.
pub(super) async fn ask(address: SocketAddr, cluster: &Cluster, policy: &HealthPolicy) -> Finding {
    let begun = Instant::now();
    let answer = tokio::time::timeout(policy.timeout, probe(address, cluster, policy)).await;
    let (passed, said) = match answer {
        Ok(Ok(said)) => (true, said),
        Ok(Err(failure)) => (false, failure.to_string()),
        Err(_) => (false, format!("no answer within {:?}", policy.timeout)),
    };
    Finding {
        passed,
        said: said.into(),
        took: begun.elapsed(),
    }
}

async fn probe(
    address: SocketAddr,
    cluster: &Cluster,
    policy: &HealthPolicy,
) -> Result<String, Failure> {
    let (url, tls) = (&cluster.url, policy.tls.as_ref());
    let connect = |scheme| dial::open(address, cluster, tls, scheme);
    match &policy.probe {
        Probe::Tcp => {
            connect(url.scheme()).await?;
            Ok("connected".to_owned())
        }
        Probe::Http { path, status } => {
            let request = Request::get(path.as_ref()).body(Full::default())?;
            let stream = connect(url.scheme()).await?;
            let status = http(stream, url, url.scheme(), request, *status).await?;
            Ok(format!("status {}", status.as_u16()))
        }
        Probe::Grpc => {
            let scheme = match url.scheme().is_tls() {
                true => Scheme::H2,
                false => Scheme::H2c,
            };
            let mut connection = JoinSet::new();
            let request = grpc::question()?;
            let stream = connect(scheme).await?;
            let answer = send(stream, url, scheme, request, &mut connection).await?;
            grpc::read(answer).await?;
            Ok("SERVING".to_owned())
        }
    }
}

async fn http(
    stream: Connection,
    url: &UpstreamUrl,
    scheme: Scheme,
    request: Request<Full<Bytes>>,
    expected: Option<u16>,
) -> Result<StatusCode, Failure> {
    let mut connection = JoinSet::new();
    let answer = send(stream, url, scheme, request, &mut connection).await?;
    let status = answer.status();
    let good = expected.map_or(status.is_success(), |expected| status == expected);
    good.then_some(status).ok_or(Failure::Status(status))
}

/// Sends a request for a path; the rest is put in. The connection ends with `connection`.
async fn send(
    stream: Connection,
    url: &UpstreamUrl,
    scheme: Scheme,
    mut request: Request<Full<Bytes>>,
    connection: &mut JoinSet<hyper::Result<()>>,
) -> Result<Response<Incoming>, Failure> {
    let authority = url.authority();
    let stream = TokioIo::new(stream);
    let headers = request.headers_mut();
    let agent = http::HeaderValue::from_static(USER_AGENT);
    headers.insert(http::header::USER_AGENT, agent);
    Ok(if scheme.is_http2() {
        let path = request
            .uri()
            .path_and_query()
            .map_or("/", |path| path.as_str());
        let scheme = if scheme.is_tls() { "https" } else { "http" };
        *request.uri_mut() = format!("{scheme}://{authority}{path}")
            .parse()
            .map_err(http::Error::from)?;
        let (mut sender, running) = http2::handshake(TokioExecutor::new(), stream).await?;
        connection.spawn(running);
        sender.send_request(request).await?
    } else {
        let host = authority.parse().map_err(http::Error::from)?;
        headers.insert(http::header::HOST, host);
        let (mut sender, running) = http1::handshake(stream).await?;
        connection.spawn(running);
        sender.send_request(request).await?
    })
}

#[cfg(test)]
mod tests;
