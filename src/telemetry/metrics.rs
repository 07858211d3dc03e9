//! Everything that is counted, for Prometheus.
//!
//! Requests are counted in plain atomics ([`crate::meter`]); they are walked here when somebody asks.

mod exposition;
mod process;
mod registry;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use crate::capacity::clients::Excess;
use crate::capacity::{OpenFiles, Shares};
use crate::client_api::ClientApi;
use crate::meter::Counter;
use crate::registry::Registry as Kills;
use crate::snapshot::store::SnapshotStore;
use crate::source::Sources;
use crate::telemetry::access_log::AccessLog;
pub use registry::MeterRegistry;

/// A number that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// One more.
    pub fn inc(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// One less.
    pub fn dec(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// The number now.
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Connections of clients and to upstreams.
#[derive(Debug, Default)]
pub struct ConnectionFigures {
    /// Clients' connections that are open.
    pub open: Gauge,
    /// Those that were turned away because there were too many.
    pub refused: Counter,
    /// What was refused because its client had too much open, by [`Excess::index`].
    pub excess: [Counter; Excess::ALL.len()],
    /// How many files the process may open.
    pub files: OpenFiles,
    /// Connections to upstreams that are open, those at rest included.
    pub upstream: Gauge,
    /// Attempts that wait for a connection to an upstream until one at rest has given way.
    pub upstream_wanted: Gauge,
    /// Requests whose body has not begun, and for which no upstream is asked before.
    pub awaiting_body: Gauge,
}

impl ConnectionFigures {
    /// Of a process that may open so many files.
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

/// How often `routes.yaml` was reloaded.
#[derive(Debug, Default)]
pub struct ReloadCounters {
    /// Well.
    pub ok: Counter,
    /// In vain: the file could not be read or used.
    pub invalid: Counter,
}

/// Where the figures come from.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// What is counted per service, deployment and flag.
    pub meters: MeterRegistry,
    /// What runs.
    pub store: Arc<SnapshotStore>,
    /// Requests that are being served: counted up and down by the proxy.
    pub active: Arc<Gauge>,
    /// Connections: counted by the proxy, too.
    pub connections: Arc<ConnectionFigures>,
    /// What clients are answered here, and how often.
    pub client_api: Arc<ClientApi>,
    /// How the file's reloads went.
    pub reloads: Arc<ReloadCounters>,
    /// Where configuration and flags come from.
    pub sources: Sources,
    /// Which lines it lost.
    pub access_log: AccessLog,
    /// Which canaries are killed.
    pub kills: Kills,
}

/// How the figures are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The text format that every Prometheus understands (0.0.4).
    Classic,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// What a client asks for by its `Accept` header: OpenMetrics only where it is named.
    pub fn accepted(accept: Option<&str>) -> Self {
        let names_it = |accept: &str| {
            accept.split(',').any(|range| {
                let mut parameters = range.split(';').map(str::trim);
                let named = parameters.next().is_some_and(|range| {
                    range.eq_ignore_ascii_case("application/openmetrics-text")
                });
                named && !parameters.any(|parameter| parameter == "q=0")
            })
        };
        if accept.is_some_and(names_it) {
            Self::OpenMetrics
        } else {
            Self::Classic
        }
    }

    /// The media type of what is written.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

impl Metrics {
    /// Of a process that has counted nothing yet, whose only source so far is the file.
    pub fn new(meters: MeterRegistry, store: Arc<SnapshotStore>, access_log: AccessLog) -> Self {
        let uses = Arc::default();
        Self {
            client_api: Arc::new(ClientApi::new(uses, Instant::now())),
            meters,
            store,
            active: Arc::default(),
            connections: Arc::default(),
            reloads: Arc::default(),
            sources: Sources::default(),
            access_log,
            kills: Kills::in_memory(),
        }
    }

    /// Writes every figure down.
    pub fn render(&self, format: Format) -> Result<String, std::fmt::Error> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(exposition::Exposition(self.clone())));
        let mut text = String::new();
        encode(&mut text, &registry)?;
        Ok(match format {
            Format::OpenMetrics => text,
            Format::Classic => exposition::classic(&text),
        })
    }
}

#[cfg(test)]
mod tests;
