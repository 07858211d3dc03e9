//! From pingora's session to what the pure floors take: the request's head, the client, the moment, fresh IDs.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderValue, StatusCode, Version};
use memchr::memchr;
use pingora::ErrorType;
use pingora::http::RequestHeader;
use pingora::prelude::{Error, Session};
use pingora::protocols::http::ServerSession;
use rand::Rng as _;

use super::ctx::RequestCtx;
use super::head::{Fields, Target, forget_spelling, forget_upgrade, head, join_cookies};
use super::{first_byte, http10, recovery};
use crate::dispatch::{Dispatch, Refusal, dispatch, user_hash};
use crate::forward::via::Via;
use crate::proxy::client::ClientConnection;
use crate::request::field;
use crate::request::framing::Framing;

/// Bounds how long the rest of the request may take, and ends a connection that has had all its requests.
pub(super) fn bound(session: &mut Session, ctx: &RequestCtx) {
    let request = session.req_header_mut();
    forget_spelling(request);
    join_cookies(request);
    if field::has(&request.headers, &UPGRADE) {
        forget_upgrade(request);
    }
    let traffic = &ctx.snapshot.traffic;
    let spent = ClientConnection::current(|connection| {
        connection.begin_request(framing(session.req_header()));
        connection.is_spent(traffic)
    });
    if spent == Some(true) {
        session.set_keepalive(None);
    }
    session.set_read_timeout(Some(traffic.body_read));
    let request = session.req_header();
    // Over HTTP/2 pingora tells nobody.
    if request.version == Version::HTTP_11 && first_byte::expects_continue(request) {
        ClientConnection::current(ClientConnection::expect_continue);
    }
    http10::spare_interims(session);
    if session.is_http2() {
        // Its streams share a connection, which has a deadline for all of them only.
        session.set_write_timeout(Some(traffic.write));
    }
}

/// How the end of the body is known. What is malformed here is refused later; its end must only be no later than
/// where pingora takes it to be.
fn framing(request: &RequestHeader) -> Framing {
    let headers = &request.headers;
    if field::has(headers, &TRANSFER_ENCODING) {
        return Framing::Chunked;
    }
    let length = field::first(headers, &CONTENT_LENGTH).and_then(|length| {
        let first = length.to_str().ok()?.split(',').next()?;
        first.trim().parse().ok()
    });
    Framing::Length(length.unwrap_or(0))
}

/// Whether there is something in the target that must not stand there unencoded. pingora's parser of HTTP/1 encodes
/// that (spaces, controls, DEL), so that the head is longer than it was; its HTTP/2 refuses all but DEL.
fn is_unencoded(session: &Session) -> bool {
    let Some(request) = session.as_downstream().as_http1() else {
        return memchr(0x7f, session.req_header().raw_path()).is_some();
    };
    let sent = ClientConnection::current(ClientConnection::head_length);
    sent.is_some_and(|sent| sent != request.get_headers_raw_bytes().len())
}

/// Whether the client has taken the request back already (HTTP/2): nobody need be asked for its answer.
pub(super) fn is_cancelled(session: &mut Session) -> bool {
    match session.as_downstream_mut() {
        ServerSession::H2(stream) => stream.idle().now_or_never().is_some(),
        _ => false,
    }
}

/// Takes a piece of the request's body, or its end, on its way upstream.
pub(super) fn take_piece(
    session: &mut Session,
    body: &mut Option<Bytes>,
    end: bool,
    ctx: &mut RequestCtx,
) -> pingora::Result<()> {
    if let Some(piece) = body.as_ref().filter(|piece| !end && !piece.is_empty()) {
        keeps_pace(session, ctx, piece)?;
    }
    let has_data = body.as_ref().is_some_and(|chunk| !chunk.is_empty());
    if has_data {
        ClientConnection::current(ClientConnection::fulfil);
        if !end && !session.was_upgraded() {
            ctx.body_goes_on();
        }
    }
    if end || has_data {
        ctx.body_arrived(recovery::replay(session), end);
    }
    if end && !has_data {
        // pingora writes an empty chunk with the end as what it is over HTTP/1.1, the last chunk, and then the end:
        // the second one would stand where the next request begins.
        *body = None;
    }
    fits(session, ctx)
}

