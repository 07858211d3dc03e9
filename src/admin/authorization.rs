//! What each operation demands of the one who asks, and of how its body is sent.

use std::collections::HashMap;

use axum::extract::Request;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::actor::Actor;
use super::openapi::Operation;
use super::openapi::body::JSON;
use super::path::Names;
use super::problem::Problem;

/// Lets a request through to its operation, or refuses it: by role, service and the kind of its body.
pub(super) async fn authorize(
    operation: &'static Operation,
    Names(parameters): Names<HashMap<String, String>>,
    request: Request,
    next: Next,
) -> Response {
    let service = parameters.get("service").map(String::as_str);
    let actor = request.extensions().get::<Actor>();
    let allowed = match (actor, operation.is_probe) {
        (_, true) => Ok(()),
        (Some(actor), false) => actor.may(operation.role, service),
        // The guard lets nobody else through.
        (None, false) => Err(Problem::new(401, "a token is needed").challenging()),
    };
    match allowed.and_then(|()| check_media(operation, request.headers())) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
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
