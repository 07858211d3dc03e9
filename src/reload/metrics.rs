//! How often `routes.yaml` was reloaded, and whether its last content is in force.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::meter::Counter;
use crate::telemetry::metrics::{Collector, Page};

/// Reloads of `routes.yaml`, by their result.
#[derive(Debug, Default)]
pub struct ReloadMetrics {
    pub(super) ok: Counter,
    pub(super) invalid: Counter,
    has_failed: AtomicBool,
}

impl ReloadMetrics {
    /// Counts a reload after which the file's content is in force.
    pub fn succeeded(&self) {
        self.ok.inc();
        self.has_failed.store(false, Ordering::Relaxed);
    }

    /// Counts a reload whose file could not be read or used.
    pub fn failed(&self) {
        self.invalid.inc();
        self.has_failed.store(true, Ordering::Relaxed);
    }
}

impl Collector for ReloadMetrics {
    fn collect(&self, page: &mut Page<'_>) -> fmt::Result {
        let mut family = page.counters("serin_config_reloads", "Reloads of routes.yaml")?;
        family.write([("result", "ok")], self.ok.get())?;
        family.write([("result", "invalid")], self.invalid.get())?;
        let is_in_force = !self.has_failed.load(Ordering::Relaxed);
        page.gauge(
            "serin_config_last_reload_successful",
            "1 where routes.yaml is in force as it was last read, 0 where it has errors and an older one is",
            &u64::from(is_in_force),
        )
    }
}
