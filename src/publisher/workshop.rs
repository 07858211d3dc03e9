//! Where snapshots are made: what the latest one is made of, and what outlives them all.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{oneshot, watch};

use super::sources::Sources;
use super::{FlagUpdate, Published, Update};
use crate::clock;
use crate::cluster::UpstreamUrl;
use crate::config::Config;
use crate::digest::Digest;
use crate::engine::unleash::FeatureSet;
use crate::events::{Events, What};
use crate::registry::Registry;
use crate::resolver::ClusterDirectory;
use crate::snapshot::assemble::{Content, Routing, StableUrl};
use crate::snapshot::changes::Changes;
use crate::snapshot::store::SnapshotStore;
use crate::snapshot::withdrawn::Withdrawn;
use crate::snapshot::{NamedBy, Snapshot};
use crate::telemetry::metrics::MeterRegistry;

/// What snapshots are made of, and with.
pub(super) struct Workshop {
    config: Arc<Config>,
    routing: Routing,
    sources: Sources,
    /// Where stable deployments are, or were when something last said so.
    last_known: HashMap<Arc<str>, StableUrl>,
    clusters: ClusterDirectory,
    meters: MeterRegistry,
    store: Arc<SnapshotStore>,
    generation: watch::Sender<u64>,
    events: Events,
    registry: Registry,
    runs: Running,
    /// Snapshots that requests under way may still hold. They are dropped here: taking a large one apart would keep
    /// the thread waiting that happened to hold it last, and that one has requests to serve.
    retired: Vec<Arc<Snapshot>>,
}

/// What the running snapshot is made of.
struct Running {
    /// The configuration's hash.
    config: Digest,
    /// The hash of that and of every source's content.
    content: Digest,
    withdrawn: Withdrawn,
}

impl Workshop {
    /// Makes the first snapshot.
    pub(super) fn open(
        config: Arc<Config>,
        stored: Vec<(Arc<str>, FeatureSet)>,
        mut clusters: ClusterDirectory,
        mut meters: MeterRegistry,
        registry: Registry,
        events: Events,
    ) -> Self {
        let mut sources = Sources::new(&config);
        for (source, set) in stored {
            let held = Vec::new();
            sources.take(&config, FlagUpdate { source, set, held });
        }
        let routing = Routing::of(&config);
        let content = Content {
            config: &config,
            routing: routing.clone(),
            sources: sources.compiled(),
            vocabulary: sources.vocabulary().clone(),
            last_known: &HashMap::new(),
            earlier: None,
        };
        let mut first = content.assemble(1, &mut clusters, &mut meters);
        let runs = Running {
            config: config.digest,
            content: first.digest,
            withdrawn: registry.withdrawn(),
        };
        first.withdraw(&runs.withdrawn);
        tell(&first, None);
        let first = Arc::new(first);
        let mut workshop = Self {
            registry,
            runs,
            config,
            routing,
            sources,
            last_known: HashMap::new(),
            clusters,
            meters,
            store: Arc::new(SnapshotStore::new(first.clone())),
            generation: watch::channel(1).0,
            events,
            retired: Vec::new(),
        };
        workshop.learn(&first);
        workshop
    }

    pub(super) fn store(&self) -> &Arc<SnapshotStore> {
        &self.store
    }

    pub(super) fn generation(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }

    /// Takes updates in, publishes what they come to, and answers them.
    pub(super) fn take_in(&mut self, updates: Vec<Update>) {
        let mut waiting = Vec::with_capacity(updates.len());
        for update in updates {
            waiting.push(self.take(update));
        }
        let published = self.publish();
        for done in waiting {
            // Nobody waits for the answer if whoever asked has gone.
            let _ = done.send(published.clone());
        }
    }

    /// Drops what nobody needs any more.
    pub(super) fn sweep(&mut self, now: Instant) {
        self.retire(None);
        self.clusters.sweep(now);
        self.meters.sweep(now);
    }

    fn take(&mut self, update: Update) -> oneshot::Sender<Published> {
        match update {
            Update::Config(config, done) => {
                self.reconfigure(*config);
                done
            }
            Update::Withdrawn(done) => done,
            Update::Flags(update, done) => {
                let source = update.source.clone();
                if let Some(flags) = self.sources.take(&self.config, update) {
                    if !flags.is_empty() {
                        tracing::warn!(
                            source = &*source,
                            flags = flags.len(),
                            "flags are missing and held"
                        );
                    }
                    self.events.tell(What::Held { source, flags });
                }
                done
            }
        }
    }

