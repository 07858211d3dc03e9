//! How upstreams may be named and how they are spoken to.

use std::net::IpAddr;
use std::time::Duration;

use super::recovery::{RescuePolicy, RetryPolicy};
use super::{Balance, UpstreamHost, UpstreamUrl};
use crate::capacity::LoadPolicy;
use crate::flag::Share;
use crate::route::HostPattern;

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
    /// How much the service may be given at a time.
    pub load: LoadPolicy,
    /// Whether the client's `Host` is passed on; else the URL's.
    pub preserve_host: bool,
    /// When an endpoint is ejected.
    pub outlier: OutlierPolicy,
    /// How endpoints are checked, if they are.
    pub health: Option<HealthPolicy>,
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

impl Default for OutlierPolicy {
    fn default() -> Self {
        Self {
            consecutive_failures: 5,
            error_ratio: HALF,
            window: Duration::from_secs(10),
            min_requests: 20,
            eject_for: Duration::from_secs(30),
            max_ejected: HALF,
        }
    }
}

const HALF: Share = match Share::new(5_000) {
    Some(half) => half,
    None => Share::ALL,
};

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

impl Default for UpstreamPolicy {
    fn default() -> Self {
        Self {
            balance: Balance::LeastRequests,
            connect_timeout: Duration::from_secs(1),
            response_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(60),
            retries: RetryPolicy::default(),
            rescue: RescuePolicy::default(),
            max_in_flight: None,
            load: LoadPolicy::default(),
            preserve_host: true,
            outlier: OutlierPolicy::default(),
            health: None,
        }
    }
}

/// Which upstream addresses flags, payloads and registrations may name (`canary_urls`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlPolicy {
    /// Networks that literal addresses, and the addresses of allowed names, may lie in.
    pub networks: Vec<ipnet::IpNet>,
    /// Host names: exact, or `*.suffix`.
    pub names: Vec<HostPattern>,
}

impl UrlPolicy {
    /// Whether a canary may have this URL. Link-local and metadata addresses never may, whatever is allowed.
    pub fn allows(&self, url: &UpstreamUrl) -> bool {
        match url.host() {
            UpstreamHost::Address(address) => {
                let address = address.to_canonical();
                !never_allowed(address) && self.networks.iter().any(|net| net.contains(&address))
            }
            UpstreamHost::Name(name) => self.names.iter().any(|pattern| pattern.matches(name)),
            UpstreamHost::Nowhere => false,
        }
    }
}

/// Link-local addresses (169.254.0.0/16 with the cloud's metadata service, fe80::/10), the IPv6 metadata address
/// of AWS, multicast, broadcast and the unspecified address.
pub fn never_allowed(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            v4.is_link_local() || v4.is_multicast() || v4.is_broadcast() || v4.is_unspecified()
        }
        IpAddr::V6(v6) => {
            v6.is_unicast_link_local()
                || v6.is_multicast()
                || v6.is_unspecified()
                || v6.segments() == [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254]
        }
    }
}
