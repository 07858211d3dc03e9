//! Health from outside the request path: active checks, and log lines and events about endpoints that go down and come
//! back.
//!
//! An endpoint's health stands in its cluster, where requests find it; they never come here.

mod checks;
mod journal;
pub mod metrics;
mod probe;

use std::fmt;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};

use crate::cluster::endpoint::{Endpoint, Finding};
use crate::cluster::policy::HealthPolicy;
use crate::cluster::{Cluster, HealthListener};
use crate::events::Events;
use crate::snapshot::store::SnapshotStore;

/// Clusters ring it, and the journal hears it. Several rings before it is heard are one.
#[derive(Default)]
pub struct HealthNotify(Notify);

impl HealthListener for HealthNotify {
    fn ring(&self) {
        self.0.notify_one();
    }
}

impl fmt::Debug for HealthNotify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HealthNotify")
    }
}

/// Asks one endpoint once how it is, over a connection of its own. Redirects are answers as any other: nobody follows them.
/// One whose address may not be connected to any more is not asked.
pub async fn ask(endpoint: &Endpoint, cluster: &Cluster, policy: &HealthPolicy) -> Finding {
    probe::ask(endpoint.address, cluster, policy).await
}

/// Checks the endpoints of every service that wants it, and reports what happens to endpoints, by tasks on the runtime
/// `control`. They end with the publisher, whose `generation` they follow.
pub fn start(
    store: &Arc<SnapshotStore>,
    generation: &watch::Receiver<u64>,
    changed: Arc<HealthNotify>,
    events: Events,
    control: &Handle,
) {
    let checks = checks::follow(store.clone(), generation.clone());
    control.spawn(checks);
    let journal = journal::keep(store.clone(), generation.clone(), changed, events);
    control.spawn(journal);
}
