//! The composition root: builds the process from a configuration, runs it, drains it.

mod admin;
mod capacity;
mod certificates;
mod handles;
mod sockets;
mod stop_signal;
mod surroundings;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{mpsc, oneshot};

use crate::admin::AdminState;
use crate::admin::access::AccessControl;
use crate::admin::bounds::Bounds;
use crate::admin::readyz::Readiness;
use crate::attribution::Attribution;
use crate::audit::actor::Actor;
use crate::audit::entry::{Action, Deed};
use crate::config::{Config, Process};
use crate::drain::{Drain, Stage};
use crate::events::EventKind;
use crate::otlp::SpanExporter;
use crate::proxy::connection_limit::ConnectionLimit;
use crate::proxy::listener::BoundListener;
use crate::proxy::pingora::http_server::HttpServer;
use crate::proxy::pingora::proxy::Proxy;
use crate::proxy::run::DebugHeader;
use crate::proxy::workers::Workers;
use crate::publisher::PublisherHandle;
use crate::receipts::keys::KeyError;
use crate::recording;
use crate::reload::{Compile, Reloader, ReloaderSetup};
use crate::resolver::dns::DnsSetupError;
use crate::snapshot::store::SnapshotStore;
use crate::source::file::FileSource;
use crate::source::{FlagServers, FlagServersSetup, StoredSets};
use crate::state::SharedTexts;
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::metrics::MeterRegistry;
use crate::telemetry::service_manager::ServiceManager;
use admin::AdminServer;
use handles::Handles;
use sockets::{addresses, bind, identified, own_addresses, tell};
use stop_signal::StopSignal;
use surroundings::Platform;

/// Threads for everything but traffic: admin, DNS, reloads.
const CONTROL_THREADS: usize = 2;
/// How long the last admin requests and access log lines may take at the end.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What the process is started with.
pub struct Start {
    /// The file.
    pub path: PathBuf,
    /// Its content.
    pub text: String,
    /// The content, compiled.
    pub config: Config,
    /// For a gateway within another program; `None`: it is this process.
    pub embedding: Option<Embedding>,
    /// Which requests' steps are logged, whatever the log's level; `None`: none.
    pub debug_request: Option<DebugHeader>,
}

/// How a gateway lives within another program: it writes nothing to standard output or error, leaves signals alone,
/// and ends when the program says so.
pub struct Embedding {
    /// How later versions of the file become configurations.
    pub compile: Arc<Compile>,
    /// The gateway ends when this comes true, or when its other end is gone.
    pub stop: oneshot::Receiver<()>,
}

