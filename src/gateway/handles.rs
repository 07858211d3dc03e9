//! What several parts of a gateway share, and how the collectors of all parts make the metrics page.

use std::sync::Arc;
use std::time::Instant;

use tokio::runtime::Handle;
use tokio::sync::watch;

use super::certificates::Certificates;
use super::upgrade::metrics::UpgradeFigures;
use super::{StartError, capacity};
use crate::admin::access::metrics::AdminFigures;
use crate::attribution::Attribution;
use crate::attribution::metrics::AttributionMetrics;
use crate::audit::Audit;
use crate::capacity::OpenFiles;
use crate::certificates::OwnSecret;
use crate::certificates::metrics::CertificateMetrics;
use crate::client_api::ClientApi;
use crate::config::Process;
use crate::drain::DrainWatch;
use crate::forward::via::Via;
use crate::health::metrics::HealthMetrics;
use crate::meter::Gauge;
use crate::otlp::SpanExporter;
use crate::otlp::metrics::SpanMetrics;
use crate::proxy::metrics::{
    ConnectionFigures, ConnectionMetrics, OverrideFigures, RequestMetrics,
};
use crate::proxy::pingora::proxy::Proxy;
use crate::proxy::run::DebugHeader;
use crate::proxy::throttle::Throttle;
use crate::publisher::PublisherHandle;
use crate::publisher::metrics::{FlagMetrics, SnapshotMetrics};
use crate::quarantine::Quarantine;
use crate::receipts::Receipts;
use crate::receipts::metrics::ReceiptMetrics;
use crate::registry::kills::Kills;
use crate::registry::kills::metrics::KillMetrics;
use crate::registry::registrations::Registrations;
use crate::registry::registrations::metrics::RegistrationMetrics;
use crate::reload::metrics::ReloadMetrics;
use crate::shadow::Shadows;
use crate::snapshot::store::SnapshotStore;
use crate::source::SourceStatuses;
use crate::source::key_sets::{TokenIssuers, TokenMetrics};
use crate::state::StateStore;
use crate::state::metrics::StoreMetrics;
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::metrics::{self, MeterRegistry, Metrics};

/// Handles that several parts of a gateway share: one part counts, another reads.
pub(super) struct Handles {
    pub(super) meters: MeterRegistry,
    pub(super) store: Arc<SnapshotStore>,
    pub(super) state: StateStore,
    pub(super) kills: Kills,
    pub(super) registrations: Registrations,
    pub(super) access_log: AccessLog,
    pub(super) sources: SourceStatuses,
    pub(super) reloads: Arc<ReloadMetrics>,
    pub(super) active: Arc<Gauge>,
    pub(super) connections: Arc<ConnectionFigures>,
    pub(super) overrides: Arc<OverrideFigures>,
    pub(super) client_api: Arc<ClientApi>,
    pub(super) admin: Arc<AdminFigures>,
    pub(super) certificates: Certificates,
    pub(super) audit: Audit,
    pub(super) receipts: Option<Arc<Receipts>>,
    pub(super) issuers: TokenIssuers,
    pub(super) attribution: Attribution,
    pub(super) spans: SpanExporter,
    pub(super) throttle: Arc<Throttle>,
    pub(super) shadows: Shadows,
    pub(super) upgrades: Arc<UpgradeFigures>,
    /// This gateway's name in `Via`.
    pub(super) via: Via,
}

impl Handles {
    /// The handles of a gateway that has counted nothing yet, and whose only source so far is the file.
    pub(super) fn new(
        meters: MeterRegistry,
        publisher: &PublisherHandle,
        (state, kills): (&StateStore, &Kills),
        access_log: &AccessLog,
        files: OpenFiles,
        control: &Handle,
    ) -> Self {
        Self {
            meters,
            store: publisher.store().clone(),
            state: state.clone(),
            kills: kills.clone(),
            registrations: Registrations::default(),
            access_log: access_log.clone(),
            sources: SourceStatuses::reporting_to(publisher.events()),
            reloads: Arc::default(),
            active: Arc::default(),
            connections: Arc::new(ConnectionFigures::within(files)),
            overrides: Arc::default(),
            client_api: Arc::new(ClientApi::new(Arc::default(), Instant::now())),
            admin: Arc::default(),
            certificates: Certificates::default(),
            audit: publisher.events().audit().clone(),
            receipts: None,
            issuers: TokenIssuers::default(),
            attribution: Attribution::default(),
            spans: SpanExporter::start(publisher, control),
            throttle: Arc::new(Throttle::new(Instant::now())),
            shadows: Shadows::new(control),
            upgrades: Arc::default(),
            via: Via::new(rand::random()),
        }
    }

