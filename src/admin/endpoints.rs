//! Every endpoint of the admin API. The routers are made of this table, and so is the API's document: no endpoint is
//! without a description.

mod exposures;
mod kept;

use std::sync::Arc;

use axum::http::Method;
use axum::middleware::from_fn;
use axum::routing::{delete, get, post, put};
use axum::{Json, Router};
use serde_json::Value;

use super::audit::AuditView;
use super::openapi::Operation;
use super::openapi::body::{Answer, AnyObject, NEW, Takes};
use super::openapi::parameter::Parameter;
use super::{
    AdminState, audit, authorization, canaries, config_check, events, explain, kills, livez, log,
    metrics, openapi, readyz, reload, services, sources, status,
};
use crate::config::admin::Role;

const TEXT: &str = "text/plain";

/// Where other gateways cannot be told.
const ACCEPTED: &[(u16, &str)] = &[(202, "Well, here; other gateways learn of it later")];

/// After which event a client goes on.
const RESUMPTION: &[Parameter] = &[
    Parameter::header(
        "Last-Event-ID",
        "the last event that was seen: what came after it is told first",
    ),
    Parameter::query::<String>("since", "the same, for clients that cannot send it"),
];

/// Which entries are wanted.
const SEARCH: &[Parameter] = &[
    Parameter::query::<String>(
        "since",
        "only what came after this entry (its ID), or since this moment (RFC 3339)",
    ),
    Parameter::query::<String>("service", "only what is about this service"),
    Parameter::query::<u16>(
        "limit",
        "at most so many, 1 to 1,000; 100 if it is left out",
    ),
];

/// Every operation.
pub(super) const TABLES: &[&[Operation]] = &[OPERATIONS, kept::OPERATIONS, exposures::OPERATIONS];

