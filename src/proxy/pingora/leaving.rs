//! What becomes of a request whose user leaves its canary ([`super::under_way`]), from its connection to what its client is
//! told, in the words of what that speaks.
//!
//! | it has | it gets |
//! |---|---|
//! | no answer yet | stable's, where the request may be sent again; else an error |
//! | a WebSocket | a close frame between two frames: 1012, the service restarts |
//! | an answer to a gRPC call | `grpc-status: 14` (UNAVAILABLE) in trailers |
//! | events over HTTP/2 | `RST_STREAM`, `NO_ERROR`: browsers come back |
//! | another answer over HTTP/2 | `RST_STREAM`, `INTERNAL_ERROR`: many clients take `NO_ERROR` for the end of the whole |
//! | an answer over HTTP/1.1 | the connection's end after a whole chunk, without the last one |
//! | an answer over HTTP/1.0 | a reset |
//!
//! There is no GOAWAY: other requests on the connection go on.

use bytes::Bytes;
use h2::Reason;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use http::{StatusCode, Version};
use pingora::ErrorType;
use pingora::http::ResponseHeader;
use pingora::prelude::{Error, Session};
use pingora::protocols::http::ServerSession;

use super::ctx::RequestCtx;
use super::head::{Fields, SplitTarget, client_ip, head};
use super::under_way::Answer;
use super::{grpc, http10, recovery};
use crate::canary::ReasonKind;
use crate::cluster::policy::OnLeave;
use crate::proxy::client::ClientConnection;
use crate::proxy::run::RequestRun;
use crate::request::field;
use crate::request::framing::websocket::{Frames, SERVICE_RESTART};
use crate::streams::Audience;

/// What ends an answer whose canary the user leaves.
const LEFT: ErrorType = ErrorType::new("UserLeftCanary");

/// Notes that the answer of a request on a canary has begun.
pub(super) fn answered(session: &Session, ctx: &RequestCtx, response: &ResponseHeader) {
    let Some(under_way) = &ctx.connection.under_way else {
        return;
    };
    let has = |name| field::has(&response.headers, name);
    let answer = if response.status == StatusCode::SWITCHING_PROTOCOLS {
        Answer::WebSocket(Frames::default())
    } else if has(&CONTENT_LENGTH) {
        Answer::Framed { bounded: true }
    } else if has(&TRANSFER_ENCODING) || response.version == Version::HTTP_2 {
        Answer::Framed { bounded: false }
    } else {
        Answer::Unframed
    };
    let is_stream = !matches!(answer, Answer::Framed { bounded: true });
    let audience = is_stream.then(|| audience(session, &ctx.run)).flatten();
    under_way.answered(answer, audience.map(Box::new));
}

/// Whom a stream is decided again for when there is a new snapshot. Nobody, unless its service closes streams for that;
/// nor where somebody asked for the deployment by name.
fn audience(session: &Session, run: &RequestRun) -> Option<Audience> {
    let plan = &run.upstream.as_ref()?.plan;
    let service = run.snapshot.services.get(plan.service);
    let reason = plan.decision.reason.kind();
    if service.upstream.streams.on_leave == OnLeave::Keep
        || matches!(reason, ReasonKind::Override | ReasonKind::Lane)
    {
        return None;
    }
    let request = session.req_header();
    let (fields, target) = (Fields(&request.headers), SplitTarget::of(request)?);
    let rules = &run.snapshot.identity;
    let head = head(request, &target, &fields, client_ip(session), rules);
    let auth = run.snapshot.router.route(plan.route)?.auth;
    let mut context = rules.identify(&head, &plan.token, auth);
    if context.session_id.is_none() {
        context.session_id = plan.new_session.as_deref().map(Into::into);
    }
    Some(Audience::of(&run.snapshot, context))
}

/// Takes a part of the answer on its way to the client, or its end. An error: it ends here.
pub(super) fn pass(ctx: &RequestCtx, body: &mut Option<Bytes>, end: bool) -> pingora::Result<()> {
    match &ctx.connection.under_way {
        Some(under_way) => under_way.pass(body, end).map_err(|_| {
            let why = "its user has left the canary";
            Error::explain(LEFT, why).into_up()
        }),
        None => Ok(()),
    }
}

/// Tells the client that its answer ends here.
pub(super) async fn say_farewell(session: &mut Session, ctx: &RequestCtx) {
    let is_call = grpc::is_call(session.req_header());
    let is_events = recovery::final_answer(session).is_some_and(is_event_stream);
    let is_websocket = session.was_upgraded();
    match session.as_downstream_mut() {
        ServerSession::H2(stream) if is_call => {
            let why = "the user has left the deployment that answered";
            // An error is a client that has gone.
            let _ = stream.write_trailers(grpc::unavailable(why));
        }
        ServerSession::H2(stream) => stream.shutdown_with_reason(match is_events {
            true => Reason::NO_ERROR,
            false => Reason::INTERNAL_ERROR,
        }),
        _ if is_websocket => {
            let under_way = ctx.connection.under_way.as_ref();
            if under_way.is_some_and(|under_way| under_way.is_between_frames()) {
                let frame = Bytes::from_static(&SERVICE_RESTART);
                let _ = session.write_response_body(Some(frame), true).await;
            }
            // The client answers with a frame of its own.
            ClientConnection::current(ClientConnection::leave_unread);
        }
        _ => http10::break_off(session),
    }
}

fn is_event_stream(answer: &ResponseHeader) -> bool {
    let kind = field::first(&answer.headers, &CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}
