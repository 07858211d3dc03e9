//! Where the attempts of one request go: first to the assigned deployment, and what comes after a failure.
//!
//! Served is settled here, assigned never changes. The request is only ever moved from a canary to stable.
//!
//! After a failure there are three ways on: a retry (the same deployment again), a rescue (stable instead of the
//! canary), or the end. Which one it is depends on how far the request had come:
//!
//! * Not one byte had reached an upstream, or an upstream says that it did nothing with it: any method goes on.
//! * It had reached the upstream: only safe methods are retried, only `rescue.methods` rescued. Whatever else was asked
//!   for may have been done, so that sending it again could do it twice.
//! * The answer had begun for the client, or the body can no longer be replayed: nothing goes on.

mod failure;
mod rescued;

use std::net::SocketAddr;
use std::time::Instant;

use http::Method;
use smallvec::SmallVec;

use crate::canary::{Cause, Leave, ReasonKind};
use crate::cluster::endpoint::{AttemptEnd, EndpointUse};
use crate::cluster::{Balance, Choice};
use crate::decide::Decision;
use crate::identity::UserKey;
use crate::meter::AttemptOutcome;
use crate::meter::load::Retrying;
use crate::quarantine::Quarantine;
use crate::snapshot::{DeploymentIndex, STABLE, Service};
pub use failure::Failure;

/// How often an upstream may refuse one request before that is a failure like any other.
const REFUSALS: u8 = 3;

/// The attempts of one request.
#[derive(Debug)]
pub struct Attempts {
    deployment: DeploymentIndex,
    retries_left: u32,
    tried: SmallVec<[SocketAddr; 4]>,
    endpoint: Option<EndpointUse>,
    /// Where the last attempt went, and when it began.
    last: Option<(SocketAddr, Instant)>,
    retries: SmallVec<[Cause; 2]>,
    cause: Option<Cause>,
    user: Option<UserKey>,
    /// Whether stable may take over. An override asks for the canary's own answer, whatever it is.
    rescuable: bool,
    /// Held while the request is in a retry.
    retrying: Option<Retrying>,
    /// Whether the deployment's pool has given it a dead connection already.
    met_stale: bool,
    /// How often the deployment has refused it.
    refusals: u8,
}

/// What attempts are made on.
#[derive(Clone, Copy, Debug)]
pub struct AttemptContext<'a> {
    /// The service that was asked for.
    pub service: &'a Service,
    /// Who is spared which canary.
    pub quarantine: &'a Quarantine,
    /// When it is.
    pub now: Instant,
}

/// What of the request could be sent again.
#[derive(Clone, Copy, Debug)]
pub struct Replay<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Whether all of its body can still be had.
    pub whole: bool,
}

/// What comes after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Retry,
    Rescue,
    End,
}

impl Attempts {
    /// Before the first attempt.
    pub fn new(service: &Service, decision: &Decision, user: Option<UserKey>) -> Self {
        Self {
            deployment: decision.assigned,
            retries_left: service.upstream.retries.attempts,
            tried: SmallVec::new(),
            endpoint: None,
            last: None,
            retries: SmallVec::new(),
            cause: None,
            user,
            rescuable: decision.reason.kind() != ReasonKind::Override,
            retrying: None,
            met_stale: false,
            refusals: 0,
        }
    }

    /// The deployment that the current attempt is at.
    pub fn deployment(&self) -> DeploymentIndex {
        self.deployment
    }

    /// Why the current attempt is not at the assigned deployment.
    pub fn cause(&self) -> Option<Cause> {
        self.cause
    }

    /// Why there were further attempts on the same deployment, one entry each.
    pub fn retries(&self) -> &[Cause] {
        &self.retries
    }

    /// The address that the last attempt went to.
    pub fn address(&self) -> Option<SocketAddr> {
        self.last.map(|(address, _)| address)
    }

    /// Where the last attempt went, and when it began.
    pub fn last(&self) -> Option<(SocketAddr, Instant)> {
        self.last
    }

    /// The address of the next attempt; it is counted in flight there until the attempt has ended. A canary that is
    /// not to be asked is passed over for stable. An error says why no endpoint can be asked.
    pub fn next(&mut self, site: &AttemptContext<'_>, random: u64) -> Result<SocketAddr, Cause> {
        self.endpoint = None;
        loop {
            match self.ask(site, random) {
                Ok(endpoint) => {
                    let address = endpoint.address();
                    self.endpoint = Some(endpoint);
                    self.last = Some((address, site.now));
                    return Ok(address);
                }
                Err(cause) if self.deployment != STABLE && self.rescuable => {
                    self.move_to_stable(site.service, cause);
                }
                Err(cause) => return Err(cause),
            }
        }
    }

