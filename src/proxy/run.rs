//! One request from its head to its end, step by step.
//!
//! What reads requests off connections and sends them on calls these steps, and does what they answer: pingora's hooks
//! ([`super::pingora`]) do, and so would a loop of our own. Sockets, bodies and sessions are the caller's; of them a step
//! gets facts.
//!
//! ```text
//! on_head ─▶ refuse, answer, shut off ────────────────────────────────┐
//!    └─▶ forward ─▶ on_attempt ─▶ nobody to ask ──────────────────────┤
//!                    ▲   └─▶ connect ─▶ on_connected ─▶ on_body …     │
//!                    │          └─▶ on_failure     │                  │
//!                    └── again ◀── on_failure ◀────┤                  │
//!                    ▲               └─▶ given up ─┼──────────────────┤
//!                    └─ set aside ◀─ on_response_head ─▶ pass on ─────┴─▶ on_end
//! ```

mod active;
mod debug;
mod failing;
mod limit;
mod steps;

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderValue;

use super::queue::Admitted;
use crate::attempts::pool::Pool;
use crate::attempts::timing::{Timing, client_deadline};
use crate::attempts::{Attempts, Failure, Replay};
use crate::canary::Cause;
use crate::cluster::Scheme;
use crate::cluster::endpoint::AttemptEnd;
use crate::context::Moment;
use crate::dispatch::{DirectResponse, Dispatch, Plan, dispatch};
use crate::forward::arrival::request_id;
use crate::meter::Gauge;
use crate::rate::Level;
use crate::request::RequestHead;
use crate::request::pace::Pace;
use crate::route::{Action, Forward, Route, RouteIndex, RouteTimeout};
use crate::snapshot::Snapshot;
use crate::trace::RequestTrace;
use active::ActiveRequest;
pub use debug::DebugHeader;
use limit::WorkerGate;
pub use steps::{
    Arrival, Deadlines, HeadStep, NextAttempt, NoAttempt, RequestEnd, ResponseStep, StepContext,
};

/// One request and its response.
pub struct RequestRun {
    /// Pinned for the whole request, so that a retry sees the flags that the first attempt saw.
    pub snapshot: Arc<Snapshot>,
    /// When the head had arrived.
    pub started: Instant,
    /// The same, by the calendar.
    pub moment: Moment,
    /// The route that took it.
    pub route: Option<RouteIndex>,
    /// Its way to a service, if it goes to one.
    pub upstream: Option<UpstreamRequest>,
    /// The ID under which it appears in logs, of this hop and the next ones.
    pub request_id: HeaderValue,
    /// It is for the client API, which counts for itself.
    pub is_for_clients: bool,
    /// How fast its body comes.
    pub pace: Pace,
    /// Its trace; `None`: `tracing` is off.
    pub trace: Option<RequestTrace>,
    /// The status of an answer of Serin's own.
    pub own_status: Option<u16>,
    /// What is left of its route's rate limit; `None`: there is none, or it has not been counted.
    pub level: Option<Level>,
    /// Whether its steps are logged whatever the log's level.
    is_debugged: bool,
    _active: ActiveRequest,
}

/// A request that goes to a service.
pub struct UpstreamRequest {
    /// The decision, and what follows from it for the request.
    pub plan: Plan,
    /// What was tried.
    pub attempts: Attempts,
    /// When its parts came, and its attempt began.
    pub timing: Timing,
    /// Whether the current attempt may use a connection that rested.
    pub pool: Pool,
    /// From the beginning of the attempt that was answered to its response's head.
    pub upstream_time: Option<Duration>,
    /// Its place among the service's requests.
    pub admitted: Option<Admitted>,
}

impl RequestRun {
    /// For a request whose head has arrived.
    pub fn begin(
        snapshot: Arc<Snapshot>,
        started: Instant,
        moment: Moment,
        active: &Arc<Gauge>,
    ) -> Self {
        Self {
            snapshot,
            started,
            moment,
            route: None,
            upstream: None,
            request_id: HeaderValue::from_static(""),
            is_for_clients: false,
            pace: Pace::begin(started),
            trace: None,
            own_status: None,
            level: None,
            is_debugged: false,
            _active: ActiveRequest::begin(active),
        }
    }

