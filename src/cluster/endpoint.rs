//! One address of a cluster, and what is known of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use super::policy::UpstreamPolicy;
use crate::canary::Cause;

/// One address of a cluster.
#[derive(Debug)]
pub struct Endpoint {
    /// Where it is.
    pub address: SocketAddr,
    in_flight: AtomicU32,
    /// Failures since the last good answer.
    consecutive: AtomicU32,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptEnd {
    /// With a whole answer of this status.
    Answered(u16),
    /// In another way.
    Failed(Cause),
}

impl Endpoint {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            in_flight: AtomicU32::new(0),
            consecutive: AtomicU32::new(0),
        }
    }

    /// Requests that are with it now.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }
}

impl AttemptEnd {
    /// Whether it speaks against the endpoint. As in Envoy's default, every 5xx does.
    pub fn is_failure(self) -> bool {
        match self {
            Self::Answered(status) => status >= 500,
            Self::Failed(_) => true,
        }
    }
}

/// An endpoint that a request is with: counted in flight until dropped.
#[derive(Debug)]
pub struct EndpointUse(Arc<Endpoint>);

impl EndpointUse {
    pub(super) fn begin(endpoint: &Arc<Endpoint>) -> Self {
        endpoint.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(endpoint.clone())
    }

    /// Where the endpoint is.
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// How many attempts in a row have failed there, as far as is known.
    pub fn failures_in_a_row(&self) -> u32 {
        self.0.consecutive.load(Ordering::Relaxed)
    }

    /// Tells how the attempt ended: once, and not at all where the client went away before that was known.
    pub fn report(&self, end: AttemptEnd, _policy: &UpstreamPolicy, _now: Instant) {
        if end.is_failure() {
            self.0.consecutive.fetch_add(1, Ordering::Relaxed);
        } else if self.0.consecutive.load(Ordering::Relaxed) != 0 {
            self.0.consecutive.store(0, Ordering::Relaxed);
        }
    }
}

impl Drop for EndpointUse {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
