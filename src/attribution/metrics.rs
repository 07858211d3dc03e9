//! What became of exposures, and how many wait.

use std::fmt;
use std::sync::atomic::Ordering;

use super::Attribution;
use super::exposures::Exposures;
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
        let recorder = self.0.exposures.as_ref().map(Exposures::figures);
        if let Some(figures) = recorder {
            for (result, counter) in [
                ("recorded", &figures.recorded),
                ("repeated", &figures.repeated),
                ("dropped", &figures.dropped),
            ] {
                counters.write([("sink", ""), ("result", result)], counter.get())?;
            }
        }
        if let Some(delivery) = delivery {
            delivery.count(&mut counters, &spool)?;
            delivery.gauge(page, &spool)?;
        }
        if let Some(figures) = recorder {
            let remembered = figures.remembered.load(Ordering::Relaxed);
            page.gauge(
                "serin_exposures_remembered",
                "Exposures of today and the day before that are remembered, so as not to be recorded twice",
                &i64::try_from(remembered).unwrap_or(i64::MAX),
            )?;
        }
        Ok(())
    }
}
