//! How upstreams may be named and how they are spoken to.

mod streams;
mod tls;
mod urls;

use std::sync::Arc;
use std::time::Duration;

use super::Balance;
use super::recovery::{RescuePolicy, RetryPolicy};
use crate::capacity::LoadPolicy;
use crate::flag::Share;
pub use streams::{OnLeave, StreamPolicy};
pub use tls::{ServerIdentity, UpstreamTls};
pub use urls::{AllowedScheme, PortRange, UrlPolicy, UrlRefusal, UrlRule};

/// How a service's upstreams are spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamPolicy {
    /// How an endpoint is chosen.
    pub balance: Balance,
    /// Until a connection stands.
    pub connect_timeout: Duration,
    /// Until an attempt's response begins.
    pub response_timeout: Duration,
    /// A pooled connection's life.
    pub idle_timeout: Duration,
    /// Further attempts on the same deployment.
    pub retries: RetryPolicy,
    /// When stable takes over a canary's request.
    pub rescue: RescuePolicy,
    /// How many requests one canary may have at a time; the others are stable's.
    pub max_in_flight: Option<u32>,
    /// What becomes of streams on a canary that their users leave.
    pub streams: StreamPolicy,
    /// How much the service may be given at a time.
    pub load: LoadPolicy,
    /// Whether the client's `Host` is passed on; else the URL's.
    pub preserve_host: bool,
    /// When an endpoint is ejected.
    pub outlier: OutlierPolicy,
    /// How endpoints are checked, if they are.
    pub health: Option<HealthPolicy>,
    /// What is stated of TLS; `None`: nothing.
    pub tls: Option<Arc<UpstreamTls>>,
}

/// When an endpoint gets no more requests for a while, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutlierPolicy {
    /// After so many failures in a row; 0: however many.
    pub consecutive_failures: u32,
    /// After so large a part of failures within the window; 0 %: however large.
    pub error_ratio: Share,
    /// How far back that looks.
    pub window: Duration,
    /// How many attempts there must have been within it.
    pub min_requests: u32,
    /// How long the first ejection lasts; the next ones last longer.
    pub eject_for: Duration,
    /// How many of stable's endpoints may be ejected at a time.
    pub max_ejected: Share,
}

impl OutlierPolicy {
    /// How many of `count` endpoints may be ejected at a time: the share, but one at least if any may.
    pub fn most_ejected(&self, count: usize) -> usize {
        match usize::from(self.max_ejected.hundredths()) {
            0 => 0,
            share => (count * share / 10_000).max(1),
        }
    }
}

/// How endpoints are checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthPolicy {
    /// What is asked.
    pub probe: Probe,
    /// From one check to the next.
    pub interval: Duration,
    /// How long one may take.
    pub timeout: Duration,
    /// So many failed checks in a row make an endpoint unhealthy.
    pub unhealthy_after: u32,
    /// So many good ones in a row make it healthy again.
    pub healthy_after: u32,
    /// What is stated of TLS, as for requests.
    pub tls: Option<Arc<UpstreamTls>>,
}

/// What a health check asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// A GET.
    Http {
        /// Of this path, with its query.
        path: Box<str>,
        /// The status that is good; `None`: every 2xx.
        status: Option<u16>,
    },
    /// Whether a connection can be made.
    Tcp,
    /// The gRPC health service, about the server as a whole.
    Grpc,
}
