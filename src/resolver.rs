//! Names to addresses, in the background: the request path never waits for any of it.
//!
//! The manager hands out clusters when a snapshot is assembled. Behind every host name that some cluster needs
//! there is one task on the control runtime, which looks the name up again whenever its addresses have run out.

pub mod dns;
mod known;
mod screen;
mod watch;

use std::collections::HashMap;
use std::hash::{Hash as _, Hasher as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustc_hash::FxHasher;
use tokio::runtime::Handle;

use crate::cluster::policy::UrlPolicy;
use crate::cluster::{
    Cluster, DeploymentName, HealthListener, NoopListener, Placement, UpstreamHost, UpstreamUrl,
};
use crate::snapshot::{NamedBy, Snapshot};
use dns::Dns;
use screen::{Screen, ScreenFor, place};
use watch::NameWatch;

/// How long a cluster that no snapshot points to is kept, so that a change which is taken back soon finds its
/// addresses and connections again.
const KEPT_UNUSED: Duration = Duration::from_secs(600);

/// Every cluster of the process, and the tasks that keep their addresses fresh.
pub struct ClusterManager {
    clusters: HashMap<Key, ManagedCluster>,
    names: HashMap<(Box<str>, Records), NameWatch>,
    screen: Arc<Screen>,
    dns: Arc<Dns>,
    control: Handle,
    listener: Arc<dyn HealthListener>,
    /// Called for every handle that is asked for, so that tests can have something happen while a snapshot is assembled.
    #[cfg(test)]
    pub(crate) meanwhile: Option<Meanwhile>,
}

/// What tests have happen.
#[cfg(test)]
pub(crate) type Meanwhile = Box<dyn Fn(&UpstreamUrl) + Send>;

impl std::fmt::Debug for ClusterManager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClusterManager")
            .field("clusters", &self.clusters)
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

/// What makes two clusters the same.
type Key = (Box<str>, Box<str>, UpstreamUrl, NamedBy);

/// A cluster, and since when no snapshot points to it.
#[derive(Debug)]
struct ManagedCluster {
    cluster: Arc<Cluster>,
    unused_since: Option<Instant>,
}

/// Which records of a name are looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Records {
    /// A and AAAA: where the host is.
    Addresses,
    /// SRV: hosts and ports of a service.
    Services,
}

impl ClusterManager {
    /// Without clusters yet; it looks names up with `dns`, by tasks on the runtime `control`. `own` are the addresses
    /// that this gateway listens on: no cluster has them.
    pub fn new(dns: Dns, control: Handle, own: Box<[SocketAddr]>) -> Self {
        Self {
            clusters: HashMap::new(),
            names: HashMap::new(),
            screen: Arc::new(Screen::new(own, UrlPolicy::nothing())),
            dns: Arc::new(dns),
            control,
            listener: Arc::new(NoopListener),
            #[cfg(test)]
            meanwhile: None,
        }
    }

    /// The same, with clusters that notify `listener` of changes of health.
    pub fn with_listener(mut self, listener: Arc<dyn HealthListener>) -> Self {
        self.listener = listener;
        self
    }

    /// Holds the addresses of what flag servers name to `canary_urls`, those as well that are known already.
    pub fn set_policy(&mut self, policy: &UrlPolicy) {
        if self.screen.set_policy(policy) {
            self.screen_again();
        }
    }

    /// Looks at every address again: this machine may have others than it had.
    pub fn screen_again(&mut self) {
        for ((_, _, url, _), entry) in &self.clusters {
            if let UpstreamHost::Address(ip) = url.host() {
                let address = SocketAddr::new(*ip, url.port());
                place(&entry.cluster, vec![Placement::from(address)]);
            }
        }
        self.names.values().for_each(NameWatch::give_again);
    }

    /// Drops what no snapshot has pointed to for a while, and ends the look-ups that no cluster needs any more.
    pub fn sweep(&mut self, now: Instant) {
        self.clusters.retain(|_, entry| {
            // Only this manager, borrowed here, could make a second handle of a cluster that it alone holds.
            if Arc::strong_count(&entry.cluster) > 1 {
                entry.unused_since = None;
                return true;
            }
            let since = *entry.unused_since.get_or_insert(now);
            now.duration_since(since) < KEPT_UNUSED
        });
        self.names.retain(|_, watch| watch.is_needed());
        self.screen_again();
    }

    /// How many clusters there are.
    pub fn len(&self) -> usize {
        self.clusters.len()
    }

    /// Whether there is no cluster.
    pub fn is_empty(&self) -> bool {
        self.clusters.is_empty()
    }

    fn watch(&mut self, name: &str, cluster: &Arc<Cluster>) {
        let (dns, control) = (&self.dns, &self.control);
        let records = if cluster.url.is_srv() {
            Records::Services
        } else {
            Records::Addresses
        };
        self.names
            .entry((name.into(), records))
            .or_insert_with(|| NameWatch::start(name, records, dns.clone(), control))
            .add(cluster);
    }
}

impl ClusterManager {
    /// The handle for one deployment: the same one for the same URL.
    pub fn cluster(
        &mut self,
        name: DeploymentName<'_>,
        url: &UpstreamUrl,
        named_by: NamedBy,
    ) -> Arc<Cluster> {
        #[cfg(test)]
        if let Some(meanwhile) = &self.meanwhile {
            meanwhile(url);
        }
        let key = (
            name.service.into(),
            name.deployment.into(),
            url.clone(),
            named_by,
        );
        if let Some(entry) = self.clusters.get_mut(&key) {
            entry.unused_since = None;
            return entry.cluster.clone();
        }
        let id = identity(&key);
        let gate = Arc::new(ScreenFor {
            screen: self.screen.clone(),
            named_by,
        });
        let listener = self.listener.clone();
        let cluster = Cluster::gated(id, name, url.clone(), listener, gate);
        match url.host() {
            UpstreamHost::Name(name) => self.watch(name, &cluster),
            UpstreamHost::Address(ip) => {
                let address = SocketAddr::new(*ip, url.port());
                place(&cluster, vec![Placement::from(address)]);
            }
            UpstreamHost::Nowhere => {}
        }
        let entry = ManagedCluster {
            cluster: cluster.clone(),
            unused_since: None,
        };
        self.clusters.insert(key, entry);
        cluster
    }
}

/// What a cluster is known by where its name would be too long; the same in the process that takes over from this one.
fn identity((service, deployment, url, named_by): &Key) -> u64 {
    let mut hasher = FxHasher::default();
    (service, deployment, url.to_string(), named_by).hash(&mut hasher);
    hasher.finish()
}

/// The services of a snapshot whose stable deployment's name has neither resolved nor failed yet. Readiness waits
/// until there is none.
pub fn unsettled(snapshot: &Snapshot) -> impl Iterator<Item = &str> {
    snapshot
        .services
        .iter()
        .filter(|service| !service.stable().cluster.is_settled())
        .map(|service| &*service.name)
}

#[cfg(test)]
mod tests;