    /// Whether a failure of this kind, now, would be rescued. A canary's user need not wait for it longer than
    /// `rescue.after` then.
    pub fn could_be_rescued(
        &self,
        failure: Failure,
        replay: Replay<'_>,
        service: &Service,
    ) -> bool {
        let policy = &service.upstream.rescue;
        self.deployment != STABLE
            && self.rescuable
            && replay.whole
            && failure.triggers(&policy.on)
            && (failure.is_harmless() || policy.methods.contains(replay.method))
    }

    /// Notes that the attempt failed before an answer began for the client. Answers whether there is to be another. A
    /// status that nothing is done about is no failure: the attempt goes on.
    pub fn failed(
        &mut self,
        failure: Failure,
        replay: Replay<'_>,
        site: &AttemptContext<'_>,
    ) -> bool {
        let step = self.step(failure, replay, site);
        if step == Step::End && failure.is_answer() {
            return false;
        }
        let cause = failure.cause();
        let failures = self.leave(failure, site);
        match step {
            Step::Retry => {
                if !self.is_forgiven(failure) {
                    self.retries_left = self.retries_left.saturating_sub(1);
                }
                self.met_stale |= failure == Failure::Stale;
                self.refusals += u8::from(failure == Failure::Refused);
                self.retries.push(cause);
            }
            Step::Rescue => {
                self.count_for_quarantine(failure, failures, site);
                self.move_to_stable(site.service, cause);
            }
            Step::End => self.gave_up(cause),
        }
        step != Step::End
    }

    /// Tells the endpoint how the current attempt ended, and counts the request there no more. An attempt that has
    /// ended already, or never began, has nothing to tell.
    pub fn ended(&mut self, end: AttemptEnd, site: &AttemptContext<'_>) {
        if let Some(endpoint) = self.endpoint.take() {
            endpoint.report(
                end,
                self.user.map(|user| user.hash),
                &site.service.upstream,
                site.now,
            );
        }
    }

    /// Notes that an answer of this status has begun, and is passed on.
    pub fn answered(&self, status: u16, site: &AttemptContext<'_>) {
        self.measure(AttemptOutcome::of_status(status), site);
    }

    /// Notes that the client does not wait for the current attempt any more, if there is one whose answer has not begun.
    pub fn abandoned(&mut self, site: &AttemptContext<'_>) {
        if self.endpoint.take().is_some() {
            self.measure(AttemptOutcome::Abandoned, site);
        }
    }

    /// Notes why no upstream answered, or why an answer broke, unless an earlier cause explains more.
    pub fn gave_up(&mut self, cause: Cause) {
        self.cause.get_or_insert(cause);
    }

    /// Notes that the answer was ended since its canary has lost its users, which says nothing about its endpoint.
    pub fn left(&mut self, why: Leave) {
        self.passed_over(why.cause());
    }

    /// Notes that the current attempt was not made after all, which says nothing about its endpoint.
    pub fn passed_over(&mut self, cause: Cause) {
        self.endpoint = None;
        self.gave_up(cause);
    }

    fn ask(&self, site: &AttemptContext<'_>, random: u64) -> Result<EndpointUse, Cause> {
        let policy = &site.service.upstream;
        let deployment = site.service.deployments.get(self.deployment);
        let is_canary = self.deployment != STABLE;
        if is_canary {
            // Read again before each attempt: a kill counts for requests that were decided on before it, too.
            if let Some(withdrawal) = deployment.withdrawal() {
                return Err(withdrawal.cause());
            }
            if self.rescuable && self.quarantined(deployment, site) {
                return Err(Cause::Quarantined);
            }
        }
        let choice = Choice {
            policy,
            tried: &self.tried,
            random,
            user_hash: self.chosen_for(policy.balance),
            now: site.now,
        };
        let endpoint = deployment
            .cluster
            .pick(&choice)
            .map_err(|_| Cause::Unhealthy)?;
        // Counted already, this request included: however many come at once, there are never more than that.
        match policy.max_in_flight {
            Some(most) if is_canary && deployment.cluster.in_flight() > most => {
                Err(Cause::Overload)
            }
            _ => Ok(endpoint),
        }
    }

