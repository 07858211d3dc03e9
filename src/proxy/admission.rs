//! When a request may go on to its service: when there is something to send, and room for it.

use std::sync::Arc;

use http::StatusCode;
use pingora::prelude::Session;

use super::connect::{Connector, Terms};
use super::exchange::Exchange;
use super::first_byte;
use super::hooks::Proxy;
use super::queue::Admitted;
use super::reply;
use crate::canary::Cause;
use crate::capacity::Shares;
use crate::meter::load::{Bound, Room};
use crate::snapshot::Service;

impl Proxy {
    /// Whether a request may go on without waiting for anything; then it has been let in.
    pub(super) fn goes_at_once(
        &self,
        session: &mut Session,
        exchange: &mut Exchange,
    ) -> pingora::Result<bool> {
        first_byte::take_over(session, exchange)?;
        if first_byte::is_awaited(session) {
            return Ok(false);
        }
        let shares = self.shares(exchange);
        let Some(passage) = exchange.passage.as_mut() else {
            return Ok(true);
        };
        let service = &exchange.snapshot.services[passage.plan.service];
        let room = room(service, shares, first_byte::is_unspoken(session));
        passage.admitted = Admitted::at_once(&service.meter, room).ok();
        Ok(passage.admitted.is_some())
    }

    /// Waits until a request may go on. `true`: it has been answered instead, since there is no room for it.
    pub(super) async fn wait(
        &self,
        session: &mut Session,
        exchange: &mut Exchange,
    ) -> pingora::Result<bool> {
        if first_byte::is_awaited(session) {
            first_byte::over_http1(session, exchange, &self.connections).await?;
        }
        let shares = self.shares(exchange);
        let Some(passage) = exchange.passage.as_mut() else {
            return Ok(false);
        };
        let service = &exchange.snapshot.services[passage.plan.service];
        let room = room(service, shares, first_byte::is_unspoken(session));
        match Admitted::in_turn(&service.meter, room, &service.upstream.load).await {
            Ok(admitted) => {
                passage.admitted = Some(admitted);
                Ok(false)
            }
            Err(bound) => self
                .turn_away(session, exchange, bound)
                .await
                .map(|()| true),
        }
    }

    async fn turn_away(
        &self,
        session: &mut Session,
        exchange: &mut Exchange,
        bound: Bound,
    ) -> pingora::Result<()> {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        exchange.own_status = Some(status.as_u16());
        if let Some(passage) = exchange.passage.as_mut() {
            passage.attempts.gave_up(Cause::Overload);
            let service = &exchange.snapshot.services[passage.plan.service];
            service.meter.load.refused(bound).inc();
        }
        if !session.is_body_done() {
            // The rest of it is not worth reading.
            session.set_keepalive(None);
        }
        let why = "the service has too many requests";
        reply::error(session, status, why, exchange.told_request_id()).await
    }

    fn shares(&self, exchange: &Exchange) -> Shares {
        self.connections
            .shares(exchange.snapshot.traffic.connections)
    }

    /// What makes connections to a service's upstreams.
    pub(super) fn connector(&self, service: &Service, shares: Shares) -> Arc<Connector> {
        let terms = Terms {
            most: most_connections(service, shares),
            most_of_all: shares.upstreams,
            timeout: service.upstream.connect_timeout,
        };
        Connector::of(&service.meter, terms, &self.connections)
    }
}

/// How many requests there may be for one to go to a service. One that is unspoken shares a connection.
fn room(service: &Service, shares: Shares, unspoken: bool) -> Room {
    Room {
        requests: service.upstream.load.max_requests.unwrap_or(u32::MAX),
        connections: (!unspoken).then(|| most_connections(service, shares)),
    }
}

fn most_connections(service: &Service, shares: Shares) -> u32 {
    let wanted = service.upstream.load.max_connections;
    wanted.unwrap_or_else(|| shares.of_service())
}
