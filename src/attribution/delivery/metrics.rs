//! What became of exposures at each sink, and how many wait for it.

use std::fmt;

use super::Delivery;
use crate::clock;
use crate::spool::Figures;
use crate::telemetry::metrics::{Counters, Page};

impl Delivery {
    /// Writes how many exposures each sink has taken, and what became of the others.
    pub(in crate::attribution) fn count(
        &self,
        counters: &mut Counters<'_>,
        spool: &Figures,
    ) -> fmt::Result {
        for sink in &self.sinks {
            let figures = sink.figures();
            let backlog = spool.sinks.get(&sink.name).cloned().unwrap_or_default();
            for (result, count) in [
                ("sent", figures.sent),
                ("refused", figures.refused),
                ("retried", figures.retried),
                ("dropped", backlog.dropped),
                ("unreadable", backlog.unreadable + figures.unreadable),
            ] {
                counters.write([("sink", &*sink.name), ("result", result)], count)?;
            }
        }
        Ok(())
    }

    /// Writes what each sink has before it.
    pub(in crate::attribution) fn gauge(
        &self,
        page: &mut Page<'_>,
        spool: &Figures,
    ) -> fmt::Result {
        let help = "How much is spooled that a sink has not taken";
        let mut family = page.gauges("serin_spool_bytes", help)?;
        for (name, backlog) in &spool.sinks {
            family.write([("sink", &**name)], &backlog.bytes)?;
        }
        let help = "How long the oldest exposure has waited for a sink; 0 where none does";
        let mut family = page.gauges("serin_spool_age_seconds", help)?;
        for (name, backlog) in &spool.sinks {
            let age = backlog.age(clock::now()).as_secs_f64();
            family.write([("sink", &**name)], &age)?;
        }
        Ok(())
    }
}
