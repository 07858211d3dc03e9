//! The admin listener: probes, metrics and the API, off the request path; views of the floors below.

mod body;
pub mod config_check;
mod connections;
mod events;
pub mod explain;
mod guard;
mod kills;
mod livez;
mod metrics;
pub mod openapi;
pub mod problem;
pub mod readyz;
mod reload;
mod services;
mod sources;
mod status;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{Method, Uri};
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use tokio::net::TcpListener;

use crate::events::Events;
use crate::publisher::kills::KillSwitch;
use crate::publisher::reload::{Compile, Reloader};
use crate::quarantine::Quarantine;
use crate::telemetry::metrics::Metrics;
use connections::Limits;
use problem::Problem;
use readyz::Readiness;

/// The largest body that is read, but for whole configurations.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// What the endpoints look at.
pub struct AdminState {
    /// Every figure, and with them the running snapshot and the sources.
    pub metrics: Metrics,
    /// What happens.
    pub events: Events,
    /// Who reloads the file.
    pub reloader: Arc<Reloader>,
    /// Who kills canaries.
    pub kills: KillSwitch,
    /// Which users are spared which canary.
    pub quarantine: Arc<Quarantine>,
    /// Compiles a text that somebody sends to be checked, without this process's secrets
    /// ([`crate::source::environment::NoEnvironment`]).
    pub check: Arc<Compile>,
    /// Whether traffic may come.
    pub readiness: Arc<Readiness>,
    /// When the process began.
    pub started: Instant,
    /// The address that the listener is bound to.
    pub address: SocketAddr,
}

/// What handlers are given.
type Shared = axum::extract::State<Arc<AdminState>>;

/// Serves the API on a bound listener until `stopped` comes true and the requests that are running have ended.
pub async fn serve(listener: TcpListener, state: AdminState, stopped: impl Future<Output = ()>) {
    let router = router(Arc::new(state));
    connections::serve(listener, router, Limits::default(), stopped).await;
}

fn router(state: Arc<AdminState>) -> Router {
    Router::new()
        .route("/livez", get(livez::livez))
        .route("/readyz", get(readyz::readyz))
        .route("/metrics", get(metrics::metrics))
        .route("/api/v1/openapi.json", get(openapi::openapi))
        .route("/api/v1/status", get(status::status))
        .route("/api/v1/events", get(events::events))
        .route("/api/v1/services", get(services::services))
        .route("/api/v1/services/{service}", get(services::service))
        .route(
            "/api/v1/services/{service}/canaries/{name}/kill",
            post(kills::kill),
        )
        .route(
            "/api/v1/services/{service}/canaries/{name}/restore",
            post(kills::restore),
        )
        .route("/api/v1/explain", post(explain::explain))
        .route("/api/v1/reload", post(reload::reload))
        .route("/api/v1/sources/{name}/refresh", post(sources::refresh))
        .route("/api/v1/sources/{name}/accept", post(sources::accept))
        .route("/api/v1/config/check", config_check::route())
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
