//! What becomes of a request whose attempt has failed: pingora's errors and answers in the words of [`Failure`].
//!
//! pingora retries what its hooks call retryable, and offers that for errors only. A status that asks for another
//! attempt is therefore made an error in `upstream_response_filter` ([`set_aside`]), the first hook that sees an
//! answer, before anything of it has gone to the client:
//!
//! * Returning an error there ends both halves of the request. What the upstream sends is dropped unread, an HTTP/1.1
//!   connection is closed rather than pooled (its next bytes are the dropped answer's), an HTTP/2 stream is reset and
//!   its connection lives on.
//! * `error_while_proxy` is asked for every such end, in place of pingora's own policy, and answers from [`Attempts`]
//!   alone. pingora then asks `upstream_peer` for the next attempt, with the request's head as the client sent it, and
//!   replays the body from its buffer of 64 KiB. A larger one cannot be had again, and so is not sent again.
//! * Interim answers (1xx) pass: they decide nothing, and a client may get any number of them, from one upstream and
//!   then from another. Only a final head that was written commits ([`has_begun`]).
//!
//! The other ways were a second proxy within the process, which costs every request, and a fork of pingora.

use std::time::Instant;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, StatusCode};
use pingora::http::ResponseHeader;
use pingora::prelude::{Error, Session};
use pingora::{ErrorSource, ErrorType, RetryType};

use super::ctx::RequestCtx;
use super::failure::cause_of;
use crate::attempts::{Failure, Replay};
use crate::canary::Cause;
use crate::cluster::endpoint::AttemptEnd;
use crate::proxy::transfer::Awaited;
use crate::quarantine::Quarantine;
use crate::request::field;

/// An answer that the client does not get, since there will be another.
const SET_ASIDE: ErrorType = ErrorType::Custom("an answer was set aside");

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// The `grpc-status` of UNAVAILABLE.
const UNAVAILABLE: &[u8] = b"14";

/// The final answer's head, if that has gone to the client.
pub(super) fn final_answer(session: &Session) -> Option<&ResponseHeader> {
    session.response_written().filter(|head| !is_interim(head))
}

/// Whether it has.
pub(super) fn has_begun(session: &Session) -> bool {
    final_answer(session).is_some()
}

/// Whether another response follows: 1xx, but for 101, which is the last one.
pub(super) fn is_interim(response: &ResponseHeader) -> bool {
    response.status.is_informational() && response.status != StatusCode::SWITCHING_PROTOCOLS
}

/// Notes that no connection could be made. Whether there is to be another attempt.
pub(super) fn connect_failed(
    session: &mut Session,
    ctx: &mut RequestCtx,
    quarantine: &Quarantine,
) -> bool {
    fail(session, ctx, quarantine, Failure::Connect)
}

/// Notes that there may be no further connection, which is nobody's failure. There is no other attempt: it would need
/// one, too.
pub(super) fn had_no_room(ctx: &mut RequestCtx) -> Box<Error> {
    if let Some(upstream_request) = ctx.upstream_request.as_mut() {
        upstream_request.attempts.passed_over(Cause::Overload);
    }
    let status = StatusCode::SERVICE_UNAVAILABLE.as_u16();
    Error::explain(ErrorType::HTTPStatus(status), "no room for a connection")
}

/// An error in place of an answer that asks for another attempt.
pub(super) fn set_aside(
    session: &mut Session,
    response: &ResponseHeader,
    ctx: &mut RequestCtx,
    quarantine: &Quarantine,
) -> pingora::Result<()> {
    let status = response.status.as_u16();
    let failure = if is_unavailable(response.status, &response.headers) {
        Failure::Unavailable
    } else if status >= 400 {
        Failure::Status(status)
    } else {
        return Ok(());
    };
    if fail(session, ctx, quarantine, failure) {
        let why = "the status asks for another attempt";
        return Err(Error::explain(SET_ASIDE, why).into_up());
    }
    Ok(())
}

/// gRPC's UNAVAILABLE as the whole answer ("Trailers-Only" in the protocol's words): the status stands in the head,
/// and nothing of an answer follows.
fn is_unavailable(status: StatusCode, headers: &HeaderMap) -> bool {
    let is = |name: HeaderName, wanted: fn(&[u8]) -> bool| {
        field::first(headers, &name).is_some_and(|value| wanted(value.as_bytes()))
    };
    // Most answers have a type, and another one.
    status == StatusCode::OK
        && is(CONTENT_TYPE, |value| value.starts_with(b"application/grpc"))
        && is(GRPC_STATUS, |value| value == UNAVAILABLE)
}

