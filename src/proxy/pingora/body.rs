//! A request's body on its way upstream: how large it may be, and how slowly it may come.

use std::time::Instant;

use bytes::Bytes;
use http::StatusCode;
use pingora::ErrorType;
use pingora::prelude::{Error, Session};

use super::ctx::RequestCtx;
use super::{first_byte, recovery, waiting};
use crate::proxy::client::ClientConnection;
use crate::request::limits::check_body;

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
        waiting::body_arrived(session, ctx, end);
    }
    if end && !has_data {
        // pingora writes an empty chunk with the end as what it is over HTTP/1.1, the last chunk, and then the end:
        // the second one would stand where the next request begins.
        *body = None;
    }
    fits(session, ctx)
}

/// Holds the body to `server.limits.body_bytes` and its route's own, as far as it has come.
fn fits(session: &Session, ctx: &RequestCtx) -> pingora::Result<()> {
    let read = session.body_bytes_read() as u64;
    let of_route = ctx
        .run
        .forward()
        .and_then(|(route, _)| route.guard.body_bytes);
    let traffic = &ctx.run.snapshot.traffic.request;
    match traffic
        .check_body(read)
        .and_then(|()| check_body(read, of_route))
    {
        // What follows an upgrade is no body.
        Err(large) if !session.was_upgraded() => {
            let status = ErrorType::HTTPStatus(large.status().as_u16());
            Err(Error::explain(status, "the request's body is too large").into_down())
        }
        _ => Ok(()),
    }
}

/// Holds the body to `server.timeouts.body_rate`, of which a piece has come. What streams of RPC send comes when there is
/// something to say, as does what follows an upgrade; and once the answer has begun, the body alone keeps no upstream waiting.
fn keeps_pace(session: &Session, ctx: &mut RequestCtx, piece: &[u8]) -> pingora::Result<()> {
    let Some(rate) = ctx.run.snapshot.traffic.body_rate else {
        return Ok(());
    };
    let is_too_slow = ctx.run.pace.is_too_slow(piece.len(), &rate, Instant::now())
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
