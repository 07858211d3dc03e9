//! A request goes upstream when there is something of it to send: the first byte of its body, or the body's end.
//!
//! A connection to an upstream is dear: a file, memory here and there. A request whose body has not begun would hold
//! one for nothing, and a client over HTTP/2 opens a hundred such requests with a few hundred bytes. So they wait; over
//! HTTP/2 as a small task, before pingora's future for a request is made, which is some tens of KB large. These do not:
//!
//! * requests that are answered here: they need no body;
//! * `Expect: 100-continue`: the client waits for the upstream's word, or for ours;
//! * calls of RPC streams (gRPC, Connect) to an upstream over HTTP/2, whose server may speak first, when the client has
//!   said nothing for a moment: there they take a stream of a connection that they share.
//!
//! What has been read by then is in pingora's buffer for retries, from which the first attempt is sent, too. A piece
//! never exceeds that buffer (64 KiB): over HTTP/2 it is a frame, over HTTP/1 a read.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::header::{CONTENT_TYPE, EXPECT};
use pingora::ErrorType;
use pingora::http::RequestHeader;
use pingora::prelude::{Error, Session};
use pingora::protocols::http::v2::server::HttpSession;

use super::ctx::RequestCtx;
use super::head::{Fields, SplitTarget, edit, head};
use super::waiting;
use crate::dispatch::destination;
use crate::meter::Gauge;
use crate::proxy::client::ClientConnection;
use crate::proxy::metrics::ConnectionFigures;
use crate::proxy::timer::SweepTimer;
use crate::request::field;
use crate::snapshot::Snapshot;

/// How long an RPC stream waits for its first message, which most have on its way: those have a connection of their own,
/// that can be cut off when the answer is late.
const FIRST_MESSAGE: Duration = Duration::from_millis(20);

/// How a wait ended that was longer than no time; goes with the request's head.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waited {
    /// When it began: the head had arrived.
    pub(super) since: Instant,
    end: End,
}

#[derive(Clone, Copy, Debug)]
enum End {
    /// There is something to send.
    Begun,
    /// `body_read` was over.
    TooLate,
    /// The client has gone, or gave the request up.
    Gone,
}

/// Counted in a gauge until dropped.
struct Counted<'a>(&'a Gauge);

impl<'a> Counted<'a> {
    fn begin(gauge: &'a Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Waits for a request over HTTP/2, before pingora has it.
pub(super) async fn over_http2(
    session: &mut HttpSession,
    connection: &ClientConnection,
    figures: &ConnectionFigures,
) {
    if session.is_body_done() || expects_continue(session.req_header()) {
        return;
    }
    let since = Instant::now();
    session.enable_retry_buffering();
    // Most bodies follow their head at once.
    let end = match begin(session).now_or_never() {
        Some(Ok(())) => return,
        Some(Err(end)) => end,
        None => {
            let (limit, too_late) = match need(session, &connection.snapshot()) {
                Need::Nothing => return,
                Need::Stream => (FIRST_MESSAGE, None),
                Need::Body => (connection.traffic().body_read, Some(End::TooLate)),
            };
            let _counted = Counted::begin(&figures.awaiting_body);
            let end = tokio::select! {
                biased;
                begun = begin(session) => Some(begun.err().unwrap_or(End::Begun)),
                () = SweepTimer::at(since + limit) => too_late,
            };
            match end {
                Some(end) => end,
                None => return,
            }
        }
    };
    let waited = Waited { since, end };
    edit(session.req_header_mut(), |head| {
        head.extensions.insert(waited)
    });
}

/// Until the first byte of the body has been read, or its end.
async fn begin(session: &mut HttpSession) -> Result<(), End> {
    loop {
        match session.read_body_bytes().await {
            Ok(Some(piece)) if piece.is_empty() => {}
            Ok(_) => return Ok(()),
            Err(_) => return Err(End::Gone),
        }
    }
}

/// Takes over what came of the wait for a request over HTTP/2.
pub(super) fn take_over(session: &Session, ctx: &mut RequestCtx) -> pingora::Result<()> {
    let Some(waited) = session.req_header().extensions.get::<Waited>() else {
        return Ok(());
    };
    ctx.run.started = waited.since;
    let error = match waited.end {
        End::Begun => return Ok(()),
        End::TooLate => Error::explain(ErrorType::ReadTimedout, "the body did not begin in time"),
        End::Gone => Error::explain(ErrorType::ConnectionClosed, "the client gave up"),
    };
    Err(error.into_down())
}

/// Whether a request over HTTP/1 has to wait.
pub(super) fn is_awaited(session: &mut Session, ctx: &mut RequestCtx) -> bool {
    !session.is_http2()
        && !waiting::is_whole(session, ctx)
        && !expects_continue(session.req_header())
}

/// Waits for a request over HTTP/1.
pub(super) async fn over_http1(
    session: &mut Session,
    ctx: &mut RequestCtx,
    figures: &ConnectionFigures,
) -> pingora::Result<()> {
    let _counted = Counted::begin(&figures.awaiting_body);
    session.as_mut().enable_retry_buffering();
    let empty = |piece: &Option<Bytes>| piece.as_ref().is_some_and(Bytes::is_empty);
    loop {
        let piece = session.read_request_body().await;
        if !empty(&piece.map_err(|error| error.into_down())?) {
            break;
        }
    }
    ctx.run.on_body_begun(Instant::now());
    Ok(())
}

/// Whether the client waits to be told that it may send its body.
pub(super) fn expects_continue(request: &RequestHeader) -> bool {
    field::has(&request.headers, &EXPECT)
}

/// Whether a request goes upstream with nothing of its body: an RPC stream whose client has not spoken yet.
pub(super) fn is_unspoken(session: &mut Session) -> bool {
    session.is_http2()
        && session.body_bytes_read() == 0
        && !session.is_body_done()
        && !expects_continue(session.req_header())
}

/// What a request is to have of its body before it goes on.
#[derive(Clone, Copy, Debug)]
enum Need {
    /// Nothing: it is answered here.
    Nothing,
    /// Its upstream is to have it before the body has begun, if that does not begin at once.
    Stream,
    /// The beginning.
    Body,
}

fn need(session: &HttpSession, snapshot: &Snapshot) -> Need {
    let request = session.req_header();
    let client = session.client_addr().and_then(|address| address.as_inet());
    let (Some(target), Some(client)) = (SplitTarget::of(request), client) else {
        return Need::Nothing;
    };
    let fields = Fields(&request.headers);
    let head = head(request, &target, &fields, client.ip(), &snapshot.identity);
    let Some(service) = destination(snapshot, &head) else {
        return Need::Nothing;
    };
    // Which deployment it is for is decided when it goes on: a head alone has nobody's token verified.
    let mut deployments = snapshot.services.get(service).deployments.iter();
    let may_speak_http2 = deployments.any(|one| one.cluster.url.scheme().is_http2());
    match may_speak_http2 && is_rpc_stream(request) {
        true => Need::Stream,
        false => Need::Body,
    }
}

/// Whether a request is a stream of RPC (gRPC, Connect), in which either side may speak first, and at any time.
pub(super) fn is_rpc_stream(request: &RequestHeader) -> bool {
    let kind = field::first(&request.headers, &CONTENT_TYPE);
    let kind = kind.map(|kind| kind.as_bytes()).unwrap_or_default();
    [&b"application/grpc"[..], b"application/connect+"]
        .iter()
        .any(|prefix| kind.starts_with(prefix))
}
