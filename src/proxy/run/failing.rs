//! What an attempt's failure means for the request.

use std::time::Instant;

use super::{RequestRun, StepContext};
use crate::attempts::Failure;
use crate::canary::{Cause, Leave};

impl RequestRun {
    /// The attempt has failed; `answered`: after its answer had begun for the client. Says whether another is to be made.
    pub fn on_failure(&mut self, failure: Failure, answered: bool, step: &StepContext<'_>) -> bool {
        if !answered {
            return self.fail(failure, None, step);
        }
        if let Some(trace) = self.trace.as_mut() {
            trace.broken = Some(failure.cause());
        }
        let Some(upstream) = self.upstream.as_mut() else {
            return false;
        };
        let service = self.snapshot.services.get(upstream.plan.service);
        let attempts = &mut upstream.attempts;
        if let Some(end) = failure.end() {
            attempts.ended(end, &step.at(service));
        }
        attempts.gave_up(failure.cause());
        let deployment = service.deployments.get(attempts.deployment());
        deployment.meter.broken.inc();
        self.debug_failure(failure, "the answer broke off");
        false
    }

    pub(super) fn fail(
        &mut self,
        failure: Failure,
        status: Option<u16>,
        step: &StepContext<'_>,
    ) -> bool {
        let Some(upstream) = self.upstream.as_mut() else {
            return false;
        };
        let service = self.snapshot.services.get(upstream.plan.service);
        let before = upstream.attempts.deployment();
        let again = upstream
            .attempts
            .failed(failure, step.replay, &step.at(service));
        // A status that nothing is done about is the request's answer.
        if let Some(trace) = self.trace.as_mut()
            && (again || status.is_none())
        {
            trace.failed(
                &upstream.attempts,
                before,
                failure.cause(),
                status,
                step.now,
            );
        }
        let follows = match again {
            false => "no further attempt",
            true if upstream.attempts.deployment() == before => "retry",
            true => "rescue",
        };
        self.debug_failure(failure, follows);
        again
    }

    /// The attempt has been ended, since the user leaves the canary; `answered`: after its answer had begun for the client.
    /// Says whether another is to be made.
    pub fn on_leave(&mut self, why: Leave, answered: bool, step: &StepContext<'_>) -> bool {
        let Some(upstream) = self.upstream.as_mut() else {
            return false;
        };
        let service = self.snapshot.services.get(upstream.plan.service);
        let deployment = service.deployments.get(upstream.attempts.deployment());
        deployment.meter.streams_closed.inc();
        if !answered {
            return self.fail(Failure::Left(why), None, step);
        }
        upstream.attempts.left(why);
        if let Some(trace) = self.trace.as_mut() {
            trace.broken = Some(why.cause());
        }
        self.debug_failure(Failure::Left(why), "the answer was ended");
        false
    }

    /// There may be no further connection, which is no endpoint's failure. No other attempt is made: it would need one,
    /// too.
    pub fn on_no_room(&mut self, now: Instant) {
        if let Some(upstream) = self.upstream.as_mut() {
            upstream.attempts.passed_over(Cause::Overload);
            if let Some(trace) = self.trace.as_mut() {
                let attempts = &upstream.attempts;
                trace.failed(attempts, attempts.deployment(), Cause::Overload, None, now);
            }
        }
        self.debug_no_room();
    }
}
