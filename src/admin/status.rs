//! `GET /api/v1/status`: what runs, how fresh it is, and what is wrong with it.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;

use super::audit::TrailView;
use super::diagnostic::DiagnosticView;
use super::explain::StandingView;
use super::exposures::FiguresView;
use super::issuers::{self, IssuerView};
use super::kills::{SHOWN, in_words};
use super::sinks::{self, SinkView};
use super::traces::{self, TracingView};
use super::{AdminState, Shared};
use crate::clock;
use crate::proxy::metrics::ConnectionFigures;
use crate::publisher::kills::KillSwitch;
use crate::reload::{LastReload, ReloadFailure};
use crate::snapshot::Snapshot;
use crate::snapshot::capacity::shortfalls;
use crate::source::{ServerFacts, SourceStatus};
use crate::state::{Kind, StateStore};

/// How many flags are listed.
const LISTED: usize = 1_000;

/// The gateway at a glance.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Status")]
pub(super) struct StatusView {
    version: &'static str,
    uptime_seconds: f64,
    generation: u64,
    digest: String,
    sources: Vec<SourceView>,
    stores: Vec<StoreView>,
    /// Whose tokens say who users are.
    token_issuers: Vec<IssuerView>,
    last_reload: ReloadView,
    audit: TrailView,
    /// What is recorded of who was served by what; null: nothing.
    exposures: Option<FiguresView>,
    sinks: Vec<SinkView>,
    /// Where requests go as spans; null: nowhere.
    tracing: Option<TracingView>,
    capacity: CapacityView,
    restart_needed: Vec<String>,
    warnings: Vec<String>,
    /// Every flag that looks like a canary; at most 1,000 of them.
    canary_flags: Vec<StandingView>,
    /// How many there are beyond that.
    canary_flags_left_out: usize,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Source")]
struct SourceView {
    name: String,
    age_seconds: f64,
    last_error: Option<String>,
    #[serde(flatten)]
    server: Option<ServerView>,
}

/// A place where what people and pipelines tell the gateway is stored.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Store")]
struct StoreView {
    name: &'static str,
    /// Where it is, if it is another server.
    place: Option<String>,
    up: bool,
    /// How long ago it was last read as a whole, if others write there too.
    age_seconds: Option<f64>,
    last_error: Option<String>,
}

/// What there is to know of a flag server beside that.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "FlagServer")]
struct ServerView {
    #[schemars(extend("enum" = ["polling", "streaming"]))]
    mode: &'static str,
    revision: Option<u64>,
    answered: bool,
    held: Vec<String>,
}

/// How many files the process may open, and what follows from it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Capacity")]
struct CapacityView {
    open_files: OpenFilesView,
    connections: CountView,
    upstream_connections: CountView,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "OpenFiles")]
struct OpenFilesView {
    limit: usize,
    found: usize,
    reserve: usize,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Connections")]
struct CountView {
    open: i64,
    max: usize,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "LastReload")]
struct ReloadView {
    #[schemars(extend("format" = "date-time"))]
    at: String,
    #[schemars(extend("enum" = ["start", "changed", "signal", "api"]))]
    cause: &'static str,
    #[schemars(extend("enum" = ["ok", "invalid", "unreadable", "failed", "stopped"]))]
    result: &'static str,
    errors: Vec<DiagnosticView>,
}

/// Shows the status.
pub(super) async fn status(State(state): Shared) -> Json<StatusView> {
    Json(StatusView::of(&state))
}

impl StatusView {
    fn of(state: &AdminState) -> Self {
        let snapshot = state.publisher.store().peek();
        let sources = state.sources.all();
        let standings = snapshot.standings(clock::now());
        let listed = standings.iter().take(LISTED);
        let (audit, of_audit) = TrailView::of(
            state.publisher.events().audit(),
            state.state_store.shared_trail().as_ref(),
        );
        Self {
            canary_flags: listed.map(StandingView::from).collect(),
            canary_flags_left_out: standings.len().saturating_sub(LISTED),
            version: env!("CARGO_PKG_VERSION"),
            uptime_seconds: rounded(state.started.elapsed()),
            generation: snapshot.generation,
            digest: snapshot.digest.to_string(),
            sources: sources
                .iter()
                .map(|source| SourceView::from(&**source))
                .collect(),
            stores: StoreView::all(&state.state_store),
            token_issuers: IssuerView::all(state.reloader.issuers(), &snapshot),
            last_reload: ReloadView::from(&state.reloader.last()),
            audit,
            exposures: state.attribution.exposures.as_ref().map(FiguresView::of),
            sinks: SinkView::all(&state.attribution),
            tracing: TracingView::of(&snapshot, &state.spans),
            capacity: CapacityView::of(&state.connections, &snapshot),
            restart_needed: state.reloader.restart_needed(),
            warnings: warnings(&snapshot, &state.kills)
                .into_iter()
                .chain(damage(&state.state_store))
                .chain(unreachable(&state.state_store))
                .chain(shortfalls(&snapshot, state.connections.files))
                .chain(state.publisher.order_trouble())
                .chain(certificates(state))
                .chain(issuers::warnings(state.reloader.issuers(), &snapshot))
                .chain(of_audit)
                .chain(sinks::warnings(&state.attribution))
                .chain(traces::warning(&snapshot, &state.spans))
                .collect(),
        }
    }
}

