//! Where the attempts of one request go: first to the assigned deployment, and what comes after a failure.
//!
//! Served is settled here, assigned never changes. The request is only ever moved from a canary to stable.

use std::net::SocketAddr;
use std::time::Instant;

use smallvec::SmallVec;

use crate::canary::Cause;
use crate::cluster::Choice;
use crate::cluster::endpoint::{AttemptEnd, EndpointUse};
use crate::decide::Decision;
use crate::snapshot::{DeploymentIndex, STABLE, Service};

/// The attempts of one request.
#[derive(Debug)]
pub struct Attempts {
    deployment: DeploymentIndex,
    retries_left: u32,
    tried: SmallVec<[SocketAddr; 4]>,
    endpoint: Option<EndpointUse>,
    retries: SmallVec<[Cause; 2]>,
    cause: Option<Cause>,
    user_hash: Option<u64>,
}

impl Attempts {
    /// Before the first attempt. `user_hash` stands for the user in `Balance::HashUser`.
    pub fn new(service: &Service, decision: &Decision, user_hash: Option<u64>) -> Self {
        Self {
            deployment: decision.assigned,
            retries_left: service.upstream.retries,
            tried: SmallVec::new(),
            endpoint: None,
            retries: SmallVec::new(),
            cause: None,
            user_hash,
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

    /// The address of the next attempt; it is counted in flight there until the next call or the drop. A canary
    /// without a healthy endpoint is passed over for stable. `None`: nobody can be asked.
    pub fn next(&mut self, service: &Service, random: u64, now: Instant) -> Option<SocketAddr> {
        self.endpoint = None;
        loop {
            let cluster = &service.deployments[self.deployment].cluster;
            let choice = Choice {
                policy: &service.upstream,
                tried: &self.tried,
                random,
                user_hash: self.user_hash,
                now,
            };
            if let Ok(endpoint) = cluster.pick(&choice) {
                let address = endpoint.address();
                self.endpoint = Some(endpoint);
                return Some(address);
            }
            if self.deployment == STABLE {
                return None;
            }
            self.rescue(service, Cause::Unhealthy);
        }
    }

    /// Notes that no connection could be made, so that not one octet of the request was sent. Answers whether there
    /// is to be another attempt: on another endpoint of the same deployment, else on stable.
    pub fn connect_failed(&mut self, service: &Service, now: Instant) -> bool {
        if let Some(endpoint) = self.endpoint.take() {
            self.tried.push(endpoint.address());
            endpoint.report(AttemptEnd::Failed(Cause::Connect), &service.upstream, now);
        }
        let canary = self.deployment != STABLE;
        let cluster = &service.deployments[self.deployment].cluster;
        let others = cluster.has_other(&self.tried, now);
        // Asking the same address of a canary again would only keep its user waiting for stable.
        if self.retries_left > 0 && (others || !canary) {
            self.retry(Cause::Connect);
            return true;
        }
        if canary && service.upstream.rescue_on_connect {
            self.rescue(service, Cause::Connect);
            return true;
        }
        self.cause.get_or_insert(Cause::Connect);
        false
    }

    /// Notes that a pooled connection turned out to be dead before an answer began; the request may be sent again on
    /// a fresh one. Answers whether it is to be. That an endpoint closes what rests does not speak against it.
    pub fn stale_connection(&mut self) -> bool {
        let again = self.retries_left > 0;
        if again {
            self.retry(Cause::Reset);
        }
        again
    }

    /// Tells the endpoint how the current attempt ended, and counts the request there no more. An attempt that has
    /// ended already, or never began, has nothing to tell.
    pub fn ended(&mut self, end: AttemptEnd, service: &Service, now: Instant) {
        if let Some(endpoint) = self.endpoint.take() {
            endpoint.report(end, &service.upstream, now);
        }
    }

    /// Notes why the last attempt failed, unless an earlier cause explains more.
    pub fn failed(&mut self, cause: Cause) {
        self.cause.get_or_insert(cause);
    }

    fn retry(&mut self, cause: Cause) {
        self.retries_left -= 1;
        self.retries.push(cause);
    }

    fn rescue(&mut self, service: &Service, cause: Cause) {
        self.deployment = STABLE;
        self.cause = Some(cause);
        self.tried.clear();
        self.retries_left = service.upstream.retries;
    }
}

#[cfg(test)]
mod tests;