const OPERATIONS: &[Operation] = &[
    Operation {
        method: Method::GET,
        path: "/livez",
        is_probe: true,
        summary: "Whether the process runs",
        role: Role::Viewer,
        takes: Takes::NOTHING,
        gives: Answer::text(TEXT),
        errors: &[],
        route: || get(livez::livez),
    },
    Operation {
        method: Method::GET,
        path: "/readyz",
        is_probe: true,
        summary: "Whether traffic may come",
        role: Role::Viewer,
        takes: Takes::NOTHING,
        gives: Answer::text(TEXT),
        errors: &[503],
        route: || get(readyz::readyz),
    },
    Operation {
        method: Method::GET,
        path: "/metrics",
        is_probe: true,
        summary: "Every figure, as Prometheus text or OpenMetrics",
        role: Role::Viewer,
        takes: Takes::NOTHING,
        gives: Answer::text(TEXT).or_as("application/openmetrics-text"),
        errors: &[],
        route: || get(metrics::metrics),
    },
    Operation {
        method: Method::GET,
        path: "/api/v1/openapi.json",
        is_probe: false,
        summary: "This document",
        role: Role::Viewer,
        takes: Takes::NOTHING,
        gives: Answer::json::<AnyObject>(),
        errors: &[],
        route: || get(document),
    },
    Operation {
        method: Method::GET,
        path: "/api/v1/status",
        is_probe: false,
        summary: "What runs, how fresh it is, and what is wrong with it",
        role: Role::Viewer,
        takes: Takes::NOTHING,
        gives: Answer::json::<status::StatusView>(),
        errors: &[],
        route: || get(status::status),
    },
    Operation {
        method: Method::GET,
        path: "/api/v1/events",
        is_probe: false,
        summary: "What happens, as it happens: missed, connected, snapshot, held, source, canary, endpoint, flag, kills, audit, lagged, stopping",
        role: Role::Viewer,
        takes: Takes::NOTHING.with(RESUMPTION),
        gives: Answer::text("text/event-stream"),
        errors: &[503],
        route: || get(events::events),
    },
    Operation {
        method: Method::GET,
        path: "/api/v1/audit",
        is_probe: false,
        summary: "Who did what, from the audit trail; the newest last",
        role: Role::Viewer,
        takes: Takes::NOTHING.with(SEARCH),
        gives: Answer::json::<AuditView>(),
        errors: &[503],
        route: || get(audit::entries),
    },
    Operation {
        method: Method::GET,
        path: "/api/v1/services",
        is_probe: false,
        summary: "Every service with its deployments, endpoints and figures",
        role: Role::Viewer,
        takes: Takes::NOTHING,
        gives: Answer::json::<services::ServicesView>(),
        errors: &[],
        route: || get(services::services),
    },
    Operation {
        method: Method::GET,
        path: "/api/v1/services/{service}",
        is_probe: false,
        summary: "One service",
        role: Role::Viewer,
        takes: Takes::NOTHING,
        gives: Answer::json::<services::ServiceView>(),
        errors: &[404],
        route: || get(services::service),
    },
    Operation {
        method: Method::GET,
        path: "/api/v1/services/{service}/canaries",
        is_probe: false,
        summary: "Every canary that is registered for a service",
        role: Role::Viewer,
        takes: Takes::NOTHING,
        gives: Answer::json::<canaries::CanariesView>(),
        errors: &[400, 404, 500, 503],
        route: || get(canaries::list),
    },
    Operation {
        method: Method::GET,
        path: "/api/v1/services/{service}/canaries/{name}",
        is_probe: false,
        summary: "One registered canary, with its history",
        role: Role::Viewer,
        takes: Takes::NOTHING,
        gives: Answer::json::<canaries::ShownView>(),
        errors: &[400, 404, 500, 503],
        route: || get(canaries::show),
    },
    Operation {
        method: Method::PUT,
        path: "/api/v1/services/{service}/canaries/{name}",
        is_probe: false,
        summary: "Register a canary, or renew what is registered",
        role: Role::Registrar,
        takes: Takes::json::<canaries::RegistrationDocument>(),
        gives: Answer::json::<canaries::RegisteredView>().or(NEW),
        errors: &[400, 404, 408, 409, 413, 422, 500, 503, 507],
        route: || put(canaries::register),
    },
    Operation {
        method: Method::DELETE,
        path: "/api/v1/services/{service}/canaries/{name}",
        is_probe: false,
        summary: "End a registration at once",
        role: Role::Registrar,
        takes: Takes::NOTHING,
        gives: Answer::json::<canaries::RegisteredView>(),
        errors: &[400, 404, 409, 500, 503, 507],
        route: || delete(canaries::deregister),
    },
    Operation {
        method: Method::POST,
        path: "/api/v1/services/{service}/canaries/{name}/renew",
        is_probe: false,
        summary: "Give a registration its time anew",
        role: Role::Registrar,
        takes: Takes::NOTHING,
        gives: Answer::json::<canaries::RegisteredView>(),
        errors: &[400, 404, 409, 500, 503, 507],
        route: || post(canaries::renew),
    },
    Operation {
        method: Method::POST,
        path: "/api/v1/services/{service}/canaries/{name}/kill",
        is_probe: false,
        summary: "Send no user to a flag's canaries any more; ahead: before there is such a flag",
        role: Role::Operator,
        takes: Takes::json_or_nothing::<kills::OrderDocument>(),
        gives: Answer::json::<kills::OrderView>().or(ACCEPTED),
        errors: &[404, 409, 422, 500, 503],
        route: || post(kills::kill),
    },
    Operation {
        method: Method::POST,
        path: "/api/v1/services/{service}/canaries/{name}/restore",
        is_probe: false,
        summary: "Take a kill back",
        role: Role::Operator,
        takes: Takes::json_or_nothing::<kills::OrderDocument>(),
        gives: Answer::json::<kills::OrderView>(),
        errors: &[404, 422, 500, 503],
        route: || post(kills::restore),
    },
    Operation {
        method: Method::POST,
        path: "/api/v1/canaries/unknown/restore",
        is_probe: false,
        summary: "Say that no canary is killed of which a damaged kills.json leaves that unknown",
        role: Role::Operator,
        takes: Takes::NOTHING,
        gives: Answer::json::<kills::SettledView>(),
        errors: &[500, 503],
        route: || post(kills::restore_unknown),
    },
    Operation {
        method: Method::POST,
        path: "/api/v1/explain",
        is_probe: false,
        summary: "What would be decided for a user, and every step to it",
        role: Role::Viewer,
        takes: Takes::json::<explain::ExplainDocument>(),
        gives: Answer::json::<explain::AnswerView>(),
        errors: &[400, 404, 408, 413, 422, 503],
        route: || post(explain::explain),
    },
    Operation {
        method: Method::POST,
        path: "/api/v1/reload",
        is_probe: false,
        summary: "Read routes.yaml again and put it in force",
        role: Role::Admin,
        takes: Takes::NOTHING,
        gives: Answer::json::<reload::ReloadView>(),
        errors: &[422, 500, 503],
        route: || post(reload::reload),
    },
    Operation {
        method: Method::GET,
        path: "/api/v1/log",
        is_probe: false,
        summary: "Which log lines are written",
        role: Role::Viewer,
        takes: Takes::NOTHING,
        gives: Answer::json::<log::LogView>(),
        errors: &[404],
        route: || get(log::show),
    },
    Operation {
        method: Method::PUT,
        path: "/api/v1/log",
        is_probe: false,
        summary: "Write other log lines for a while: directives on top of logging.level, which end by themselves",
        role: Role::Admin,
        takes: Takes::json::<log::FilterDocument>(),
        gives: Answer::json::<log::LogView>(),
        errors: &[400, 404, 408, 413, 422, 503],
        route: || put(log::set),
    },
    Operation {
        method: Method::DELETE,
        path: "/api/v1/log",
        is_probe: false,
        summary: "Set the log's filter back now",
        role: Role::Admin,
        takes: Takes::NOTHING,
        gives: Answer::json::<log::LogView>(),
        errors: &[404, 503],
        route: || delete(log::reset),
    },
    Operation {
        method: Method::POST,
        path: "/api/v1/sources/{name}/refresh",
        is_probe: false,
        summary: "Fetch from a flag server now; the answer comes when it is in force",
        role: Role::Operator,
        takes: Takes::NOTHING,
        gives: Answer::json::<sources::RefreshView>(),
        errors: &[404, 502, 503],
        route: || post(sources::refresh),
    },
    Operation {
        method: Method::POST,
        path: "/api/v1/sources/{name}/accept",
        is_probe: false,
        summary: "Let go what a flag server lacks and what is held",
        role: Role::Operator,
        takes: Takes::NOTHING,
        gives: Answer::json::<sources::RefreshView>(),
        errors: &[404, 503],
        route: || post(sources::accept),
    },
    Operation {
        method: Method::POST,
        path: "/api/v1/config/check",
        is_probe: false,
        summary: "Check a routes.yaml without using it",
        role: Role::Viewer,
        takes: Takes::text("application/yaml"),
        gives: Answer::json::<config_check::CheckView>(),
        errors: &[400, 408, 413, 503],
        route: config_check::route,
    },
];

/// The whole API.
pub(super) fn api() -> Router<Arc<AdminState>> {
    router(|_| true)
}

/// The endpoints that probes and scrapers ask for.
pub(super) fn probes() -> Router<Arc<AdminState>> {
    router(|operation| operation.is_probe)
}

/// Whether a path needs no token: it is for probes and scrapers.
pub(super) fn is_open(path: &str) -> bool {
    let mut operations = TABLES.iter().copied().flatten();
    operations.any(|operation| operation.is_probe && operation.path == path)
}

/// Shows the API's document.
async fn document() -> Json<Value> {
    Json(described())
}

/// Apart from its handler, which the table that it reads names: the compiler would have to know each for the other.
fn described() -> Value {
    openapi::document(TABLES)
}

fn router(takes: fn(&Operation) -> bool) -> Router<Arc<AdminState>> {
    let operations = TABLES.iter().copied().flatten();
    let operations = operations.filter(|operation| takes(operation));
    operations.fold(Router::new(), |router, operation| {
        let authorized = from_fn(move |parameters, request, next| {
            authorization::authorize(operation, parameters, request, next)
        });
        router.route(operation.path, (operation.route)().route_layer(authorized))
    })
}
