//! How upstreams may be named and how they are spoken to.

use std::net::IpAddr;
use std::time::Duration;

use super::address::{is_never_allowed, stands_for};
use super::recovery::{RescuePolicy, RetryPolicy};
use super::{Balance, UpstreamHost, UpstreamUrl};
use crate::capacity::LoadPolicy;
use crate::flag::Share;
use crate::host::HostPattern;

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

/// Which upstreams payloads and registrations may name (`canary_urls`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlPolicy {
    /// Networks that every address which is connected to must lie in.
    pub networks: Vec<ipnet::IpNet>,
    /// Host names, exact or `*.suffix`; `None`: any, since its addresses are what counts.
    pub names: Option<Vec<HostPattern>>,
    /// Whether a name that is listed exactly may have any address: nobody has said which.
    pub exact_names_anywhere: bool,
}

impl UrlPolicy {
    /// Allows nothing.
    pub fn nothing() -> Self {
        Self {
            networks: Vec::new(),
            names: Some(Vec::new()),
            exact_names_anywhere: false,
        }
    }

    /// Whether a canary may have this URL, as it is written. Where its name leads is another question
    /// ([`Self::allows_address`]). Link-local and metadata addresses never are allowed.
    pub fn allows(&self, url: &UpstreamUrl) -> bool {
        match url.host() {
            UpstreamHost::Address(address) => self.allows_address(url.host(), *address),
            UpstreamHost::Name(name) => self.names.as_ref().is_none_or(|names| {
                let mut names = names.iter();
                names.any(|pattern| pattern.matches(name))
            }),
            UpstreamHost::Nowhere => false,
        }
    }

    /// Whether a canary whose URL has this host may be connected to at this address: whatever the address stands for
    /// must lie in the networks.
    pub fn allows_address(&self, host: &UpstreamHost, address: IpAddr) -> bool {
        if is_never_allowed(address) {
            return false;
        }
        let within = |address: &IpAddr| self.networks.iter().any(|net| net.contains(address));
        self.is_anywhere(host) || stands_for(address).iter().all(within)
    }

    fn is_anywhere(&self, host: &UpstreamHost) -> bool {
        let UpstreamHost::Name(name) = host else {
            return false;
        };
        let mut names = self.names.iter().flatten();
        self.exact_names_anywhere
            && names
                .any(|pattern| matches!(pattern, HostPattern::Exact(exact) if **exact == **name))
    }
}
