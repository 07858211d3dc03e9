//! Which deadline holds for a request at which moment.
//!
//! * Time runs from when the last part of the request had been read: no upstream can answer what has not arrived.
//! * A route's timeout holds for the whole request, whatever is attempted.
//! * An attempt's response must begin within the service's `timeouts.response`, counted from the attempt's own beginning
//!   if that came later. A canary's, while stable could still take over, must begin within `rescue.after`, which is
//!   shorter. The route's timeout cuts both short.
//! * A gRPC call on a route that waives the timeout may be silent as long as it likes.
//! * A client that is still sending, and pauses for longer than `server.timeouts.body_read`, is the one who is late.

use std::time::{Duration, Instant};

use super::{Attempts, Failure, Replay};
use crate::route::RouteTimeout;
use crate::snapshot::Service;

/// How much later than a client's time a wait for it ends: where whatever reads from the client sees to it itself, that
/// comes first.
const LATER: Duration = Duration::from_secs(1);

/// When a request came, and when its current attempt began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// When the last part of the request had been read: the head, then whatever there is of the body.
    arrived: Instant,
    /// Whether that was the end of it.
    whole: bool,
    /// When the current attempt began.
    attempt_started: Instant,
    /// Whether its answer may begin whenever it likes.
    unhurried: bool,
}

impl Timing {
    /// For a request whose head arrived at `started`.
    pub fn begin(started: Instant) -> Self {
        Self {
            arrived: started,
            whole: false,
            attempt_started: started,
            unhurried: false,
        }
    }

    /// When the current attempt began.
    pub fn attempt_started(&self) -> Instant {
        self.attempt_started
    }

    /// Whether all of the request has been read.
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// Notes that an attempt begins.
    pub fn attempt_begins(&mut self, now: Instant) {
        self.attempt_started = now;
    }

    /// Notes that the body has begun, for which the request had waited.
    pub fn body_begins(&mut self, now: Instant) {
        self.arrived = now;
    }

    /// Notes that all of the request has been read.
    pub fn completes(&mut self) {
        self.whole = true;
    }

    /// Notes that an attempt's request is about to be sent, and whether it is a gRPC call, on a route with this timeout.
    pub fn sending_begins(
        &mut self,
        timeout: Option<RouteTimeout>,
        is_grpc: impl FnOnce() -> bool,
    ) {
        // A call that streams may have nothing to say for long; over HTTP/2 it is reset when its client goes.
        self.unhurried = timeout == Some(RouteTimeout::Waived) && is_grpc();
    }

    /// Notes that a part of the body has been read, or its end. `false`: that is nothing new, since what is sent again
    /// has arrived long before.
    pub fn part_arrives(&mut self, end: bool, now: Instant) -> bool {
        if self.whole {
            return false;
        }
        self.arrived = now;
        self.whole = end;
        true
    }

    /// When the route's timeout is over; `None`: it has none.
    pub fn route_deadline(&self, timeout: Option<RouteTimeout>) -> Option<Instant> {
        match timeout? {
            RouteTimeout::After(timeout) => Some(self.arrived + timeout),
            RouteTimeout::Unset | RouteTimeout::Waived => None,
        }
    }

    /// When the current attempt's response must have begun, if its request is passed on at once; `None`: it may take as
    /// long as it likes.
    pub fn response_deadline(
        &self,
        attempts: &Attempts,
        replay: Replay<'_>,
        service: &Service,
        timeout: Option<RouteTimeout>,
    ) -> Option<Instant> {
        let from = self.arrived.max(self.attempt_started);
        let of_attempt = from + self.patience(attempts, replay, service)?;
        let of_route = self.route_deadline(timeout);
        Some(of_route.map_or(of_attempt, |of_route| of_route.min(of_attempt)))
    }

    /// How long the current attempt may take to begin its answer. `rescue.after` is for requests that stable could still
    /// take over: for the others it would only make a failure of a slow answer.
    fn patience(
        &self,
        attempts: &Attempts,
        replay: Replay<'_>,
        service: &Service,
    ) -> Option<Duration> {
        let policy = &service.upstream;
        let after = policy
            .rescue
            .after
            .filter(|_| attempts.could_be_rescued(Failure::Timeout, replay, service));
        after.or_else(|| (!self.unhurried).then_some(policy.response_timeout))
    }
}

