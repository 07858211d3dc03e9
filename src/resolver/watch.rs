//! One name, looked up for as long as a cluster needs it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use rand::RngExt;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::Records;
use super::dns::Dns;
use super::known::{Addresses, Services};
use super::screen::place;
use crate::cluster::{Cluster, Placement};

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

#[derive(Debug)]
struct Shared {
    clusters: Vec<Weak<Cluster>>,
    /// What was found last; without ports unless the records have them.
    found: Vec<Placement>,
    records: Records,
    /// Whether a look-up has ended.
    asked: bool,
}

impl NameWatch {
    pub(super) fn start(name: &str, records: Records, dns: Arc<Dns>, control: &Handle) -> Self {
        let shared = Arc::new(Mutex::new(Shared {
            clusters: Vec::new(),
            found: Vec::new(),
            records,
            asked: false,
        }));
        let task = Watcher {
            name: name.into(),
            known: match records {
                Records::Addresses => Known::Addresses(Addresses::default()),
                Records::Services => Known::Services(Services::default()),
            },
            dns,
            shared: shared.clone(),
            failures: 0,
        };
        let task = control.spawn(task.run()).abort_handle();
        Self { shared, task }
    }

    /// Gives a cluster the addresses that are known, and all later ones.
    pub(super) fn add(&self, cluster: &Arc<Cluster>) {
        let mut shared = lock(&self.shared);
        shared.clusters.push(Arc::downgrade(cluster));
        shared.give(cluster);
    }

    /// Gives every cluster the known addresses once more: other ones may be allowed now.
    pub(super) fn give_again(&self) {
        lock(&self.shared).give_all();
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
    fn give(&self, cluster: &Cluster) {
        let mut placements = self.found.clone();
        if self.records == Records::Addresses {
            let port = cluster.url.port();
            placements
                .iter_mut()
                .for_each(|place| place.address.set_port(port));
        }
        if !placements.is_empty() {
            place(cluster, placements);
        } else if self.asked {
            cluster.settle();
        }
    }

    /// Notes what a look-up has found.
    fn update(&mut self, name: &str, found: Vec<Placement>) {
        if found != self.found {
            let before = self.shown();
            self.found = found;
            tracing::info!(name, ?before, now = ?self.shown(), "addresses changed");
        }
    }

    fn give_all(&self) {
        for cluster in self.clusters.iter().filter_map(Weak::upgrade) {
            self.give(&cluster);
        }
    }

    /// In words, for the log.
    fn shown(&self) -> Vec<String> {
        let shown = |place: &Placement| match self.records {
            Records::Addresses => place.address.ip().to_string(),
            Records::Services => {
                let (priority, weight) = (place.priority, place.weight);
                format!("{} (priority {priority}, weight {weight})", place.address)
            }
        };
        self.found.iter().map(shown).collect()
    }
}

/// What look-ups have found so far.
#[derive(Debug)]
enum Known {
    Addresses(Addresses),
    Services(Services),
}

struct Watcher {
    name: Box<str>,
    known: Known,
    dns: Arc<Dns>,
    shared: Arc<Mutex<Shared>>,
    failures: u32,
}

impl Watcher {
    async fn run(mut self) {
        loop {
            let pause = match self.look_up().await {
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

    /// Looks the name up, and gives good addresses to the clusters. Returns how long they may be believed, or why there are
    /// none.
    async fn look_up(&mut self) -> Result<Duration, String> {
        let (dns, name) = (&self.dns, &*self.name);
        let (outcome, found) = match &mut self.known {
            Known::Addresses(addresses) => {
                let outcome = addresses.refresh(dns, name).await;
                (outcome, addresses.placements())
            }
            Known::Services(services) => {
                let outcome = services.refresh(dns, name).await;
                (outcome, services.placements())
            }
        };
        let mut shared = lock(&self.shared);
        if outcome.is_ok() {
            shared.update(name, found);
        }
        shared.asked = true;
        shared.give_all();
        outcome
    }

    fn note_failure(&mut self, error: &str) {
        if self.failures == 0 {
            let kept = lock(&self.shared).shown();
            if kept.is_empty() {
                tracing::warn!(name = %self.name, error, "the name does not resolve; it has no addresses yet");
            } else {
                tracing::warn!(name = %self.name, error, ?kept, "the name does not resolve; the last good addresses stay");
            }
        }
        self.failures = self.failures.saturating_add(1);
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
