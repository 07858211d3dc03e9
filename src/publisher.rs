//! The only writer of snapshots: all other parts send it updates.

mod builder;
pub mod flag_keeper;
mod flag_sources;
mod held;
mod inputs;
mod kept_flags;
pub mod kills;
pub mod metrics;
pub mod order;
mod preview;
mod registered;
pub mod registrar;
mod snapshot_thread;

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{MissedTickBehavior, timeout_at};

use crate::config::Config;
use crate::config::kept::KeptDocuments;
use crate::digest::Digest;
use crate::engine::source::SourceSet;
use crate::events::Events;
use crate::registry::kills::Kills;
use crate::registry::registrations::Registrations;
use crate::resolver::ClusterManager;
use crate::snapshot::changes::Changes;
use crate::snapshot::store::SnapshotStore;
use crate::telemetry::metrics::MeterRegistry;
use builder::SnapshotBuilder;
use order::{OrderKeeper, Trouble};
pub use preview::KeptPreview;
use registered::RegisteredUpstreams;
use snapshot_thread::SnapshotThread;

/// How often clusters and meters are looked through for those that no snapshot points to.
const SWEEP: Duration = Duration::from_secs(60);
/// Updates that may wait, and that one snapshot may hold.
const QUEUE: usize = 256;
/// What registrations alone have changed waits for more of it, this part of the time that the last snapshot took, and at most so long: of
/// pipelines that come together, all are in one snapshot.
const GATHERING: (u32, Duration) = (4, Duration::from_millis(25));

/// Something that the next snapshot is to hold, and where to say that requests are decided on it.
#[derive(Debug)]
struct Update {
    change: Change,
    done: oneshot::Sender<PublishResult>,
}

/// How an update ended.
type PublishResult = Result<Published, PublishError>;

/// Something that the next snapshot is to hold.
#[derive(Debug)]
enum Change {
    /// Another configuration.
    Config(Arc<Config>),
    /// A flag server says something else.
    Flags(FlagUpdate),
    /// Serin keeps other flags or segments itself.
    Kept(Arc<KeptDocuments>),
    /// Other canaries are registered, or their leases end at other times.
    Registrations,
    /// The kills say something else of which canaries are withdrawn.
    Withdrawn,
    /// Gateways have agreed on another order of canaries.
    Order,
}

/// The flags that a server has now.
#[derive(Clone, Debug)]
pub struct FlagUpdate {
    /// The source's name.
    pub source: Arc<str>,
    /// Every flag of it, the held ones included.
    pub set: SourceSet,
    /// Flags that its answer lacks and that are kept until that is certain.
    pub held: Vec<Arc<str>>,
}

/// The flags that are stored when the process begins.
#[derive(Clone, Debug, Default)]
pub struct StoredFlags {
    /// By source, what its server said last.
    pub sets: Vec<(Arc<str>, SourceSet)>,
    /// What Serin keeps itself.
    pub kept: Arc<KeptDocuments>,
    /// The canaries that pipelines have registered.
    pub registrations: Registrations,
}

impl From<Vec<(Arc<str>, SourceSet)>> for StoredFlags {
    fn from(sets: Vec<(Arc<str>, SourceSet)>) -> Self {
        Self {
            sets,
            ..Self::default()
        }
    }
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

/// Why an update was not published.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// There is no publisher any more: the process ends.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// No snapshot could be made of it: what runs stays, without it. Another update, or the same one again, is a new
    /// attempt.
    #[error("no snapshot could be made: {0}")]
    Failed(Arc<str>),
}

/// The process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the gateway is stopping")]
pub struct Stopped;

/// What all other parts know of the publisher.
#[derive(Clone, Debug)]
pub struct PublisherHandle {
    updates: mpsc::Sender<Update>,
    publisher: Publisher,
    generation: watch::Receiver<u64>,
    terms: watch::Receiver<Terms>,
    store: Arc<SnapshotStore>,
    order_trouble: Trouble,
    events: Events,
}