/// When a client that sends nothing from now on must have been cut off.
pub fn client_deadline(now: Instant, body_read: Duration) -> Instant {
    now + body_read + LATER
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use http::Method;

    use super::{LATER, Timing, client_deadline};
    use crate::attempts::{Attempts, Replay};
    use crate::canary::ReasonKind;
    use crate::decide::{Decision, Reason};
    use crate::identity::Anonymous;
    use crate::route::RouteTimeout;
    use crate::snapshot::{DeploymentIndex, STABLE, Service, Snapshot, sample};

    const CANARY: DeploymentIndex = DeploymentIndex::new(1);
    const SECOND: Duration = Duration::from_secs(1);

    /// A service that answers within ten seconds, and whose canaries are rescued after two.
    fn snapshot() -> Snapshot {
        let mut snapshot = sample::snapshot(Anonymous::Stable);
        let policy = &mut snapshot.services[0].upstream;
        policy.response_timeout = 10 * SECOND;
        policy.rescue.after = Some(2 * SECOND);
        snapshot
    }

    fn attempts(service: &Service, assigned: DeploymentIndex) -> Attempts {
        let decision = Decision {
            assigned,
            candidate: None,
            variant: None,
            reason: Reason::Plain(ReasonKind::Default),
            randomised: false,
        };
        Attempts::new(service, &decision, None)
    }

    #[test]
    fn rescue_after_holds_only_while_stable_could_take_over() {
        let snapshot = snapshot();
        let (service, start) = (&snapshot.services[0], Instant::now());
        let timing = Timing::begin(start);
        for (assigned, method, whole, expected) in [
            (CANARY, Method::GET, true, 2),
            (CANARY, Method::GET, false, 10),
            (CANARY, Method::POST, true, 10),
            (STABLE, Method::GET, true, 10),
        ] {
            let replay = Replay {
                method: &method,
                whole,
            };
            let attempts = attempts(service, assigned);
            let deadline = timing.response_deadline(&attempts, replay, service, None);
            assert_eq!(
                deadline,
                Some(start + expected * SECOND),
                "{assigned:?} {method}"
            );
        }
    }

    #[test]
    fn time_runs_from_the_last_part_or_the_attempt_and_the_routes_cuts_it_short() {
        let snapshot = snapshot();
        let (service, start) = (&snapshot.services[0], Instant::now());
        let attempts = attempts(service, STABLE);
        let replay = Replay {
            method: &Method::GET,
            whole: true,
        };
        let mut timing = Timing::begin(start);
        let deadline = |timing: &Timing, route: Option<RouteTimeout>| {
            timing.response_deadline(&attempts, replay, service, route)
        };
        timing.attempt_begins(start + SECOND);
        assert_eq!(deadline(&timing, None), Some(start + 11 * SECOND));
        assert!(timing.part_arrives(false, start + 3 * SECOND));
        assert_eq!(deadline(&timing, None), Some(start + 13 * SECOND));
        let route = Some(RouteTimeout::After(4 * SECOND));
        assert_eq!(timing.route_deadline(route), Some(start + 7 * SECOND));
        assert_eq!(deadline(&timing, route), Some(start + 7 * SECOND));
        assert!(timing.part_arrives(true, start + 5 * SECOND));
        assert_eq!(timing.route_deadline(route), Some(start + 9 * SECOND));
        // A body that is sent again to another endpoint has arrived already.
        assert!(!timing.part_arrives(true, start + 6 * SECOND));
        assert_eq!(timing.route_deadline(route), Some(start + 9 * SECOND));
        timing.attempt_begins(start + 6 * SECOND);
        assert_eq!(deadline(&timing, None), Some(start + 16 * SECOND));
    }

    #[test]
    fn only_a_grpc_call_on_a_route_that_says_so_is_unhurried() {
        let snapshot = snapshot();
        let (service, start) = (&snapshot.services[0], Instant::now());
        let attempts = attempts(service, STABLE);
        let replay = Replay {
            method: &Method::POST,
            whole: true,
        };
        for (is_grpc, timeout, hurried) in [
            (true, RouteTimeout::Waived, false),
            (false, RouteTimeout::Waived, true),
            (true, RouteTimeout::Unset, true),
        ] {
            let mut timing = Timing::begin(start);
            timing.sending_begins(Some(timeout), || is_grpc);
            let deadline = timing.response_deadline(&attempts, replay, service, Some(timeout));
            assert_eq!(deadline.is_some(), hurried, "{is_grpc} {timeout:?}");
        }
    }

    #[test]
    fn a_client_is_given_its_time_and_a_little_more() {
        let now = Instant::now();
        assert_eq!(client_deadline(now, SECOND), now + SECOND + LATER);
    }
}
