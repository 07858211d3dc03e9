//! The only writer of snapshots: everybody else sends it an update.

pub mod kills;
pub mod reload;
mod sources;
mod workshop;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::MissedTickBehavior;

use crate::config::Config;
use crate::digest::Digest;
use crate::engine::unleash::FeatureSet;
use crate::events::Events;
use crate::registry::Registry;
use crate::resolver::ClusterDirectory;
use crate::snapshot::changes::Changes;
use crate::snapshot::store::SnapshotStore;
use crate::telemetry::metrics::MeterRegistry;
use workshop::Workshop;

/// How often clusters and meters are looked through for those that no snapshot points to.
const SWEEP: Duration = Duration::from_secs(60);
/// Updates that may wait. Whoever sends one waits for its snapshot, so that none waits behind many of another's.
const QUEUE: usize = 16;

/// Something that the next snapshot is to hold. The answer comes when requests are decided on it.
#[derive(Debug)]
pub enum Update {
    /// Another configuration.
    Config(Box<Config>, oneshot::Sender<Published>),
    /// What a flag server says now.
    Flags(FlagUpdate, oneshot::Sender<Published>),
    /// What the registry says is withdrawn has changed.
    Withdrawn(oneshot::Sender<Published>),
}

/// What a flag server says now.
#[derive(Debug)]
pub struct FlagUpdate {
    /// The source's name.
    pub source: Arc<str>,
    /// Every flag of it, those among them that are held.
    pub set: FeatureSet,
    /// Flags that its answer lacks and that are kept until that is certain.
    pub held: Vec<Arc<str>>,
}

/// What became of an update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The generation that holds it.
    pub generation: u64,
    /// That generation's hash.
    pub digest: Digest,
    /// Whether that is a new one: an update that changes nothing makes none. Updates that waited together are one.
    pub is_new: bool,
    /// The flags that it does not have in common with the generation before.
    pub changes: Arc<Changes>,
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
    events: Events,
}

/// The task that makes snapshots. The work itself is done on threads where it keeps nobody waiting.
pub struct Publisher {
    workshop: Arc<Mutex<Workshop>>,
}

impl Publisher {
    /// Makes the first snapshot, with the flags that were `stored` by source, and then by a task on the runtime
    /// `control` all the others.
    pub fn start(
        first: Arc<Config>,
        stored: Vec<(Arc<str>, FeatureSet)>,
        clusters: ClusterDirectory,
        meters: MeterRegistry,
        registry: Registry,
        control: &Handle,
    ) -> PublisherHandle {
        let events = Events::default();
        let workshop = Workshop::open(first, stored, clusters, meters, registry, events.clone());
        PublisherHandle {
            store: workshop.store().clone(),
            generation: workshop.generation(),
            updates: Self::spawn(workshop, control),
            events,
        }
    }

    fn spawn(workshop: Workshop, control: &Handle) -> mpsc::Sender<Update> {
        let (updates, inbox) = mpsc::channel(QUEUE);
        let publisher = Self {
            workshop: Arc::new(Mutex::new(workshop)),
        };
        control.spawn(publisher.run(inbox));
        updates
    }

    async fn run(self, mut inbox: mpsc::Receiver<Update>) {
        let mut sweep = tokio::time::interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut waiting = Vec::new();
        loop {
            tokio::select! {
                // All that wait are taken at once, in their order, and make one snapshot.
                count = inbox.recv_many(&mut waiting, QUEUE) => {
                    if count == 0 {
                        return;
                    }
                    let updates = std::mem::take(&mut waiting);
                    self.work(|workshop| workshop.take_in(updates)).await;
                }
                _ = sweep.tick() => self.work(|workshop| workshop.sweep(Instant::now())).await,
            }
        }
    }

    async fn work(&self, work: impl FnOnce(&mut Workshop) + Send + 'static) {
        let workshop = self.workshop.clone();
        let done = tokio::task::spawn_blocking(move || {
            work(&mut workshop.lock().unwrap_or_else(PoisonError::into_inner));
        });
        // What runs stays, and so does what the workshop has; the next update is a new attempt.
        if let Err(panic) = done.await {
            tracing::error!("a snapshot could not be made: {panic}");
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
        self.send(|done| Update::Config(Box::new(config), done))
            .await
    }

    /// Publishes what a flag server says now, and returns when requests are decided on it. `held` are the flags of
    /// `set` that its answer lacks. Of a source that is not configured any more, nothing is taken.
    pub async fn publish_flags(
        &self,
        source: &Arc<str>,
        set: FeatureSet,
        held: Vec<Arc<str>>,
    ) -> Result<Published, Stopped> {
        let source = source.clone();
        let update = FlagUpdate { source, set, held };
        self.send(|done| Update::Flags(update, done)).await
    }

    /// Publishes what the registry says is withdrawn, and returns when requests are decided on it.
    pub async fn withdraw(&self) -> Result<Published, Stopped> {
        self.send(Update::Withdrawn).await
    }

    async fn send(
        &self,
        update: impl FnOnce(oneshot::Sender<Published>) -> Update,
    ) -> Result<Published, Stopped> {
        let (done, published) = oneshot::channel();
        self.updates.send(update(done)).await.map_err(|_| Stopped)?;
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

    /// Tells what happens, new snapshots and whatever others tell.
    pub fn events(&self) -> &Events {
        &self.events
    }
}

#[cfg(test)]
pub(crate) mod tests;