    /// Reads the files with keys that the configuration names. `own` is for the keys of session tickets.
    pub(super) fn read_keys(
        &mut self,
        process: &Process,
        own: &OwnSecret,
    ) -> Result<(), StartError> {
        self.certificates = Certificates::open(process, own)?;
        self.certificates.follow(&self.store);
        let attribution = &process.attribution;
        let exposures = attribution.exposures.as_ref();
        let receipts = attribution.receipts.as_ref();
        let receipts = receipts.map(|config| Receipts::new(config, exposures));
        self.receipts = receipts.transpose()?.map(Arc::new);
        Ok(())
    }

    /// What serves requests with these handles; no user is spared a canary yet. `debug` says which requests are debugged.
    pub(super) fn proxy(
        &self,
        generation: watch::Receiver<u64>,
        drain: DrainWatch,
        debug: Option<Arc<DebugHeader>>,
    ) -> Proxy {
        Proxy {
            store: self.store.clone(),
            access_log: self.access_log.clone(),
            exposures: self.attribution.exposures.clone(),
            spans: self.spans.clone(),
            active: self.active.clone(),
            connections: self.connections.clone(),
            overrides: self.overrides.clone(),
            client_api: self.client_api.clone(),
            generation,
            drain,
            quarantine: Arc::new(Quarantine::new(Instant::now())),
            spread: Arc::default(),
            throttle: self.throttle.clone(),
            debug,
            shadows: self.shadows.clone(),
            receipts: self.receipts.clone(),
            served: Arc::default(),
            via: self.via,
        }
    }

    /// Warns of every snapshot that asks for more files than there are.
    pub(super) fn warn_of_shortfalls(
        &self,
        generation: watch::Receiver<u64>,
    ) -> impl Future<Output = ()> + use<> {
        capacity::warn(self.store.clone(), self.connections.clone(), generation)
    }

    /// The metrics page: one line for each collector, in the page's order.
    pub(super) fn metrics(&self) -> Metrics {
        Metrics::default()
            .with(self.meters.clone())
            .with(SnapshotMetrics(self.store.clone()))
            .with(HealthMetrics(self.store.clone()))
            .with(KillMetrics {
                kills: self.kills.clone(),
                store: self.store.clone(),
            })
            .with(StoreMetrics(self.state.clone()))
            .with(RegistrationMetrics {
                registrations: self.registrations.clone(),
                store: self.store.clone(),
            })
            .with(FlagMetrics(self.store.clone()))
            .with(RequestMetrics {
                active: self.active.clone(),
                throttle: self.throttle.clone(),
            })
            .with(self.sources.clone())
            .with(self.reloads.clone())
            .with(self.access_log.clone())
            .with(ConnectionMetrics {
                figures: self.connections.clone(),
                store: self.store.clone(),
            })
            .with(self.overrides.clone())
            .with(self.client_api.clone())
            .with(self.admin.clone())
            .with(CertificateMetrics(self.certificates.all()))
            .with(self.audit.clone())
            .with(ReceiptMetrics(self.receipts.clone()))
            .with(TokenMetrics {
                issuers: self.issuers.clone(),
                store: self.store.clone(),
            })
            .with(AttributionMetrics(self.attribution.clone()))
            .with(SpanMetrics(self.spans.figures.clone()))
            .with(self.upgrades.clone())
            .with(metrics::Process)
    }
}

#[cfg(test)]
mod tests;