    /// Its head has been read: decides what is to be done. `fresh_id` makes random IDs.
    pub fn on_head(
        &mut self,
        head: &RequestHead<'_>,
        arrival: Arrival<'_>,
        fresh_id: fn() -> HeaderValue,
    ) -> HeadStep {
        self.request_id = request_id(head, fresh_id);
        self.is_debugged = arrival.debug.is_some_and(|debug| debug.picks(head));
        let mut gate = WorkerGate {
            snapshot: &self.snapshot,
            head,
            throttle: arrival.throttle,
            fresh_id,
            now: self.started,
            level: None,
        };
        let dispatch = dispatch(&self.snapshot, head, arrival.terms, self.moment, &mut gate);
        self.level = gate.level;
        let step = match dispatch {
            Dispatch::Forward(plan) if plan.shut_off => {
                let upstream = self.begin_upstream(plan);
                upstream.attempts.gave_up(Cause::Shutoff);
                HeadStep::ShutOff
            }
            Dispatch::Forward(mut plan) => {
                if plan.target.is_none() {
                    plan.target = arrival.origin_form;
                }
                self.begin_upstream(plan);
                HeadStep::Forward
            }
            Dispatch::Refuse(refusal) => HeadStep::Refuse(refusal),
            Dispatch::Respond(response) => HeadStep::Respond(response),
            Dispatch::Preflight(route) => HeadStep::Respond(DirectResponse::preflight(route)),
            Dispatch::Client(rest) => HeadStep::Client(rest),
        };
        self.debug_head(head, &step);
        step
    }

    fn begin_upstream(&mut self, plan: Plan) -> &mut UpstreamRequest {
        self.route = Some(plan.route);
        if let Some(result) = plan.lane {
            let service = self.snapshot.services.get(plan.service);
            service.meter.count_lane(result);
        }
        self.upstream.insert(UpstreamRequest {
            attempts: Attempts::new(
                self.snapshot.services.get(plan.service),
                &plan.decision,
                plan.user,
            ),
            plan,
            timing: Timing::begin(self.started),
            pool: Pool::Shared,
            upstream_time: None,
            admitted: None,
        })
    }

    /// What the route of a request that goes to a service asks for.
    pub fn forward(&self) -> Option<(&Route, &Forward)> {
        let index = self.upstream.as_ref()?.plan.route;
        let route = self.snapshot.router.route(index)?;
        match &route.action {
            Action::Forward(forward) => Some((route, forward)),
            Action::Redirect(_) | Action::Respond(_) => None,
        }
    }

    fn route_timeout(&self) -> Option<RouteTimeout> {
        self.forward().map(|(_, forward)| forward.timeout)
    }

    /// An attempt is to be made, the first one or another one: says where.
    pub fn on_attempt(
        &mut self,
        step: &StepContext<'_>,
        random: u64,
    ) -> Result<NextAttempt, NoAttempt> {
        let timeout = self.route_timeout();
        let Some(upstream) = self.upstream.as_mut() else {
            return Err(NoAttempt::NobodyToAsk);
        };
        let time_left = upstream
            .timing
            .route_deadline(timeout)
            .map(|deadline| deadline.saturating_duration_since(step.now));
        let service = self.snapshot.services.get(upstream.plan.service);
        let refused = if time_left.is_some_and(|left| left.is_zero()) {
            upstream.attempts.gave_up(Cause::Timeout);
            NoAttempt::TimeIsOver
        } else {
            match upstream.attempts.next(&step.at(service), random) {
                Ok(address) => {
                    upstream.timing.attempt_begins(step.now);
                    let deployment = service.deployments.get(upstream.attempts.deployment());
                    upstream.pool = match deployment.cluster.url.scheme() {
                        Scheme::Http | Scheme::Https => {
                            upstream.attempts.pool(step.replay.method, step.now)
                        }
                        // It says which streams its end was too late for.
                        Scheme::H2c | Scheme::H2 => Pool::Shared,
                    };
                    self.debug_attempt(address);
                    return Ok(NextAttempt { address, time_left });
                }
                Err(cause) => {
                    upstream.attempts.gave_up(cause);
                    NoAttempt::NobodyToAsk
                }
            }
        };
        self.debug_no_attempt(refused);
        Err(refused)
    }

