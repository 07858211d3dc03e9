//! From pingora's session to what the pure floors take: the request's head, the client, the moment, fresh IDs.

use futures_util::FutureExt as _;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderName, HeaderValue, Version};
use memchr::memchr;
use pingora::http::RequestHeader;
use pingora::prelude::Session;
use pingora::protocols::http::ServerSession;
use rand::{Rng as _, RngExt as _};

use super::ctx::RequestCtx;
use super::head::{
    Fields, SplitTarget, client_ip, forget_spelling, forget_upgrade, head, join_cookies,
};
use super::proxy::Proxy;
use super::shown_receipt::ShownReceipt;
use super::{first_byte, http10};
use crate::dispatch::{Refusal, Terms};
use crate::flag::Share;
use crate::forward::arrival;
use crate::forward::trace_context::{TraceParent, hex};
use crate::proxy::client::ClientConnection;
use crate::proxy::run::{Arrival, HeadStep};
use crate::request::field;
use crate::request::framing::Framing;
use crate::trace::{RequestTrace, Sampling};

/// Bounds how long the rest of the request may take, and ends a connection that has had all its requests.
pub(super) fn bound(session: &mut Session, ctx: &RequestCtx) {
    let request = session.req_header_mut();
    forget_spelling(request);
    join_cookies(request);
    if field::has(&request.headers, &UPGRADE) {
        forget_upgrade(request);
    }
    let traffic = &ctx.run.snapshot.traffic;
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

/// Whether the client has cancelled the request already (HTTP/2): no upstream need be asked for its answer.
pub(super) fn is_cancelled(session: &mut Session) -> bool {
    match session.as_downstream_mut() {
        ServerSession::H2(stream) => stream.idle().now_or_never().is_some(),
        _ => false,
    }
}

impl Proxy {
    /// Reads the request's head, and decides what is to be done.
    pub(super) fn head_step(&self, session: &Session, ctx: &mut RequestCtx) -> HeadStep {
        let request = session.req_header();
        if let Some(tracing) = &ctx.run.snapshot.tracing {
            let trusted = ctx.run.snapshot.identity.trusts(client_ip(session));
            ctx.run.trace = Some(trace(request, tracing.sample, trusted));
        }
        if self.via.has_passed(&request.headers) {
            return HeadStep::Refuse(Refusal::looped());
        }
        let fields = Fields(&request.headers);
        if is_unencoded(session) {
            let why = "the request's target has characters that must be percent-encoded";
            return HeadStep::Refuse(Refusal::bad_request(why));
        }
        let Some(target) = SplitTarget::of(request) else {
            let why = "the request's target is not text, or disagrees with Host";
            return HeadStep::Refuse(Refusal::bad_request(why));
        };
        let peer = client_ip(session);
        let head = head(request, &target, &fields, peer, &ctx.run.snapshot.identity);
        let arrival = Arrival {
            origin_form: target.absolute.then(|| target.origin_form()),
            terms: Terms {
                host_required: request.version == Version::HTTP_11,
                keep_user_id: self.receipts.is_some(),
            },
            throttle: &self.throttle,
            debug: self.debug.as_deref(),
        };
        let step = ctx.run.on_head(&head, arrival, random_id);
        if let Some(upstream) = &ctx.run.upstream {
            self.overrides.count(upstream.plan.overrides);
        }
        if let (HeadStep::Forward, Some(receipts)) = (&step, &self.receipts) {
            ctx.receipt = ShownReceipt::read(receipts, &head, &mut ctx.run);
        }
        step
    }
}

/// The trace that a request belongs to, or begins.
fn trace(request: &RequestHeader, sample: Share, trusted: bool) -> RequestTrace {
    let came = field::first_named(&request.headers, "traceparent");
    let came = came.and_then(|came| TraceParent::read(came.as_bytes()));
    let mut random = rand::rng();
    RequestTrace::begin(came, trusted, Sampling::of(sample), || random.next_u64())
}

/// 128 random bits in hexadecimal, as a header's value.
fn random_id() -> HeaderValue {
    let digits = hex(rand::rng().random());
    HeaderValue::from_bytes(&digits).unwrap_or(HeaderValue::from_static("-"))
}

/// Whether the client's connection is encrypted.
pub(super) fn is_encrypted(session: &Session) -> bool {
    let digest = session.digest();
    digest.is_some_and(|digest| digest.ssl_digest.is_some())
}

/// Whether the client came by HTTPS, as far as this connection or a trusted proxy says.
pub(super) fn is_https(session: &Session, ctx: &RequestCtx) -> bool {
    let encrypted = is_encrypted(session);
    let trusted = ctx.run.snapshot.identity.trusts(client_ip(session));
    let proto = HeaderName::from_static("x-forwarded-proto");
    let proto = field::first(&session.req_header().headers, &proto);
    arrival::is_https(encrypted, trusted, proto.map(HeaderValue::as_bytes))
}