/// What registrations are judged by.
#[derive(Clone, Debug)]
struct Terms {
    config: Arc<Config>,
    registered: RegisteredUpstreams,
}

/// The task that has snapshots made, by a thread where nothing else waits for it.
#[derive(Clone, Debug)]
pub struct Publisher {
    thread: SnapshotThread,
}

impl Publisher {
    /// Makes the first snapshot, with the flags that were `stored` by source, and then by a task on the runtime
    /// `control` all the others.
    pub fn start(
        first: Arc<Config>,
        stored: Vec<(Arc<str>, SourceSet)>,
        clusters: ClusterManager,
        meters: MeterRegistry,
        kills: Kills,
        control: &Handle,
    ) -> PublisherHandle {
        let order = OrderKeeper::in_memory();
        Self::start_with(
            first,
            stored.into(),
            clusters,
            meters,
            kills,
            order,
            control,
        )
    }

    /// The same with what is known of which canary flags ran first.
    pub fn start_with(
        first: Arc<Config>,
        stored: StoredFlags,
        clusters: ClusterManager,
        meters: MeterRegistry,
        kills: Kills,
        order: OrderKeeper,
        control: &Handle,
    ) -> PublisherHandle {
        let events = Events::default();
        let (own, trouble) = (events.clone(), order.trouble());
        let builder = SnapshotBuilder::open(first, stored, clusters, meters, kills, order, own);
        let (updates, inbox) = mpsc::channel(QUEUE);
        let (store, generation) = (builder.store().clone(), builder.generation());
        let terms = builder.terms();
        let publisher = Self {
            thread: SnapshotThread::start(builder),
        };
        control.spawn(publisher.clone().run(inbox));
        PublisherHandle {
            updates,
            publisher,
            generation,
            terms,
            store,
            order_trouble: trouble,
            events,
        }
    }

    async fn run(self, mut inbox: mpsc::Receiver<Update>) {
        let mut sweep = tokio::time::interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut waiting = Vec::new();
        let mut gathering = Duration::ZERO;
        loop {
            tokio::select! {
                // All updates that wait make one snapshot, in their order.
                count = inbox.recv_many(&mut waiting, QUEUE) => {
                    if count == 0 {
                        return;
                    }
                    gather(&mut inbox, &mut waiting, gathering).await;
                    let begun = Instant::now();
                    self.publish_all(std::mem::take(&mut waiting)).await;
                    gathering = GATHERING.1.min(begun.elapsed() / GATHERING.0);
                }
                // A failure is logged there.
                _ = sweep.tick() => drop(self.work(|builder| builder.sweep(Instant::now())).await),
            }
        }
    }

    /// Publishes updates as one snapshot, and answers them. Where that cannot be done, each is tried alone: one that
    /// no snapshot can be made of must not keep a kill, or another source's flags, from being put in force.
    async fn publish_all(&self, updates: Vec<Update>) {
        let parts = updates
            .into_iter()
            .map(|update| (update.change, update.done));
        let (changes, waiting): (Vec<Change>, Vec<_>) = parts.unzip();
        let changes: Arc<[Change]> = changes.into();
        let together = self.publish(&changes, 0..changes.len()).await;
        let alone = together.is_err() && changes.len() > 1;
        for (index, done) in waiting.into_iter().enumerate() {
            let result = match alone {
                true => self.publish(&changes, index..index + 1).await,
                false => together.clone(),
            };
            // Fails when the sender has given up waiting.
            let _ = done.send(result);
        }
    }

    async fn publish(&self, changes: &Arc<[Change]>, part: Range<usize>) -> PublishResult {
        let changes = changes.clone();
        let apply = move |builder: &mut SnapshotBuilder| {
            builder.apply(changes.get(part).unwrap_or_default())
        };
        self.work(apply).await
    }

    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut SnapshotBuilder) -> T + Send + 'static,
    ) -> Result<T, PublishError> {
        self.thread.work(work).await
    }
}

