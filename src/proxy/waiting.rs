//! How long a request waits for its answer to begin.
//!
//! The time runs from when the request has been passed on: while its client is still sending, or the upstream still
//! taking what the client has sent, it does not ([`super::passing`]). A client that pauses for longer than
//! `server.timeouts.body_read` is the one who is late: over HTTP/1.1 pingora sees to that, over HTTP/2 the wait does.

use std::os::fd::RawFd;
use std::time::{Duration, Instant};

use http::header::{CONTENT_TYPE, EXPECT};
use pingora::prelude::Session;
use pingora::protocols::Digest;

use super::deadlines::{Ends, Wait};
use super::exchange::Exchange;
use super::passing::Passing;
use super::recovery;
use crate::attempts::{Failure, Replay};
use crate::route::RouteTimeout;

/// How much later than a client's time a wait for it ends: where pingora sees to it, pingora comes first.
const LATER: Duration = Duration::from_secs(1);

/// The connection that an attempt has got.
pub(super) struct Connection<'a> {
    pub(super) socket: RawFd,
    /// What tells it from a later one, where it may be closed without our doing.
    pub(super) ends: Option<Ends>,
    pub(super) digest: Option<&'a Digest>,
}

/// Begins to wait for an attempt's response, which is about to be asked for over a connection.
pub(super) fn begin(session: &mut Session, exchange: &mut Exchange, connection: &Connection<'_>) {
    let whole = session.is_body_done();
    exchange.note_patience(session, whole);
    let wait = exchange
        .response_deadline(recovery::replay(session))
        .map(|deadline| match whole && session.is_body_empty() {
            true => Wait::begin(connection.socket, deadline, connection.ends),
            false => exchange.wait_passing(session, whole, deadline, connection),
        });
    if let Some(passage) = exchange.passage.as_mut() {
        passage.wait = wait;
    }
}

impl Exchange {
    /// Notes whether all of the request has been read, and whether its answer may begin whenever it likes.
    fn note_patience(&mut self, session: &Session, whole: bool) {
        let timeout = self.forward().map(|(_, forward)| forward.timeout);
        let Some(passage) = self.passage.as_mut() else {
            return;
        };
        passage.whole |= whole;
        // A call that streams may have nothing to say for long; over HTTP/2 it is reset when its client goes.
        passage.unhurried = timeout == Some(RouteTimeout::Waived)
            && session
                .req_header()
                .headers
                .get(CONTENT_TYPE)
                .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    }

    /// Begins the wait of a request with a body.
    fn wait_passing(
        &self,
        session: &Session,
        whole: bool,
        deadline: Instant,
        connection: &Connection<'_>,
    ) -> Wait {
        let now = Instant::now();
        // A client that waits to be told to go on is not the one who is awaited.
        let is_told =
            || session.body_bytes_read() > 0 || !session.req_header().headers.contains_key(EXPECT);
        let client = (!whole && is_told()).then(|| self.client_deadline(now));
        let digest = connection.digest.and_then(|d| d.socket_digest.as_ref());
        let patience = deadline.saturating_duration_since(now);
        let passing = Passing::begin(digest, patience, client);
        Wait::begin_passing(connection.socket, deadline, connection.ends, passing)
    }

    /// Notes that a part of the request's body has been read, or its end. What is sent again has arrived long before.
    pub fn body_arrived(&mut self, replay: Replay<'_>, end: bool) {
        let Some(passage) = self.passage.as_mut().filter(|passage| !passage.whole) else {
            return;
        };
        let now = Instant::now();
        passage.arrived = now;
        passage.whole = end;
        let client = (!end).then(|| self.client_deadline(now));
        let deadline = self.response_deadline(replay);
        let passage = self.passage.as_ref();
        if let (Some(wait), Some(deadline)) = (passage.and_then(|p| p.wait.as_ref()), deadline) {
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
            RouteTimeout::After(timeout) => Some(self.passage.as_ref()?.arrived + timeout),
            RouteTimeout::Unset | RouteTimeout::Waived => None,
        }
    }

    /// How long the current attempt may take to begin its answer; `None`: as long as it likes. `rescue.after` is for
    /// requests that stable could still take over: for the others it would only make a failure of a slow answer.
    fn patience(&self, replay: Replay<'_>) -> Option<Duration> {
        let passage = self.passage.as_ref()?;
        let service = &self.snapshot.services[passage.plan.service];
        let policy = &service.upstream;
        let after = policy.rescue.after.filter(|_| {
            let timeout = Failure::Timeout;
            passage.attempts.could_be_rescued(timeout, replay, service)
        });
        after.or_else(|| (!passage.unhurried).then_some(policy.response_timeout))
    }

    /// When the current attempt's response must have begun, if its request is passed on at once.
    fn response_deadline(&self, replay: Replay<'_>) -> Option<Instant> {
        let passage = self.passage.as_ref()?;
        let from = passage.arrived.max(passage.attempt_started);
        let of_attempt = from + self.patience(replay)?;
        Some(
            self.route_deadline()
                .map_or(of_attempt, |of_route| of_route.min(of_attempt)),
        )
    }
}