/// Holds the body to `server.limits.body_bytes`, as far as it has come.
fn fits(session: &Session, ctx: &RequestCtx) -> pingora::Result<()> {
    let read = session.body_bytes_read() as u64;
    match ctx.snapshot.traffic.request.check_body(read) {
        // What follows an upgrade is no body.
        Err(large) if !session.was_upgraded() => {
            let status = ErrorType::HTTPStatus(large.status().as_u16());
            Err(Error::explain(status, "the request's body is too large").into_down())
        }
        _ => Ok(()),
    }
}

/// Holds the body to `server.timeouts.body_rate`, of which a piece has come. What streams of RPC send comes when there is
/// something to say, as does what follows an upgrade; and once the answer has begun, nobody waits for the body alone.
fn keeps_pace(session: &Session, ctx: &mut RequestCtx, piece: &[u8]) -> pingora::Result<()> {
    let Some(rate) = ctx.snapshot.traffic.body_rate else {
        return Ok(());
    };
    let is_too_slow = ctx.pace.is_too_slow(piece.len(), &rate, Instant::now())
        && !session.was_upgraded()
        && !recovery::has_begun(session)
        && !first_byte::is_rpc_stream(session.req_header());
    match is_too_slow {
        true => {
            let status = ErrorType::HTTPStatus(StatusCode::REQUEST_TIMEOUT.as_u16());
            Err(Error::explain(status, "the request's body comes too slowly").into_down())
        }
        false => Ok(()),
    }
}

/// What is to be done with the request.
pub(super) fn dispatched(session: &Session, ctx: &mut RequestCtx, via: Via) -> Dispatch {
    let request = session.req_header();
    if via.has_passed(&request.headers) {
        return Dispatch::Refuse(Refusal::looped());
    }
    let fields = Fields(&request.headers);
    if is_unencoded(session) {
        let why = "the request's target has characters that must be percent-encoded";
        return Dispatch::Refuse(Refusal::bad_request(why));
    }
    let Some(target) = Target::of(request) else {
        let why = "the request's target is not text, or disagrees with Host";
        return Dispatch::Refuse(Refusal::bad_request(why));
    };
    let snapshot = &ctx.snapshot;
    let head = head(
        request,
        &target,
        &fields,
        client_ip(session),
        &snapshot.identity,
    );
    let told = head
        .peer_trusted
        .then(|| request.headers.get("x-request-id"))
        .flatten();
    ctx.request_id = told.cloned().unwrap_or_else(|| {
        HeaderValue::from_bytes(&random_hex()).unwrap_or(HeaderValue::from_static("-"))
    });
    let host_required = request.version == Version::HTTP_11;
    let mut dispatch = dispatch(snapshot, &head, host_required, ctx.moment, &mut random_id);
    // The whole URL is for this hop.
    if let Dispatch::Forward(plan) = &mut dispatch
        && plan.target.is_none()
        && target.absolute
    {
        plan.target = Some(target.origin_form());
    }
    dispatch
}

impl RequestCtx {
    /// Says whose request it is, where the decision had no need of that.
    pub(super) fn know_user(&mut self, session: &Session) {
        let identity = &self.snapshot.identity;
        if let Some(upstream_request) = self.upstream_request.as_mut() {
            upstream_request.attempts.know_user(|| {
                let request = session.req_header();
                let (fields, target) = (Fields(&request.headers), Target::of(request)?);
                let head = head(request, &target, &fields, client_ip(session), identity);
                user_hash(&identity.identify(&head))
            });
        }
    }
}

fn random_id() -> String {
    random_hex().into_iter().map(char::from).collect()
}

/// 128 random bits in hexadecimal. By hand: it is needed for every request.
fn random_hex() -> [u8; 32] {
    let mut random = [0; 16];
    rand::rng().fill_bytes(&mut random);
    let mut digits = [0; 32];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(random) {
        for (digit, half) in pair.iter_mut().zip([byte >> 4, byte & 15]) {
            *digit = if half < 10 {
                b'0' + half
            } else {
                b'a' + half - 10
            };
        }
    }
    digits
}

/// The other end of the client's connection.
pub(super) fn client_ip(session: &Session) -> IpAddr {
    session
        .client_addr()
        .and_then(|address| address.as_inet())
        .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), SocketAddr::ip)
}

/// Whether the client came by HTTPS, as far as a trusted proxy says; our own listeners are plain.
pub(super) fn is_https(session: &Session, ctx: &RequestCtx) -> bool {
    ctx.snapshot.identity.trusts(client_ip(session))
        && session
            .get_header_bytes("x-forwarded-proto")
            .eq_ignore_ascii_case(b"https")
}