    fn reconfigure(&mut self, mut config: Config) {
        // Flags that say the same stay the same ones, so that only those count as changed that are.
        for flag in &mut config.flags {
            let earlier = &self.config.flags;
            let same = earlier.binary_search_by(|earlier| earlier.name.cmp(&flag.name));
            if let Some(same) = same.ok().and_then(|index| earlier.get(index))
                && *same == *flag
            {
                *flag = same.clone();
            }
        }
        self.sources.reconfigure(&self.config, &config);
        // What flags may not name any more does not stay either.
        self.last_known.retain(|_, known| {
            known.named_by == NamedBy::Platform || config.canary_urls.allows(&known.url)
        });
        self.routing = Routing::of(&config);
        self.config = Arc::new(config);
    }

    fn publish(&mut self) -> Published {
        let running = self.store.load();
        let same_config = self.runs.config == self.config.digest;
        let withdrawn = self.registry.withdrawn();
        let content = Content {
            config: &self.config,
            routing: self.routing.clone(),
            sources: self.sources.compiled(),
            vocabulary: self.sources.vocabulary().clone(),
            last_known: &self.last_known,
            earlier: same_config.then_some(&*running),
        };
        let unchanged = content.digest() == self.runs.content
            && withdrawn == self.runs.withdrawn
            && running.logging == self.config.logging
            && running.traffic == self.config.traffic;
        if unchanged {
            return Published {
                generation: running.generation,
                digest: running.digest,
                is_new: false,
                changes: Arc::default(),
            };
        }
        let generation = running.generation + 1;
        let mut next = content.assemble(generation, &mut self.clusters, &mut self.meters);
        self.runs = Running {
            config: self.config.digest,
            content: next.digest,
            withdrawn,
        };
        next.withdraw(&self.runs.withdrawn);
        let now = clock::now();
        let changes = Arc::new(Changes::between(&running, &next, now));
        next.rebucketed = changes.warned(&running, now);
        self.swap(running, next, changes)
    }

    fn swap(&mut self, running: Arc<Snapshot>, next: Snapshot, changes: Arc<Changes>) -> Published {
        let (generation, digest) = (next.generation, next.digest);
        self.learn(&next);
        tell(&next, Some((&running, &changes)));
        self.store.swap(Arc::new(next));
        self.generation.send_replace(generation);
        self.events.tell(What::Published {
            generation,
            digest,
            changes: changes.clone(),
        });
        self.retire(Some(running));
        Published {
            generation,
            digest,
            is_new: true,
            changes,
        }
    }

    /// Remembers where stable deployments are.
    fn learn(&mut self, snapshot: &Snapshot) {
        for (service, config) in snapshot.services.iter().zip(&self.config.services) {
            let url = &service.stable().cluster.url;
            let known = self.last_known.get(&service.name);
            if *url == UpstreamUrl::NOWHERE || known.is_some_and(|known| known.url == *url) {
                continue;
            }
            let named_by = match config.stable {
                Some(_) => NamedBy::Platform,
                None => NamedBy::Flag,
            };
            let url = url.clone();
            self.last_known
                .insert(service.name.clone(), StableUrl { url, named_by });
        }
    }

    fn retire(&mut self, snapshot: Option<Arc<Snapshot>>) {
        self.retired.extend(snapshot);
        self.retired
            .retain(|snapshot| Arc::strong_count(snapshot) > 1);
    }
}

/// What matters, in the log: one line, and what is odd since.
fn tell(next: &Snapshot, before: Option<(&Snapshot, &Changes)>) {
    let digest = next.digest.to_string();
    let changed = |count: fn(&Changes) -> usize| before.map(|(_, changes)| count(changes));
    tracing::info!(
        generation = next.generation,
        digest = digest.get(..12),
        services = next.services.len(),
        routes = next.routes.len(),
        flags = next.flags.len(),
        added = changed(|changes| changes.added.len()),
        changed = changed(|changes| changes.changed.len()),
        removed = changed(|changes| changes.removed.len()),
        warnings = next.warnings.len(),
        "snapshot published"
    );
    for warning in &next.warnings {
        if !before.is_some_and(|(before, _)| before.warnings.contains(warning)) {
            tracing::warn!(generation = next.generation, "{warning}");
        }
    }
    for moved in before.iter().flat_map(|(_, changes)| &changes.rebucketed) {
        tracing::warn!(generation = next.generation, flag = &*moved.flag, "{moved}");
    }
}
