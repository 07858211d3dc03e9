//! How long a request waits for its answer to begin.
//!
//! The time runs from when the request has been passed on: while its client is still sending, or the upstream still
//! taking what the client has sent, it does not ([`crate::proxy::transfer`]). A client that pauses for longer than
//! `server.timeouts.body_read` is the one who is late: over HTTP/1.1 pingora sees to that, over HTTP/2 the wait does.

use std::os::fd::RawFd;
use std::time::{Duration, Instant};

use http::header::{CONTENT_TYPE, EXPECT};
use pingora::prelude::Session;
use pingora::protocols::Digest;

use super::ctx::RequestCtx;
use super::recovery;
use super::upstream_socket;
use crate::attempts::{Failure, Replay};
use crate::proxy::deadlines::{ConnectionAddrs, DeadlineGuard};
use crate::proxy::transfer::RequestTransfer;
use crate::route::RouteTimeout;

/// How much later than a client's time a wait for it ends: where pingora sees to it, pingora comes first.
const LATER: Duration = Duration::from_secs(1);

/// The connection that an attempt has got.
pub(super) struct Connection<'a> {
    pub(super) socket: RawFd,
    /// What tells it from a later one, where it may be closed without our doing.
    pub(super) addrs: Option<ConnectionAddrs>,
    pub(super) digest: Option<&'a Digest>,
}

/// Begins to wait for an attempt's response, which is about to be asked for over a connection.
pub(super) fn begin(session: &mut Session, ctx: &mut RequestCtx, connection: &Connection<'_>) {
    let whole = session.is_body_done();
    ctx.note_patience(session, whole);
    let wait = ctx
        .response_deadline(recovery::replay(session))
        .map(|deadline| match whole && session.is_body_empty() {
            true => DeadlineGuard::begin(connection.socket, deadline, connection.addrs),
            false => ctx.wait_for_transfer(session, whole, deadline, connection),
        });
    if let Some(upstream_request) = ctx.upstream_request.as_mut() {
        upstream_request.wait = wait;
    }
}

impl RequestCtx {
    /// Notes whether all of the request has been read, and whether its answer may begin whenever it likes.
    fn note_patience(&mut self, session: &Session, whole: bool) {
        let timeout = self.forward().map(|(_, forward)| forward.timeout);
        let Some(upstream_request) = self.upstream_request.as_mut() else {
            return;
        };
        upstream_request.whole |= whole;
        // A call that streams may have nothing to say for long; over HTTP/2 it is reset when its client goes.
        upstream_request.unhurried = timeout == Some(RouteTimeout::Waived)
            && session
                .req_header()
                .headers
                .get(CONTENT_TYPE)
                .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    }

    /// Begins the wait of a request with a body.
    fn wait_for_transfer(
        &self,
        session: &Session,
        whole: bool,
        deadline: Instant,
        connection: &Connection<'_>,
    ) -> DeadlineGuard {
        let now = Instant::now();
        // A client that waits to be told to go on is not the one who is awaited.
        let is_told =
            || session.body_bytes_read() > 0 || !session.req_header().headers.contains_key(EXPECT);
        let client = (!whole && is_told()).then(|| self.client_deadline(now));
        let digest = connection.digest.and_then(|d| d.socket_digest.as_ref());
        let digest = digest.map(upstream_socket::watch);
        let patience = deadline.saturating_duration_since(now);
        let transfer = RequestTransfer::begin(digest, patience, client);
        DeadlineGuard::begin_transfer(connection.socket, deadline, connection.addrs, transfer)
    }

    /// Notes that a part of the request's body has been read, or its end. What is sent again has arrived long before.
    pub fn body_arrived(&mut self, replay: Replay<'_>, end: bool) {
        let Some(upstream_request) = self
            .upstream_request
            .as_mut()
            .filter(|upstream_request| !upstream_request.whole)
        else {
            return;
        };
        let now = Instant::now();
        upstream_request.arrived = now;
        upstream_request.whole = end;
        let client = (!end).then(|| self.client_deadline(now));
        let deadline = self.response_deadline(replay);
        let upstream_request = self.upstream_request.as_ref();
        if let (Some(wait), Some(deadline)) =
            (upstream_request.and_then(|p| p.wait.as_ref()), deadline)
        {
            wait.read_on(deadline, client);
        }
    }

    /// When a client that sends nothing from now on must have been cut off.
    fn client_deadline(&self, now: Instant) -> Instant {
        now + self.snapshot.traffic.body_read + LATER
    }

    /// When the route's timeout is over; `None`: it has none.
    pub fn route_deadline(&self) -> Option<Instant> {
        let (_, forward) = self.forward()?;
        match forward.timeout {
            RouteTimeout::After(timeout) => Some(self.upstream_request.as_ref()?.arrived + timeout),
            RouteTimeout::Unset | RouteTimeout::Waived => None,
        }
    }

    /// How long the current attempt may take to begin its answer; `None`: as long as it likes. `rescue.after` is for
    /// requests that stable could still take over: for the others it would only make a failure of a slow answer.
    fn patience(&self, replay: Replay<'_>) -> Option<Duration> {
        let upstream_request = self.upstream_request.as_ref()?;
        let service = &self.snapshot.services[upstream_request.plan.service];
        let policy = &service.upstream;
        let after = policy.rescue.after.filter(|_| {
            let timeout = Failure::Timeout;
            upstream_request
                .attempts
                .could_be_rescued(timeout, replay, service)
        });
        after.or_else(|| (!upstream_request.unhurried).then_some(policy.response_timeout))
    }

    /// When the current attempt's response must have begun, if its request is passed on at once.
    fn response_deadline(&self, replay: Replay<'_>) -> Option<Instant> {
        let upstream_request = self.upstream_request.as_ref()?;
        let from = upstream_request
            .arrived
            .max(upstream_request.attempt_started);
        let of_attempt = from + self.patience(replay)?;
        Some(
            self.route_deadline()
                .map_or(of_attempt, |of_route| of_route.min(of_attempt)),
        )
    }
}
