//! How much room a service has for a request, and for connections.

use super::queue::Admitted;
use crate::capacity::Shares;
use crate::meter::load::{Bound, Room};
use crate::snapshot::Service;

/// Lets a request in if it need not wait for that. One that is `unspoken` shares a connection.
pub(super) fn at_once(service: &Service, shares: Shares, unspoken: bool) -> Option<Admitted> {
    Admitted::at_once(&service.meter, room(service, shares, unspoken)).ok()
}

/// Lets a request in when its turn has come; says what is full if that takes too long, or too many wait.
pub(super) async fn in_turn(
    service: &Service,
    shares: Shares,
    unspoken: bool,
) -> Result<Admitted, Bound> {
    let room = room(service, shares, unspoken);
    Admitted::in_turn(&service.meter, room, &service.upstream.load).await
}

/// How many requests there may be for one to go to a service.
fn room(service: &Service, shares: Shares, unspoken: bool) -> Room {
    Room {
        requests: service.upstream.load.max_requests.unwrap_or(u32::MAX),
        connections: (!unspoken).then(|| most_connections(service, shares)),
    }
}

/// How many connections there may be to a service's upstreams.
pub(super) fn most_connections(service: &Service, shares: Shares) -> u32 {
    let wanted = service.upstream.load.max_connections;
    wanted.unwrap_or_else(|| shares.of_service())
}
