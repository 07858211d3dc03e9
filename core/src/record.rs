//! The one record of what became of a request: what was assigned, what served, and what it cost.

#[cfg(any(test, feature = "testing"))]
pub mod raw_fields;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::canary::Cause;
use crate::context::Moment;
use crate::decide::Decision;
use crate::identity::UserKey;
use crate::meter::exemplar::Exemplar;
use crate::meter::view::ServedBy;
use crate::meter::{Counter, DeploymentMeter};
use crate::route::{RouteIndex, ServiceIndex};
use crate::snapshot::{DeploymentIndex, STABLE, Snapshot};
use crate::trace::RequestTrace;

/// What became of one request.
#[derive(Debug)]
pub struct Outcome<'a> {
    /// What it was decided on.
    pub snapshot: &'a Arc<Snapshot>,
    /// The route that took it.
    pub route: Option<RouteIndex>,
    /// The service it was for.
    pub service: Option<ServiceIndex>,
    /// What was decided, if it was for a service.
    pub decision: Option<Decision>,
    /// The deployment that answered; `None` when none did.
    pub served: Option<DeploymentIndex>,
    /// Why, if it is not the assigned one; or why nobody answered.
    pub cause: Option<Cause>,
    /// Why there were further attempts on the same deployment, one entry each.
    pub retries: &'a [Cause],
    /// The status the client saw; 0: it went away before.
    pub status: u16,
    /// Bytes of the request's body.
    pub request_bytes: u64,
    /// Bytes of the response's body.
    pub response_bytes: u64,
    /// From the start of the answering attempt to its response's head.
    pub upstream_time: Option<Duration>,
    /// From the request's head to the response's last byte.
    pub total_time: Duration,
    /// When the request came.
    pub moment: Moment,
    /// The method.
    pub method: &'a str,
    /// The host asked for.
    pub host: &'a str,
    /// The path asked for, without its query.
    pub path: &'a str,
    /// Stands for the user it was for, where it went to a service.
    pub user: Option<UserKey>,
    /// The ID of the user it was for, where the access log shows the request.
    pub user_id: Option<&'a str>,
    /// The client's address.
    pub client: IpAddr,
    /// `x-request-id`, as sent upstream.
    pub request_id: &'a str,
    /// The endpoint that was asked last.
    pub upstream: Option<SocketAddr>,
    /// The trace that the request belongs to, if it came with one (W3C Trace Context).
    pub trace_id: Option<&'a str>,
}

impl Outcome<'_> {
    /// Whether it is told to people however few requests are: it ended with 5xx, or stable served it in place of a canary.
    pub fn is_always_told(&self) -> bool {
        let assigned = self.decision.map(|decision| decision.assigned);
        let is_canarys = assigned.is_some_and(|assigned| assigned != STABLE);
        self.status >= 500 || self.served == Some(STABLE) && is_canarys
    }

    /// Counts the request in the meters that its snapshot points to. No lock, no allocation, no formatting.
    pub fn count(&self) {
        if let (Some(service), Some(decision)) = (self.service, self.decision) {
            let service = self.snapshot.services.get(service);
            decision.count(service);
            for cause in self.retries {
                inc(&service.meter.retries, *cause);
            }
        }
        let (meter, served) = self.counted_in();
        let durations = match served {
            ServedBy::None => {
                meter.unserved.inc(self.status);
                return;
            }
            ServedBy::Itself => {
                meter.served.inc(self.status);
                &meter.durations
            }
            ServedBy::Stable => {
                meter.served_by_stable.inc(self.status);
                if let Some(cause) = self.cause {
                    inc(&meter.rescues, cause);
                }
                meter.durations_by_stable.used()
            }
        };
        durations.observe(self.total_time, self.upstream_time);
    }

    /// Notes the request beside the figures that [`Self::count`] has counted it in: it is recorded as this trace, and ended
    /// at `unix_ms`.
    pub fn exemplify(&self, trace: &RequestTrace, unix_ms: u64) {
        let exemplar = Exemplar {
            trace: trace.id(),
            span: trace.span(),
            took: self.total_time,
            status: self.status,
            unix_ms,
        };
        let (meter, served) = self.counted_in();
        meter.exemplars.used().note(served, self.cause, exemplar);
    }

    /// The meter that counts it, and under whom.
    fn counted_in(&self) -> (&DeploymentMeter, ServedBy) {
        let (Some(service), Some(decision)) = (self.service, self.decision) else {
            return (&self.snapshot.unrouted, ServedBy::Itself);
        };
        let service = self.snapshot.services.get(service);
        let served = match self.served {
            None => ServedBy::None,
            Some(served) if served == decision.assigned => ServedBy::Itself,
            Some(_) => ServedBy::Stable,
        };
        (&service.deployments.get(decision.assigned).meter, served)
    }
}

/// Counts a cause. There is a counter for each.
fn inc(counters: &[Counter; Cause::ALL.len()], cause: Cause) {
    if let Some(counter) = counters.get(cause.index()) {
        counter.inc();
    }
}

#[cfg(test)]
mod tests;
