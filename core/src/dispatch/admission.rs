//! Whom and what a route lets in, before anything is done for it.

use http::StatusCode;

use super::Refusal;
use crate::request::{RequestHead, limits};
use crate::route::{Route, RouteIndex};
use crate::snapshot::Snapshot;

/// Holds a request to its route's networks, and its body as far as the head says how long it is.
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
    match limits::check_length(head, guard.body_bytes) {
        Ok(()) => Ok(()),
        Err(large) => Err(Refusal::new(large.status(), large.to_string(), Some(index))),
    }
}
