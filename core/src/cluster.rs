//! Upstreams: the URL a deployment has, and the handle to the addresses it stands for.
//!
//! A [`Cluster`] outlives the snapshots that point to it: a swap resets neither addresses nor counts.

pub mod address;
mod admission;
mod balance;
mod check;
mod closings;
pub mod endpoint;
mod members;
mod outlier;
mod phase;
pub mod policy;
pub mod recovery;
mod url;
mod window;

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use arc_swap::ArcSwap;

pub use admission::{AddressGate, AddressRefusal, OpenGate, RefusedAddress};
use endpoint::{EndpointUse, Standing};
pub use members::{Members, Placement};
pub use outlier::SLOW_START;
use policy::{OutlierPolicy, UpstreamPolicy};
pub use url::{Scheme, UpstreamHost, UpstreamUrl, UpstreamUrlError};

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

/// A deployment of a service, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DeploymentName<'a> {
    /// The service's.
    pub service: &'a str,
    /// The deployment's own.
    pub deployment: &'a str,
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
    /// What stands for the user, in `Balance::HashUser` and where an endpoint is on trial.
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

/// Told when something about endpoints' health has changed; what it was, the endpoints say.
pub trait HealthListener: Send + Sync {
    /// Called on the request path: it must not wait.
    fn ring(&self);
}

/// An alarm that nobody hears.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoopListener;

impl HealthListener for NoopListener {
    fn ring(&self) {}
}

/// The upstream that a deployment's URL stands for.
pub struct Cluster {
    /// Tells this cluster's pooled connections from every other's; never given twice in a process.
    pub id: u64,
    /// What it was made from.
    pub url: UpstreamUrl,
    /// The service that it belongs to.
    pub service: Box<str>,
    /// The deployment that it is the upstream of.
    pub deployment: Box<str>,
    role: Role,
    /// What its endpoints know it by.
    itself: Weak<Self>,
    members: ArcSwap<Members>,
    settled: AtomicBool,
    turn: AtomicU64,
    /// The same of those that only stand by, whom requests do not move on.
    bystanders_turn: AtomicU64,
    /// How often something about its endpoints' health has changed.
    disturbances: AtomicU64,
    /// How many of these there had been when every endpoint was last seen to be healthy. While no more have come,
    /// endpoints are chosen without looking at each one's health.
    calm_since: AtomicU64,
    /// Held, and never waited for, by whoever ejects an endpoint of stable: so `max_ejected` is never passed.
    ejecting: AtomicBool,
    alarm: Arc<dyn HealthListener>,
    gate: Arc<dyn AddressGate>,
    /// Addresses that its URL leads to and that nobody is sent to.
    refused: ArcSwap<Vec<RefusedAddress>>,
}

impl Cluster {
    /// A cluster that may be connected to at every address. It has none yet, unless the URL's host is one.
    pub fn new(
        id: u64,
        name: DeploymentName<'_>,
        url: UpstreamUrl,
        alarm: Arc<dyn HealthListener>,
    ) -> Arc<Self> {
        let literal = match url.host() {
            UpstreamHost::Address(ip) => Some(SocketAddr::new(*ip, url.port())),
            UpstreamHost::Name(_) | UpstreamHost::Nowhere => None,
        };
        let cluster = Self::gated(id, name, url, alarm, Arc::new(OpenGate));
        if let Some(address) = literal {
            cluster.replace_endpoints(&[address]);
        }
        cluster
    }

    /// A cluster that may be connected to where `gate` lets it. It has no addresses yet.
    pub fn gated(
        id: u64,
        name: DeploymentName<'_>,
        url: UpstreamUrl,
        alarm: Arc<dyn HealthListener>,
        gate: Arc<dyn AddressGate>,
    ) -> Arc<Self> {
        // What is nowhere is never looked up.
        let settled = *url.host() == UpstreamHost::Nowhere;
        Arc::new_cyclic(|itself| Self {
            id,
            url,
            service: name.service.into(),
            deployment: name.deployment.into(),
            role: Role::of(name.deployment),
            itself: itself.clone(),
            members: ArcSwap::default(),
            settled: AtomicBool::new(settled),
            turn: AtomicU64::new(0),
            bystanders_turn: AtomicU64::new(0),
            disturbances: AtomicU64::new(0),
            calm_since: AtomicU64::new(0),
            ejecting: AtomicBool::new(false),
            alarm,
            gate,
            refused: ArcSwap::default(),
        })
    }

    /// Whether it may be connected to at this address, at this moment.
    pub fn judge(&self, address: SocketAddr) -> Result<(), AddressRefusal> {
        self.gate.judge(&self.url, address)
    }

    /// Sets the addresses, as equals.
    pub fn replace_endpoints(&self, addresses: &[SocketAddr]) {
        let placements: Vec<Placement> = addresses.iter().copied().map(Placement::from).collect();
        self.place_endpoints(&placements);
    }