/// Waits for more that may be published with what is `waiting`, as long as nothing of it is urgent.
async fn gather(inbox: &mut mpsc::Receiver<Update>, waiting: &mut Vec<Update>, time: Duration) {
    let end = tokio::time::Instant::now() + time;
    let may_wait = |update: &Update| matches!(update.change, Change::Registrations | Change::Order);
    while waiting.len() < QUEUE && waiting.iter().all(may_wait) {
        let room = QUEUE - waiting.len();
        match timeout_at(end, inbox.recv_many(waiting, room)).await {
            // Nobody is left who could send any, or the time is over.
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

impl PublisherHandle {
    /// Publishes a configuration, and returns when requests are decided on it.
    ///
    /// # Errors
    /// When no snapshot can be made of it, or the process ends.
    pub async fn publish(&self, config: Config) -> Result<Published, PublishError> {
        self.send(Change::Config(Arc::new(config))).await
    }

    /// Publishes the flags that a server has now, and returns when requests are decided on them. `held` are the flags of
    /// `set` that its answer lacks. Flags of a source that is not configured any more are dropped.
    ///
    /// # Errors
    /// When no snapshot can be made of them, or the process ends.
    pub async fn publish_flags(
        &self,
        source: &Arc<str>,
        set: impl Into<SourceSet>,
        held: Vec<Arc<str>>,
    ) -> Result<Published, PublishError> {
        let (source, set) = (source.clone(), set.into());
        self.send(Change::Flags(FlagUpdate { source, set, held }))
            .await
    }

    /// Publishes the flags and segments that Serin keeps now, and returns when requests are decided on them.
    ///
    /// # Errors
    /// When no snapshot can be made of them, or the process ends.
    pub async fn publish_kept(
        &self,
        documents: Arc<KeptDocuments>,
    ) -> Result<Published, PublishError> {
        self.send(Change::Kept(documents)).await
    }

    /// Publishes what the kills say is withdrawn, and returns when requests are decided on it.
    ///
    /// # Errors
    /// When no snapshot can be made, or the process ends. Their marks stop requests all the same.
    pub async fn withdraw(&self) -> Result<Published, PublishError> {
        self.send(Change::Withdrawn).await
    }

    /// Publishes the order of canaries that gateways have agreed on, and returns when requests are decided by it.
    ///
    /// # Errors
    /// When no snapshot can be made of it, or the process ends.
    pub async fn publish_order(&self) -> Result<Published, PublishError> {
        self.send(Change::Order).await
    }

    /// Publishes what is registered, and returns when requests are decided on it.
    ///
    /// # Errors
    /// When no snapshot can be made of it, or the process ends.
    pub async fn publish_registrations(&self) -> Result<Published, PublishError> {
        self.send(Change::Registrations).await
    }

    async fn send(&self, change: Change) -> PublishResult {
        let (done, published) = oneshot::channel();
        let update = Update { change, done };
        self.updates.send(update).await.map_err(|_| Stopped)?;
        published.await.map_err(|_| Stopped)?
    }

    /// The cell that requests are decided from.
    pub fn store(&self) -> &Arc<SnapshotStore> {
        &self.store
    }

    /// What is wrong with the record of which canary flags ran first, for people.
    pub fn order_trouble(&self) -> Option<String> {
        self.order_trouble.get()
    }

    /// Changes with every new generation.
    pub fn generation(&self) -> watch::Receiver<u64> {
        self.generation.clone()
    }

    /// What registrations are judged by, without waiting for the snapshot that is being made.
    fn terms(&self) -> Terms {
        self.terms.borrow().clone()
    }

    /// Where new snapshots are reported, and what other parts report.
    pub fn events(&self) -> &Events {
        &self.events
    }
}

#[cfg(test)]
pub(crate) mod tests;
