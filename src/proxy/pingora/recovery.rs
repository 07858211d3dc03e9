//! What becomes of a request whose attempt has failed: pingora's errors and answers in the words of [`Failure`].
//!
//! pingora retries what its hooks call retryable, and offers that for errors only. A status that asks for another
//! attempt is therefore made an error in `upstream_response_filter` ([`set_aside`]), the first hook that sees an
//! answer, before anything of it has gone to the client:
//!
//! * Returning an error there ends both halves of the exchange. What the upstream sends is dropped unread, an HTTP/1.1
//!   connection is closed rather than pooled (its next bytes are the dropped answer's), an HTTP/2 stream is reset and
//!   its connection lives on.
//! * `error_while_proxy` is asked for every such end, in place of pingora's own policy, and answers from
//!   [`RequestRun`](crate::proxy::run::RequestRun) alone. pingora then asks `upstream_peer` for the next attempt, with the
//!   request's head as the client sent it, and replays the body from its buffer of 64 KiB. A larger one cannot be had
//!   again, and so is not sent again.
//! * Interim answers (1xx) pass: they decide nothing, and a client may get any number of them, from one upstream and
//!   then from another. Only a final head that was written commits ([`has_begun`]).
//!
//! The other ways were a second proxy within the process, which costs every request, and a fork of pingora.

use std::time::Instant;

use http::StatusCode;
use pingora::http::ResponseHeader;
use pingora::prelude::{Error, Session};
use pingora::{ErrorSource, ErrorType, RetryType};

use super::ctx::RequestCtx;
use super::failure::cause_of;
use crate::attempts::{Failure, Replay};
use crate::canary::Cause;
use crate::proxy::run::{ResponseStep, StepContext};
use crate::proxy::transfer::Awaited;
use crate::quarantine::Quarantine;

/// An answer that the client does not get, since there will be another.
const SET_ASIDE: ErrorType = ErrorType::Custom("an answer was set aside");

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

/// The error of an attempt that may have no connection.
pub(super) fn had_no_room(ctx: &mut RequestCtx) -> Box<Error> {
    ctx.run.on_no_room(Instant::now());
    let status = StatusCode::SERVICE_UNAVAILABLE.as_u16();
    Error::explain(ErrorType::HTTPStatus(status), "no room for a connection")
}

/// Notes that a final answer's head has come. An error in its place: it asks for another attempt.
pub(super) fn set_aside(
    session: &mut Session,
    response: &ResponseHeader,
    ctx: &mut RequestCtx,
    quarantine: &Quarantine,
) -> pingora::Result<()> {
    let failure = Failure::of_answer(response.status, &response.headers);
    // Only a failure has to know whether the body can be had again.
    let whole = failure.is_some() && is_whole(session);
    let request = session.req_header();
    let step = StepContext {
        quarantine,
        replay: Replay {
            method: &request.method,
            whole,
        },
        now: Instant::now(),
    };
    let status = response.status.as_u16();
    match ctx.run.on_response_head(status, failure, &step) {
        ResponseStep::PassOn => {
            ctx.connection.deadline = None;
            Ok(())
        }
        ResponseStep::SetAside => {
            let why = "the status asks for another attempt";
            Err(Error::explain(SET_ASIDE, why).into_up())
        }
    }
}

/// Settles an attempt that ended with an error: in another attempt, or for good.
pub(super) fn attempt_failed(
    session: &mut Session,
    ctx: &mut RequestCtx,
    quarantine: &Quarantine,
    mut e: Box<Error>,
    reused: bool,
) -> Box<Error> {
    let deadline = ctx.connection.deadline.take();
    if e.etype() == &SET_ASIDE {
        e.set_retry(true);
        return e;
    }
    e = match deadline.and_then(|deadline| deadline.expired()) {
        // Of an HTTP/1.1 client pingora would have told long before.
        Some(Awaited::Client) if session.is_http2() => {
            ctx.run.debug_deadline("client");
            let why = "the request did not come in time";
            Error::explain(ErrorType::ReadTimedout, why).into_down()
        }
        Some(_) => {
            ctx.run.debug_deadline("upstream");
            let why = "the response did not begin in time";
            Error::explain(ErrorType::ReadTimedout, why).into_up()
        }
        None => e,
    };
    let failure = failure_of(&e, reused);
    e.set_retry(false);
    // A client that went away is no upstream's failure.
    if e.esource() != &ErrorSource::Upstream {
        ctx.run.debug_note("the client's side ended it");
        return e;
    }
    let answered = has_begun(session);
    if let Some(why) = ctx.connection.ends_for() {
        let step = step(session, quarantine);
        let again = ctx.run.on_leave(why, answered, &step);
        ctx.connection.is_left = !again;
        e.set_retry(again);
        return e;
    }
    if !answered && reused && matches!(failure, Failure::Stale | Failure::Reset) {
        ctx.reused_in_vain(Instant::now());
    }
    let again = fail(session, ctx, quarantine, failure);
    e.set_retry(again);
    e
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
    let answered = has_begun(session);
    let step = step(session, quarantine);
    ctx.run.on_failure(failure, answered, &step)
}

/// What the step after a failed attempt stands on.
fn step<'a>(session: &'a mut Session, quarantine: &'a Quarantine) -> StepContext<'a> {
    let whole = is_whole(session);
    StepContext {
        quarantine,
        replay: Replay {
            method: &session.req_header().method,
            whole,
        },
        now: Instant::now(),
    }
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
