//! `GET /api/v1/services` and `GET /api/v1/services/{service}`: deployments, their endpoints and figures.

mod endpoints;

use std::time::Instant;

use axum::extract::State;
use axum::{Extension, Json};
use schemars::JsonSchema;
use serde::Serialize;

use super::Shared;
use super::actor::Actor;
use super::kills::{self, KillView};
use super::path::Names;
use super::problem::Problem;
use crate::canary::Withdrawal;
use crate::cluster::UpstreamUrl;
use crate::meter::view::{AssignedRequests, ServedRequests, mean_seconds, share};
use crate::registry::kills::Kills;
use crate::snapshot::{Candidate, Deployment, DeploymentIndex, STABLE, Service};
use endpoints::EndpointView;

/// Every service.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Services")]
pub(super) struct ServicesView {
    generation: u64,
    services: Vec<ServiceView>,
}

/// One service.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Service")]
pub(super) struct ServiceView {
    name: String,
    deployments: Vec<DeploymentView>,
    /// The kills that are in force, whether there is such a flag or not.
    kills: Vec<KillView>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Deployment")]
struct DeploymentView {
    name: String,
    /// `null`: neither the file nor a flag names one.
    url: Option<String>,
    /// Which variants of which canary flags lead here, in order of precedence.
    assigned_by: Vec<AssignmentView>,
    endpoints: Vec<EndpointView>,
    /// Addresses that its URL leads to and that get no users.
    refused: Vec<RefusedView>,
    healthy: bool,
    /// Why it gets no users, whatever its flag says.
    withdrawn: Option<&'static str>,
    requests: RequestsView,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RefusedAddress")]
struct RefusedView {
    address: String,
    why: String,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Assignment")]
struct AssignmentView {
    flag: String,
    variant: Option<String>,
    enabled: bool,
}

/// Since the process began.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Requests")]
struct RequestsView {
    /// That were meant for this deployment.
    assigned: u64,
    /// That this deployment served.
    served: u64,
    /// Of those, with a status of 500 or more.
    errors: u64,
    /// That were assigned to it, and that stable served in its place.
    served_by_stable: u64,
    /// That were assigned to it, and that no deployment answered: the gateway sent an error, or the client went away.
    unanswered: u64,
    /// The part of all the service's requests that were meant for this deployment: 0 to 1.
    assigned_share: Option<f64>,
    /// The part of all that a deployment answered that this one did.
    served_share: Option<f64>,
    /// Of those that it served, from the request's head to the response's last byte.
    mean_seconds: Option<f64>,
}

/// Shows every service that the token is for.
pub(super) async fn services(
    State(state): Shared,
    Extension(actor): Extension<Actor>,
) -> Json<ServicesView> {
    let snapshot = state.publisher.store().load();
    Json(ServicesView {
        generation: snapshot.generation,
        services: snapshot
            .services
            .iter()
            .filter(|service| actor.is_for(&service.name))
            .map(|service| ServiceView::new(service, state.kills.all()))
            .collect(),
    })
}

/// Shows one service.
pub(super) async fn service(
    State(state): Shared,
    Names(name): Names<String>,
) -> Result<Json<ServiceView>, Problem> {
    let snapshot = state.publisher.store().load();
    match snapshot.services.named(&name) {
        Some(service) => Ok(Json(ServiceView::new(service, state.kills.all()))),
        None => Err(Problem::new(404, format!("there is no service {name:?}"))),
    }
}

impl ServiceView {
    fn new(service: &Service, kills: &Kills) -> Self {
        let deployments = service.deployments.entries();
        Self {
            name: service.name.to_string(),
            deployments: deployments
                .map(|(index, deployment)| DeploymentView::new(service, index, deployment))
                .collect(),
            kills: kills::of_service(service, kills),
        }
    }
}

impl DeploymentView {
    fn new(service: &Service, index: DeploymentIndex, deployment: &Deployment) -> Self {
        let endpoints = deployment.cluster.endpoints();
        let now = Instant::now();
        let candidates = service.candidates.iter();
        Self {
            name: deployment.name.to_string(),
            url: Some(&deployment.cluster.url)
                .filter(|url| **url != UpstreamUrl::NOWHERE)
                .map(ToString::to_string),
            assigned_by: candidates
                .flat_map(|candidate| assignments(candidate, index))
                .collect(),
            healthy: deployment.cluster.usable(now) > 0,
            withdrawn: deployment.withdrawal().map(Withdrawal::as_str),
            endpoints: endpoints
                .iter()
                .map(|endpoint| EndpointView::new(endpoint, now))
                .collect(),
            refused: deployment
                .cluster
                .refused()
                .iter()
                .map(|refused| RefusedView {
                    address: refused.address.to_string(),
                    why: refused.why.to_string(),
                })
                .collect(),
            requests: RequestsView::new(service, index, deployment),
        }
    }
}

/// The variants of a candidate that lead to a deployment: the flag's own, those of its rings, and what a user gets
/// who is on without a variant.
fn assignments(candidate: &Candidate, index: DeploymentIndex) -> Vec<AssignmentView> {
    let flag = &candidate.flag;
    let view = |variant: Option<&str>| AssignmentView {
        flag: flag.name.to_string(),
        variant: variant.map(str::to_owned),
        enabled: flag.enabled,
    };
    let mut assignments: Vec<AssignmentView> = flag
        .every_variant()
        .zip(candidate.variants.iter())
        .filter(|(_, arm)| arm.deployment == index)
        .map(|(variant, _)| view(Some(&variant.name)))
        .collect();
    if flag.url.is_some() && candidate.default_arm.deployment == index {
        assignments.push(view(None));
    }
    assignments
}

impl RequestsView {
    fn new(service: &Service, index: DeploymentIndex, deployment: &Deployment) -> Self {
        let meter = &deployment.meter;
        let all = || service.deployments.iter().map(|other| &*other.meter);
        let of_all = |count: fn(&AssignedRequests) -> u64| -> u64 {
            all().map(|meter| count(&AssignedRequests::of(meter))).sum()
        };
        let assigned = AssignedRequests::of(meter);
        let served = if index == STABLE {
            ServedRequests::of_stable(meter, all().skip(1))
        } else {
            ServedRequests::of_canary(meter)
        };
        Self {
            assigned: assigned.total(),
            served: served.requests,
            errors: served.errors,
            served_by_stable: assigned.by_stable,
            unanswered: assigned.unanswered,
            assigned_share: share(assigned.total(), of_all(AssignedRequests::total)),
            served_share: share(served.requests, of_all(AssignedRequests::answered)),
            mean_seconds: mean_seconds(&meter.durations.total),
        }
    }
}
