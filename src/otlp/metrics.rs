//! What became of spans.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock;
use crate::context::Moment;
use crate::meter::Counter;
use crate::telemetry::metrics::{Collector, Page};

/// Counts spans by what became of them.
#[derive(Debug, Default)]
pub struct SpanFigures {
    /// How many the collector took.
    pub sent: Counter,
    /// How many it will never take.
    pub refused: Counter,
    /// How many were given up: the queue was full, or the collector was away for too long.
    pub dropped: Counter,
    trouble: Mutex<Trouble>,
}

/// What is wrong with the collector.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trouble {
    /// Why it does not take spans; `None`: it did last time.
    pub current: Option<String>,
    /// When spans were last not taken, and why.
    pub last: Option<(Moment, String)>,
}

impl SpanFigures {
    /// What is wrong with the collector.
    pub fn trouble(&self) -> Trouble {
        self.locked().clone()
    }

    /// The collector took a batch.
    pub(super) fn took(&self, spans: u64) {
        self.sent.add(spans);
        if self.locked().current.take().is_some() {
            tracing::warn!("the collector takes spans again");
        }
    }

    /// The collector took a batch but for these.
    pub(super) fn refused_some(&self, spans: u64, why: &str) {
        self.refused.add(spans);
        let told = format!("it took a batch but for {spans} spans: {why}");
        let mut trouble = self.locked();
        if trouble.last.as_ref().is_none_or(|(_, last)| *last != told) {
            tracing::error!(spans, why, "the collector refused spans");
        }
        trouble.last = Some((clock::now(), told));
    }

    /// The collector takes nothing now.
    pub(super) fn fail(&self, why: String) {
        let mut trouble = self.locked();
        if trouble.current.as_ref() != Some(&why) {
            tracing::error!(
                why,
                "the collector does not take spans; traffic is served as before"
            );
        }
        trouble.last = Some((clock::now(), why.clone()));
        trouble.current = Some(why);
    }

    /// Nobody is to take spans any more, or somebody else is.
    pub(super) fn forget_trouble(&self) {
        self.locked().current = None;
    }

    fn locked(&self) -> MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The figures of a gateway, which are on the page even when `tracing` is off: a reload may switch it on.
pub struct SpanMetrics(pub Arc<SpanFigures>);

impl Collector for SpanMetrics {
    fn collect(&self, page: &mut Page<'_>) -> fmt::Result {
        let help = "Spans by what became of them: taken by the collector, refused by it, or lost on the way";
        let mut counters = page.counters("serin_spans", help)?;
        for (result, count) in [
            ("sent", &self.0.sent),
            ("refused", &self.0.refused),
            ("dropped", &self.0.dropped),
        ] {
            counters.write([("result", result)], count.get())?;
        }
        Ok(())
    }
}
