//! What is asked of a request before any endpoint sees it.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Shared;
use super::problem::Problem;
use crate::cluster::split_port;

/// What answers at every address and needs no token: what probes and scrapers ask for.
const OPEN: [&str; 3] = ["/livez", "/readyz", "/metrics"];

/// Lets through what may ask.
pub(super) async fn guard(State(state): Shared, request: Request, next: Next) -> Response {
    match refusal(state.address, &request) {
        Some(problem) => problem.into_response(),
        None => next.run(request).await,
    }
}

fn refusal(address: SocketAddr, request: &Request) -> Option<Problem> {
    let headers = request.headers();
    let host = text(headers, header::HOST.as_str()).or_else(|| {
        request
            .uri()
            .authority()
            .map(|authority| authority.as_str())
    });
    if address.ip().to_canonical().is_loopback() {
        // A web page can make a browser come here under a name that its owner points to 127.0.0.1.
        if !host.is_none_or(|host| is_local(host, address)) {
            return Some(Problem::new(
                421,
                "this listener answers to local names only",
            ));
        }
    } else if !OPEN.contains(&request.uri().path()) {
        let detail = "beyond loopback addresses only probes and metrics are open; admin.tokens, which would open \
                      the rest, is not supported yet";
        return Some(Problem::new(403, detail));
    }
    // And it can make a browser send what changes something, without being able to read the answer.
    let origin = text(headers, header::ORIGIN.as_str());
    let foreign = origin.is_some_and(|origin| {
        let authority = origin.split_once("://").map(|(_, authority)| authority);
        authority.is_none() || authority != host
    });
    if foreign && !request.method().is_safe() {
        return Some(Problem::new(
            403,
            "another site's page may not ask for this",
        ));
    }
    None
}

fn is_local(host: &str, address: SocketAddr) -> bool {
    let (name, _) = split_port(host);
    let literal = name.trim_start_matches('[').trim_end_matches(']');
    match literal.parse::<IpAddr>() {
        Ok(ip) => ip.is_loopback() || ip == address.ip(),
        Err(_) => name.eq_ignore_ascii_case("localhost"),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    // What is not text is no name that anything here answers to.
    headers.get(name).map(|value| value.to_str().unwrap_or("?"))
}
