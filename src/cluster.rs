//! Upstreams: the URL a deployment has, and the handle to the addresses it stands for.
//!
//! A [`Cluster`] outlives the snapshots that point to it: a swap resets neither addresses nor counts.

pub mod endpoint;
pub mod policy;
pub mod recovery;
mod url;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use arc_swap::ArcSwap;

use crate::canary::Mark;
use endpoint::{Endpoint, EndpointUse};
use policy::UpstreamPolicy;
pub use url::{Scheme, UpstreamHost, UpstreamUrl, UpstreamUrlError, split_port};

/// How an endpoint is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Balance {
    /// The one with fewer requests in flight, of two taken at random.
    #[default]
    LeastRequests,
    /// One after the other.
    RoundRobin,
    /// The same one for the same user, as long as it is healthy; for nobody in particular as `LeastRequests`.
    HashUser,
}

/// Whose cluster it is: what is done when its endpoints fail depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Nobody can take its place: it is asked even when it seems down.
    Stable,
    /// Stable takes its place: it is not asked while it seems down.
    Canary,
}

impl Role {
    /// By the name of the deployment.
    pub fn of(deployment: &str) -> Self {
        if deployment == "stable" {
            Self::Stable
        } else {
            Self::Canary
        }
    }
}

/// What an endpoint is chosen by.
#[derive(Debug)]
pub struct Choice<'a> {
    /// The service's.
    pub policy: &'a UpstreamPolicy,
    /// Where the request has been already.
    pub tried: &'a [SocketAddr],
    /// Any number.
    pub random: u64,
    /// What stands for the user in `Balance::HashUser`.
    pub user_hash: Option<u64>,
    /// When it is.
    pub now: Instant,
}

/// Why there is no endpoint to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoEndpoint {
    /// No address is known.
    Unresolved,
    /// A canary has no healthy one.
    Unhealthy,
}

/// The upstream that a deployment's URL stands for.
#[derive(Debug)]
pub struct Cluster {
    /// Tells this cluster's pooled connections from every other's; never given twice in a process.
    pub id: u64,
    /// What it was made from.
    pub url: UpstreamUrl,
    /// The service that it belongs to.
    pub service: Box<str>,
    /// The deployment that it is the upstream of.
    pub deployment: Box<str>,
    /// Whether its canary is withdrawn.
    pub mark: Mark,
    role: Role,
    endpoints: ArcSwap<Vec<Arc<Endpoint>>>,
    settled: AtomicBool,
    turn: AtomicUsize,
}

impl Cluster {
    /// A cluster without addresses, unless the URL's host is one.
    pub fn new(id: u64, service: &str, deployment: &str, url: UpstreamUrl) -> Self {
        let literal = match url.host() {
            UpstreamHost::Address(ip) => Some(SocketAddr::new(*ip, url.port())),
            UpstreamHost::Name(_) => None,
        };
        let cluster = Self {
            id,
            url,
            service: service.into(),
            deployment: deployment.into(),
            mark: Mark::default(),
            role: Role::of(deployment),
            endpoints: ArcSwap::default(),
            settled: AtomicBool::new(false),
            turn: AtomicUsize::new(0),
        };
        if let Some(address) = literal {
            cluster.replace_endpoints(&[address]);
        }
        cluster
    }

    /// Sets the addresses; an address that stays keeps its counts.
    pub fn replace_endpoints(&self, addresses: &[SocketAddr]) {
        let old = self.endpoints.load();
        let mut next: Vec<Arc<Endpoint>> = addresses
            .iter()
            .map(|&address| {
                let kept = old.iter().find(|endpoint| endpoint.address == address);
                kept.cloned()
                    .unwrap_or_else(|| Arc::new(Endpoint::new(address)))
            })
            .collect();
        next.sort_by_key(|endpoint| endpoint.address);
        next.dedup_by_key(|endpoint| endpoint.address);
        self.endpoints.store(Arc::new(next));
        self.settle();
    }

    /// Whose it is.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Notes that the first look-up has ended, well or not.
    pub fn settle(&self) {
        self.settled.store(true, Ordering::Release);
    }

    /// Whether the first look-up has ended.
    pub fn is_settled(&self) -> bool {
        self.settled.load(Ordering::Acquire)
    }

    /// The addresses known now, in order.
    pub fn endpoints(&self) -> Arc<Vec<Arc<Endpoint>>> {
        self.endpoints.load_full()
    }

    /// Requests that are with it now.
    pub fn in_flight(&self) -> u32 {
        let endpoints = self.endpoints.load();
        endpoints.iter().map(|endpoint| endpoint.in_flight()).sum()
    }

    /// Chooses an endpoint, rather not one that was tried, and counts the request in flight there.
    pub fn pick(&self, choice: &Choice<'_>) -> Result<EndpointUse, NoEndpoint> {
        let (tried, random) = (choice.tried, choice.random);
        let all = self.endpoints.load();
        let fresh = |endpoint: &&Arc<Endpoint>| !tried.contains(&endpoint.address);
        let count = all.iter().filter(fresh).count();
        let nth = |n: usize| match count {
            0 => all.get(n % all.len()),
            _ => all.iter().filter(fresh).nth(n % count),
        };
        let chosen = match all.len() {
            0 => None,
            1 => all.first(),
            _ => match choice.policy.balance {
                Balance::RoundRobin => nth(self.turn.fetch_add(1, Ordering::Relaxed)),
                Balance::LeastRequests | Balance::HashUser => {
                    let (low, high) = (random as u32 as usize, (random >> 32) as usize);
                    let choices = count.max(1);
                    // Two different ones: the second is one of those that the first is not.
                    let first = low % choices;
                    let second = (first + 1 + high % choices.saturating_sub(1).max(1)) % choices;
                    match (nth(first), nth(second)) {
                        (Some(a), Some(b)) if b.in_flight() < a.in_flight() => Some(b),
                        (a, _) => a,
                    }
                }
            },
        };
        chosen.map(EndpointUse::begin).ok_or(NoEndpoint::Unresolved)
    }
}

#[cfg(test)]
mod tests;