/// Why the gateway cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {cause}")]
    Bind {
        /// Which one.
        address: SocketAddr,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
    /// The certificates of a listener cannot be used.
    #[error("{0}")]
    Certificates(String),
    /// The key of receipts cannot be used.
    #[error("attribution.receipts.private_key: {0}")]
    Receipts(#[from] KeyError),
    /// The resolver cannot be set up.
    #[error(transparent)]
    Dns(#[from] DnsSetupError),
    /// A thread, a runtime or a watch cannot be had.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
}

/// A gateway that takes traffic.
pub struct Gateway {
    control: Runtime,
    workers: Workers<HttpServer>,
    drain: Arc<Drain>,
    publisher: PublisherHandle,
    reloader: Arc<Reloader>,
    flag_servers: Arc<FlagServers>,
    admin: AdminServer,
    stop_signal: StopSignal,
    service_manager: Option<ServiceManager>,
    access_log: AccessLog,
    attribution: Attribution,
    spans: SpanExporter,
    listeners: Vec<SocketAddr>,
    // Follows the file for as long as it is held.
    _file: FileSource,
}

impl Gateway {
    /// Binds every socket first, then starts everything behind them.
    pub fn start(start: Start) -> Result<Self, StartError> {
        let (started, debug) = (Instant::now(), start.debug_request.map(Arc::new));
        let (path, text, mut config) = (start.path, start.text, start.config);
        let surroundings = Platform::new(start.embedding, &mut config, debug.is_some())?;
        let process = log_start(&path, &config);
        let ((sockets, admin_sockets), control) = (bind(&process)?, control_runtime()?);
        let (config, stored) = surroundings.complete(config, &control);
        let (_entered, meters) = (control.enter(), MeterRegistry::default());
        let (own, handle) = (own_addresses(&sockets, &admin_sockets)?, control.handle());
        let publisher = surroundings.publisher(&config, &stored.0, &meters, own, handle)?;
        let (kills, registrar) = surroundings.orders(&publisher, handle);
        let handles = surroundings.handles(meters, &publisher, &process, handle)?;
        let flag_servers = follow_servers(&config, stored, &publisher, &handles);
        let setup = surroundings.reloader_setup(&path, &publisher, &handles, flag_servers.clone());
        let (reloader, file) = follow_file(setup, &text, &config, &handles)?;
        let (drain, listeners) = (Arc::new(Drain::default()), addresses(&sockets)?);
        let proxy = handles.proxy(publisher.generation(), drain.watch(), debug);
        let bound = identified(&process, sockets, &handles.certificates);
        let workers = start_workers(process.threads, bound?, &drain, &proxy)?;
        let state = AdminState {
            metrics: handles.metrics(),
            sources: handles.sources.clone(),
            connections: handles.connections.clone(),
            publisher: publisher.clone(),
            reloader: reloader.clone(),
            flag_servers: flag_servers.clone(),
            kills,
            registrar,
            state_store: surroundings.state.clone(),
            flags: surroundings.flag_keeper(&publisher, handle),
            quarantine: proxy.quarantine.clone(),
            check: admin::check(),
            log: surroundings.log.clone(),
            readiness: Readiness::new(drain.watch()),
            via: handles.via,
            started,
            access: AccessControl::counting(handles.admin.clone()),
            certificates: handles.certificates.all(),
            attribution: handles.attribution.clone(),
            spans: handles.spans.figures.clone(),
            hosts: process.admin.hosts,
            bounds: Bounds::default(),
        };
        let admin = AdminServer::start(admin_sockets, state, drain.watch())?;
        tell("listener", &listeners);
        Ok(Self {
            workers,
            publisher,
            reloader,
            flag_servers,
            drain,
            admin,
            stop_signal: StopSignal::new(surroundings.stop)?,
            service_manager: surroundings.service_manager,
            access_log: handles.access_log,
            attribution: handles.attribution,
            spans: handles.spans,
            listeners,
            _file: file,
            control,
        })
    }

    /// Where traffic is taken, in the configuration's order.
    pub fn listeners(&self) -> &[SocketAddr] {
        &self.listeners
    }

    /// Where the admin API is, in the configuration's order.
    pub fn admin(&self) -> &[SocketAddr] {
        &self.admin.addresses
    }

    /// What it runs. The last snapshot, and its meters, stay when the gateway has ended.
    pub fn store(&self) -> &Arc<SnapshotStore> {
        self.publisher.store()
    }

    /// Reloads its file.
    pub fn reloader(&self) -> &Arc<Reloader> {
        &self.reloader
    }

    /// Runs until SIGTERM or SIGINT, or the program's word, and then until what runs has ended or its time is over.
    pub fn run(self) {
        let Self {
            control,
            workers,
            publisher,
            reloader,
            flag_servers,
            drain,
            admin,
            mut stop_signal,
            service_manager,
            access_log,
            attribution,
            spans,
            _file,
            ..
        } = self;
        reloader.announce_ready();
        control.block_on(async {
            let delayed = stop_signal.end(&reloader).await;
            let (delay, grace) = reloader.shutdown_times();
            let delay = if delayed { delay } else { Duration::ZERO };
            tracing::info!(?delay, ?grace, "draining");
            if let Some(manager) = service_manager {
                manager.stopping();
            }
            drain.advance(Stage::Announced);
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = stop_signal.again() => tracing::warn!("told to end twice: draining ends at once"),
            }
            let cut = workers.drain(grace).await;
            if cut > 0 {
                tracing::warn!(
                    connections = cut,
                    "the grace period is over; connections were cut"
                );
            }
            publisher.events().emit(EventKind::Stopping);
            flag_servers.finish(LAST_WORDS).await;
            tokio::join!(attribution.finish(LAST_WORDS), spans.finish(LAST_WORDS));
            drain.advance(Stage::Ended);
            admin.finish(LAST_WORDS).await;
        });
        publisher.events().audit().settle(LAST_WORDS);
        access_log.flush(LAST_WORDS);
        tracing::info!("stopped");
        control.shutdown_timeout(LAST_WORDS);
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
fn log_start(file: &Path, config: &Config) -> Process {
    let process = config.process.clone();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        file = %file.display(),
        threads = worker_count(process.threads),
        "starting"
    );
    process
}

/// Enters the start in the audit trail.
fn note_start(publisher: &PublisherHandle, file: &Path) {
    let running = publisher.store().load();
    let deed = Deed::new(Actor::gateway(), Action::Start, file.display().to_string());
    let after =
        json!({ "version": env!("CARGO_PKG_VERSION"), "digest": running.digest.to_string() });
    let audit = publisher.events().audit();
    audit.record(deed.changing(Value::Null, after)).let_go();
}

/// One worker a core, unless the configuration says otherwise.
fn worker_count(threads: usize) -> usize {
    match threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    }
}

fn start_workers(
    threads: usize,
    listeners: Vec<BoundListener>,
    drain: &Arc<Drain>,
    proxy: &Proxy,
) -> io::Result<Workers<HttpServer>> {
    let limit = ConnectionLimit::new(proxy.store.clone(), proxy.connections.clone());
    let limit = Arc::new(limit);
    let server = || HttpServer::new(proxy.clone());
    Workers::start(worker_count(threads), listeners, limit, drain, server)
}

/// Follows the file that was compiled to `first`.
fn follow_file(
    setup: ReloaderSetup,
    text: &str,
    first: &Config,
    handles: &Handles,
) -> io::Result<(Arc<Reloader>, FileSource)> {
    note_start(&setup.publisher, &setup.path);
    let (events, inbox) = mpsc::channel(1);
    let status = handles.sources.file().clone();
    let file = FileSource::start(&setup.path, text, status, events)?;
    let reloader = Arc::new(Reloader::new(setup, text, first));
    let following = reloader.clone();
    tokio::spawn(async move { following.follow(inbox).await });
    Ok((reloader, file))
}

/// Follows the configuration's flag servers, and has canaries recorded there, on the runtime that this is called on.
fn follow_servers(
    config: &Config,
    (stored, shared): (StoredSets, Option<SharedTexts>),
    publisher: &PublisherHandle,
    handles: &Handles,
) -> Arc<FlagServers> {
    let setup = FlagServersSetup {
        publisher: publisher.clone(),
        statuses: handles.sources.clone(),
        state_dir: config.process.state_dir.clone(),
        shared,
        client_uses: handles.client_api.uses().clone(),
        control: Handle::current(),
    };
    let servers = Arc::new(FlagServers::start(setup, config, stored));
    let (registrations, recorder) = (handles.registrations.clone(), servers.recorder().clone());
    recording::start(
        registrations,
        recorder,
        publisher.events(),
        &Handle::current(),
    );
    servers
}
