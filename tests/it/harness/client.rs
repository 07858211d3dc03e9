//! HTTP clients of the tests' own: a request as data, an answer as data, and connections that stay open.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Version};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::wire::WireStream;
use super::{in_time, wire};

/// The `Host` of a request that names none.
pub(crate) const HOST: &str = "api.example.com";

/// A request, as data.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    method: Method,
    path: String,
    host: String,
    headers: HeaderMap,
    body: Sent,
}

/// A request's body.
#[derive(Clone, Debug)]
enum Sent {
    /// With `Content-Length`; none when empty.
    Whole(Bytes),
    /// Without a length: chunked in HTTP/1.1.
    Chunks(Vec<Bytes>),
}

/// A GET request.
pub(crate) fn get(path: &str) -> Call {
    Call::new(Method::GET, path)
}

/// A POST request with a body.
pub(crate) fn post(path: &str, body: impl Into<Bytes>) -> Call {
    Call::new(Method::POST, path).body(body)
}

impl Call {
    /// A request without a body.
    pub(crate) fn new(method: Method, path: &str) -> Self {
        Self {
            method,
            path: path.to_owned(),
            host: HOST.to_owned(),
            headers: HeaderMap::new(),
            body: Sent::Whole(Bytes::new()),
        }
    }

    /// Its method.
    pub(crate) fn method(&self) -> &str {
        self.method.as_str()
    }

    /// Its path, with the query.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Sets `Host`.
    pub(crate) fn host(mut self, host: &str) -> Self {
        host.clone_into(&mut self.host);
        self
    }

    /// Adds a header field.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a header name");
        let value = HeaderValue::from_str(value).expect("a header value");
        self.headers.append(name, value);
        self
    }

    /// Says that its body, if it has one, is JSON, unless it says what it is.
    pub(crate) fn said_to_be_json(self) -> Self {
        let is_silent = !self.headers.contains_key("content-type");
        match &self.body {
            Sent::Whole(body) if body.is_empty() || !is_silent => self,
            _ if !is_silent => self,
            _ => self.header("content-type", "application/json"),
        }
    }

    /// Says whose request it is, in the header that most tests read IDs from.
    pub(crate) fn user(self, user: &str) -> Self {
        self.header("x-user-id", user)
    }

    /// Sets a body of known length.
    pub(crate) fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Sent::Whole(body.into());
        self
    }

    /// Sets a body without a stated length.
    pub(crate) fn chunks(mut self, chunks: impl IntoIterator<Item = Bytes>) -> Self {
        self.body = Sent::Chunks(chunks.into_iter().collect());
        self
    }

    fn into_request(self, version: Version, scheme: &str) -> Request<BoxBody<Bytes, Infallible>> {
        let mut request = Request::builder().method(self.method).version(version);
        if version == Version::HTTP_2 {
            request = request.uri(format!("{scheme}://{}{}", self.host, self.path));
        } else {
            request = request.uri(self.path).header("host", self.host);
        }
        let body = match self.body {
            Sent::Whole(body) => Full::new(body).boxed(),
            Sent::Chunks(chunks) => Chunks(chunks.into()).boxed(),
        };
        let mut request = request.body(body).expect("a request");
        request.headers_mut().extend(self.headers);
        request
    }
}

/// A body that does not say how long it is.
struct Chunks(VecDeque<Bytes>);

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|chunk| Ok(Frame::data(chunk))))
    }
}

/// A whole response, as data.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The status code.
    pub(crate) status: u16,
    /// The header fields.
    pub(crate) headers: HeaderMap,
    /// The body.
    pub(crate) body: Bytes,
}

impl Answer {
    async fn read(response: http::Response<Incoming>) -> Result<Self, hyper::Error> {
        let (head, body) = response.into_parts();
        Ok(Self {
            status: head.status.as_u16(),
            headers: head.headers,
            body: body.collect().await?.to_bytes(),
        })
    }

