//! An upstream of the tests' own: it records what comes, and answers as it is told.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use super::until;

/// How an origin is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 in the clear, with prior knowledge.
    H2c,
}

/// A request as an origin got it.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    /// The method.
    pub(crate) method: String,
    /// The request target: path and query.
    pub(crate) target: String,
    /// `Host`, or `:authority`.
    pub(crate) host: String,
    /// The header fields; names in lower case.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    /// The body.
    pub(crate) body: Bytes,
    /// Which of the origin's connections it came over, from 0.
    pub(crate) connection: usize,
}

impl Recorded {
    /// Every value of a header, as text.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        self.headers
            .iter()
            .filter(|(key, _)| key == name)
            .map(|(_, value)| String::from_utf8_lossy(value).into_owned())
            .collect()
    }

    /// The value of a header; `None` when it is missing. Fails when there are several.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let mut all = self.all(name);
        assert!(all.len() < 2, "several {name}: {self:?}");
        all.pop()
    }
}

/// What an origin answers.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    /// `None`: a JSON body that says what was asked.
    body: Option<Bytes>,
    trailers: HeaderMap,
}

impl Reply {
    /// An answer with this status and the default body.
    pub(crate) fn status(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: None,
            trailers: HeaderMap::new(),
        }
    }

    /// Adds a header field.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds a trailer field.
    pub(crate) fn trailer(mut self, name: &'static str, value: &'static str) -> Self {
        self.trailers.insert(name, HeaderValue::from_static(value));
        self
    }

    /// Sets the body.
    pub(crate) fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Some(body.into());
        self
    }
}

type Responder = Arc<dyn Fn(&Recorded) -> Reply + Send + Sync>;

/// A recording server on a free port of a loopback address.
pub(crate) struct Origin {
    shared: Arc<Shared>,
    address: SocketAddr,
    protocol: Protocol,
    /// Bound, but never listening: while the origin is stopped, its port refuses connections and nobody else
    /// can be given it.
    _reserved: Socket,
    running: Option<AbortHandle>,
}

struct Shared {
    name: String,
    requests: Mutex<Vec<Recorded>>,
    connections: Mutex<usize>,
    responder: Mutex<Responder>,
    held: watch::Sender<bool>,
}

impl Shared {
    fn requests(&self) -> MutexGuard<'_, Vec<Recorded>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Origin {
    /// An HTTP/1.1 origin on 127.0.0.1.
    pub(crate) async fn start(name: &str) -> Self {
        Self::start_on(name, Protocol::Http1, Ipv4Addr::LOCALHOST.into(), 0).await
    }

    /// An origin that speaks HTTP/2 in the clear.
    pub(crate) async fn start_h2c(name: &str) -> Self {
        Self::start_on(name, Protocol::H2c, Ipv4Addr::LOCALHOST.into(), 0).await
    }

    /// An origin on a given loopback address and port (0: any free one).
    pub(crate) async fn start_on(name: &str, protocol: Protocol, ip: IpAddr, port: u16) -> Self {
        let reserved = bind(SocketAddr::new(ip, port));
        let address = reserved
            .local_addr()
            .ok()
            .and_then(|address| address.as_socket())
            .expect("an address");
        let mut origin = Self {
            shared: Arc::new(Shared {
                name: name.to_owned(),
                requests: Mutex::default(),
                connections: Mutex::default(),
                responder: Mutex::new(Arc::new(|_| Reply::status(200))),
                held: watch::Sender::new(false),
            }),
            address,
            protocol,
            _reserved: reserved,
            running: None,
        };
        origin.restart().await;
        origin
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.shared.name
    }

    /// Its address.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Its URL, as `routes.yaml` names it.
    pub(crate) fn url(&self) -> String {
        let scheme = match self.protocol {
            Protocol::Http1 => "http",
            Protocol::H2c => "h2c",
        };
        format!("{scheme}://{}", self.address)
    }

    /// Sets what it answers from now on.
    pub(crate) fn answer(&self, responder: impl Fn(&Recorded) -> Reply + Send + Sync + 'static) {
        *self
            .shared
            .responder
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(responder);
    }

    /// Keeps every answer back, until [`Origin::release`]. Requests are recorded when they come.
    pub(crate) fn hold(&self) {
        self.shared.held.send_replace(true);
    }

    /// Lets the held answers go.
    pub(crate) fn release(&self) {
        self.shared.held.send_replace(false);
    }

    /// Closes its port and cuts its connections.
    pub(crate) async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.abort();
            until("the origin's end", || running.is_finished().then_some(())).await;
        }
    }

    /// Opens its port again.
    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        let socket = bind(self.address);
        socket.listen(1024).expect("a listening socket");
        socket.set_nonblocking(true).expect("a non-blocking socket");
        let listener = tokio::net::TcpListener::from_std(socket.into()).expect("a listener");
        let (shared, protocol) = (self.shared.clone(), self.protocol);
        let accept = async move {
            // Dropped, and so cut, when the accepting task is.
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                connections.spawn(serve(shared.clone(), protocol, stream));
            }
        };
        self.running = Some(tokio::spawn(accept).abort_handle());
    }

    /// The requests that came, in order.
    pub(crate) fn requests(&self) -> Vec<Recorded> {
        self.shared.requests().clone()
    }

    /// The last request that came.
    pub(crate) fn last(&self) -> Recorded {
        self.shared.requests().last().expect("a request").clone()
    }

    /// How many requests came.
    pub(crate) fn count(&self) -> usize {
        self.shared.requests().len()
    }

    /// Waits until `count` requests have come in all.
    pub(crate) async fn await_requests(&self, count: usize) {
        let what = format!("{count} requests at {}", self.shared.name);
        until(&what, || (self.count() >= count).then_some(())).await;
    }

    /// How many connections it has accepted.
    pub(crate) fn connections(&self) -> usize {
        *self
            .shared
            .connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.abort();
        }
    }
}

