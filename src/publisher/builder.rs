//! Makes snapshots, one after the other: holds what the running one is made of, and what outlives them all.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;

use super::inputs::Inputs;
use super::order::OrderKeeper;
use super::{Change, Published, StoredFlags, Terms, held};
use crate::canary::WithdrawalFlag;
use crate::clock;
use crate::cluster::{Cluster, DeploymentName, UpstreamUrl};
use crate::config::Config;
use crate::digest::Digest;
use crate::events::{EventKind, Events};
use crate::registry::kills::Kills;
use crate::resolver::ClusterManager;
use crate::snapshot::changes::Changes;
use crate::snapshot::seniority::Seniority;
use crate::snapshot::store::SnapshotStore;
use crate::snapshot::withdrawn::Withdrawn;
use crate::snapshot::{ClusterProvider, NamedBy, Snapshot};
use crate::telemetry::metrics::MeterRegistry;

/// What snapshots are made of, and with.
pub(super) struct SnapshotBuilder {
    basis: Basis,
    /// Which canary flags ran first.
    order: OrderKeeper,
    handles: Handles,
    meters: MeterRegistry,
    store: Arc<SnapshotStore>,
    generation: watch::Sender<u64>,
    terms: watch::Sender<Terms>,
    events: Events,
    /// Snapshots that requests under way may still hold. They are dropped here: taking a large one apart would keep
    /// the thread waiting that happened to hold it last, and that one has requests to serve.
    retired: Vec<Arc<Snapshot>>,
}

/// What the running snapshot is made of.
struct Basis {
    inputs: Inputs,
    /// The hash of the configuration and of every source's content.
    content: Digest,
    withdrawn: Withdrawn,
}

/// What snapshots point to and what outlives them.
struct Handles {
    clusters: ClusterManager,
    kills: Kills,
}

impl ClusterProvider for Handles {
    fn cluster(
        &mut self,
        name: DeploymentName<'_>,
        url: &UpstreamUrl,
        named_by: NamedBy,
    ) -> Arc<Cluster> {
        self.clusters.cluster(name, url, named_by)
    }

    fn mark(&mut self, service: &str, flag: &str) -> Arc<WithdrawalFlag> {
        self.kills.mark(service, flag)
    }
}

impl SnapshotBuilder {
    /// Makes the first snapshot.
    pub(super) fn open(
        config: Arc<Config>,
        stored: StoredFlags,
        clusters: ClusterManager,
        mut meters: MeterRegistry,
        kills: Kills,
        mut order: OrderKeeper,
        events: Events,
    ) -> Self {
        let mut handles = Handles { clusters, kills };
        let mut inputs = Inputs::new(config, stored);
        handles.clusters.set_policy(&inputs.config.canary_urls);
        let content = inputs.content(order.known(), None);
        let digest = content.digest();
        let mut first = content.assemble(1, &mut handles, &mut meters);
        let content = digest;
        let withdrawn = handles.kills.withdrawn();
        first.withdraw(&withdrawn);
        order.learn(&mut first);
        log(&first, None);
        inputs.learn(&first);
        Self {
            terms: watch::channel(inputs.terms()).0,
            basis: Basis {
                inputs,
                content,
                withdrawn,
            },
            order,
            handles,
            meters,
            store: Arc::new(SnapshotStore::new(Arc::new(first))),
            generation: watch::channel(1).0,
            events,
            retired: Vec::new(),
        }
    }

    pub(super) fn store(&self) -> &Arc<SnapshotStore> {
        &self.store
    }

    /// What the running snapshot is made of.
    pub(super) fn inputs(&self) -> &Inputs {
        &self.basis.inputs
    }

    /// The handle of a canary's upstream that no snapshot may point to yet: the one that snapshots will have.
    pub(super) fn registered_cluster(
        &mut self,
        service: &str,
        canary: &str,
        url: &UpstreamUrl,
    ) -> Arc<Cluster> {
        let name = DeploymentName {
            service,
            deployment: canary,
        };
        let clusters = &mut self.handles.clusters;
        clusters.cluster(name, url, NamedBy::Registration)
    }

    /// Which canary flags ran first.
    pub(super) fn seniority(&self) -> &Seniority {
        self.order.known()
    }

    /// Which canaries are withdrawn.
    pub(super) fn withdrawn(&self) -> Withdrawn {
        self.handles.kills.withdrawn()
    }

    pub(super) fn generation(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }

    pub(super) fn terms(&self) -> watch::Receiver<Terms> {
        self.terms.subscribe()
    }