    /// The value of a header; `None` when it is missing. Fails when there are several.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let first = values.next()?;
        assert!(values.next().is_none(), "several {name}: {self:?}");
        Some(first.to_str().expect("a header in visible ASCII"))
    }

    /// The body as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body in UTF-8")
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }

    /// The name of the origin that answered; `-` when it was the gateway itself.
    pub(crate) fn origin(&self) -> &str {
        self.header("x-origin").unwrap_or("-")
    }

    /// Fails unless the origin of this name answered 200.
    #[track_caller]
    pub(crate) fn assert_from(&self, origin: &str) {
        assert_eq!((self.status, self.origin()), (200, origin), "{self:?}");
    }

    /// Fails unless one of these origins answered well.
    pub(crate) fn assert_from_any(&self, origins: &[&str]) {
        assert!(
            self.status == 200 && origins.contains(&self.origin()),
            "{self:?}"
        );
    }
}

/// A connection that is kept open. It speaks what the run's parameter says ([`wire`]), which is HTTP/1.1 unless it says another.
pub(crate) struct Connection(Sender);

enum Sender {
    Http1(http1::SendRequest<BoxBody<Bytes, Infallible>>),
    Http2(H2Connection),
}

impl Connection {
    /// Connects.
    pub(crate) async fn open(address: SocketAddr) -> Self {
        match wire::is_http2(address) {
            true => Self(Sender::Http2(H2Connection::connect(address).await)),
            false => Self::over(WireStream::connect(address).await).await,
        }
    }

    /// Over a connection that is there already, with HTTP/1.1.
    pub(crate) async fn over(stream: impl Into<WireStream>) -> Self {
        let (sender, connection) = http1::handshake(TokioIo::new(stream.into()))
            .await
            .expect("an HTTP/1.1 connection");
        tokio::spawn(async move {
            // How a connection ends is seen by whoever uses it.
            let _ = connection.await;
        });
        Self(Sender::Http1(sender))
    }

    /// Sends a request and reads the whole response; fails on a broken connection.
    pub(crate) async fn send(&mut self, call: Call) -> Answer {
        self.try_send(call)
            .await
            .unwrap_or_else(|error| panic!("the exchange broke: {error:?}"))
    }

    /// Sends a request and reads the whole response.
    pub(crate) async fn try_send(&mut self, call: Call) -> Result<Answer, hyper::Error> {
        in_time("an exchange", async {
            let response = self.request(call).await?;
            Answer::read(response).await
        })
        .await
    }

    /// Sends a request and waits for its answer's head; what there is of the body is up to the test. An error that
    /// `is_canceled` says that nothing was sent.
    pub(crate) async fn begin(
        &mut self,
        call: Call,
    ) -> Result<http::Response<Incoming>, hyper::Error> {
        in_time("a response", self.request(call)).await
    }

    async fn request(&mut self, call: Call) -> Result<http::Response<Incoming>, hyper::Error> {
        match &mut self.0 {
            Sender::Http1(sender) => {
                sender.ready().await?;
                let request = call.into_request(Version::HTTP_11, "http");
                sender.send_request(request).await
            }
            Sender::Http2(connection) => connection.request(call).await,
        }
    }

    /// Whether the other side has closed the connection.
    pub(crate) fn is_closed(&self) -> bool {
        match &self.0 {
            Sender::Http1(sender) => sender.is_closed(),
            Sender::Http2(connection) => connection.is_closed(),
        }
    }
}

/// An HTTP/2 connection: with prior knowledge, or over TLS where that is what the run's clients speak ([`wire`]).
pub(crate) struct H2Connection {
    sender: http2::SendRequest<BoxBody<Bytes, Infallible>>,
    scheme: &'static str,
}

