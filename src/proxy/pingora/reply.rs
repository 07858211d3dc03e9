//! Answers of Serin's own: redirects, fixed responses and errors.

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{HeaderValue, StatusCode};
use pingora::http::ResponseHeader;
use pingora::prelude::Session;
use pingora::protocols::http::ServerSession;

use super::ctx::RequestCtx;
use super::grpc;
use super::head::ResponseFields;
use super::proxy::Proxy;
use super::route_fields::route_fields;
use crate::config::ShutoffResponse;
use crate::dispatch::{DirectResponse, Refusal};
use crate::edit::{Edit, HeaderSink};
use crate::proxy::explanation::COME_BACK;

/// The challenge that a 401 has to carry (RFC 9110, section 11.6.1). Clients need not know what identity is read from, and
/// cookies and headers have no scheme of their own; this one (RFC 6750, section 3) makes no browser ask for a password.
const CHALLENGE: &str = "Bearer realm=\"users\"";

impl Proxy {
    /// Answers with an error.
    pub(super) async fn refuse(
        &self,
        session: &mut Session,
        ctx: &mut Box<RequestCtx>,
        refusal: Refusal,
    ) -> pingora::Result<()> {
        ctx.run.route = refusal.route;
        ctx.run.own_status = Some(refusal.status.as_u16());
        if matches!(refusal.status.as_u16(), 413 | 431) {
            // The rest of it is not worth reading.
            session.set_keepalive(None);
        }
        let id = ctx.run.told_request_id();
        let mut fields = route_fields(session, ctx);
        if let Some(challenge) = refusal.challenge {
            let challenge = HeaderValue::from_static(challenge);
            fields.push(Edit::Set(WWW_AUTHENTICATE, challenge));
        }
        error(session, refusal.status, &refusal.why, (id, &fields)).await
    }

    /// Answers as the route says.
    pub(super) async fn answer(
        &self,
        session: &mut Session,
        ctx: &mut Box<RequestCtx>,
        what: DirectResponse,
    ) -> pingora::Result<()> {
        ctx.run.route = Some(what.route);
        ctx.run.own_status = Some(what.status.as_u16());
        let route = ctx.run.snapshot.router.route(what.route);
        let edits = route.into_iter().flat_map(|route| &route.response_edits);
        let id = ctx.run.told_request_id();
        let fields = route_fields(session, ctx);
        answer(session, what, fields.iter().chain(edits), id).await
    }
}

/// Sends a redirect or a fixed response, with its route's edits.
pub(super) async fn answer<'e>(
    session: &mut Session,
    answer: DirectResponse,
    edits: impl Iterator<Item = &'e Edit>,
    request_id: Option<HeaderValue>,
) -> pingora::Result<()> {
    let mut header = text_header(answer.status, answer.body.len())?;
    tell_id(&mut header, request_id)?;
    if let Some(location) = answer.location {
        header.insert_header(LOCATION, location)?;
    }
    ResponseFields(&mut header).apply(edits);
    send(session, header, Bytes::from(answer.body.into_string())).await
}

/// Sends what a service's shutoff says, with its route's edits. Caches must not keep it: the service will be back.
pub(super) async fn shut_off<'e>(
    session: &mut Session,
    respond: &ShutoffResponse,
    edits: impl Iterator<Item = &'e Edit>,
    request_id: Option<HeaderValue>,
) -> pingora::Result<()> {
    let grpc = grpc::is_call(session.req_header());
    let mut header = match grpc {
        true => grpc::header(respond.status, &respond.body)?,
        false => text_header(respond.status, respond.body.len())?,
    };
    tell_id(&mut header, request_id)?;
    header.insert_header(CACHE_CONTROL, "no-store")?;
    if let Some(seconds) = respond.retry_after {
        header.insert_header(RETRY_AFTER, seconds)?;
    }
    ResponseFields(&mut header).apply(edits);
    let body = match grpc {
        true => Bytes::new(),
        false => Bytes::from(String::from(respond.body.clone())),
    };
    send(session, header, body).await
}

/// Sends an error: in one line of text, or as the status of a gRPC call; with the request's ID, where clients get it, and what
/// its route adds.
pub(super) async fn error(
    session: &mut Session,
    status: StatusCode,
    why: &str,
    (request_id, route_fields): (Option<HeaderValue>, &[Edit]),
) -> pingora::Result<()> {
    let name = status.canonical_reason().unwrap_or_default();
    let (mut header, body) = if grpc::is_call(session.req_header()) {
        (grpc::header(status, why)?, String::new())
    } else {
        let body = format!("{} {name}: {why}\n", status.as_u16());
        (text_header(status, body.len())?, body)
    };
    tell_id(&mut header, request_id)?;
    header.insert_header(CACHE_CONTROL, "no-store")?;
    if status == StatusCode::SERVICE_UNAVAILABLE {
        header.insert_header(RETRY_AFTER, COME_BACK)?;
    }
    if status == StatusCode::UNAUTHORIZED {
        header.insert_header(WWW_AUTHENTICATE, CHALLENGE)?;
    }
    ResponseFields(&mut header).apply(route_fields);
    send(session, header, Bytes::from(body)).await
}

/// Adds the request's ID, where clients get it.
fn tell_id(header: &mut ResponseHeader, request_id: Option<HeaderValue>) -> pingora::Result<()> {
    match request_id {
        Some(id) => header.insert_header("x-request-id", id),
        None => Ok(()),
    }
}

fn text_header(status: StatusCode, length: usize) -> pingora::Result<ResponseHeader> {
    let mut header = ResponseHeader::build(status, Some(5))?;
    // These have no body, and so no length either (RFC 9110, section 8.6).
    if !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        header.insert_header(CONTENT_LENGTH, length)?;
    }
    if length > 0 {
        header.insert_header(CONTENT_TYPE, "text/plain; charset=utf-8")?;
    }
    Ok(header)
}

/// Sends an answer whole.
pub(super) async fn send(
    session: &mut Session,
    header: ResponseHeader,
    body: Bytes,
) -> pingora::Result<()> {
    let bodiless = body.is_empty() || session.req_header().method == http::Method::HEAD;
    let header = Box::new(header);
    match session.as_downstream_mut() {
        // A head that ends its stream: an empty frame behind it would be an answer of another kind to clients of gRPC, which
        // look for their status at the end.
        ServerSession::H2(stream) if bodiless => stream.write_response_header(header, true),
        _ => {
            session.write_response_header(header, bodiless).await?;
            let body = (!bodiless).then_some(body);
            session.write_response_body(body, true).await
        }
    }
}
