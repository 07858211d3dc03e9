//! What the status says of sinks: how much waits for each, and why.

use schemars::JsonSchema;
use serde::Serialize;

use crate::attribution::Attribution;
use crate::attribution::delivery::SinkStatus;
use crate::clock;
use crate::spool::Backlog;

/// Where exposures go, and what it has not taken yet.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Sink")]
pub(super) struct SinkView {
    name: String,
    product: &'static str,
    /// Whether the last attempt succeeded.
    up: bool,
    sent: u64,
    /// How many it will never take: they are in `dead-letter/`.
    refused: u64,
    /// How many were dropped before it took them.
    dropped: u64,
    backlog_bytes: u64,
    /// How long the oldest exposure has waited for it.
    backlog_age_seconds: f64,
    last_error: Option<String>,
    #[schemars(extend("format" = "date-time"))]
    last_error_at: Option<String>,
}

impl SinkView {
    /// Every sink, in the configuration's order.
    pub(super) fn all(attribution: &Attribution) -> Vec<Self> {
        let spool = attribution.spool.as_ref().map(|spool| spool.figures());
        let mut backlogs = spool.unwrap_or_default().sinks;
        let sinks = attribution.delivery.iter().flat_map(|it| it.sinks());
        let view = |sink| Self::of(sink, &backlogs.remove(&sink.name).unwrap_or_default());
        sinks.map(|sink| &**sink).map(view).collect()
    }

    fn of(sink: &SinkStatus, backlog: &Backlog) -> Self {
        let figures = sink.figures();
        let (at, error) = figures.last_error.unzip();
        Self {
            name: sink.name.to_string(),
            product: sink.product,
            up: figures.trouble.is_none(),
            sent: figures.sent,
            refused: figures.refused,
            dropped: backlog.dropped,
            backlog_bytes: backlog.bytes,
            backlog_age_seconds: backlog.age(clock::now()).as_secs_f64(),
            last_error: error,
            last_error_at: at.map(|at| at.to_string()),
        }
    }
}

/// What is wrong with sinks, and with what waits for them.
pub(super) fn warnings(attribution: &Attribution) -> Vec<String> {
    let own = attribution.trouble.as_deref().map(str::to_owned);
    let spool = attribution.spool.as_ref();
    let spool = spool.and_then(|spool| spool.figures().trouble);
    let sinks = attribution.delivery.iter().flat_map(|it| it.sinks());
    let sinks = sinks.filter_map(|sink| {
        let why = sink.figures().trouble?;
        Some(format!(
            "sink `{}` does not take exposures: {why}",
            sink.name
        ))
    });
    own.into_iter().chain(spool).chain(sinks).collect()
}
