//! Whether things can be stored.

use std::fmt;

use super::StateStore;
use crate::telemetry::metrics::{Collector, Page};

/// The places that things are stored in.
#[derive(Debug)]
pub struct StoreMetrics(pub StateStore);

impl Collector for StoreMetrics {
    fn collect(&self, page: &mut Page<'_>) -> fmt::Result {
        let standings = self.0.standings();
        let help = "Whether what is stored can be reached, and the last writes to it succeeded";
        let mut family = page.gauges("serin_store_up", help)?;
        for standing in &standings {
            let is_up = u64::from(standing.trouble.is_none());
            family.write([("store", standing.store)], &is_up)?;
        }
        let help = "How long ago what several gateways share was last read as a whole; since the start where it never was";
        let mut family = page.gauges("serin_store_age_seconds", help)?;
        for standing in &standings {
            if let Some(age) = standing.age {
                family.write([("store", standing.store)], &age.as_secs_f64())?;
            }
        }
        let help =
            "Writes of a file of `server.state_dir`: one for all that waited at the same time";
        let mut family = page.counters("serin_store_writes", help)?;
        for (kind, count) in self.0.writes() {
            family.write([("kind", kind.name())], count)?;
        }
        Ok(())
    }
}
