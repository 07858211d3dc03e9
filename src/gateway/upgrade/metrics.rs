//! How upgrades went.

use std::fmt;

use crate::meter::Counter;
use crate::telemetry::metrics::{Collector, Page};

/// How the upgrades went that this process had a part in.
#[derive(Debug, Default)]
pub(in crate::gateway) struct UpgradeFigures {
    /// It took over from another one.
    pub(super) done: Counter,
    /// Another one could not take over from it.
    pub(super) failed: Counter,
}

impl Collector for UpgradeFigures {
    fn collect(&self, page: &mut Page<'_>) -> fmt::Result {
        let help = "Upgrades that made this process the one that serves, and those that failed while it served";
        let mut counters = page.counters("serin_upgrades", help)?;
        counters.write([("result", "done")], self.done.get())?;
        counters.write([("result", "failed")], self.failed.get())
    }
}
