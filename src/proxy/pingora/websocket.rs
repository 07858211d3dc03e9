//! WebSockets over HTTP/2 (RFC 8441): a client asks by an extended CONNECT, upstreams are asked by HTTP/1.1's Upgrade.
//!
//! pingora proxies an upgrade from HTTP/1.1 to HTTP/1.1 alone. So it gets a request of HTTP/1.1, over a pipe in place of a
//! connection: routes, identity, limits, records and what becomes of the stream when users leave its canary are the same as
//! there. What is sent upstream bears a key of Serin's own, and the answer to that is verified here, since clients of HTTP/2 send
//! and expect none. An answer that opens no WebSocket is passed on without its body, which no client shows.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf as _, Bytes, BytesMut};
use h2::ext::Protocol;
use h2::{Reason, SendStream};
use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, TE,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use pingora::apps::HttpServerApp as _;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::HttpSession;
use pingora::proxy::HttpProxy;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::watch;

use super::proxy::Proxy;
use super::stream::SessionStream;
use crate::proxy::timer::SweepTimer;
use crate::request::framing::websocket::{accept_of, key_of};

/// How many bytes of either direction wait in the pipe.
const PIPE: usize = 16 * 1024;

/// The longest head of an answer; pingora's own limit is lower.
const LONGEST_HEAD: usize = 256 * 1024;

/// The most fields of an answer's head.
const MOST_FIELDS: usize = 256;

/// What is said to this hop and not to the next one, in either direction (RFC 9113, section 8.2.2), and what is said anew.
const OF_THIS_HOP: [HeaderName; 10] = [
    CONNECTION,
    CONTENT_LENGTH,
    EXPECT,
    HOST,
    SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_KEY,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
];

/// Whether a request over HTTP/2 asks for a WebSocket.
pub(super) fn is_asked_for(request: &RequestHeader) -> bool {
    let protocol = request.extensions.get::<Protocol>();
    request.method == Method::CONNECT
        && protocol.is_some_and(|protocol| protocol.as_str().eq_ignore_ascii_case("websocket"))
}

/// Serves such a request to its end. `patience` is how long the client may take nothing of what it is sent.
pub(super) async fn serve(
    proxy: &Arc<HttpProxy<Proxy>>,
    session: HttpSession,
    patience: Duration,
    shutdown: &watch::Receiver<bool>,
) {
    let (near, far) = tokio::io::duplex(PIPE);
    let Some(digest) = session.digest() else {
        return;
    };
    let stream = ServerSession::new_http1(Box::new(SessionStream::of_pipe(near, digest)));
    let bridge = Bridge { session, patience };
    tokio::join!(proxy.process_new_http(stream, shutdown), bridge.cross(far));
}

/// Stands between the client's stream and the pipe.
struct Bridge {
    session: HttpSession,
    patience: Duration,
}

/// The head of an answer out of the pipe.
struct Answer {
    header: ResponseHeader,
    /// What followed it.
    rest: Bytes,
}

impl Bridge {
    async fn cross(mut self, far: DuplexStream) {
        let (mut from, mut to) = tokio::io::split(far);
        let key = key_of(rand::random());
        let asked = to
            .write_all(&request(self.session.req_header(), &key))
            .await;
        let answer = match asked {
            Ok(()) => tokio::select! {
                answer = read_answer(&mut from, &key) => answer,
                // Nobody waits for it any more.
                _ = self.session.idle() => return,
            },
            Err(_) => None,
        };
        let Some(Answer { header, rest }) = answer else {
            self.session.shutdown_with_reason(Reason::INTERNAL_ERROR);
            return;
        };
        let is_open = header.status == StatusCode::OK;
        // An error is a client that has gone.
        if self
            .session
            .write_response_header(Box::new(header), !is_open)
            .is_err()
            || !is_open
        {
            return;
        }
        let Some(writer) = self.session.take_response_body_writer() else {
            return;
        };
        let down = Downstream {
            writer,
            patience: self.patience,
        };
        tokio::select! {
            () = down.pass(rest, from) => {}
            () = pass_up(&mut self.session, to, self.patience) => {}
        }
    }
}

/// Passes on what the client sends. Ends where the client has gone, or the service takes nothing of it for as long as `patience`:
/// what waits here takes up room that the connection's other streams need. Else it goes on for ever: pingora ends the other
/// direction, which may still have something for the client.
async fn pass_up(session: &mut HttpSession, mut to: WriteHalf<DuplexStream>, patience: Duration) {
    loop {
        match session.read_body_bytes().await {
            Ok(Some(mut bytes)) => tokio::select! {
                biased;
                written = to.write_all_buf(&mut bytes) => if written.is_err() {
                    break;
                },
                () = SweepTimer::at(Instant::now() + patience) => return,
            },
            Ok(None) => break,
            Err(_) => return,
        }
    }
    // An error is a pipe that has ended.
    let _ = to.shutdown().await;
    std::future::pending::<()>().await;
}

