//! The figures of the running snapshot and of its flags.

use std::fmt;
use std::sync::Arc;

use crate::clock;
use crate::snapshot::store::SnapshotStore;
use crate::telemetry::metrics::{Collector, Page};

/// Which snapshot runs.
#[derive(Debug)]
pub struct SnapshotMetrics(pub Arc<SnapshotStore>);

impl Collector for SnapshotMetrics {
    fn collect(&self, page: &mut Page<'_>) -> fmt::Result {
        page.gauge(
            "serin_snapshot_generation",
            "The number of the running snapshot",
            &self.0.peek().generation,
        )
    }
}

/// Which flags are older than they should be.
#[derive(Debug)]
pub struct FlagMetrics(pub Arc<SnapshotStore>);

impl Collector for FlagMetrics {
    fn collect(&self, page: &mut Page<'_>) -> fmt::Result {
        let mut family = page.gauges(
            "serin_flag_expired",
            "Whether the day has passed by which the flag should be gone",
        )?;
        let now = clock::now().unix_ms;
        for flag in &self.0.peek().flags {
            if let Some(expires) = flag.about.expires {
                let expired = u64::from(now > expires.unix_ms);
                family.write([("flag", &*flag.name)], &expired)?;
            }
        }
        Ok(())
    }
}