/// What could not be read of what is stored. What it means for kills, they say themselves.
fn damage(store: &StateStore) -> impl Iterator<Item = String> {
    let others = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Kills);
    others.flat_map(|kind| store.damage(kind))
}

/// What gateways share, while it cannot be reached.
fn unreachable(store: &StateStore) -> Option<String> {
    let sharing = store.sharing()?;
    let why = sharing.trouble()?;
    Some(format!(
        "{} cannot be reached ({why}): what this gateway knows holds, and nothing but kills can be changed",
        sharing.place
    ))
}

/// What is wrong with the certificates of all listeners.
fn certificates(state: &AdminState) -> Vec<String> {
    let all = state.certificates.iter();
    all.flat_map(|tls| tls.warnings(clock::now())).collect()
}

/// What is odd about kills and about what runs, and which flags lately moved their users, or
/// took some from others.
fn warnings(snapshot: &Snapshot, kills: &KillSwitch) -> Vec<String> {
    let now = clock::now();
    let mut warnings = kills.all().doubts();
    warnings.extend(kills.all().unstored());
    warnings.extend(in_words(snapshot, kills.all()));
    warnings.extend(ahead(&kills.ahead(snapshot)));
    warnings.extend(snapshot.warnings.iter().cloned());
    warnings.extend(refused(snapshot));
    let moved = snapshot.rebucketed.iter();
    let moved = moved.filter(|moved| moved.is_recent(now));
    warnings.extend(moved.map(ToString::to_string));
    let taking = snapshot.taking.iter();
    let taking = taking.filter(|taking| taking.is_recent(now));
    warnings.extend(taking.map(ToString::to_string));
    warnings
}

/// Addresses that deployments lead to and that get no users.
fn refused(snapshot: &Snapshot) -> Vec<String> {
    let mut warnings = Vec::new();
    for service in &snapshot.services {
        for deployment in &service.deployments {
            for refused in &*deployment.cluster.refused() {
                warnings.push(format!(
                    "{} of {}: {refused}",
                    deployment.name, service.name
                ));
            }
        }
    }
    warnings
}

/// Kills of names that no flag has: they may have been mistyped.
fn ahead(names: &[(String, String)]) -> Option<String> {
    let shown = names.iter().take(SHOWN);
    let shown: Vec<String> = shown
        .map(|(service, flag)| format!("{flag} of {service}"))
        .collect();
    let more = match names.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let (count, shown) = (names.len(), shown.join(", "));
    (count > 0).then(|| format!("kills of names that no flag has: {count} ({shown}{more})"))
}

impl StoreView {
    fn all(store: &StateStore) -> Vec<Self> {
        let standings = store.standings().into_iter();
        standings
            .map(|standing| Self {
                name: standing.store,
                place: standing.place,
                age_seconds: standing.age.map(rounded),
                up: standing.trouble.is_none(),
                last_error: standing.trouble,
            })
            .collect()
    }
}

impl CapacityView {
    fn of(figures: &ConnectionFigures, snapshot: &Snapshot) -> Self {
        let shares = figures.shares(snapshot.traffic.connections);
        Self {
            open_files: OpenFilesView {
                limit: figures.files.limit,
                found: figures.files.found,
                reserve: shares.reserve,
            },
            connections: CountView {
                open: figures.open.get(),
                max: shares.clients,
            },
            upstream_connections: CountView {
                open: figures.upstream.get(),
                max: shares.upstreams,
            },
        }
    }
}

impl From<&SourceStatus> for SourceView {
    fn from(source: &SourceStatus) -> Self {
        Self {
            name: source.name.to_string(),
            age_seconds: rounded(source.age()),
            last_error: source.last_error(),
            server: source.server().map(ServerView::from),
        }
    }
}

impl From<ServerFacts> for ServerView {
    fn from(facts: ServerFacts) -> Self {
        Self {
            mode: facts.mode.as_str(),
            revision: facts.revision,
            answered: facts.has_answered,
            held: facts.held.iter().map(ToString::to_string).collect(),
        }
    }
}

impl From<&LastReload> for ReloadView {
    fn from(last: &LastReload) -> Self {
        let at = jiff::Timestamp::from_millisecond(last.at.unix_ms).unwrap_or_default();
        let (result, errors) = match &last.result {
            Ok(()) => ("ok", Vec::new()),
            Err(ReloadFailure::Invalid(problems)) => (
                "invalid",
                problems.iter().map(DiagnosticView::from).collect(),
            ),
            Err(error @ ReloadFailure::Unreadable(_)) => (
                "unreadable",
                vec![DiagnosticView::of_whole(error.to_string())],
            ),
            Err(error @ ReloadFailure::Failed(_)) => {
                ("failed", vec![DiagnosticView::of_whole(error.to_string())])
            }
            Err(error @ ReloadFailure::Stopped(_)) => {
                ("stopped", vec![DiagnosticView::of_whole(error.to_string())])
            }
        };
        Self {
            at: format!("{at:.3}"),
            cause: last.cause.map_or("start", |cause| cause.as_str()),
            result,
            errors,
        }
    }
}

fn rounded(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e3).round() / 1e3
}