/// The way to the client.
struct Downstream {
    writer: SendStream<Bytes>,
    patience: Duration,
}

impl Downstream {
    async fn pass(mut self, rest: Bytes, mut from: ReadHalf<DuplexStream>) {
        let mut bytes = rest;
        loop {
            if !self.send(bytes).await {
                return;
            }
            let mut buffer = BytesMut::with_capacity(PIPE);
            match from.read_buf(&mut buffer).await {
                Ok(1..) => bytes = buffer.freeze(),
                _ => break,
            }
        }
        // An error is a client that has gone.
        let _ = self.writer.send_data(Bytes::new(), true);
    }

    /// Sends bytes as the client has room for them. Whether it took them all.
    async fn send(&mut self, mut bytes: Bytes) -> bool {
        while !bytes.is_empty() {
            self.writer.reserve_capacity(bytes.len());
            let room = tokio::select! {
                biased;
                room = poll_fn(|cx| self.writer.poll_capacity(cx)) => room,
                () = SweepTimer::at(Instant::now() + self.patience) => None,
            };
            let Some(Ok(room)) = room else {
                self.writer.send_reset(Reason::CANCEL);
                return false;
            };
            let part = bytes.split_to(room.min(bytes.len()));
            if self.writer.send_data(part, false).is_err() {
                return false;
            }
        }
        true
    }
}

/// The request as HTTP/1.1 has it.
fn request(asked: &RequestHeader, key: &str) -> Vec<u8> {
    let target = asked.uri.path_and_query();
    let target = target.map_or("/", |target| target.as_str());
    let authority = asked
        .uri
        .authority()
        .map(|authority| authority.as_str().as_bytes());
    let host = asked.headers.get(HOST).map(HeaderValue::as_bytes);
    let mut head = Vec::with_capacity(512);
    for part in [
        &b"GET "[..],
        target.as_bytes(),
        b" HTTP/1.1\r\nHost: ",
        authority.or(host).unwrap_or_default(),
        b"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: ",
        key.as_bytes(),
        b"\r\n",
    ] {
        head.extend_from_slice(part);
    }
    for (name, value) in &asked.headers {
        if !OF_THIS_HOP.contains(name) {
            for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                head.extend_from_slice(part);
            }
        }
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// Reads the head of a final answer. `None`: there is none.
async fn read_answer(from: &mut ReadHalf<DuplexStream>, key: &str) -> Option<Answer> {
    let mut came = BytesMut::new();
    loop {
        if let Some((header, length)) = parse(&came, key)? {
            came.advance(length);
            match header.status.is_informational() {
                true => continue,
                false => {
                    let rest = came.freeze();
                    return Some(Answer { header, rest });
                }
            }
        }
        if came.len() > LONGEST_HEAD || from.read_buf(&mut came).await.ok()? == 0 {
            return None;
        }
    }
}

/// The head of an answer as HTTP/2 has it, with its length; `Some(None)`: it is not all there yet.
fn parse(came: &[u8], key: &str) -> Option<Option<(ResponseHeader, usize)>> {
    let mut slots = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let mut parsed = httparse::Response::new(&mut slots);
    let length = match parsed.parse(came).ok()? {
        httparse::Status::Complete(length) => length,
        httparse::Status::Partial => return Some(None),
    };
    let status = StatusCode::from_u16(parsed.code?).ok()?;
    let accept = accept_of(key);
    let is_accepted = parsed.headers.iter().any(|field| {
        let is_accept = field
            .name
            .eq_ignore_ascii_case(SEC_WEBSOCKET_ACCEPT.as_str());
        is_accept && field.value.trim_ascii() == accept.as_bytes()
    });
    let status = match (status, is_accepted) {
        (StatusCode::SWITCHING_PROTOCOLS, true) => StatusCode::OK,
        // RFC 6455, section 4.1: that is no server of WebSockets.
        (StatusCode::SWITCHING_PROTOCOLS, false) => StatusCode::BAD_GATEWAY,
        (other, _) => other,
    };
    let mut header = ResponseHeader::build(status, Some(parsed.headers.len())).ok()?;
    for field in parsed.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
        if !OF_THIS_HOP.contains(&name) {
            let value = HeaderValue::from_bytes(field.value).ok()?;
            header.append_header(name, value).ok()?;
        }
    }
    Some(Some((header, length)))
}
