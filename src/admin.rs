//! The admin listener: probes, metrics and the API, off the request path; views of the floors below.

pub mod access;
mod actor;
mod audit;
mod authorization;
mod body;
pub mod bounds;
mod canaries;
pub mod config_check;
mod connections;
mod diagnostic;
mod endpoints;
mod events;
pub mod explain;
mod exposures;
mod flags;
mod guard;
mod issuers;
pub mod json;
mod kept;
mod kills;
mod livez;
mod log;
mod metrics;
pub mod openapi;
mod path;
pub mod problem;
mod reach;
pub mod readyz;
mod reload;
mod segments;
mod services;
mod sinks;
mod sources;
mod status;
mod traces;

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{Method, Uri};
use axum::middleware::from_fn_with_state;
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use tokio::net::TcpListener;

use crate::attribution::Attribution;
use crate::certificates::{Owner, ServerTls};
use crate::custody::Custody;
use crate::forward::via::Via;
use crate::host::HostPattern;
use crate::otlp::metrics::SpanFigures;
use crate::proxy::metrics::ConnectionFigures;
use crate::publisher::PublisherHandle;
use crate::publisher::flag_keeper::FlagKeeper;
use crate::publisher::kills::KillSwitch;
use crate::publisher::registrar::Registrar;
use crate::quarantine::Quarantine;
use crate::reload::{Compile, Reloader};
use crate::source::{FlagServers, SourceStatuses};
use crate::state::StateStore;
use crate::telemetry::log::LogControl;
use crate::telemetry::metrics::Metrics;
use access::AccessControl;
use bounds::Bounds;
use connections::{Limits, Service};
use problem::Problem;
use readyz::Readiness;

/// The largest body that is read, but for whole configurations.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// What the endpoints look at.
pub struct AdminState {
    /// Whether orders are taken here, and connections: not while another process takes over.
    pub orders: Custody,
    /// Every figure, for Prometheus.
    pub metrics: Metrics,
    /// Where configuration and flags come from.
    pub sources: SourceStatuses,
    /// How many connections there are.
    pub connections: Arc<ConnectionFigures>,
    /// Publishes snapshots.
    pub publisher: PublisherHandle,
    /// Reloads the file.
    pub reloader: Arc<Reloader>,
    /// The flag servers that are followed.
    pub flag_servers: Arc<FlagServers>,
    /// Kills canaries.
    pub kills: KillSwitch,
    /// What people and pipelines have told Serin.
    pub state_store: StateStore,
    /// Changes the flags and segments that Serin keeps itself.
    pub flags: FlagKeeper,
    /// Registers canaries.
    pub registrar: Registrar,
    /// Which users are spared which canary.
    pub quarantine: Arc<Quarantine>,
    /// Compiles a text that somebody sends to be checked, without this process's secrets
    /// ([`crate::source::environment::NoEnvironment`]).
    pub check: Arc<Compile>,
    /// The log of this process; `None`: the gateway is part of another program.
    pub log: Option<LogControl>,
    /// Whether traffic may come.
    pub readiness: Arc<Readiness>,
    /// This gateway's name in `Via`.
    pub via: Via,
    /// When the process began.
    pub started: Instant,
    /// What is known and counted of callers.
    pub access: AccessControl,
    /// The certificates of all listeners; without any of its own, the API speaks plain HTTP.
    pub certificates: Arc<[Arc<ServerTls>]>,
    /// What is recorded for those who analyse.
    pub attribution: Attribution,
    /// What became of spans.
    pub spans: Arc<SpanFigures>,
    /// The names that it answers to, beside `localhost` and IP addresses.
    pub hosts: Vec<HostPattern>,
    /// How much of it may be in use at a time.
    pub bounds: Bounds,
}

/// What handlers are given.
type Shared = axum::extract::State<Arc<AdminState>>;

/// Bound listeners, each of which has connections of its own.
#[derive(Debug)]
pub struct Listeners {
    /// With the whole API.
    pub api: Vec<TcpListener>,
    /// With probes and metrics alone.
    pub probes: Vec<TcpListener>,
}

/// Serves bound listeners until `stopped` comes true and the requests that are running have ended.
pub async fn serve(listeners: Listeners, state: AdminState, stopped: impl Future<Output = ()>) {
    let state = Arc::new(state);
    let stopped = stopped.shared();
    let mut certificates = state.certificates.iter();
    let tls = certificates
        .find(|tls| tls.owner() == Owner::Admin)
        .cloned();
    let api = Service {
        router: api_router(state.clone()),
        limits: Limits::API,
        tls,
        orders: state.orders.clone(),
    };
    let probes = Service {
        orders: state.orders.clone(),
        router: probe_router(state),
        limits: Limits::PROBES,
        tls: None,
    };
    let serve = |listener, service: &Service| {
        connections::serve(listener, service.clone(), stopped.clone())
    };
    let apis = listeners.api.into_iter();
    let apis = apis.map(|listener| serve(listener, &api));
    let others = listeners.probes.into_iter();
    let others = others.map(|listener| serve(listener, &probes));
    join_all(apis.chain(others)).await;
}

fn probe_router(state: Arc<AdminState>) -> Router {
    guarded(endpoints::probes(), state)
}

fn api_router(state: Arc<AdminState>) -> Router {
    guarded(endpoints::api(), state)
}

fn guarded(routes: Router<Arc<AdminState>>, state: Arc<AdminState>) -> Router {
    routes
        .fallback(nowhere)
        .method_not_allowed_fallback(not_that_way)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(from_fn_with_state(state.clone(), guard::guard))
        .with_state(state)
}

async fn nowhere(uri: Uri) -> Problem {
    Problem::new(404, format!("there is nothing at {}", uri.path()))
}

async fn not_that_way(method: Method, uri: Uri) -> Problem {
    Problem::new(405, format!("{} does not take {method}", uri.path()))
}

#[cfg(test)]
mod tests;
