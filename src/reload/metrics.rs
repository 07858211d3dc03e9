//! How often `routes.yaml` was reloaded.

use std::fmt;

use crate::meter::Counter;
use crate::telemetry::metrics::{Collector, Page};

/// Reloads of `routes.yaml`, by their result.
#[derive(Debug, Default)]
pub struct ReloadMetrics {
    /// The file's content is in force.
    pub ok: Counter,
    /// The file could not be read or used.
    pub invalid: Counter,
}

impl Collector for ReloadMetrics {
    fn collect(&self, page: &mut Page<'_>) -> fmt::Result {
        let mut family = page.counters("serin_config_reloads", "Reloads of routes.yaml")?;
        family.write([("result", "ok")], self.ok.get())?;
        family.write([("result", "invalid")], self.invalid.get())
    }
}
