//! How long a request waits for its answer to begin.
//!
//! The time runs from when the request has been passed on: while its client is still sending, or the upstream still
//! taking what the client has sent, it does not ([`crate::proxy::transfer`]). A client that pauses for longer than
//! `server.timeouts.body_read` is the one who is late: over HTTP/1.1 pingora sees to that, over HTTP/2 the deadline does.
//! Which deadline holds is decided in [`crate::attempts::timing`].

use std::os::fd::RawFd;
use std::time::Instant;

use http::header::{CONTENT_TYPE, EXPECT};
use pingora::prelude::Session;
use pingora::protocols::Digest;

use super::ctx::RequestCtx;
use super::{recovery, upstream_socket};
use crate::proxy::deadlines::{ConnectionAddrs, DeadlineGuard};
use crate::proxy::transfer::RequestTransfer;
use crate::request::field;

/// The connection that an attempt has got.
pub(super) struct Connection<'a> {
    pub(super) socket: RawFd,
    /// What tells it from a later one, where it may be closed without our doing.
    pub(super) addrs: Option<ConnectionAddrs>,
    pub(super) digest: Option<&'a Digest>,
    /// Whether it rested before.
    pub(super) reused: bool,
}

/// Whether all of the request has been read. pingora is asked only until it has.
pub(super) fn is_whole(session: &mut Session, ctx: &mut RequestCtx) -> bool {
    if !ctx.run.is_whole() && session.is_body_done() {
        ctx.run.on_whole();
        return true;
    }
    ctx.run.is_whole()
}

/// Begins to wait for an attempt's response, which is about to be asked for over a connection.
pub(super) fn begin(session: &mut Session, ctx: &mut RequestCtx, connection: &Connection<'_>) {
    let whole = is_whole(session, ctx);
    let replay = recovery::replay(session);
    let deadline = ctx.run.on_connected(replay, || is_grpc(session));
    ctx.run.debug_connected(connection.reused, deadline);
    let guard = deadline.map(|deadline| match whole && session.is_body_empty() {
        true => DeadlineGuard::begin(connection.socket, deadline, connection.addrs),
        false => wait_for_transfer(session, ctx, whole, deadline, connection),
    });
    ctx.connection.deadline = guard;
}

fn is_grpc(session: &Session) -> bool {
    let kind = field::first(&session.req_header().headers, &CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// Begins the wait of a request with a body.
fn wait_for_transfer(
    session: &Session,
    ctx: &RequestCtx,
    whole: bool,
    deadline: Instant,
    connection: &Connection<'_>,
) -> DeadlineGuard {
    let now = Instant::now();
    // A client that waits to be told to go on is not the one who is awaited.
    let is_told =
        || session.body_bytes_read() > 0 || !field::has(&session.req_header().headers, &EXPECT);
    let client = (!whole && is_told()).then(|| ctx.run.client_deadline(now));
    let digest = connection.digest.and_then(|d| d.socket_digest.as_ref());
    let patience = deadline.saturating_duration_since(now);
    let transfer = RequestTransfer::begin(digest.map(upstream_socket::watch), patience, client);
    DeadlineGuard::begin_transfer(connection.socket, deadline, connection.addrs, transfer)
}

/// Notes that a part of the request's body has been read, or its end.
pub(super) fn body_arrived(session: &Session, ctx: &mut RequestCtx, end: bool) {
    // What is sent again has arrived long before.
    if ctx.run.is_whole() {
        return;
    }
    let now = Instant::now();
    let deadlines = ctx.run.on_body(recovery::replay(session), end, now);
    if let (Some(guard), Some(deadlines)) = (&ctx.connection.deadline, deadlines) {
        guard.read_on(deadlines.response, deadlines.client);
    }
}
