//! What the admin listener demands of a request before any endpoint sees it.

use std::net::IpAddr;
use std::time::Instant;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::access::AccessControl;
use super::actor::Actor;
use super::connections::Caller;
use super::problem::Problem;
use super::{AdminState, Shared, endpoints};
use crate::config::admin::AdminToken;
use crate::host::{HostPattern, split_port};

/// After how many seconds an order is to be given again that came while another process took over.
const RETRY: u32 = 1;

/// Lets a request through, with who asks, or refuses it.
pub(super) async fn guard(
    State(state): Shared,
    Extension(caller): Extension<Caller>,
    mut request: Request,
    next: Next,
) -> Response {
    if state.via.has_passed(request.headers()) {
        // A canary or a stable deployment leads here, round about: no end user's request is for this listener.
        let detail = "this came through this gateway: its own listeners are no upstream";
        return Problem::new(508, detail).into_response();
    }
    let asked = tracing::enabled!(tracing::Level::DEBUG)
        .then(|| (request.method().clone(), request.uri().path().to_owned()));
    let tokens = state.reloader.admin_tokens();
    let admitted = admit(&caller, &request, &state.hosts, &state.access, &tokens);
    let (role, response) = match admitted {
        Ok(actor) => {
            let role = actor.as_ref().map(|actor| actor.role);
            if let Some(actor) = actor {
                request.extensions_mut().insert(actor);
                request.extensions_mut().insert(state.clone());
            }
            (role, carried_out(&state, request, next).await)
        }
        Err(problem) => (None, problem.into_response()),
    };
    let status = response.status().as_u16();
    state.access.figures.count(role, status);
    if let Some((method, path)) = asked {
        let client = caller.address;
        tracing::debug!(%client, %method, path, status, "an admin request was answered");
    }
    response
}

/// Has a request answered. An order is carried out by the process that has custody of everything, and that until it is answered.
async fn carried_out(state: &AdminState, request: Request, next: Next) -> Response {
    if request.method().is_safe() {
        return next.run(request).await;
    }
    match state.orders.try_hold() {
        Some(_hold) => next.run(request).await,
        None => {
            let detail = "another process of this gateway takes over: ask again";
            let problem = Problem::new(503, detail).retry_after(RETRY);
            let mut response = problem.into_response();
            // On a new connection it is asked.
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
            response
        }
    }
}

/// Who asks; `None`: anybody may have what is asked for.
fn admit(
    caller: &Caller,
    request: &Request,
    hosts: &[HostPattern],
    access: &AccessControl,
    tokens: &[AdminToken],
) -> Result<Option<Actor>, Problem> {
    check_sender(caller, hosts, request)?;
    if is_open(request) {
        return Ok(None);
    }
    let actor = access.identify(caller, request.headers(), tokens, Instant::now())?;
    Ok(Some(actor))
}

/// Refuses what a browser sends for a page elsewhere.
fn check_sender(caller: &Caller, hosts: &[HostPattern], request: &Request) -> Result<(), Problem> {
    let headers = request.headers();
    let mut named = headers.get_all(header::HOST).iter().map(text);
    let host = named.next();
    if named.next().is_some() {
        // RFC 9112, 3.2: which of them is meant nobody can tell.
        return Err(Problem::new(400, "there is more than one Host"));
    }
    let authority = request
        .uri()
        .authority()
        .map(|authority| authority.as_str());
    // A web page can make a browser come here under a name that its owner points to 127.0.0.1. What is open to other
    // machines anyway, they ask for under any name.
    let is_known = |host: &str| is_known(host, hosts);
    let may_have_any_name = is_open(request) && caller.listener_is_open;
    if !may_have_any_name && ![host, authority].into_iter().flatten().all(is_known) {
        let detail =
            "this listener answers to IP addresses, localhost and the names of admin.hosts only";
        return Err(Problem::new(421, detail));
    }
    // And it can make a browser send what changes something, without being able to read the answer.
    if is_foreign_page(headers, host.or(authority)) {
        let detail = "another site's page may not ask for this";
        return Err(Problem::new(403, detail));
    }
    Ok(())
}

/// Whether it is for probes and scrapers, who have no token.
fn is_open(request: &Request) -> bool {
    endpoints::is_open(request.uri().path())
}

/// Whether a host is one that no page elsewhere can have a browser send.
fn is_known(host: &str, hosts: &[HostPattern]) -> bool {
    let (name, _) = split_port(host);
    let name = name.strip_suffix('.').unwrap_or(name);
    let literal = name.trim_start_matches('[').trim_end_matches(']');
    literal.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || hosts.iter().any(|pattern| pattern.takes(name))
}

fn is_foreign_page(headers: &HeaderMap, host: Option<&str>) -> bool {
    headers
        .get_all(header::ORIGIN)
        .iter()
        .map(text)
        .any(|origin| {
            let authority = origin.split_once("://").map(|(_, authority)| authority);
            authority.is_none() || authority != host
        })
}

fn text(value: &HeaderValue) -> &str {
    // What is not text is no name that anything here answers to.
    value.to_str().unwrap_or("?")
}

#[cfg(test)]
mod tests;