/// A socket on this address that listens later, or never.
pub(super) fn bind(address: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).expect("a socket");
    socket.set_reuse_address(true).expect("a reusable address");
    socket
        .bind(&address.into())
        .unwrap_or_else(|error| panic!("{address}: {error}"));
    socket
}

async fn serve(shared: Arc<Shared>, protocol: Protocol, stream: TcpStream) {
    let connection = {
        let mut count = shared
            .connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *count += 1;
        *count - 1
    };
    let service = service_fn(move |request| {
        let shared = shared.clone();
        async move { respond(&shared, connection, request).await }
    });
    let stream = TokioIo::new(stream);
    // How a connection ends is the gateway's affair; the tests look at what came.
    match protocol {
        Protocol::Http1 => {
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(stream, service)
                .with_upgrades()
                .await;
        }
        Protocol::H2c => {
            let _ = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .serve_connection(stream, service)
                .await;
        }
    }
}

async fn respond(
    shared: &Shared,
    connection: usize,
    mut request: Request<Incoming>,
) -> Result<Response<BoxBody<Bytes, Infallible>>, hyper::Error> {
    if let Some(upgrade) = request.headers().get("upgrade").cloned() {
        let upgraded = hyper::upgrade::on(&mut request);
        record(shared, connection, &request, Bytes::new());
        tokio::spawn(echo(upgraded));
        let mut response = Response::new(Full::default().boxed());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert("connection", HeaderValue::from_static("upgrade"));
        headers.insert("upgrade", upgrade);
        return Ok(response);
    }
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let recorded = record(shared, connection, &Request::from_parts(head, ()), body);
    // An error means that the origin is gone, and the answer with it.
    let _ = shared.held.subscribe().wait_for(|held| !held).await;
    let responder = shared
        .responder
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    Ok(answer(&shared.name, &recorded, responder(&recorded)))
}

fn record<B>(shared: &Shared, connection: usize, request: &Request<B>, body: Bytes) -> Recorded {
    let uri = request.uri();
    let host = match uri.authority() {
        Some(authority) => authority.to_string(),
        None => request
            .headers()
            .get("host")
            .map_or_else(String::new, |host| {
                String::from_utf8_lossy(host.as_bytes()).into_owned()
            }),
    };
    let recorded = Recorded {
        method: request.method().to_string(),
        target: uri
            .path_and_query()
            .map_or("", |target| target.as_str())
            .to_owned(),
        host,
        headers: request
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
            .collect(),
        body,
        connection,
    };
    shared.requests().push(recorded.clone());
    recorded
}

fn answer(name: &str, recorded: &Recorded, reply: Reply) -> Response<BoxBody<Bytes, Infallible>> {
    let body = reply.body.unwrap_or_else(|| {
        let seen = |name: &str| recorded.all(name).into_iter().next();
        let json = serde_json::json!({
            "origin": name,
            "method": recorded.method,
            "path": recorded.target,
            "deployment": seen("x-serin-deployment"),
            "user": seen("x-user-id"),
            "body_bytes": recorded.body.len(),
        });
        json.to_string().into()
    });
    let body = Full::new(body);
    let body = match reply.trailers {
        none if none.is_empty() => body.boxed(),
        trailers => body
            .with_trailers(std::future::ready(Some(Ok(trailers))))
            .boxed(),
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(reply.status).expect("a status code");
    let headers = response.headers_mut();
    headers.insert(
        "x-origin",
        HeaderValue::from_str(name).expect("a header value"),
    );
    for (name, value) in reply.headers {
        headers.append(
            HeaderName::from_bytes(name.as_bytes()).expect("a header name"),
            HeaderValue::from_str(&value).expect("a header value"),
        );
    }
    response
}

/// Sends back what comes over an upgraded connection.
async fn echo(upgraded: hyper::upgrade::OnUpgrade) {
    let Ok(upgraded) = upgraded.await else {
        return;
    };
    let mut stream = TokioIo::new(upgraded);
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

/// A server that takes one connection after the other, reads a request's head, says the given bytes, and closes:
/// for answers that no well-behaved server gives.
pub(crate) struct Blunt {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
    running: AbortHandle,
}

impl Blunt {
    /// Starts one.
    pub(crate) async fn start(bytes: &'static [u8]) -> Self {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("an address");
        let requests = Arc::new(AtomicUsize::new(0));
        let count = requests.clone();
        let accept = async move {
            loop {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    match stream.read_u8().await {
                        Ok(byte) => head.push(byte),
                        Err(_) => break,
                    }
                }
                if !head.is_empty() {
                    count.fetch_add(1, Ordering::SeqCst);
                }
                // The gateway may have gone away meanwhile; that is its right.
                let _ = stream.write_all(bytes).await;
            }
        };
        Self {
            address,
            requests,
            running: tokio::spawn(accept).abort_handle(),
        }
    }

    /// How many requests came.
    pub(crate) fn count(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// Its URL, as `routes.yaml` names it.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Blunt {
    fn drop(&mut self) {
        self.running.abort();
    }
}
