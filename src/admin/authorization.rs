//! What each operation demands of the one who asks, and of how its body is sent.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::Request;
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::AdminState;
use super::actor::Actor;
use super::openapi::Operation;
use super::openapi::body::JSON;
use super::path::Names;
use super::problem::Problem;
use super::reach::Reach;

/// Lets a request through to its operation, or refuses it: by role, service and the kind of its body.
pub(super) async fn authorize(
    operation: &'static Operation,
    Names(parameters): Names<HashMap<String, String>>,
    request: Request,
    next: Next,
) -> Response {
    let actor = request.extensions().get::<Actor>();
    let state = request.extensions().get::<Arc<AdminState>>();
    let allowed = match (actor.zip(state), operation.is_probe) {
        (_, true) => Ok(()),
        (Some((actor, state)), false) => {
            let role = actor.has_role(operation.role);
            role.and_then(|()| check_reach(operation, &parameters, actor, state))
        }
        // The guard lets nobody else through.
        (None, false) => Err(Problem::new(401, "a token is needed").challenging()),
    };
    match allowed.and_then(|()| check_media(operation, request.headers())) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// Refuses what is not for the services of a token.
fn check_reach(
    operation: &Operation,
    parameters: &HashMap<String, String>,
    actor: &Actor,
    state: &AdminState,
) -> Result<(), Problem> {
    if actor.services.is_none() {
        return Ok(());
    }
    let named = |parameter: &str| parameters.get(parameter).map_or("", String::as_str);
    match Reach::of(operation.path) {
        Reach::Nothing | Reach::Filtered => Ok(()),
        Reach::Service if actor.is_for(named("service")) => Ok(()),
        Reach::Service => Err(actor.is_for_some_only(&format!("not for {:?}", named("service")))),
        Reach::Flag => {
            let (flag, snapshot) = (named("name"), state.publisher.store().load());
            match operation.method == Method::GET && actor.may_see_flag(flag, &snapshot) {
                true => Ok(()),
                false => actor.may_change_flag(flag, &snapshot),
            }
        }
        Reach::Gateway => Err(actor.is_for_some_only("this is about all of the gateway")),
    }
}

/// A page elsewhere can have a browser send forms and plain text without asking first, but no JSON.
fn check_media(operation: &Operation, headers: &HeaderMap) -> Result<(), Problem> {
    let takes_json = operation
        .takes
        .body()
        .is_some_and(|body| body.media == JSON);
    let has_body = headers.contains_key(header::TRANSFER_ENCODING)
        || headers
            .get(header::CONTENT_LENGTH)
            .is_some_and(|length| length.as_bytes() != b"0");
    if !takes_json || !has_body {
        return Ok(());
    }
    let media = headers
        .get(header::CONTENT_TYPE)
        .and_then(|media| media.to_str().ok())
        .unwrap_or_default();
    let essence = media.split(';').next().unwrap_or_default().trim();
    match essence.eq_ignore_ascii_case(JSON) {
        true => Ok(()),
        false => {
            let detail = format!("a body here is JSON and says so: `Content-Type: {JSON}`");
            Err(Problem::new(415, detail))
        }
    }
}
