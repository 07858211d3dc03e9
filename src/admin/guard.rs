//! What the admin listener demands of a request before any endpoint sees it.

use std::net::IpAddr;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Shared;
use super::connections::Caller;
use super::problem::Problem;
use crate::host::HostPattern;
use crate::host::split_port;

/// What answers everybody and needs no token: what probes and scrapers ask for.
const OPEN: [&str; 3] = ["/livez", "/readyz", "/metrics"];

/// Lets a request through, or refuses it.
pub(super) async fn guard(
    State(state): Shared,
    Extension(caller): Extension<Caller>,
    request: Request,
    next: Next,
) -> Response {
    if state.via.has_passed(request.headers()) {
        // A canary or a stable deployment leads here, round about: no end user's request is for this listener.
        let detail = "this came through this gateway: its own listeners are no upstream";
        return Problem::new(508, detail).into_response();
    }
    let asked = tracing::enabled!(tracing::Level::DEBUG)
        .then(|| (request.method().clone(), request.uri().path().to_owned()));
    let response = match refusal(&caller, &state.hosts, &request) {
        Some(problem) => problem.into_response(),
        None => next.run(request).await,
    };
    if let Some((method, path)) = asked {
        let (client, status) = (caller.address, response.status().as_u16());
        tracing::debug!(%client, %method, path, status, "an admin request was answered");
    }
    response
}

fn refusal(caller: &Caller, hosts: &[HostPattern], request: &Request) -> Option<Problem> {
    let headers = request.headers();
    let mut named = headers.get_all(header::HOST).iter().map(text);
    let host = named.next();
    if named.next().is_some() {
        // RFC 9112, 3.2: which of them is meant nobody can tell.
        return Some(Problem::new(400, "there is more than one Host"));
    }
    let authority = request
        .uri()
        .authority()
        .map(|authority| authority.as_str());
    let is_open = OPEN.contains(&request.uri().path());
    if !caller.is_local() {
        let detail = "from elsewhere only probes and metrics are open; the rest is for callers who come from \
                      loopback to loopback (on this machine, in this container or pod), until admin.tokens, \
                      not supported yet, opens it";
        return (!is_open).then(|| Problem::new(403, detail));
    }
    // A web page can make a browser come here under a name that its owner points to 127.0.0.1. What is open to other
    // machines anyway, they ask for under any name.
    let is_known = |host: &str| is_known(host, hosts);
    let may_have_any_name = is_open && caller.listener_is_open;
    if !may_have_any_name && ![host, authority].into_iter().flatten().all(is_known) {
        let detail =
            "this listener answers to IP addresses, localhost and the names of admin.hosts only";
        return Some(Problem::new(421, detail));
    }
    // And it can make a browser send what changes something, without being able to read the answer.
    if is_foreign_page(headers, host.or(authority)) && !request.method().is_safe() {
        return Some(Problem::new(
            403,
            "another site's page may not ask for this",
        ));
    }
    None
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
