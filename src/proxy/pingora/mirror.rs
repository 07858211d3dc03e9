//! Requests that a shadow gets as well: from pingora's session to the copy.

use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::prelude::Session;

use super::ctx::RequestCtx;
use super::head::SplitTarget;
use super::outgoing;
use super::proxy::Proxy;
use crate::edit::HeaderSink as _;
use crate::forward::trace_context::{SAMPLED, TraceParent};
use crate::meter::mirror::MirrorPlace;
use crate::mirror;
use crate::proxy::mirroring::Mirroring;
use crate::proxy::run::DebugHeader;
use crate::request::field;
use crate::shadow::ShadowRequest;
use crate::snapshot::{DeploymentIndex, STABLE, Service};

const MIRROR: HeaderName = HeaderName::from_static(mirror::HEADER);
const TRACEPARENT: &str = "traceparent";

/// Fields that are about a connection, or frame a message: a copy comes over another connection, whole.
const LEFT_OUT: [HeaderName; 10] = [
    CONNECTION,
    CONTENT_LENGTH,
    EXPECT,
    HOST,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// An attempt is about to be sent, as `upstream` and without any edits so far: the first one decides whether there is to be a
/// copy. One without a body goes at once.
pub(super) fn attempt_begins(
    session: &mut Session,
    upstream: &RequestHeader,
    ctx: &mut RequestCtx,
    proxy: &Proxy,
) {
    let Some(request) = &ctx.run.upstream else {
        return;
    };
    let service = ctx.run.snapshot.services.get(request.plan.service);
    if service.mirror.is_none() {
        return;
    }
    if !matches!(ctx.mirroring, Mirroring::Undecided) {
        ctx.mirroring.attempt_begins();
        return;
    }
    let has_body = !session.is_body_empty();
    let copy = wanted(session, ctx, service).and_then(|shadow| {
        let place = MirrorPlace::take(&service.meter, has_body)?;
        copy(session, upstream, ctx, proxy, (shadow, place))
    });
    ctx.mirroring = Mirroring::begin(copy);
    if !has_body {
        ctx.mirroring.body_comes(&[], true, &proxy.shadows);
    }
}

/// The shadow that is to get a copy. What changes protocols is no request with an answer.
fn wanted(session: &Session, ctx: &RequestCtx, service: &Service) -> Option<DeploymentIndex> {
    let (run, method) = (&ctx.run, &session.req_header().method);
    let attempted = run.upstream.as_ref()?.attempts.deployment();
    let question = (method, run.request_id.as_bytes());
    let shadow = service.shadow_of(attempted, question, run.moment)?;
    (!session.is_upgrade_req()).then_some(shadow)
}

/// Whether messages come in the body one by one, as gRPC has them, and streams of Connect.
fn is_rpc(request: &RequestHeader) -> bool {
    let kind = field::first(&request.headers, &CONTENT_TYPE).map(HeaderValue::as_bytes);
    kind.is_some_and(|kind| {
        kind.starts_with(b"application/grpc") || kind.starts_with(b"application/connect+")
    })
}

/// The copy, still without its body: edited as the request is, but for another deployment.
fn copy(
    session: &Session,
    upstream: &RequestHeader,
    ctx: &RequestCtx,
    proxy: &Proxy,
    (shadow, place): (DeploymentIndex, MirrorPlace),
) -> Option<ShadowRequest> {
    let (run, request) = (&ctx.run, session.req_header());
    let (own, (_, route)) = (run.upstream.as_ref()?, run.forward()?);
    let target = SplitTarget::of(request)?;
    let mut headers = upstream.headers.clone();
    for edit in outgoing::edits(session, ctx, proxy, shadow)? {
        headers.take(edit);
    }
    if let Some(debug) = proxy.debug.as_deref().map(DebugHeader::name) {
        headers.remove(debug);
    }
    headers.apply(&route.request_edits);
    let service = run.snapshot.services.get(own.plan.service);
    let cluster = &service.deployments.get(shadow).cluster;
    let stated = headers.remove(HOST);
    let host = stated.or_else(|| HeaderValue::try_from(target.authority()).ok());
    let host = host.filter(|host| !host.is_empty());
    let host = host.or_else(|| HeaderValue::try_from(cluster.url.authority()).ok())?;
    let speaks_trailers = cluster.url.scheme().is_http2()
        && field::first(&headers, &TE).is_some_and(|te| te.as_bytes() == b"trailers");
    for name in &LEFT_OUT {
        headers.remove(name);
    }
    if speaks_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    headers.insert(MIRROR, HeaderValue::from_static("true"));
    untrace(&mut headers);
    let path = own.plan.target.clone();
    Some(ShadowRequest {
        snapshot: run.snapshot.clone(),
        service: own.plan.service,
        shadow,
        method: request.method.clone(),
        target: path.unwrap_or_else(|| target.origin_form()).into(),
        host,
        headers,
        body: Bytes::new(),
        is_rpc: is_rpc(upstream),
        request_id: run.request_id.clone(),
        place,
    })
}

/// The shadow's spans are no part of what the user waited for: it is told the trace, and that nobody records it.
fn untrace(headers: &mut HeaderMap) {
    let sent = headers.get(TRACEPARENT);
    let sent = sent.and_then(|value| TraceParent::read(value.as_bytes()));
    let unsampled = sent.and_then(|sent| {
        let flags = sent.flags & !SAMPLED;
        TraceParent { flags, ..sent }.header()
    });
    if let Some(value) = unsampled {
        headers.insert(TRACEPARENT, value);
    }
}

/// The head of the answer that the client gets has come.
pub(super) fn answer_begins(session: &Session, response: &ResponseHeader, ctx: &mut RequestCtx) {
    if !matches!(ctx.mirroring, Mirroring::UnderWay(_)) {
        return;
    }
    let request = ctx.run.upstream.as_ref();
    let is_stables = request.is_some_and(|request| request.attempts.deployment() == STABLE);
    let method = &session.req_header().method;
    ctx.mirroring
        .answer_begins(is_stables, method, response.status, &response.headers);
}