    /// Sets the addresses; one that stays keeps its counts and its health. Requests that are with one that goes are
    /// not disturbed.
    pub fn place_endpoints(&self, placements: &[Placement]) {
        let next = Members::new(placements, &self.members.load(), &self.itself);
        self.members.store(Arc::new(next));
        self.settle();
    }

    /// Notes which addresses its URL leads to that nobody is sent to. Whether they are others than before.
    pub fn refuse(&self, refused: Vec<RefusedAddress>) -> bool {
        let is_news = **self.refused.load() != refused;
        if is_news {
            self.refused.store(Arc::new(refused));
        }
        is_news
    }

    /// The addresses that its URL leads to and that nobody is sent to.
    pub fn refused(&self) -> Arc<Vec<RefusedAddress>> {
        self.refused.load_full()
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

    /// The endpoints known now: by priority, then by address.
    pub fn endpoints(&self) -> Arc<Members> {
        self.members.load_full()
    }

    /// How many endpoints may be given requests.
    pub fn usable(&self, now: Instant) -> usize {
        let members = self.members.load();
        let usable = members.iter().filter(|e| e.standing(now).is_usable());
        usable.count()
    }

    /// Whether another attempt could go to an endpoint that was not tried yet and that may be given requests.
    pub fn has_other(&self, tried: &[SocketAddr], now: Instant) -> bool {
        let members = self.members.load();
        members
            .iter()
            .any(|e| !tried.contains(&e.address) && e.standing(now).is_usable())
    }

    /// Requests that are with it now.
    pub fn in_flight(&self) -> u32 {
        let members = self.members.load();
        members.iter().map(|endpoint| endpoint.in_flight()).sum()
    }

    /// Chooses an endpoint, rather not one that was tried, and counts the request in flight there.
    ///
    /// A canary whose endpoints are all ejected or unhealthy has none to give. Stable has as long as it has addresses:
    /// when fewer than half of its endpoints are healthy, all are used, since the few could not carry the load and
    /// the health of the many may be misjudged.
    pub fn pick(&self, choice: &Choice<'_>) -> Result<EndpointUse, NoEndpoint> {
        let members = self.members.load();
        if members.is_empty() {
            return Err(NoEndpoint::Unresolved);
        }
        let disturbances = self.disturbances.load(Ordering::Acquire);
        let calm = self.calm_since.load(Ordering::Relaxed) == disturbances;
        let chosen = if calm && choice.tried.is_empty() {
            members.any(choice, || self.next_turn())
        } else {
            let survey = members.survey(self.role, choice.now);
            if survey.all_well {
                self.calm_since.store(disturbances, Ordering::Relaxed);
            }
            members.fit(&survey, choice, || self.next_turn())
        };
        chosen.map(EndpointUse::begin).ok_or(NoEndpoint::Unhealthy)
    }

    /// An endpoint for what is no request of anybody's, one after the other: it counts nowhere, tries no endpoint that is on
    /// trial, and is not sent where requests are not.
    pub fn bystander(&self, now: Instant) -> Option<SocketAddr> {
        let members = self.members.load();
        let scope = members.survey(self.role, now).scope;
        let in_use = members.get(scope)?.iter().filter(|endpoint| {
            let standing = endpoint.standing(now);
            matches!(standing, Standing::Healthy | Standing::Warming(_))
        });
        let count = NonZeroU64::new(in_use.clone().count() as u64)?;
        let place = self.bystanders_turn.fetch_add(1, Ordering::Relaxed) % count;
        in_use.map(|endpoint| endpoint.address).nth(place as usize)
    }

    fn next_turn(&self) -> u64 {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    /// Calls `eject` if one more endpoint may be ejected, and answers what that does.
    fn eject(&self, policy: &OutlierPolicy, now: Instant, eject: impl FnOnce() -> bool) -> bool {
        match self.role {
            // Stable takes the place of a canary that is ejected as a whole.
            Role::Canary => eject(),
            // Whoever finds it held lets it be: another failure will come if the endpoint is as bad as it seems.
            Role::Stable if self.ejecting.swap(true, Ordering::Acquire) => false,
            Role::Stable => {
                let members = self.members.load();
                let ejected = members
                    .iter()
                    .filter(|e| e.standing(now) == Standing::Ejected);
                let done = ejected.count() < policy.most_ejected(members.len()) && eject();
                self.ejecting.store(false, Ordering::Release);
                done
            }
        }
    }

    /// Notes that something about an endpoint's health has changed.
    fn disturb(&self) {
        self.disturbances.fetch_add(1, Ordering::Release);
        self.alarm.ring();
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("id", &self.id)
            .field("url", &self.url)
            .field("service", &self.service)
            .field("deployment", &self.deployment)
            .field("members", &self.members)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
