//! A server that keeps what sinks post, and answers as a test says: as Mixpanel does, or badly.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::port::{Port, secured, self_signed};

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
    /// The status that it was answered with; 0: with nothing.
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
    /// Nothing, and the connection stays open.
    Silence,
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
    /// Whether connections are cut in the middle of a request's body.
    breaks_off: bool,
    /// Whether what comes is only handed to `answer`.
    forgets: bool,
}

/// The server.
pub(crate) struct SinkServer {
    state: Arc<Mutex<State>>,
    port: Port,
    tls: Option<TlsAcceptor>,
}

impl SinkServer {
    /// One that takes everything.
    pub(crate) async fn start() -> Self {
        Self::start_with(None).await
    }

    /// The same behind https, with a certificate that nobody vouches for.
    pub(crate) async fn start_https() -> Self {
        Self::start_with(Some(self_signed().0)).await
    }

    async fn start_with(tls: Option<TlsAcceptor>) -> Self {
        let mut server = Self {
            state: Arc::new(Mutex::new(State {
                posted: Vec::new(),
                answer: Arc::new(SinkReply::taken),
                breaks_off: false,
                forgets: false,
            })),
            port: Port::reserve(),
            tls,
        };
        server.accept();
        server
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.port.address())
    }

    /// Opens its port, if it is closed.
    pub(crate) fn accept(&mut self) {
        let (state, tls) = (self.state.clone(), self.tls.clone());
        self.port
            .open(move |stream| serve(stream, tls.clone(), state.clone()));
    }

    /// Closes its port and cuts its connections.
    pub(crate) async fn refuse(&mut self) {
        self.port.close().await;
    }

    /// Whether connections are cut in the middle of a request's body, from now on.
    pub(crate) fn break_off(&self, breaks_off: bool) {
        locked(&self.state).breaks_off = breaks_off;
    }

    /// Keeps nothing that comes from now on: it is too much. The closure that decides on the answer has seen it.
    pub(crate) fn forget(&self) {
        locked(&self.state).forgets = true;
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

async fn serve(stream: TcpStream, tls: Option<TlsAcceptor>, state: Arc<Mutex<State>>) {
    let Some(stream) = secured(tls.as_ref(), stream).await else {
        return;
    };
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
    let (head, mut body) = request.into_parts();
    if locked(&state).breaks_off {
        body.frame().await;
        return Err(io::Error::other("cut in the middle"));
    }
    let bytes = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let mut posted = Posted {
        path: head.uri.to_string(),
        headers: head.headers,
        body: serde_json::from_slice(&bytes).unwrap_or_default(),
        bytes,
        answered: 0,
    };
    let reply = decide(&mut locked(&state), &mut posted);
    let mut response = Response::builder();
    let (status, text) = match reply {
        SinkReply::Cut => return Err(io::Error::other("cut")),
        SinkReply::Silence => std::future::pending().await,
        SinkReply::Status(status, body) => (status, body.to_string()),
        SinkReply::Busy(seconds) => {
            response = response.header("retry-after", seconds);
            (429, String::new())
        }
    };
    let response = response.status(status).body(text.into());
    response.map_err(io::Error::other)
}

/// What a request is answered with. It is kept, unless the server forgets.
fn decide(state: &mut State, posted: &mut Posted) -> SinkReply {
    let reply = (state.answer)(posted);
    posted.answered = match &reply {
        SinkReply::Cut | SinkReply::Silence => 0,
        SinkReply::Status(status, _) => *status,
        SinkReply::Busy(_) => 429,
    };
    if !state.forgets {
        state.posted.push(posted.clone());
    }
    reply
}
