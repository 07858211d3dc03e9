//! One name, looked up for as long as a cluster needs it.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use rand::RngExt;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::dns::{Answer, Dns, Family, Missing};
use crate::cluster::Cluster;
use crate::cluster::policy::never_allowed;
use crate::snapshot::NamedBy;

/// Between two look-ups that succeed.
const REFRESH: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));
/// Between two look-ups after a failure: doubled from the first to the second.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

/// The task of one name, ended when this is dropped.
#[derive(Debug)]
pub(super) struct NameWatch {
    shared: Arc<Mutex<Shared>>,
    task: AbortHandle,
}

#[derive(Debug, Default)]
struct Shared {
    clusters: Vec<Weak<Cluster>>,
    /// The last good addresses by family; a family whose look-up fails keeps its own.
    v4: Vec<IpAddr>,
    v6: Vec<IpAddr>,
    /// Whether a look-up has ended.
    asked: bool,
}

impl NameWatch {
    pub(super) fn start(name: &str, named_by: NamedBy, dns: Arc<Dns>, control: &Handle) -> Self {
        let shared = Arc::new(Mutex::new(Shared::default()));
        let task = Watcher {
            name: name.into(),
            named_by,
            dns,
            shared: shared.clone(),
            failures: 0,
        };
        let task = control.spawn(task.run()).abort_handle();
        Self { shared, task }
    }

    /// Gives a cluster what is known, and everything that will be.
    pub(super) fn add(&self, cluster: &Arc<Cluster>) {
        let mut shared = lock(&self.shared);
        shared.clusters.push(Arc::downgrade(cluster));
        shared.give(cluster);
    }

    /// Whether a cluster still wants the addresses.
    pub(super) fn is_needed(&self) -> bool {
        let mut shared = lock(&self.shared);
        shared
            .clusters
            .retain(|cluster| cluster.strong_count() != 0);
        !shared.clusters.is_empty()
    }
}

impl Drop for NameWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn all(&self) -> Vec<IpAddr> {
        self.v4.iter().chain(&self.v6).copied().collect()
    }

    fn give(&self, cluster: &Cluster) {
        let port = cluster.url.port();
        let addresses = self.all().into_iter();
        let addresses: Vec<SocketAddr> = addresses.map(|ip| SocketAddr::new(ip, port)).collect();
        if !addresses.is_empty() {
            cluster.replace_endpoints(&addresses);
        } else if self.asked {
            cluster.settle();
        }
    }

    fn give_all(&mut self) {
        let clusters = std::mem::take(&mut self.clusters);
        for cluster in clusters.iter().filter_map(Weak::upgrade) {
            self.give(&cluster);
        }
        self.clusters = clusters;
    }
}

struct Watcher {
    name: Box<str>,
    named_by: NamedBy,
    dns: Arc<Dns>,
    shared: Arc<Mutex<Shared>>,
    failures: u32,
}

impl Watcher {
    async fn run(mut self) {
        loop {
            let answer = self.dns.look_up(&self.name).await;
            let pause = match self.take(answer) {
                Ok(ttl) => {
                    if self.failures > 0 {
                        tracing::info!(name = %self.name, "the name resolves again");
                    }
                    self.failures = 0;
                    jittered(ttl.clamp(REFRESH.0, REFRESH.1))
                }
                Err(error) => {
                    self.note_failure(&error);
                    jittered(backoff(self.failures))
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Hands good addresses to the clusters. Returns how long they may be believed, or why there are none.
    fn take(&self, answer: Answer) -> Result<Duration, String> {
        let (v4, v6) = (self.allowed(answer.v4), self.allowed(answer.v6));
        let mut shared = lock(&self.shared);
        shared.asked = true;
        let outcome = match (&v4, &v6) {
            (Err(v4), Err(v6)) if v4.why == v6.why => Err(v4.why.clone()),
            (Err(v4), Err(v6)) => Err(format!("A: {}; AAAA: {}", v4.why, v6.why)),
            (Ok(_), Ok(_)) => Ok(answer.ttl),
            // Half an answer is asked for again soon, unless the other half is known not to exist.
            (Err(missing), Ok(_)) | (Ok(_), Err(missing)) if missing.certain => Ok(answer.ttl),
            (Err(_), Ok(_)) | (Ok(_), Err(_)) => Ok(answer.ttl.min(BACKOFF.1)),
        };
        if outcome.is_ok() {
            let before = shared.all();
            keep(&mut shared.v4, v4);
            keep(&mut shared.v6, v6);
            let now = shared.all();
            if now != before {
                tracing::info!(name = %self.name, ?before, ?now, "addresses changed");
            }
        }
        shared.give_all();
        outcome
    }

    fn allowed(&self, mut family: Family) -> Family {
        if let (Ok(addresses), NamedBy::Flag) = (&mut family, self.named_by) {
            addresses.retain(|address| !never_allowed(address.to_canonical()));
            if addresses.is_empty() {
                return Err(Missing {
                    why: "only addresses that no canary may have".to_owned(),
                    certain: false,
                });
            }
        }
        family
    }

    fn note_failure(&mut self, error: &str) {
        if self.failures == 0 {
            let kept = lock(&self.shared).all();
            if kept.is_empty() {
                tracing::warn!(name = %self.name, error, "the name does not resolve; it has no addresses yet");
            } else {
                tracing::warn!(name = %self.name, error, ?kept, "the name does not resolve; the last good addresses stay");
            }
        }
        self.failures = self.failures.saturating_add(1);
    }
}

fn keep(known: &mut Vec<IpAddr>, answer: Family) {
    match answer {
        Ok(mut addresses) => {
            addresses.sort_unstable();
            addresses.dedup();
            *known = addresses;
        }
        Err(missing) if missing.certain => known.clear(),
        Err(_) => {}
    }
}

fn backoff(failures: u32) -> Duration {
    let factor = 1 << failures.saturating_sub(1).min(8);
    (BACKOFF.0 * factor).min(BACKOFF.1)
}

/// Up to a tenth earlier or later, so that many names, or many gateways, do not ask in step.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(rand::rng().random_range(0.9..1.1))
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
