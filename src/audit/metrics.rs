//! How many entries the trail has got.

use std::fmt;

use super::Audit;
use crate::telemetry::metrics::{Collector, Page};

impl Collector for Audit {
    fn collect(&self, page: &mut Page<'_>) -> fmt::Result {
        let figures = self.figures();
        let mut entries =
            page.counters("serin_audit_entries", "Entries written to the audit trail")?;
        for (action, count) in &figures.written {
            entries.write([("action", action.as_str())], *count)?;
        }
        page.counter(
            "serin_audit_lost",
            "Entries of the audit trail that are lost, since they could not be written",
            &figures.lost,
        )
    }
}