    /// The user that an endpoint is chosen for; `None`: for nobody in particular. Of the users of stable only those are told
    /// apart whom the balance tells apart, and those whose request has failed already: an endpoint on trial is held back
    /// from the user whose request failed there.
    fn chosen_for(&self, balance: Balance) -> Option<u64> {
        let is_canarys = self.deployment != STABLE || self.cause.is_some();
        let matters = is_canarys || balance == Balance::HashUser || !self.retries.is_empty();
        self.user.filter(|_| matters).map(|user| user.hash)
    }

    /// What comes after a failure, and with a retry its place in the budget.
    fn step(&mut self, failure: Failure, replay: Replay<'_>, site: &AttemptContext<'_>) -> Step {
        if replay.whole && self.may_retry(failure, replay.method, site) {
            return Step::Retry;
        }
        if self.could_be_rescued(failure, replay, site.service) {
            return Step::Rescue;
        }
        Step::End
    }

    fn may_retry(&mut self, failure: Failure, method: &Method, site: &AttemptContext<'_>) -> bool {
        let policy = &site.service.upstream.retries;
        let allowed = failure == Failure::Stale || failure.triggers(&policy.on);
        let is_left = match self.is_forgiven(failure) {
            true => policy.attempts > 0,
            false => self.retries_left > 0,
        };
        // Another attempt at a canary that lost its users would be stable's: that is a rescue.
        let is_over = matches!(failure, Failure::Left(_));
        if is_over || !is_left || !allowed || !(failure.is_harmless() || method.is_safe()) {
            return false;
        }
        if failure == Failure::Stale || self.is_forgiven(failure) {
            // A fresh connection to where it was meant to go. This makes no failing service's load any heavier.
            return true;
        }
        // Asking the same address of a canary again would only keep its user waiting for stable.
        let useful = self.deployment == STABLE || !self.rescuable || self.has_other(site);
        useful && (self.retrying.is_some() || self.begin_retry(site.service))
    }

    /// Whether the failure is the connection's alone, and takes no retry from the request: an endpoint that fails in
    /// earnest, on a fresh connection, would find none left. The first dead connection of the pool is no reason to go
    /// elsewhere; nor is a connection that takes no further request, where stable could not take over at once.
    fn is_forgiven(&self, failure: Failure) -> bool {
        match failure {
            Failure::Stale => !self.met_stale,
            Failure::Refused => {
                self.refusals < REFUSALS && (self.deployment == STABLE || !self.rescuable)
            }
            _ => false,
        }
    }

    /// Whether the deployment has another endpoint that may be asked.
    fn has_other(&self, site: &AttemptContext<'_>) -> bool {
        let current = self.endpoint.iter().map(EndpointUse::address);
        let tried: SmallVec<[SocketAddr; 4]> = self.tried.iter().copied().chain(current).collect();
        let cluster = &site.service.deployments.get(self.deployment).cluster;
        cluster.has_other(&tried, site.now)
    }

    fn begin_retry(&mut self, service: &Service) -> bool {
        let clusters = service.deployments.iter().map(|each| &each.cluster);
        let active = clusters.map(|cluster| cluster.in_flight()).sum();
        let allowed = service.upstream.retries.allowed(active);
        self.retrying = Retrying::begin(&service.meter, allowed);
        if self.retrying.is_none() {
            service.meter.retries_refused.inc();
        }
        self.retrying.is_some()
    }

    /// Ends the attempt at its endpoint. How many attempts in a row have failed there by now.
    fn leave(&mut self, failure: Failure, site: &AttemptContext<'_>) -> u32 {
        let Some(endpoint) = self.endpoint.take() else {
            return 0;
        };
        if self.is_forgiven(failure) {
            return 0;
        }
        self.measure(AttemptOutcome::of_failure(failure.cause()), site);
        self.tried.push(endpoint.address());
        if let Some(end) = failure.end() {
            endpoint.report(
                end,
                self.user.map(|user| user.hash),
                &site.service.upstream,
                site.now,
            );
        }
        match failure {
            Failure::Stale => 0,
            _ => endpoint.failures_in_a_row(),
        }
    }

    fn measure(&self, outcome: AttemptOutcome, site: &AttemptContext<'_>) {
        if let Some((_, began)) = self.last {
            let meter = &site.service.deployments.get(self.deployment).meter;
            let took = site.now.saturating_duration_since(began);
            meter.attempts.observe(outcome, took);
        }
    }

    fn move_to_stable(&mut self, service: &Service, cause: Cause) {
        self.deployment = STABLE;
        self.cause = Some(cause);
        self.tried.clear();
        self.retries_left = service.upstream.retries.attempts;
        self.met_stale = false;
        self.refusals = 0;
        self.retrying = None;
    }
}

pub mod pool;
#[cfg(test)]
mod tests;
pub mod timing;
