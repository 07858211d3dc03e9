//! The only writer of snapshots: everybody else sends it an update.

pub mod reload;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::MissedTickBehavior;

use crate::config::Config;
use crate::resolver::ClusterDirectory;
use crate::snapshot::Snapshot;
use crate::snapshot::assemble::assemble;
use crate::snapshot::store::SnapshotStore;
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
    clusters: ClusterDirectory,
    meters: MeterRegistry,
    store: Arc<SnapshotStore>,
    generation: watch::Sender<u64>,
}

impl Publisher {
    /// Makes the first snapshot, and then by a task on the runtime `control` all the others.
    pub fn start(
        first: &Config,
        mut clusters: ClusterDirectory,
        mut meters: MeterRegistry,
        control: &Handle,
    ) -> PublisherHandle {
        let snapshot = Arc::new(assemble(first, 1, &mut clusters, &mut meters));
        tell(&snapshot);
        let store = Arc::new(SnapshotStore::new(snapshot));
        let (updates, inbox) = mpsc::channel(QUEUE);
        let (generation, watched) = watch::channel(1);
        let publisher = Self {
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
                        let _ = done.send(self.publish(&config));
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

    fn publish(&mut self, config: &Config) -> Published {
        let running = self.store.load();
        let unchanged = running.digest == config.digest
            && running.logging == config.logging
            && running.traffic == config.traffic;
        if unchanged {
            return Published {
                generation: running.generation,
                is_new: false,
            };
        }
        let generation = running.generation + 1;
        let next = assemble(config, generation, &mut self.clusters, &mut self.meters);
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