impl H2Connection {
    /// Whether the other side takes no further requests.
    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Connects.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::over(WireStream::connect_http2(address).await).await
    }

    /// Over a connection that is there already.
    pub(crate) async fn over(stream: impl Into<WireStream>) -> Self {
        let stream = stream.into();
        let scheme = match stream.is_encrypted() {
            true => "https",
            false => "http",
        };
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .expect("an HTTP/2 connection");
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Self { sender, scheme }
    }

    /// Sends a request and reads the whole response.
    pub(crate) async fn send(&mut self, call: Call) -> Answer {
        self.try_send(call)
            .await
            .unwrap_or_else(|error| panic!("the exchange broke: {error:?}"))
    }

    /// Sends a request and reads the whole response. An error that is `is_canceled` says that nothing was sent.
    pub(crate) async fn try_send(&mut self, call: Call) -> Result<Answer, hyper::Error> {
        in_time("an exchange", async {
            let response = self.request(call).await?;
            Answer::read(response).await
        })
        .await
    }

    /// Sends a request; what there is of its response is up to the test.
    pub(crate) async fn open(&mut self, call: Call) -> http::Response<Incoming> {
        let response = in_time("a response", self.request(call)).await;
        response.expect("a response")
    }

    async fn request(&mut self, call: Call) -> Result<http::Response<Incoming>, hyper::Error> {
        self.sender.ready().await?;
        let request = call.into_request(Version::HTTP_2, self.scheme);
        self.sender.send_request(request).await
    }
}

/// Sends a request over a connection of its own.
pub(crate) async fn send(address: SocketAddr, call: Call) -> Answer {
    Connection::open(address).await.send(call).await
}

/// A connection on which the test says every byte itself.
pub(crate) struct Raw(WireStream);

impl Raw {
    /// Connects.
    pub(crate) async fn open(address: SocketAddr) -> Self {
        Self(WireStream::connect(address).await)
    }

    /// Over a connection that a test has made.
    pub(crate) fn of(stream: impl Into<WireStream>) -> Self {
        Self(stream.into())
    }

    /// Sends bytes, if they are taken.
    pub(crate) async fn try_write(&mut self, bytes: &[u8]) {
        let _ = in_time("writing", self.0.write_all(bytes)).await;
    }

    /// Sends bytes.
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        in_time("writing", self.0.write_all(bytes))
            .await
            .expect("the bytes are taken");
    }

    /// Reads until what has come ends with `end`.
    pub(crate) async fn read_until(&mut self, end: &[u8]) -> Vec<u8> {
        let mut seen = Vec::new();
        in_time("reading", async {
            while !seen.ends_with(end) {
                match self.0.read_u8().await {
                    Ok(byte) => seen.push(byte),
                    Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&seen)),
                }
            }
        })
        .await;
        seen
    }

    /// Says that there is nothing more to come, and still listens.
    pub(crate) async fn half_close(&mut self) {
        self.0.shutdown().await.expect("an open connection");
    }

    /// Goes with a reset, as a process that is killed amid its reading does.
    pub(crate) fn reset(self) {
        self.0
            .socket()
            .set_zero_linger()
            .expect("an open connection");
    }

    /// Reads until the other side closes. A reset ends the reading like a close: what came before it counts.
    pub(crate) async fn read_to_end(&mut self) -> Vec<u8> {
        let mut seen = Vec::new();
        in_time("reading to the end", async {
            // What was read before an error stays in the buffer.
            let _ = self.0.read_to_end(&mut seen).await;
        })
        .await;
        seen
    }
}

/// Sends bytes over a connection of their own and reads until the other side closes.
pub(crate) async fn raw(address: SocketAddr, bytes: &[u8]) -> RawAnswer {
    let mut connection = Raw::open(address).await;
    connection.write(bytes).await;
    RawAnswer(connection.read_to_end().await)
}

/// A response as bytes.
#[derive(Debug)]
pub(crate) struct RawAnswer(pub(crate) Vec<u8>);

impl RawAnswer {
    /// The status code; 0 when the connection was closed without a response.
    pub(crate) fn status(&self) -> u16 {
        let text = self.text();
        match text.strip_prefix("HTTP/1.1 ") {
            Some(rest) => rest[..3].parse().expect("a status code"),
            None => {
                assert!(text.is_empty(), "no HTTP response: {text:?}");
                0
            }
        }
    }

    /// All of it as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }
}
