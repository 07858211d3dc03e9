//! What a worker's hooks have at hand.

use std::sync::Arc;

use tokio::sync::watch;

use crate::attribution::exposures::Exposures;
use crate::client_api::ClientApi;
use crate::drain::DrainWatch;
use crate::forward::via::Via;
use crate::meter::Gauge;
use crate::otlp::SpanExporter;
use crate::proxy::metrics::{ConnectionFigures, OverrideFigures};
use crate::proxy::run::DebugHeader;
use crate::proxy::throttle::Throttle;
use crate::quarantine::Quarantine;
use crate::receipts::Receipts;
use crate::served::ServedMemory;
use crate::shadow::Shadows;
use crate::snapshot::store::SnapshotStore;
use crate::streams::Spread;
use crate::telemetry::access_log::AccessLog;

/// The proxy that a worker's pingora calls: what its hooks (`pingora::hooks`) have at hand.
#[derive(Clone)]
pub struct Proxy {
    /// Where the current snapshot is.
    pub store: Arc<SnapshotStore>,
    /// Takes the outcomes of requests.
    pub access_log: AccessLog,
    /// Takes who was served by what; `None`: nobody wants to know.
    pub exposures: Option<Exposures>,
    /// Takes requests as spans.
    pub spans: SpanExporter,
    /// Requests under way.
    pub active: Arc<Gauge>,
    /// How many connections there are, and may be.
    pub connections: Arc<ConnectionFigures>,
    /// What becomes of overrides.
    pub overrides: Arc<OverrideFigures>,
    /// Answers the clients of feature flags.
    pub client_api: Arc<ClientApi>,
    /// The generation of the snapshot that runs.
    pub generation: watch::Receiver<u64>,
    /// How far the gateway's end has come.
    pub drain: DrainWatch,
    /// Which users are spared which canary.
    pub quarantine: Arc<Quarantine>,
    /// When streams end whose users leave their canary.
    pub spread: Arc<Spread>,
    /// Who has asked how often.
    pub throttle: Arc<Throttle>,
    /// Which requests are to be debugged, if any.
    pub debug: Option<Arc<DebugHeader>>,
    /// Sends copies of requests to shadows.
    pub shadows: Shadows,
    /// Tells clients who served them; `None`: they are not told.
    pub receipts: Option<Arc<Receipts>>,
    /// Who served whom, for clients that ask.
    pub served: Arc<ServedMemory>,
    /// This gateway's name in `Via`.
    pub via: Via,
}
