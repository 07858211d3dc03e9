//! How fresh each source is, and how often it failed.

use std::fmt;

use super::SourceStatuses;
use crate::telemetry::metrics::{Collector, Page};

impl Collector for SourceStatuses {
    fn collect(&self, page: &mut Page<'_>) -> fmt::Result {
        let sources = self.all();
        let mut family = page.gauges(
            "serin_snapshot_age_seconds",
            "Since the source last confirmed what runs",
        )?;
        for source in &sources {
            family.write([("source", &*source.name)], &source.age().as_secs_f64())?;
        }
        let mut family = page.counters("serin_source_errors", "Failures of a source")?;
        for source in &sources {
            family.write([("source", &*source.name)], source.errors.get())?;
        }
        Ok(())
    }
}
