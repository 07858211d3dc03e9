//! Which flags' canaries are killed.

use std::fmt;
use std::sync::Arc;

use super::Kills;
use crate::snapshot::store::SnapshotStore;
use crate::telemetry::metrics::{Collector, Page};

/// The kills of the running snapshot's services.
#[derive(Debug)]
pub struct KillMetrics {
    /// Every kill.
    pub kills: Kills,
    /// The running snapshot: kills of services that it does not have are not shown.
    pub store: Arc<SnapshotStore>,
}

impl Collector for KillMetrics {
    fn collect(&self, page: &mut Page<'_>) -> fmt::Result {
        let mut family = page.gauges("serin_canary_killed", "Flags whose canaries are killed")?;
        for service in &self.store.peek().services {
            for (flag, _) in self.kills.of_service(&service.name) {
                let labels = [("service", &*service.name), ("flag", flag.as_str())];
                family.write(labels, &1_u64)?;
            }
        }
        Ok(())
    }
}