/// Settles an attempt that ended with an error: in another attempt, or for good.
pub(super) fn attempt_failed(
    session: &mut Session,
    ctx: &mut RequestCtx,
    quarantine: &Quarantine,
    mut e: Box<Error>,
    reused: bool,
) -> Box<Error> {
    let wait = ctx
        .upstream_request
        .as_mut()
        .and_then(|upstream_request| upstream_request.wait.take());
    if e.etype() == &SET_ASIDE {
        e.set_retry(true);
        return e;
    }
    e = match wait.and_then(|wait| wait.expired()) {
        // Of an HTTP/1.1 client pingora would have told long before.
        Some(Awaited::Client) if session.is_http2() => {
            let why = "the request did not come in time";
            Error::explain(ErrorType::ReadTimedout, why).into_down()
        }
        Some(_) => {
            let why = "the response did not begin in time";
            Error::explain(ErrorType::ReadTimedout, why).into_up()
        }
        None => e,
    };
    let failure = failure_of(&e, reused);
    e.set_retry(false);
    // A client that went away is nobody's failure.
    if e.esource() != &ErrorSource::Upstream {
        return e;
    }
    if has_begun(session) {
        ctx.know_user(session);
        ctx.broke(failure, quarantine);
        return e;
    }
    if reused && matches!(failure, Failure::Stale | Failure::Reset) {
        ctx.reused_in_vain(Instant::now());
    }
    let again = fail(session, ctx, quarantine, failure);
    e.set_retry(again);
    e
}

/// Settles the attempt that is still under way at the request's end: its answer came whole, or as far as the client
/// wanted it, or nobody waits for it any more.
pub(super) fn settle(
    session: &Session,
    ctx: &mut RequestCtx,
    quarantine: &Quarantine,
    now: Instant,
) {
    let upstream_request = ctx.upstream_request.as_ref();
    let has_answer =
        upstream_request.is_some_and(|upstream_request| upstream_request.upstream_time.is_some());
    let answer = session.response_written().filter(|_| has_answer);
    let end = answer.map(|response| AttemptEnd::Answered(response.status.as_u16()));
    if end.is_some_and(|end| end.failure().is_some()) {
        ctx.know_user(session);
    }
    if let Some((attempts, site)) = ctx.at(quarantine, now) {
        match end {
            Some(end) => attempts.ended(end, &site),
            None if has_answer => {}
            None => attempts.abandoned(&site),
        }
    }
}

/// How an attempt failed that had a connection.
fn failure_of(e: &Error, reused: bool) -> Failure {
    match e.retry {
        // pingora says so of HTTP/2's REFUSED_STREAM, and of streams that a GOAWAY was too late for.
        RetryType::Decided(true) => Failure::Refused,
        _ if cause_of(e.etype()) == Cause::Timeout => Failure::Timeout,
        RetryType::ReusedOnly if reused => Failure::Stale,
        _ if ended_the_stream(e) => Failure::StreamReset,
        _ => Failure::Reset,
    }
}

/// Whether an HTTP/2 upstream, or a rule of the protocol, ended one stream and not the connection. An answer that cannot
/// be read is not that: the upstream sent it.
fn ended_the_stream(e: &Error) -> bool {
    let error = e.root_cause().downcast_ref::<h2::Error>();
    error.is_some_and(|error| !error.is_io() && !error.is_go_away() && !error.is_library())
}

fn fail(
    session: &mut Session,
    ctx: &mut RequestCtx,
    quarantine: &Quarantine,
    failure: Failure,
) -> bool {
    ctx.know_user(session);
    let whole = is_whole(session);
    let replay = Replay {
        method: &session.req_header().method,
        whole,
    };
    ctx.at(quarantine, Instant::now())
        .is_some_and(|(attempts, site)| attempts.failed(failure, replay, &site))
}

/// What of the request could be sent again, as far as can be told while its body is being read.
pub(super) fn replay(session: &Session) -> Replay<'_> {
    Replay {
        method: &session.req_header().method,
        whole: !session.as_ref().retry_buffer_truncated(),
    }
}

/// Whether all of the request's body can still be had: what was read of it is in pingora's buffer, the rest is yet to
/// come. Of a body that was read to its end without leaving anything in the buffer pingora would not replay the end.
fn is_whole(session: &mut Session) -> bool {
    if session.as_ref().retry_buffer_truncated() {
        return false;
    }
    !session.is_body_done()
        || session.is_body_empty()
        || session.as_ref().get_retry_buffer().is_some()
}

impl RequestCtx {
    /// Notes that an answer broke that had begun for the client.
    fn broke(&mut self, failure: Failure, quarantine: &Quarantine) {
        if let Some((attempts, site)) = self.at(quarantine, Instant::now()) {
            if let Some(end) = failure.end() {
                attempts.ended(end, &site);
            }
            attempts.gave_up(failure.cause());
            let deployment = &site.service.deployments[attempts.deployment()];
            deployment.meter.broken.inc();
        }
    }
}
