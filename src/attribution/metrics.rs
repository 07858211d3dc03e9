//! What became of exposures, and how many wait.

use std::fmt;

use super::Attribution;
use crate::telemetry::metrics::{Collector, Page};

/// The figures of a gateway that records exposures.
pub struct AttributionMetrics(pub Attribution);

impl Collector for AttributionMetrics {
    fn collect(&self, page: &mut Page<'_>) -> fmt::Result {
        let Some(spool) = &self.0.spool else {
            return Ok(());
        };
        let (spool, delivery) = (spool.figures(), self.0.delivery.as_ref());
        let help =
            "Exposures by sink and by what became of them; without a sink: on the way to the spool";
        let mut counters = page.counters("serin_exposures", help)?;
        counters.write([("sink", ""), ("result", "unwritten")], spool.unwritten)?;
        if let Some(delivery) = delivery {
            delivery.count(&mut counters, &spool)?;
            delivery.gauge(page, &spool)?;
        }
        Ok(())
    }
}