    /// The attempt has a connection, over which the request is about to be sent. Says until when its response must have
    /// begun; `None`: it may take as long as it likes.
    pub fn on_connected(
        &mut self,
        replay: Replay<'_>,
        is_grpc: impl FnOnce() -> bool,
    ) -> Option<Instant> {
        let timeout = self.route_timeout();
        let upstream = self.upstream.as_mut()?;
        upstream.timing.sending_begins(timeout, is_grpc);
        self.response_deadline(replay)
    }

    /// The body has begun, for which the request had waited.
    pub fn on_body_begun(&mut self, now: Instant) {
        if let Some(upstream) = self.upstream.as_mut() {
            upstream.timing.body_begins(now);
        }
    }

    /// All of the request has been read that goes to a service.
    pub fn on_whole(&mut self) {
        if let Some(upstream) = self.upstream.as_mut() {
            upstream.timing.completes();
        }
    }

    /// Whether it goes to a service, and all of it has been read.
    pub fn is_whole(&self) -> bool {
        let upstream = self.upstream.as_ref();
        upstream.is_some_and(|upstream| upstream.timing.is_whole())
    }

    /// A part of the request's body has been read, or its end. Says which deadlines follow; `None`: the old ones stay.
    pub fn on_body(&mut self, replay: Replay<'_>, end: bool, now: Instant) -> Option<Deadlines> {
        if !self.upstream.as_mut()?.timing.part_arrives(end, now) {
            return None;
        }
        Some(Deadlines {
            response: self.response_deadline(replay)?,
            client: (!end).then(|| self.client_deadline(now)),
        })
    }

    /// When a client that sends nothing from now on must have been cut off.
    pub fn client_deadline(&self, now: Instant) -> Instant {
        client_deadline(now, self.snapshot.traffic.body_read)
    }

    fn response_deadline(&self, replay: Replay<'_>) -> Option<Instant> {
        let upstream = self.upstream.as_ref()?;
        let service = self.snapshot.services.get(upstream.plan.service);
        let timeout = self.route_timeout();
        upstream
            .timing
            .response_deadline(&upstream.attempts, replay, service, timeout)
    }

    /// The head of a final answer has come, of which `failure` is what it says of one.
    pub fn on_response_head(
        &mut self,
        status: u16,
        failure: Option<Failure>,
        step: &StepContext<'_>,
    ) -> ResponseStep {
        if let Some(failure) = failure
            && self.fail(failure, Some(status), step)
        {
            return ResponseStep::SetAside;
        }
        if let Some(upstream) = self.upstream.as_mut() {
            let service = self.snapshot.services.get(upstream.plan.service);
            upstream.attempts.answered(status, &step.at(service));
            let began = upstream.timing.attempt_started();
            upstream.upstream_time = Some(step.now.saturating_duration_since(began));
        }
        self.debug_response(status);
        ResponseStep::PassOn
    }

    /// The request has ended: settles the attempt that is still under way. Its answer came whole, or as far as the client
    /// wanted it, or the client has gone.
    pub fn on_end(&mut self, end: RequestEnd, step: &StepContext<'_>) {
        self.debug_end(&end, step.now);
        let Some(upstream) = self.upstream.as_mut() else {
            return;
        };
        let service = self.snapshot.services.get(upstream.plan.service);
        let attempts = &mut upstream.attempts;
        let has_answer = upstream.upstream_time.is_some();
        let end = end.status.filter(|_| has_answer).map(AttemptEnd::Answered);
        match end {
            Some(end) => {
                attempts.ended(end, &step.at(service));
            }
            None if has_answer => {}
            None => attempts.abandoned(&step.at(service)),
        }
    }

    /// The request's ID, where its client is to be told.
    pub fn told_request_id(&self) -> Option<HeaderValue> {
        let is_told = self.snapshot.logging.expose_request_id && !self.request_id.is_empty();
        is_told.then(|| self.request_id.clone())
    }
}

#[cfg(test)]
mod tests;
