//! Whether things can be stored.

use std::fmt;

use super::StateStore;
use crate::telemetry::metrics::{Collector, Page};

/// The places that things are stored in.
#[derive(Debug)]
pub struct StoreMetrics(pub StateStore);

impl Collector for StoreMetrics {
    fn collect(&self, page: &mut Page<'_>) -> fmt::Result {
        let help = "Whether the last writes to what is stored succeeded";
        let mut family = page.gauges("serin_store_up", help)?;
        for standing in self.0.standings() {
            let is_up = u64::from(standing.trouble.is_none());
            family.write([("store", standing.store)], &is_up)?;
        }
        Ok(())
    }
}
