//! What the status says of the collector of spans.

use schemars::JsonSchema;
use serde::Serialize;

use crate::otlp::metrics::SpanFigures;
use crate::snapshot::Snapshot;

/// Where requests go as spans, and what became of those so far.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Tracing")]
pub(super) struct TracingView {
    /// The collector.
    otlp: String,
    /// Of the requests that no trusted proxy has chosen, as in `1%`.
    sample: String,
    /// Whether it took the last batch.
    up: bool,
    /// How many spans it took.
    sent: u64,
    /// How many it will never take.
    refused: u64,
    /// How many were lost on the way.
    dropped: u64,
    last_error: Option<String>,
    #[schemars(extend("format" = "date-time"))]
    last_error_at: Option<String>,
}

impl TracingView {
    /// Of what runs; `None`: `tracing` is off.
    pub(super) fn of(snapshot: &Snapshot, figures: &SpanFigures) -> Option<Self> {
        let config = snapshot.tracing.as_ref()?;
        let trouble = figures.trouble();
        let (at, error) = trouble.last.unzip();
        Some(Self {
            otlp: config.collector.as_str().to_owned(),
            sample: config.sample.to_string(),
            up: trouble.current.is_none(),
            sent: figures.sent.get(),
            refused: figures.refused.get(),
            dropped: figures.dropped.get(),
            last_error: error,
            last_error_at: at.map(|at| at.to_string()),
        })
    }
}

/// That the collector takes no spans, if it does not.
pub(super) fn warning(snapshot: &Snapshot, figures: &SpanFigures) -> Option<String> {
    snapshot.tracing.as_ref()?;
    let why = figures.trouble().current?;
    Some(format!(
        "the collector of `tracing` does not take spans: {why}"
    ))
}
