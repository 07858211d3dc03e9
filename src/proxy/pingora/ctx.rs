//! One request and its response: the state that the hooks share.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderValue;

use super::idle::Upstream;
use super::uploads::Upload;
use crate::attempts::pool::Pool;
use crate::attempts::{AttemptContext, Attempts};
use crate::context::Moment;
use crate::dispatch::Plan;
use crate::meter::Gauge;
use crate::proxy::deadlines::DeadlineGuard;
use crate::proxy::queue::Admitted;
use crate::quarantine::Quarantine;
use crate::request::pace::Pace;
use crate::route::{Action, Forward, RouteIndex};
use crate::snapshot::Snapshot;

/// One request and its response.
pub struct RequestCtx {
    /// Pinned for the whole request, so that a retry sees the flags that the first attempt saw.
    pub snapshot: Arc<Snapshot>,
    /// When the head had arrived.
    pub started: Instant,
    /// The same, by the calendar.
    pub moment: Moment,
    /// The route that took it.
    pub route: Option<RouteIndex>,
    /// What is done with it, if it goes to a service.
    pub upstream_request: Option<UpstreamRequest>,
    /// The ID under which it appears in logs, of this hop and the next ones.
    pub request_id: HeaderValue,
    /// It is for the client API, which counts for itself.
    pub is_for_clients: bool,
    /// How fast its body comes.
    pub pace: Pace,
    /// The status of an answer of Serin's own.
    pub own_status: Option<u16>,
    _active: ActiveRequest,
}

/// A request that goes to a service.
pub struct UpstreamRequest {
    /// What is to be done.
    pub plan: Plan,
    /// What was tried.
    pub attempts: Attempts,
    /// When the last part of the request had been read: the head, then whatever there is of the body. Timeouts run
    /// from here, since nobody can answer what has not arrived.
    pub arrived: Instant,
    /// Whether that was the end of it.
    pub whole: bool,
    /// Whether its answer may begin whenever it likes: a gRPC call on a route that says so.
    pub unhurried: bool,
    /// The wait for the current attempt's response to begin.
    pub wait: Option<DeadlineGuard>,
    /// The current attempt's connection, if that is its own.
    pub upstream: Option<Upstream>,
    /// The body's way over it, if it is a long one.
    pub upload: Option<Upload>,
    /// Whether the current attempt may use a connection that rested.
    pub pool: Pool,
    /// How long its connection may rest afterwards, if the answer says so.
    pub rest: Option<Duration>,
    /// Whether the answer's body is dropped.
    pub emptied: bool,
    /// When the current attempt began.
    pub attempt_started: Instant,
    /// From there to the response's head.
    pub upstream_time: Option<Duration>,
    /// Its place among the service's requests.
    pub admitted: Option<Admitted>,
}

impl RequestCtx {
    /// For a request whose head has arrived.
    pub fn new(
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
            upstream_request: None,
            request_id: HeaderValue::from_static(""),
            is_for_clients: false,
            pace: Pace::begin(started),
            own_status: None,
            _active: ActiveRequest::new(active),
        }
    }

    /// Sends the request on its way.
    pub fn begin_upstream(&mut self, plan: Plan) {
        self.route = Some(plan.route);
        self.upstream_request = Some(UpstreamRequest {
            attempts: Attempts::new(
                &self.snapshot.services[plan.service],
                &plan.decision,
                plan.user_hash,
            ),
            plan,
            arrived: self.started,
            whole: false,
            unhurried: false,
            wait: None,
            upstream: None,
            upload: None,
            pool: Pool::Shared,
            rest: None,
            emptied: false,
            attempt_started: self.started,
            upstream_time: None,
            admitted: None,
        });
    }

    /// What the route of a request that goes to a service asks for.
    pub fn forward(&self) -> Option<(RouteIndex, &Forward)> {
        let index = self.upstream_request.as_ref()?.plan.route;
        match &self.snapshot.routes[index].action {
            Action::Forward(forward) => Some((index, forward)),
            Action::Redirect(_) | Action::Respond(_) => None,
        }
    }

    /// The request's attempts, with what they are made on; `None`: it goes to no service.
    pub fn at<'a>(
        &'a mut self,
        quarantine: &'a Quarantine,
        now: Instant,
    ) -> Option<(&'a mut Attempts, AttemptContext<'a>)> {
        let upstream_request = self.upstream_request.as_mut()?;
        let site = AttemptContext {
            service: &self.snapshot.services[upstream_request.plan.service],
            quarantine,
            now,
        };
        Some((&mut upstream_request.attempts, site))
    }

    /// Notes that pingora has put the last attempt's connection into its pool, if it could.
    pub fn rest_upstream(&mut self, now: Instant) {
        let Some(upstream_request) = self.upstream_request.as_mut() else {
            return;
        };
        upstream_request.upload = None;
        if let Some(upstream) = upstream_request.upstream.take() {
            let service = &self.snapshot.services[upstream_request.plan.service];
            let idle = service.upstream.idle_timeout;
            let rest = upstream_request.rest.map_or(idle, |rest| rest.min(idle));
            upstream.rest(now + rest, &service.meter, now);
        }
    }

    /// Notes that the current attempt has a connection of its own.
    pub fn connected(&mut self, mut upstream: Upstream) {
        let Some(upstream_request) = self.upstream_request.as_mut() else {
            return;
        };
        (
            upstream_request.upload,
            upstream_request.rest,
            upstream_request.emptied,
        ) = (None, None, false);
        if upstream_request.pool == Pool::Watched
            && let Some(endpoint) = upstream_request.attempts.endpoint()
        {
            upstream.watch(endpoint.clone());
        }
        upstream_request.upstream = Some(upstream);
    }

    /// Notes that more of the request's body is to come.
    pub fn body_goes_on(&mut self) {
        if let Some(upstream_request) = self.upstream_request.as_mut()
            && upstream_request.upload.is_none()
        {
            upstream_request.upload = upstream_request
                .upstream
                .as_ref()
                .and_then(Upstream::upload);
        }
    }

    /// Notes that an answer has come that is passed on, or begins to be.
    pub fn answer_begins(&mut self, status: u16, quarantine: &Quarantine) {
        let now = Instant::now();
        if let Some((attempts, site)) = self.at(quarantine, now) {
            attempts.answered(status, &site);
        }
        if let Some(upstream_request) = self.upstream_request.as_mut() {
            upstream_request.upstream_time =
                Some(now.saturating_duration_since(upstream_request.attempt_started));
            upstream_request.wait = None;
        }
    }

    /// Notes that a connection that had rested broke before an answer began: its endpoint may have closed it behind the
    /// answer before.
    pub fn reused_in_vain(&self, now: Instant) {
        let upstream_request = self.upstream_request.as_ref();
        if let Some(upstream_request) = upstream_request
            && upstream_request
                .upstream
                .as_ref()
                .is_some_and(Upstream::is_http1)
            && let Some(endpoint) = upstream_request.attempts.endpoint()
        {
            endpoint.closed_silently(now);
        }
    }

    /// The request's ID, where its client is to be told.
    pub fn told_request_id(&self) -> Option<HeaderValue> {
        let is_told = self.snapshot.logging.expose_request_id && !self.request_id.is_empty();
        is_told.then(|| self.request_id.clone())
    }
}

/// Counted in `serin_active_requests` until dropped, however the request ends.
struct ActiveRequest(Arc<Gauge>);

impl ActiveRequest {
    fn new(active: &Arc<Gauge>) -> Self {
        active.inc();
        Self(active.clone())
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        self.0.dec();
    }
}
