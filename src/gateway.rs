//! The composition root: builds the process from a configuration, runs it, drains it.

mod admin;
mod capacity;
mod certificates;
mod following;
mod foundation;
mod handles;
mod inherited;
mod sockets;
mod stop_signal;
mod surroundings;
mod upgrade;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::attribution::Attribution;
use crate::config::Config;
use crate::custody::Custody;
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
use crate::reload::{Compile, Reloader};
use crate::resolver::dns::DnsSetupError;
use crate::snapshot::store::SnapshotStore;
use crate::source::FlagServers;
use crate::source::file::FileSource;
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::service_manager::ServiceManager;
use admin::AdminServer;
use foundation::Foundation;
pub use inherited::Inherited;
use sockets::{addresses, identified, tell};
use stop_signal::{End, StopSignal};
pub use upgrade::UpgradeError;
use upgrade::{Arrival, Launcher, Successors};

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
    /// Whether it takes over from the gateway that runs with the same `server.state_dir`.
    pub takes_over: bool,
    /// Sockets that somebody else has opened for it.
    pub inherited: Inherited,
}

/// How a gateway lives within another program: it writes nothing to standard output or error, leaves signals alone,
/// and ends when the program says so.
pub struct Embedding {
    /// How later versions of the file become configurations.
    pub compile: Arc<Compile>,
    /// The gateway ends when this comes true, or when its other end is gone.
    pub stop: oneshot::Receiver<()>,
}

/// How a gateway that has taken traffic ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// As it was told to, or since another process serves.
    Orderly,
    /// It left everything to another process, which may have ended: nobody may be serving.
    Abandoned,
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
    /// It cannot take over from the gateway that runs, which goes on.
    #[error(transparent)]
    Upgrade(#[from] UpgradeError),
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
    launcher: Launcher,
    /// `None`: it is part of another program, and nobody takes over from it.
    successors: Option<Successors>,
    service_manager: Option<ServiceManager>,
    access_log: AccessLog,
    attribution: Attribution,
    spans: SpanExporter,
    listeners: Vec<SocketAddr>,
    // Follows the file for as long as it is held.
    _file: FileSource,
}

impl Gateway {
    /// Has every socket first, then starts everything behind them, and serves; in place of another gateway, if it takes over from one.
    ///
    /// # Errors
    /// When something cannot be had without which it cannot serve. The other gateway goes on then.
    pub fn start(mut start: Start) -> Result<Self, StartError> {
        let is_process = start.embedding.is_none();
        let mut arrival = Arrival::begin(&mut start)?;
        let mut base = Foundation::lay(start, &mut arrival)?;
        let control = base.control.handle().clone();
        let _entered = control.enter();
        let belongings = arrival.succeed(&base)?;
        let surroundings = &base.surroundings;
        base.handles.attribution = surroundings.attribution(&base.process, &control);
        let proxy = base.proxy();
        belongings.recall_in(&proxy.quarantine, Instant::now());
        let stop_signal = StopSignal::new(base.surroundings.stop.take())?;
        let estate = base.estate(&arrival, &proxy)?;
        let state = base.admin_state(&proxy, arrival.orders.clone());
        let Foundation {
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
            ..
        } = base;
        let listeners = addresses(&sockets.traffic)?;
        let bound = identified(&process, sockets.traffic, &handles.certificates)?;
        let writes = arrival.custody.clone();
        let workers = start_workers(process.threads, bound, writes, &drain, &proxy)?;
        let admin = AdminServer::start(sockets.admin, state, drain.watch())?;
        tell("listener", &listeners);
        let service_manager = surroundings.service_manager;
        arrival.serve(&estate, service_manager)?;
        Ok(Self {
            launcher: Launcher::new(surroundings.custody, handles.upgrades),
            successors: is_process.then(|| Successors::welcome(&process.state_dir, estate)),
            workers,
            publisher,
            reloader,
            flag_servers,
            drain,
            admin,
            stop_signal,
            service_manager,
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
    pub fn run(self) -> Ending {
        let Self {
            control,
            workers,
            publisher,
            reloader,
            flag_servers,
            drain,
            admin,
            mut stop_signal,
            launcher,
            successors,
            service_manager,
            access_log,
            attribution,
            spans,
            _file,
            ..
        } = self;
        reloader.announce_ready();
        let ending = control.block_on(async {
            let end = tokio::select! {
                end = stop_signal.end(&reloader, &launcher) => end,
                () = launcher.is_obsolete() => End::Replaced,
            };
            if let Some(successors) = &successors {
                successors.turn_away();
            }
            let (delay, grace) = reloader.shutdown_times();
            let delay = if end == End::AtOnce { Duration::ZERO } else { delay };
            tracing::info!(?delay, ?grace, "draining");
            if end == End::Replaced {
                // The service manager hears of the process that serves.
                publisher.events().emit(EventKind::Stopping);
            } else if let Some(manager) = service_manager {
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
            how_it_ends(end, successors).await
        });
        publisher.events().audit().settle(LAST_WORDS);
        access_log.flush(LAST_WORDS);
        tracing::info!("stopped");
        control.shutdown_timeout(LAST_WORDS);
        ending
    }
}

/// Whether another process serves, where one has taken over. The service manager has heard of it then, before this one ends.
async fn how_it_ends(end: End, successors: Option<Successors>) -> Ending {
    match successors {
        Some(successors) if end == End::Replaced && !successors.is_settled().await => {
            Ending::Abandoned
        }
        _ => Ending::Orderly,
    }
}

/// One worker a core, unless the configuration says otherwise.
fn worker_count(threads: usize) -> usize {
    match threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    }
}

/// They accept when this process is the one that `writes`: until then clients wait in the sockets' queues, for one or the other.
fn start_workers(
    threads: usize,
    listeners: Vec<BoundListener>,
    writes: Custody,
    drain: &Arc<Drain>,
    proxy: &Proxy,
) -> io::Result<Workers<HttpServer>> {
    let limit = ConnectionLimit::new(proxy.store.clone(), proxy.connections.clone());
    let limit = Arc::new(limit);
    let server = || HttpServer::new(proxy.clone());
    let begins = async move { writes.is_here().await };
    let count = worker_count(threads);
    Workers::start(count, listeners, begins, limit, drain, server)
}
