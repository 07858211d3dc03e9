//! One address of a cluster, and what is known of it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

pub use super::check::{Check, Finding};
use super::closings::Closings;
use super::outlier::{Evidence, Outlier, OutlierState, Verdict};
use super::phase::PhaseWord;
pub use super::phase::{Ejection, EjectionRule};
use super::policy::{HealthPolicy, UpstreamPolicy};
use super::{Cluster, check::Checked};
use crate::canary::Cause;

/// One address of a cluster.
#[derive(Debug)]
pub struct Endpoint {
    /// Where it is.
    pub address: SocketAddr,
    cluster: Weak<Cluster>,
    in_flight: AtomicU32,
    checked: Checked,
    pub(super) outlier: Outlier,
    closings: Closings,
}

/// What is thought of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It gets its share of the requests.
    Healthy,
    /// It is back, and gets so many thousandths of its share.
    Warming(u32),
    /// Its ejection is over; it gets a request now and then to show what it can do.
    Trial,
    /// It failed too often: it gets nothing for a while.
    Ejected,
    /// Its active health checks fail.
    Unhealthy,
}

impl Standing {
    /// Whether it may be given requests.
    pub fn is_usable(self) -> bool {
        !matches!(self, Self::Ejected | Self::Unhealthy)
    }

    /// The name that logs and the API carry.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Warming(_) => "warming",
            Self::Trial => "trial",
            Self::Ejected => "ejected",
            Self::Unhealthy => "unhealthy",
        }
    }
}

impl Endpoint {
    pub(super) fn new(address: SocketAddr, cluster: Weak<Cluster>) -> Self {
        Self {
            address,
            cluster,
            in_flight: AtomicU32::new(0),
            checked: Checked::default(),
            outlier: Outlier::default(),
            closings: Closings::default(),
        }
    }

    /// Requests that are with it now.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// What is thought of it now.
    pub fn standing(&self, now: Instant) -> Standing {
        if self.checked.is_failing() {
            return Standing::Unhealthy;
        }
        match self.outlier.fitness(now) {
            OutlierState::Full => Standing::Healthy,
            OutlierState::Warming(share) => Standing::Warming(share),
            OutlierState::Trial => Standing::Trial,
            OutlierState::Ejected => Standing::Ejected,
        }
    }

    /// Its ejection, and how long it still lasts: nothing when it is on trial.
    pub fn ejection(&self, now: Instant) -> Option<(Ejection, Duration)> {
        self.outlier.ejection(now)
    }

    /// Its last active health check.
    pub fn last_check(&self) -> Option<Arc<Check>> {
        self.checked.last()
    }

    /// Takes an active health check in.
    pub fn take_check(&self, finding: Finding, policy: &HealthPolicy, now: Instant) {
        let passed = finding.passed;
        if self.checked.take(finding, policy, now) {
            if passed {
                self.outlier.warm_up(now);
            }
            self.tell();
        }
    }

    /// Forgets its active health checks: there are none any more.
    pub fn forget_checks(&self) {
        if self.checked.forget() {
            self.tell();
        }
    }

    /// Notes that it closed a connection that rested, or had just been taken up again, without having said so.
    pub fn closed_silently(&self, now: Instant) {
        self.closings.note(now);
    }

    /// Whether it did so of late: what must not be sent twice is to go over a fresh connection.
    pub fn closes_silently(&self, now: Instant) -> bool {
        self.closings.were_seen(now)
    }

    /// Whether one such connection is to be kept only to see whether it still does so.
    pub fn may_be_watched(&self, now: Instant) -> bool {
        self.closings.are_worth_a_look(now)
    }

    fn tell(&self) {
        if let Some(cluster) = self.cluster.upgrade() {
            cluster.disturb();
        }
    }
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptEnd {
    /// With a whole answer of this status.
    Answered(u16),
    /// In another way.
    Failed(Cause),
}

impl AttemptEnd {
    /// The failure that speaks against the endpoint, if any does. As by Envoy's default, every 5xx does.
    pub fn failure(self) -> Option<Cause> {
        match self {
            Self::Answered(status) => (status >= 500).then_some(Cause::Status),
            Self::Failed(cause) => Some(cause),
        }
    }
}

/// An endpoint that a request is with: counted in flight until dropped.
#[derive(Debug)]
pub struct EndpointUse {
    endpoint: Arc<Endpoint>,
    seen: PhaseWord,
}

impl EndpointUse {
    pub(super) fn begin(endpoint: &Arc<Endpoint>) -> Self {
        endpoint.in_flight.fetch_add(1, Ordering::Relaxed);
        Self {
            endpoint: endpoint.clone(),
            seen: endpoint.outlier.word(),
        }
    }

    /// The endpoint.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// Where the endpoint is.
    pub fn address(&self) -> SocketAddr {
        self.endpoint.address
    }

    /// How many attempts in a row have failed there, as far as is known.
    pub fn failures_in_a_row(&self) -> u32 {
        self.endpoint.outlier.failures_in_a_row()
    }

    /// Tells how the attempt of a user's request ended: once, and not at all where the client went away before that was
    /// known. `user` stands for the user; `None`: nobody is known, and each such request is taken for another's.
    pub fn report(
        &self,
        end: AttemptEnd,
        user: Option<u64>,
        policy: &UpstreamPolicy,
        now: Instant,
    ) {
        let (endpoint, outlier) = (&self.endpoint, &self.endpoint.outlier);
        let evidence = end.failure().map(|failure| Evidence {
            failure,
            // Nothing of a request is sent before there is a connection.
            user: user.filter(|_| failure != Cause::Connect),
        });
        let changed = match outlier.judge(self.seen, evidence, &policy.outlier, now) {
            None => false,
            Some(Verdict::Return) => outlier.bring_back(self.seen, now),
            Some(Verdict::Eject(rule, failure)) => {
                let eject = || outlier.eject(self.seen, (rule, failure), &policy.outlier, now);
                let cluster = endpoint.cluster.upgrade();
                cluster.is_some_and(|cluster| cluster.eject(&policy.outlier, now, eject))
            }
        };
        if changed {
            endpoint.tell();
        }
    }
}

impl Drop for EndpointUse {
    fn drop(&mut self) {
        self.endpoint.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
