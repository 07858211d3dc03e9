use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;

use super::ask;
use crate::cluster::policy::{HealthPolicy, Probe};
use crate::cluster::{
    AddressGate, AddressRefusal, Cluster, DeploymentName, NoopListener, OpenGate, UpstreamUrl,
};

/// What a server of the tests answers every request with.
#[derive(Clone, Copy)]
enum Answer {
    Status(u16),
    /// A frame with this status of the health service, and this `grpc-status` behind it.
    Grpc(u8, &'static str),
    /// A `grpc-status` and nothing else.
    GrpcRefusal(&'static str),
    /// None at all.
    Silence,
}

async fn respond(
    answer: Answer,
    request: Request<Incoming>,
) -> Result<Response<http_body_util::combinators::BoxBody<Bytes, Infallible>>, Infallible> {
    let path = request.uri().path().to_owned();
    let mut response = Response::new(Full::default().boxed());
    match answer {
        Answer::Status(status) => {
            // Only the path that was asked for is well.
            let status = if path == "/healthz" { status } else { 404 };
            *response.status_mut() = status.try_into().unwrap();
        }
        Answer::Silence => std::future::pending().await,
        Answer::Grpc(status, grpc_status) => {
            assert_eq!(path, "/grpc.health.v1.Health/Check");
            assert_eq!(request.headers()["content-type"], "application/grpc");
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static(grpc_status));
            let message = Bytes::copy_from_slice(&[0, 0, 0, 0, 2, 8, status]);
            let trailers = std::future::ready(Some(Ok(trailers)));
            *response.body_mut() = Full::new(message).with_trailers(trailers).boxed();
        }
        Answer::GrpcRefusal(status) => {
            let status = HeaderValue::from_static(status);
            response.headers_mut().insert("grpc-status", status);
        }
    }
    Ok(response)
}

/// Where such a server listens, and the task to keep it by.
async fn server(h2: bool, answer: Answer) -> (SocketAddr, tokio::task::JoinSet<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service_fn(move |request| respond(answer, request));
            let stream = TokioIo::new(stream);
            tokio::spawn(async move {
                // How the checking side leaves is its own affair.
                if h2 {
                    let server = http2::Builder::new(TokioExecutor::new());
                    let _ = server.serve_connection(stream, service).await;
                } else {
                    let server = http1::Builder::new();
                    let _ = server.serve_connection(stream, service).await;
                }
            });
        }
    });
    (address, tasks)
}

async fn checked(address: SocketAddr, scheme: &str, probe: Probe) -> (bool, String) {
    checked_by(Arc::new(OpenGate), address, scheme, probe).await
}

async fn checked_by(
    gate: Arc<dyn AddressGate>,
    address: SocketAddr,
    scheme: &str,
    probe: Probe,
) -> (bool, String) {
    let policy = HealthPolicy {
        probe,
        interval: Duration::from_secs(1),
        timeout: Duration::from_millis(500),
        unhealthy_after: 1,
        healthy_after: 1,
        tls: None,
    };
    let url = format!("{scheme}://{address}").parse().unwrap();
    let (service, deployment) = ("search", "search.x");
    let name = DeploymentName {
        service,
        deployment,
    };
    let cluster = Cluster::gated(1, name, url, Arc::new(NoopListener), gate);
    let finding = ask(address, &cluster, &policy).await;
    (finding.passed, finding.said.into())
}

fn http(status: Option<u16>) -> Probe {
    Probe::Http {
        path: "/healthz".into(),
        status,
    }
}

/// Refuses every address.
#[derive(Debug)]
struct ClosedGate;

impl AddressGate for ClosedGate {
    fn judge(&self, _: &UpstreamUrl, _: SocketAddr) -> Result<(), AddressRefusal> {
        Err(AddressRefusal::Metadata)
    }
}

#[tokio::test]
async fn an_address_that_may_not_be_connected_to_is_not_asked() {
    let (address, _server) = server(false, Answer::Status(200)).await;
    for probe in [Probe::Tcp, http(None)] {
        let found = checked_by(Arc::new(ClosedGate), address, "http", probe.clone()).await;
        let said = "no connection: it is a metadata address".to_owned();
        assert_eq!(found, (false, said), "{probe:?}");
        assert!(checked(address, "http", probe).await.0);
    }
}

#[tokio::test]
async fn a_status_is_good_or_not() {
    for (h2, scheme) in [(false, "http"), (true, "h2c")] {
        for (status, expected, passed) in [
            (200, None, true),
            (204, None, true),
            (302, None, false),
            (503, None, false),
            (418, Some(418), true),
            (200, Some(204), false),
        ] {
            let (address, _server) = server(h2, Answer::Status(status)).await;
            let found = checked(address, scheme, http(expected)).await;
            assert_eq!(found, (passed, format!("status {status}")), "{scheme}");
        }
    }
}

#[tokio::test]
async fn the_grpc_health_service_is_understood() {
    for (answer, expected) in [
        (Answer::Grpc(1, "0"), (true, "SERVING")),
        (Answer::Grpc(2, "0"), (false, "NOT_SERVING")),
        (Answer::Grpc(1, "14"), (false, "grpc-status 14")),
        (Answer::GrpcRefusal("12"), (false, "grpc-status 12")),
        (Answer::Status(200), (false, "status 404")),
    ] {
        let (address, _server) = server(true, answer).await;
        let (passed, said) = checked(address, "h2c", Probe::Grpc).await;
        assert_eq!((passed, said.as_str()), expected);
    }
}

#[tokio::test]
async fn who_cannot_be_reached_or_says_nothing_is_not_well() {
    let (address, mut running) = server(false, Answer::Silence).await;
    let silent = checked(address, "http", http(None)).await;
    assert_eq!(silent, (false, "no answer within 500ms".to_owned()));
    let connected = checked(address, "http", Probe::Tcp).await;
    assert_eq!(connected, (true, "connected".to_owned()));
    running.shutdown().await;
    for probe in [Probe::Tcp, Probe::Grpc, http(None)] {
        let (passed, said) = checked(address, "http", probe).await;
        assert!(!passed && said.starts_with("no connection"), "{said}");
    }
    // Plain HTTP/1.1 is no gRPC.
    let (address, _server) = server(false, Answer::Status(200)).await;
    let (passed, said) = checked(address, "h2c", Probe::Grpc).await;
    assert!(!passed && said.starts_with("no answer"), "{said}");
}
