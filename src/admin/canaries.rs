//! `/api/v1/services/{service}/canaries`: what pipelines register.

mod document;
mod held;
mod view;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::{Extension, Json};
use tokio::task::JoinError;

use super::actor::Actor;
use super::diagnostic::DiagnosticView;
use super::path::Names;
use super::problem::Problem;
use super::{AdminState, Shared};
use crate::publisher::PublishError;
use crate::publisher::registrar::{Refusal, Report};
use crate::registry::registrations::Name;
use crate::state::StoreError;
pub(super) use document::RegistrationDocument;
use document::order;
pub(super) use held::HeldLeaseView;
use view::Looked;
pub(super) use view::{CanariesView, RegisteredView, ShownView};

/// When to come back, in seconds, if something could not be stored.
const LATER: u32 = 5;

/// Registers a canary, or renews it.
pub(super) async fn register(
    State(state): Shared,
    Extension(actor): Extension<Actor>,
    Names(path): Names<(String, String)>,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<RegisteredView>), Problem> {
    let (service, name) = named(path);
    let order = order(service.clone(), name.clone(), body)?;
    let actor = actor.signature();
    // On a task of its own: what has begun is carried through, even if whoever asked for it goes away.
    let done = tokio::spawn(async move {
        let report = state.registrar.register(order, &actor).await;
        answer(&state, &(service, name), report)
    });
    carried_out(done.await)
}

/// Gives a registration its time anew.
pub(super) async fn renew(
    State(state): Shared,
    Extension(actor): Extension<Actor>,
    Names(path): Names<(String, String)>,
) -> Result<(StatusCode, Json<RegisteredView>), Problem> {
    let actor = actor.signature();
    let done = tokio::spawn(async move {
        let name = named(path);
        let report = state.registrar.renew(&name, &actor).await;
        answer(&state, &name, report)
    });
    carried_out(done.await)
}

/// Ends a registration.
pub(super) async fn deregister(
    State(state): Shared,
    Extension(actor): Extension<Actor>,
    Names(path): Names<(String, String)>,
) -> Result<(StatusCode, Json<RegisteredView>), Problem> {
    let actor = actor.signature();
    let done = tokio::spawn(async move {
        let name = named(path);
        let report = state.registrar.deregister(&name, &actor).await;
        answer(&state, &name, report)
    });
    carried_out(done.await)
}

/// Shows what is registered for a service.
pub(super) async fn list(
    State(state): Shared,
    Names(service): Names<String>,
) -> Result<Json<CanariesView>, Problem> {
    let looked = Looked::at(&state, &service)?;
    let mut canaries = Vec::new();
    for (name, lease) in state.registrar.registrations().all(Some(&service)) {
        canaries.push(looked.canary(&name, &lease));
    }
    Ok(Json(CanariesView { service, canaries }))
}

/// Shows one registration, with its history.
pub(super) async fn show(
    State(state): Shared,
    Names(path): Names<(String, String)>,
) -> Result<Json<ShownView>, Problem> {
    let looked = Looked::at(&state, &path.0)?;
    let name = named(path);
    let Some(lease) = state.registrar.registrations().get(&name) else {
        let (service, name) = name;
        let detail = format!("`{name}` is not registered in {service}");
        return Err(Problem::new(404, detail));
    };
    Ok(Json(looked.shown(&name, &lease)))
}

fn answer(
    state: &AdminState,
    name: &Name,
    report: Result<Report, Refusal>,
) -> Result<(StatusCode, Json<RegisteredView>), Problem> {
    let report = report.map_err(|refusal| problem(&refusal))?;
    let status = match report.is_new {
        true => StatusCode::CREATED,
        false => StatusCode::OK,
    };
    let looked = Looked::at(state, &name.0)?;
    Ok((status, Json(looked.registered(name, &report))))
}

fn named((service, name): (String, String)) -> Name {
    (service.into(), name.into())
}

fn carried_out<T>(done: Result<Result<T, Problem>, JoinError>) -> Result<T, Problem> {
    match done {
        Ok(answer) => answer,
        Err(panic) => Err(Problem::new(500, panic.to_string())),
    }
}

fn problem(refusal: &Refusal) -> Problem {
    let field = |status: u16, field: &str| {
        let detail = refusal.to_string();
        let error = DiagnosticView::of_member(field, detail.clone());
        Problem::new(status, detail).with_errors(vec![error])
    };
    match refusal {
        Refusal::NoService(_) | Refusal::NotRegistered(..) => {
            Problem::new(404, refusal.to_string())
        }
        Refusal::Name(..) | Refusal::NotOfService(..) => Problem::new(422, refusal.to_string()),
        Refusal::OfFile(_) | Refusal::TooMany => Problem::new(409, refusal.to_string()),
        Refusal::Url(_) => field(422, "url"),
        Refusal::Ttl(..) => field(422, "ttl"),
        Refusal::Rings(problems) => {
            let errors = problems.iter().map(DiagnosticView::from).collect();
            Problem::new(422, refusal.to_string()).with_errors(errors)
        }
        Refusal::Store(error) => {
            let status = match error {
                StoreError::Changed(_) => 409,
                StoreError::Full(_) => 507,
                StoreError::Unwritable(_) | StoreError::Unreachable | StoreError::Stopped => 503,
            };
            Problem::new(status, error.to_string()).retry_after(LATER)
        }
        Refusal::Publish(error) => unpublished(error),
    }
}

fn unpublished(error: &PublishError) -> Problem {
    match error {
        PublishError::Stopped(_) => Problem::new(503, error.to_string()),
        PublishError::Failed(_) => Problem::new(500, error.to_string()),
    }
}
