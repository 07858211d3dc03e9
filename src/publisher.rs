//! The only writer of snapshots: everybody else sends it an update.

pub mod kills;
pub mod reload;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::MissedTickBehavior;

use crate::config::Config;
use crate::registry::Registry;
use crate::resolver::ClusterDirectory;
use crate::snapshot::Snapshot;
use crate::snapshot::assemble::assemble;
use crate::snapshot::store::SnapshotStore;
use crate::snapshot::withdrawn::Withdrawn;
use crate::telemetry::metrics::MeterRegistry;

/// How often clusters and meters are looked through for those that no snapshot points to.
const SWEEP: Duration = Duration::from_secs(60);
/// Updates that may wait.
const QUEUE: usize = 16;

/// Something that the next snapshot is to hold.
#[derive(Debug)]
pub enum Update {
    /// Another configuration. The answer comes when it is what requests are decided on.
    Config(Box<Config>, oneshot::Sender<Published>),
    /// What is withdrawn has changed. The answer comes as above.
    Withdrawn(oneshot::Sender<Published>),
}

/// What became of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// The generation that holds it.
    pub generation: u64,
    /// Whether that is a new one: an update that changes nothing makes none.
    pub is_new: bool,
}

/// There is no publisher any more: the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the gateway is stopping")]
pub struct Stopped;

/// What everybody else knows of the publisher.
#[derive(Clone, Debug)]
pub struct PublisherHandle {
    updates: mpsc::Sender<Update>,
    generation: watch::Receiver<u64>,
    store: Arc<SnapshotStore>,
}

/// The task that makes snapshots.
pub struct Publisher {
    /// What the running snapshot is made from.
    config: Arc<Config>,
    registry: Registry,
    /// What of it the running snapshot knows.
    withdrawn: Withdrawn,
    clusters: ClusterDirectory,
    meters: MeterRegistry,
    store: Arc<SnapshotStore>,
    generation: watch::Sender<u64>,
}

impl Publisher {
    /// Makes the first snapshot, and then by a task on the runtime `control` all the others.
    pub fn start(
        first: Arc<Config>,
        mut clusters: ClusterDirectory,
        mut meters: MeterRegistry,
        registry: Registry,
        control: &Handle,
    ) -> PublisherHandle {
        let mut snapshot = assemble(&first, 1, &mut clusters, &mut meters);
        let withdrawn = registry.withdrawn();
        snapshot.withdraw(&withdrawn);
        let snapshot = Arc::new(snapshot);
        tell(&snapshot);
        let store = Arc::new(SnapshotStore::new(snapshot));
        let (updates, inbox) = mpsc::channel(QUEUE);
        let (generation, watched) = watch::channel(1);
        let publisher = Self {
            config: first,
            registry,
            withdrawn,
            clusters,
            meters,
            store: store.clone(),
            generation,
        };
        control.spawn(publisher.run(inbox));
        PublisherHandle {
            updates,
            generation: watched,
            store,
        }
    }

    async fn run(mut self, mut inbox: mpsc::Receiver<Update>) {
        let mut sweep = tokio::time::interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                update = inbox.recv() => match update {
                    Some(Update::Config(config, done)) => {
                        // Nobody waits for the answer if whoever asked has gone.
                        let _ = done.send(self.publish(Arc::from(config)));
                    }
                    Some(Update::Withdrawn(done)) => {
                        let _ = done.send(self.withdraw());
                    }
                    None => return,
                },
                _ = sweep.tick() => {
                    let now = Instant::now();
                    self.clusters.sweep(now);
                    self.meters.sweep(now);
                }
            }
        }
    }

    fn publish(&mut self, config: Arc<Config>) -> Published {
        let unchanged = self.config.digest == config.digest
            && self.config.logging == config.logging
            && self.config.traffic == config.traffic;
        if unchanged {
            return Published {
                generation: self.store.peek().generation,
                is_new: false,
            };
        }
        self.assemble(config)
    }

    fn withdraw(&mut self) -> Published {
        if self.registry.withdrawn() == self.withdrawn {
            return Published {
                generation: self.store.peek().generation,
                is_new: false,
            };
        }
        self.assemble(self.config.clone())
    }

    fn assemble(&mut self, config: Arc<Config>) -> Published {
        let generation = self.store.peek().generation + 1;
        let mut next = assemble(&config, generation, &mut self.clusters, &mut self.meters);
        self.config = config;
        self.withdrawn = self.registry.withdrawn();
        next.withdraw(&self.withdrawn);
        let next = Arc::new(next);
        tell(&next);
        self.store.swap(next);
        self.generation.send_replace(generation);
        Published {
            generation,
            is_new: true,
        }
    }
}

impl std::fmt::Debug for Publisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publisher").finish_non_exhaustive()
    }
}

impl PublisherHandle {
    /// Publishes a configuration, and returns when requests are decided on it.
    pub async fn publish(&self, config: Config) -> Result<Published, Stopped> {
        let (done, published) = oneshot::channel();
        let update = Update::Config(Box::new(config), done);
        self.updates.send(update).await.map_err(|_| Stopped)?;
        published.await.map_err(|_| Stopped)
    }

    /// Publishes what the registry says is withdrawn, and returns when requests are decided on it.
    pub async fn withdraw(&self) -> Result<Published, Stopped> {
        let (done, published) = oneshot::channel();
        let update = Update::Withdrawn(done);
        self.updates.send(update).await.map_err(|_| Stopped)?;
        published.await.map_err(|_| Stopped)
    }

    /// The cell that requests are decided from.
    pub fn store(&self) -> &Arc<SnapshotStore> {
        &self.store
    }

    /// Tells of every new generation.
    pub fn generation(&self) -> watch::Receiver<u64> {
        self.generation.clone()
    }
}

/// One line that says what matters.
fn tell(snapshot: &Snapshot) {
    let digest = snapshot.digest.to_string();
    tracing::info!(
        generation = snapshot.generation,
        digest = digest.get(..12),
        services = snapshot.services.len(),
        routes = snapshot.routes.len(),
        flags = snapshot.flags.len(),
        warnings = snapshot.warnings.len(),
        "snapshot published"
    );
    for warning in &snapshot.warnings {
        tracing::warn!(generation = snapshot.generation, "{warning}");
    }
}

#[cfg(test)]
pub(crate) mod tests;
