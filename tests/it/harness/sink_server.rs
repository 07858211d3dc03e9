//! A server that keeps what sinks post, and answers as a test says: as Mixpanel does, or badly.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::pki_types::PrivateKeyDer;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Posted {
    /// Path and query.
    pub(crate) path: String,
    headers: HeaderMap,
    /// The body's bytes.
    pub(crate) bytes: Bytes,
    /// The body.
    pub(crate) body: Value,
    /// The status that it was answered with; 0: the connection was cut.
    pub(crate) answered: u16,
}

impl Posted {
    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).map(|value| value.to_str());
        value.and_then(Result::ok).unwrap_or_default()
    }

    /// The events of a batch: the body is a list, or has one.
    pub(crate) fn events(&self) -> &[Value] {
        let list = self
            .body
            .as_array()
            .or_else(|| self.body["batch"].as_array());
        list.map(Vec::as_slice).unwrap_or_default()
    }
}

/// What a request is answered with.
#[derive(Clone, Debug)]
pub(crate) enum SinkReply {
    /// A status, with a body.
    Status(u16, Value),
    /// 429, with the time to wait in seconds.
    Busy(u32),
    /// Nothing: the connection is cut.
    Cut,
}

impl SinkReply {
    /// As Mixpanel answers a batch that it has taken.
    pub(crate) fn taken(posted: &Posted) -> Self {
        let count = posted.events().len();
        Self::Status(
            200,
            serde_json::json!({ "code": 200, "num_records_imported": count, "status": "OK" }),
        )
    }
}

type Answer = dyn Fn(&Posted) -> SinkReply + Send + Sync;

struct State {
    posted: Vec<Posted>,
    answer: Arc<Answer>,
}

/// The server.
pub(crate) struct SinkServer {
    state: Arc<Mutex<State>>,
    address: SocketAddr,
    scheme: &'static str,
    _running: JoinSet<()>,
}

impl SinkServer {
    /// One that takes everything.
    pub(crate) async fn start() -> Self {
        Self::start_with(None).await
    }

    /// The same behind https, with a certificate that nobody vouches for.
    pub(crate) async fn start_https() -> Self {
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
        Self::start_with(Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn start_with(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(Mutex::new(State {
            posted: Vec::new(),
            answer: Arc::new(SinkReply::taken),
        }));
        let scheme = if tls.is_some() { "https" } else { "http" };
        let mut running = JoinSet::new();
        running.spawn(accept(listener, tls, state.clone()));
        Self {
            state,
            address,
            scheme,
            _running: running,
        }
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// Answers like this from now on.
    pub(crate) fn answer(&self, answer: impl Fn(&Posted) -> SinkReply + Send + Sync + 'static) {
        locked(&self.state).answer = Arc::new(answer);
    }

    /// Takes everything from now on.
    pub(crate) fn mend(&self) {
        self.answer(SinkReply::taken);
    }

    /// What has come.
    pub(crate) fn posted(&self) -> Vec<Posted> {
        locked(&self.state).posted.clone()
    }

    /// The events of all batches that were answered with 200.
    pub(crate) fn taken(&self) -> Vec<Value> {
        let posted = self.posted().into_iter();
        let taken = posted.filter(|posted| posted.answered == 200);
        taken.flat_map(|posted| posted.events().to_vec()).collect()
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, state: Arc<Mutex<State>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, state) = (tls.clone(), state.clone());
        connections.spawn(async move {
            match tls {
                None => serve(stream, state).await,
                // A client that does not trust the certificate ends here.
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        serve(stream, state).await;
                    }
                }
            }
        });
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + 'static, state: Arc<Mutex<State>>) {
    let service = service_fn(|request| take(request, state.clone()));
    // An answer that is an error cuts the connection.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn take(
    request: Request<Incoming>,
    state: Arc<Mutex<State>>,
) -> Result<Response<Full<Bytes>>, io::Error> {
    let (head, body) = request.into_parts();
    let bytes = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let mut posted = Posted {
        path: head.uri.to_string(),
        headers: head.headers,
        body: serde_json::from_slice(&bytes).unwrap_or_default(),
        bytes,
        answered: 0,
    };
    let mut state = locked(&state);
    let reply = (state.answer)(&posted);
    let mut response = Response::builder();
    let (status, text) = match reply {
        SinkReply::Cut => {
            state.posted.push(posted);
            return Err(io::Error::other("cut"));
        }
        SinkReply::Status(status, body) => (status, body.to_string()),
        SinkReply::Busy(seconds) => {
            response = response.header("retry-after", seconds);
            (429, String::new())
        }
    };
    posted.answered = status;
    state.posted.push(posted);
    let response = response.status(status).body(text.into());
    response.map_err(io::Error::other)
}
