//! What a gateway stands on before it takes traffic: its sockets, its first snapshot, and what it follows.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use tokio::runtime::{Builder, Runtime};

use super::following::{follow_file, follow_servers};
use super::handles::Handles;
use super::sockets::Sockets;
use super::surroundings::Platform;
use super::upgrade::{Arrival, Estate};
use super::{Start, StartError, admin, worker_count};
use crate::admin::AdminState;
use crate::admin::access::AccessControl;
use crate::admin::bounds::Bounds;
use crate::admin::readyz::{Readiness, others_missing};
use crate::config::{Config, Process};
use crate::custody::Custody;
use crate::drain::Drain;
use crate::proxy::pingora::proxy::Proxy;
use crate::proxy::run::DebugHeader;
use crate::publisher::PublisherHandle;
use crate::publisher::kills::KillSwitch;
use crate::publisher::registrar::Registrar;
use crate::reload::Reloader;
use crate::source::FlagServers;
use crate::source::file::FileSource;
use crate::telemetry::metrics::MeterRegistry;

/// Threads for everything but traffic: admin, DNS, reloads.
const CONTROL_THREADS: usize = 2;

/// A gateway that does not take traffic yet, and writes nothing if it is to take over from another.
pub(super) struct Foundation {
    pub(super) control: Runtime,
    pub(super) surroundings: Platform,
    /// What the process is started with.
    pub(super) process: Process,
    pub(super) sockets: Sockets,
    pub(super) publisher: PublisherHandle,
    pub(super) handles: Handles,
    pub(super) flag_servers: Arc<FlagServers>,
    pub(super) reloader: Arc<Reloader>,
    pub(super) file: FileSource,
    pub(super) drain: Arc<Drain>,
    kills: KillSwitch,
    registrar: Registrar,
    readiness: Arc<Readiness>,
    started: Instant,
    debug: Option<Arc<DebugHeader>>,
}

impl Foundation {
    pub(super) fn lay(start: Start, arrival: &mut Arrival) -> Result<Self, StartError> {
        let (started, debug) = (Instant::now(), start.debug_request.map(Arc::new));
        let (path, text, mut config) = (start.path, start.text, start.config);
        let (embedding, custody) = (start.embedding, arrival.custody.clone());
        let surroundings = Platform::new(embedding, &mut config, custody, debug.is_some())?;
        let process = log_start(&path, &config, arrival.version());
        let sockets = Sockets::open(&process, &mut arrival.inherited)?;
        let control = control_runtime()?;
        let (config, stored) = surroundings.complete(config, &control);
        let (entered, meters) = (control.enter(), MeterRegistry::default());
        let (own, handle) = (sockets.own_addresses()?, control.handle());
        let publisher = surroundings.publisher(&config, &stored.0, &meters, own, handle)?;
        let (kills, registrar) = surroundings.orders(&publisher, handle);
        let handles =
            surroundings.handles(meters, &publisher, &process, &arrival.secret, handle)?;
        let custody = &surroundings.custody;
        let flag_servers = follow_servers(&config, stored, &publisher, &handles, custody);
        let setup = surroundings.reloader_setup(&path, &publisher, &handles, flag_servers.clone());
        let (reloader, file) = follow_file(setup, &text, &config, &handles, arrival.version())?;
        let drain = Arc::new(Drain::default());
        drop(entered);
        Ok(Self {
            readiness: Arc::new(Readiness::new(drain.watch())),
            control,
            surroundings,
            process,
            sockets,
            publisher,
            handles,
            flag_servers,
            reloader,
            file,
            drain,
            kills,
            registrar,
            started,
            debug,
        })
    }

    /// What is missing for traffic to come; nothing: it may.
    pub(super) fn missing(&self) -> Vec<String> {
        let others = others_missing(&self.flag_servers, self.kills.all());
        self.readiness
            .missing(&self.publisher.store().peek(), others)
    }

    /// What serves requests.
    pub(super) fn proxy(&self) -> Proxy {
        let (generation, drain) = (self.publisher.generation(), self.drain.watch());
        self.handles.proxy(generation, drain, self.debug.clone())
    }

    /// What another process may take over one day.
    pub(super) fn estate(&self, arrival: &Arrival, proxy: &Proxy) -> io::Result<Estate> {
        let handles = &self.handles;
        Ok(Estate {
            orders: arrival.orders.clone(),
            custody: arrival.custody.clone(),
            lock: arrival.lock.clone(),
            sockets: self.sockets.second(&self.process)?.into(),
            secret: arrival.secret.clone(),
            quarantine: proxy.quarantine.clone(),
            audit: handles.audit.clone(),
            kills: handles.kills.clone(),
            exposures: handles.attribution.exposures.clone(),
            drain: self.drain.clone(),
            figures: handles.upgrades.clone(),
        })
    }

    /// What the admin API looks at; `orders` says whether it takes orders.
    pub(super) fn admin_state(&self, proxy: &Proxy, orders: Custody) -> AdminState {
        let (handles, surroundings) = (&self.handles, &self.surroundings);
        AdminState {
            orders,
            metrics: handles.metrics(),
            sources: handles.sources.clone(),
            connections: handles.connections.clone(),
            publisher: self.publisher.clone(),
            reloader: self.reloader.clone(),
            flag_servers: self.flag_servers.clone(),
            kills: self.kills.clone(),
            registrar: self.registrar.clone(),
            state_store: surroundings.state.clone(),
            flags: surroundings.flag_keeper(&self.publisher, self.control.handle()),
            quarantine: proxy.quarantine.clone(),
            check: admin::check(),
            log: surroundings.log.clone(),
            readiness: self.readiness.clone(),
            via: handles.via,
            started: self.started,
            access: AccessControl::counting(handles.admin.clone()),
            certificates: handles.certificates.all(),
            attribution: handles.attribution.clone(),
            spans: handles.spans.figures.clone(),
            hosts: self.process.admin.hosts.clone(),
            bounds: Bounds::default(),
        }
    }
}

fn control_runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .thread_name("serin-control")
        .enable_all()
        .build()
}

/// Tells of the start; what the process is started with.
fn log_start(file: &Path, config: &Config, takes_over_from: Option<&str>) -> Process {
    let process = config.process.clone();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        file = %file.display(),
        threads = worker_count(process.threads),
        takes_over_from,
        "starting"
    );
    process
}
