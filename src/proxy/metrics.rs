//! What the proxy counts of requests and connections.

use std::fmt;
use std::sync::Arc;

use crate::capacity::clients::Excess;
use crate::capacity::{OpenFiles, Shares};
use crate::meter::{Counter, Gauge};
use crate::overrides::{OverrideResult, OverrideResults};
use crate::proxy::throttle::Throttle;
use crate::snapshot::store::SnapshotStore;
use crate::telemetry::metrics::{Collector, Page};

/// Connections of clients and to upstreams.
#[derive(Debug, Default)]
pub struct ConnectionFigures {
    /// Clients' connections that are open.
    pub open: Gauge,
    /// Clients' connections that were turned away because there were too many.
    pub refused: Counter,
    /// Connections and requests that were refused because their client had too many.
    pub excess: ExcessCounters,
    /// Connections that were closed because a PROXY header was due and none came, or one from somebody who is not trusted.
    pub proxy_headers_refused: Counter,
    /// How many files the process may open.
    pub files: OpenFiles,
    /// Connections to upstreams that are open, those at rest included.
    pub upstream: Gauge,
    /// Attempts that wait for a connection to an upstream until one at rest has given way.
    pub upstream_wanted: Gauge,
    /// Requests whose body has not begun, and for which no upstream is asked before.
    pub awaiting_body: Gauge,
}

/// What was refused because its client had too many, by what there was too much of.
#[derive(Debug, Default)]
pub struct ExcessCounters {
    connections: Counter,
    streams: Counter,
    upstreams: Counter,
    control_frames: Counter,
}

impl ExcessCounters {
    /// What was refused because there was too much of this.
    pub fn of(&self, excess: Excess) -> &Counter {
        match excess {
            Excess::Connections => &self.connections,
            Excess::Streams => &self.streams,
            Excess::Upstreams => &self.upstreams,
            Excess::ControlFrames => &self.control_frames,
        }
    }
}

impl ConnectionFigures {
    /// The figures of a process that may open `files`.
    pub fn within(files: OpenFiles) -> Self {
        Self {
            files,
            ..Self::default()
        }
    }

    /// How the files are shared out, if the configuration wants so many connections of clients.
    pub fn shares(&self, wanted: Option<usize>) -> Shares {
        Shares::of(self.files.limit, wanted)
    }
}

/// The requests that are being served, and those that no rate limit could count.
#[derive(Debug)]
pub struct RequestMetrics {
    /// How many there are.
    pub active: Arc<Gauge>,
    /// Who has asked how often.
    pub throttle: Arc<Throttle>,
}

impl Collector for RequestMetrics {
    fn collect(&self, page: &mut Page<'_>) -> fmt::Result {
        page.gauge(
            "serin_active_requests",
            "Requests that are being served",
            &self.active.get(),
        )?;
        page.counter(
            "serin_rate_limit_unnoted",
            "Requests that passed a rate limit because there was no room to remember whose they were",
            &self.throttle.unnoted(),
        )
    }
}

/// Requests that showed overrides, by what became of these.
#[derive(Debug, Default)]
pub struct OverrideFigures([Counter; OverrideResult::ALL.len()]);

impl OverrideFigures {
    /// Counts a request.
    pub fn count(&self, results: OverrideResults) {
        for result in results.iter() {
            if let Some(counter) = self.0.get(result.index()) {
                counter.inc();
            }
        }
    }
}

impl Collector for Arc<OverrideFigures> {
    fn collect(&self, page: &mut Page<'_>) -> fmt::Result {
        let mut family = page.counters(
            "serin_overrides",
            "Requests that showed overrides, by what became of these; each result once a request",
        )?;
        for (result, count) in OverrideResult::ALL.into_iter().zip(&self.0) {
            family.write([("result", result.as_str())], count.get())?;
        }
        Ok(())
    }
}

/// The connections that are open, and how many may be.
#[derive(Debug)]
pub struct ConnectionMetrics {
    /// The counts.
    pub figures: Arc<ConnectionFigures>,
    /// The running snapshot, whose configuration sets the bound.
    pub store: Arc<SnapshotStore>,
}

impl Collector for ConnectionMetrics {
    fn collect(&self, page: &mut Page<'_>) -> fmt::Result {
        let figures = &self.figures;
        let shares = figures.shares(self.store.peek().traffic.connections);
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        page.gauge(
            "serin_connections",
            "Clients' connections that are open",
            &figures.open.get(),
        )?;
        page.gauge(
            "serin_connections_max",
            "How many connections clients may have open",
            &number(shares.clients),
        )?;
        page.counter(
            "serin_connections_refused",
            "Clients' connections that were turned away because there were too many",
            &figures.refused.get(),
        )?;
        let mut family = page.counters(
            "serin_client_refusals",
            "Connections and requests that were refused because their client had too many",
        )?;
        for excess in Excess::ALL {
            family.write_nonzero([("limit", excess.as_str())], figures.excess.of(excess))?;
        }
        page.counter(
            "serin_proxy_headers_refused",
            "Connections that were closed for want of a PROXY header from a trusted proxy",
            &figures.proxy_headers_refused.get(),
        )?;
        page.gauge(
            "serin_upstream_connections_max",
            "How many connections there may be to all upstreams together",
            &number(shares.upstreams),
        )?;
        page.gauge(
            "serin_requests_awaiting_body",
            "Requests whose body has not begun, and for which no upstream is asked before",
            &figures.awaiting_body.get(),
        )
    }
}
