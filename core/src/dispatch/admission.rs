//! Whom and what a route lets in, before anything is done for it.

use http::StatusCode;

use super::{Refusal, match_route};
use crate::request::path::NormalPath;
use crate::request::{RequestHead, limits, without_blanks};
use crate::route::{Route, RouteIndex};
use crate::snapshot::Snapshot;

/// Holds a request to its route's networks and protocols, and its body as far as the head says how long it is.
///
/// # Errors
/// 403 and 413.
pub(super) fn admit(
    snapshot: &Snapshot,
    head: &RequestHead<'_>,
    index: RouteIndex,
    route: &Route,
) -> Result<(), Refusal> {
    let guard = &route.guard;
    if !guard.networks.is_everywhere()
        && !guard.networks.admit(snapshot.identity.client_address(head))
    {
        // Which network the client is in, as far as this gateway knows, is not for the client.
        let why = "requests from this address are not let in";
        return Err(Refusal::new(StatusCode::FORBIDDEN, why, Some(index)));
    }
    if guard.refuses_websockets && asks_for_websocket(head) {
        let why = "there are no WebSockets here";
        return Err(Refusal::new(StatusCode::FORBIDDEN, why, Some(index)));
    }
    match limits::check_length(head, guard.body_bytes) {
        Ok(()) => Ok(()),
        Err(large) => Err(Refusal::new(large.status(), large.to_string(), Some(index))),
    }
}

/// Whether a request asks for a WebSocket in place of its answer, perhaps beside other protocols.
fn asks_for_websocket(head: &RequestHead<'_>) -> bool {
    let mut asks = false;
    head.headers.visit("upgrade", &mut |value| {
        let mut protocols = value.split(|&byte| byte == b',');
        asks |= protocols.any(|name| without_blanks(name).eq_ignore_ascii_case(b"websocket"));
    });
    asks
}

/// Whether a page may send a request that a browser asks about: the route that says so, or why not. `None`: the route that
/// the request has says nothing of pages, or there is none, and what asks is a request like others.
pub(super) fn preflight(
    snapshot: &Snapshot,
    asked: &RequestHead<'_>,
    path: &NormalPath<'_>,
) -> Option<Result<RouteIndex, Refusal>> {
    let (index, route) = match_route(snapshot, asked, path).ok()?;
    let cors = route.guard.cors.as_ref()?;
    let origin = asked.headers.first("origin")?;
    Some(match admit(snapshot, asked, index, route) {
        Err(refusal) => Err(refusal),
        Ok(()) if cors.admits(origin) => Ok(index),
        Ok(()) => {
            let why = "pages of this origin may not ask";
            Err(Refusal::new(StatusCode::FORBIDDEN, why, Some(index)))
        }
    })
}