    /// Makes these changes to what the running snapshot is made of, and publishes the next one.
    pub(super) fn apply(&mut self, changes: &[Change]) -> Published {
        let mut inputs = self.basis.inputs.clone();
        let mut reported = Vec::new();
        if changes.iter().any(|change| matches!(change, Change::Order)) {
            self.order.follow();
        }
        let is_registered = |change: &Change| matches!(change, Change::Registrations);
        let last = changes.iter().rposition(is_registered);
        for (index, change) in changes.iter().enumerate() {
            // What is registered is read once, for all who have changed something.
            if is_registered(change) && Some(index) != last {
                continue;
            }
            let before = inputs.held(change);
            if let Some(what) = inputs.apply(change) {
                reported.push((what, before));
            }
        }
        let published = self.publish(inputs);
        for (what, before) in reported {
            if let EventKind::Held { source, flags } = &what {
                if !flags.is_empty() {
                    let flags = flags.len();
                    tracing::warn!(%source, flags, "flags are missing and held");
                }
                let deed = held::deed(source, &before, flags, &self.store.peek());
                self.events.audit().record(deed).let_go();
            }
            self.events.emit(what);
        }
        self.announce(&published);
        published
    }

    /// Drops what no snapshot needs any more.
    pub(super) fn sweep(&mut self, now: Instant) {
        self.retire(None);
        self.handles.clusters.sweep(now);
        self.handles.kills.sweep();
        self.meters.sweep(now);
    }

    fn publish(&mut self, mut inputs: Inputs) -> Published {
        let running = self.store.load();
        let config = &inputs.config;
        let same_config = self.basis.inputs.config.digest == config.digest;
        let earlier = same_config.then_some(&*running);
        let digest = inputs.content(self.order.known(), None).digest();
        let reorders = self.order.reorders(&running);
        if reorders {
            tracing::info!(
                "canaries stand in the order that gateways have agreed on, which is not the one in which this gateway has seen them"
            );
        }
        let unchanged = digest == self.basis.content
            && !reorders
            && self.handles.kills.withdrawn() == self.basis.withdrawn
            && self.basis.inputs.config.carries_the_same(config);
        if unchanged {
            self.basis.inputs = inputs;
            self.terms.send_replace(self.basis.inputs.terms());
            return Published {
                generation: running.generation,
                digest: running.digest,
                is_new: false,
                changes: Arc::default(),
            };
        }
        let generation = running.generation + 1;
        let content = inputs.content(self.order.known(), earlier);
        let mut next = content.assemble(generation, &mut self.handles, &mut self.meters);
        // Read only now, since kills may have come meanwhile. One that comes from here on has an update of its own, and
        // its mark stops requests until then.
        let withdrawn = self.handles.kills.withdrawn();
        next.withdraw(&withdrawn);
        let now = clock::now();
        let changes = Arc::new(Changes::between(&running, &next, now));
        next.rebucketed = changes.warned(&running, now);
        next.taking = changes.warned_of_taking(&running, now);
        inputs.learn(&next);
        self.order.learn(&mut next);
        let basis = Basis {
            inputs,
            content: digest,
            withdrawn,
        };
        self.swap(running, next, basis, changes)
    }

    /// Puts a snapshot in force. What it is made of is noted here, and not before: what came to nothing is no change
    /// that has been made.
    fn swap(
        &mut self,
        running: Arc<Snapshot>,
        next: Snapshot,
        basis: Basis,
        changes: Arc<Changes>,
    ) -> Published {
        let (generation, digest) = (next.generation, next.digest);
        log(&next, Some((&running, &changes)));
        // Before any request is decided on it.
        let policy = &basis.inputs.config.canary_urls;
        self.handles.clusters.set_policy(policy);
        self.store.swap(Arc::new(next));
        self.basis = basis;
        self.terms.send_replace(self.basis.inputs.terms());
        self.generation.send_replace(generation);
        self.retire(Some(running));
        Published {
            generation,
            digest,
            is_new: true,
            changes,
        }
    }

    fn announce(&self, published: &Published) {
        if published.is_new {
            self.events.emit(EventKind::Published {
                generation: published.generation,
                digest: published.digest,
                changes: published.changes.clone(),
            });
        }
    }

    fn retire(&mut self, snapshot: Option<Arc<Snapshot>>) {
        self.retired.extend(snapshot);
        self.retired
            .retain(|snapshot| Arc::strong_count(snapshot) > 1);
    }
}

/// Logs one line about a snapshot, and every warning that the one before did not have.
fn log(next: &Snapshot, before: Option<(&Snapshot, &Changes)>) {
    let digest = next.digest.to_string();
    let changed = |count: fn(&Changes) -> usize| before.map(|(_, changes)| count(changes));
    tracing::info!(
        generation = next.generation,
        digest = digest.get(..12),
        services = next.services.len(),
        routes = next.router.routes().len(),
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
    for taking in before.iter().flat_map(|(_, changes)| &changes.taking) {
        tracing::warn!(
            generation = next.generation,
            flag = &*taking.flag,
            "{taking}"
        );
    }
}
