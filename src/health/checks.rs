//! Which clusters are checked, and when.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rand::RngExt;
use tokio::sync::{Semaphore, watch};

use super::probe;
use crate::cluster::Cluster;
use crate::cluster::endpoint::Endpoint;
use crate::cluster::policy::HealthPolicy;
use crate::snapshot::Snapshot;
use crate::snapshot::store::SnapshotStore;

/// Checks under way at a time, over all clusters.
const AT_ONCE: usize = 256;
/// Checks begin up to this part of the interval early or late, so that neither endpoints nor gateways are in step.
const JITTER: f64 = 0.1;

/// Keeps one task for every cluster of the snapshot whose service has a `health`.
pub(super) async fn follow(store: Arc<SnapshotStore>, mut generation: watch::Receiver<u64>) {
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    let mut running: HashMap<u64, watch::Sender<HealthPolicy>> = HashMap::new();
    loop {
        generation.mark_unchanged();
        running = next(&store.load(), running, &permits);
        if generation.changed().await.is_err() {
            return;
        }
    }
}

/// The tasks of a snapshot: those that there were with their policy as it is now, and new ones. A task whose sender
/// is dropped ends.
fn next(
    snapshot: &Snapshot,
    mut running: HashMap<u64, watch::Sender<HealthPolicy>>,
    permits: &Arc<Semaphore>,
) -> HashMap<u64, watch::Sender<HealthPolicy>> {
    let services = snapshot.services.iter();
    let wanted = services.filter_map(|service| Some((service, service.upstream.health.as_ref()?)));
    let clusters = wanted.flat_map(|(service, policy)| {
        let deployments = service.deployments.iter();
        deployments.map(move |deployment| (&deployment.cluster, policy))
    });
    clusters
        .map(|(cluster, policy)| {
            let sender = running.remove(&cluster.id).unwrap_or_else(|| {
                let (sender, policy) = watch::channel(policy.clone());
                let task = check_always(Arc::downgrade(cluster), policy, permits.clone());
                tokio::spawn(task);
                sender
            });
            sender.send_if_modified(|current| {
                let other = current != policy;
                if other {
                    policy.clone_into(current);
                }
                other
            });
            (cluster.id, sender)
        })
        .collect()
}

/// Checks a cluster's endpoints as long as its service wants it; then the results are forgotten.
async fn check_always(
    cluster: Weak<Cluster>,
    mut policy: watch::Receiver<HealthPolicy>,
    permits: Arc<Semaphore>,
) {
    loop {
        let current = policy.borrow_and_update().clone();
        tokio::select! {
            changed = policy.changed() => if changed.is_err() {
                break;
            },
            () = rounds(&cluster, &current, &permits) => return,
        }
    }
    if let Some(cluster) = cluster.upgrade() {
        let endpoints = cluster.endpoints();
        endpoints.iter().for_each(|e| e.forget_checks());
    }
}

/// One round after the other, until the cluster is gone.
async fn rounds(cluster: &Weak<Cluster>, policy: &HealthPolicy, permits: &Semaphore) {
    let spread = policy.interval.mul_f64(JITTER);
    while let Some(cluster) = cluster.upgrade() {
        let begun = Instant::now();
        let endpoints = cluster.endpoints();
        join_all(endpoints.iter().map(|endpoint| {
            let late = spread.mul_f64(rand::rng().random_range(0.0..1.0));
            check(endpoint, &cluster, policy, (late, permits))
        }))
        .await;
        drop((endpoints, cluster));
        let pause = policy.interval.saturating_sub(begun.elapsed());
        let jitter = rand::rng().random_range(1.0 - JITTER..1.0 + JITTER);
        tokio::time::sleep(pause.mul_f64(jitter)).await;
    }
}

async fn check(
    endpoint: &Endpoint,
    cluster: &Cluster,
    policy: &HealthPolicy,
    (late, permits): (Duration, &Semaphore),
) {
    tokio::time::sleep(late).await;
    // Never closed: it lives as long as the tasks.
    let _permit = permits.acquire().await;
    let finding = probe::ask(endpoint.address, cluster, policy).await;
    endpoint.take_check(finding, policy, Instant::now());
}
