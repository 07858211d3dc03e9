//! When a request may go on to its service: when there is something to send, and room for it.

use std::sync::Arc;

use http::StatusCode;
use pingora::prelude::Session;

use super::connect::{Connector, Terms};
use super::ctx::RequestCtx;
use super::first_byte;
use super::proxy::Proxy;
use super::reply;
use super::route_fields::route_fields;
use crate::canary::Cause;
use crate::capacity::Shares;
use crate::cluster::Cluster;
use crate::meter::load::Bound;
use crate::proxy::admission::{self, most_connections};
use crate::snapshot::Service;

impl Proxy {
    /// Whether a request may go on without waiting for anything; then it has been let in.
    pub(super) fn goes_at_once(
        &self,
        session: &mut Session,
        ctx: &mut RequestCtx,
    ) -> pingora::Result<bool> {
        first_byte::take_over(session, ctx)?;
        if first_byte::is_awaited(session, ctx) {
            return Ok(false);
        }
        let shares = self.shares(ctx);
        let Some(upstream_request) = ctx.run.upstream.as_mut() else {
            return Ok(true);
        };
        let service = ctx.run.snapshot.services.get(upstream_request.plan.service);
        let unspoken = first_byte::is_unspoken(session);
        upstream_request.admitted = admission::at_once(service, shares, unspoken);
        Ok(upstream_request.admitted.is_some())
    }

    /// Waits until a request may go on. `true`: it has been answered instead, since there is no room for it.
    pub(super) async fn wait(
        &self,
        session: &mut Session,
        ctx: &mut RequestCtx,
    ) -> pingora::Result<bool> {
        if first_byte::is_awaited(session, ctx) {
            ctx.run.debug_note("waits for the body to begin");
            first_byte::over_http1(session, ctx, &self.connections).await?;
        }
        ctx.run.debug_note("waits for its turn at the service");
        let shares = self.shares(ctx);
        let Some(upstream_request) = ctx.run.upstream.as_mut() else {
            return Ok(false);
        };
        let service = ctx.run.snapshot.services.get(upstream_request.plan.service);
        let unspoken = first_byte::is_unspoken(session);
        match admission::in_turn(service, shares, unspoken).await {
            Ok(admitted) => {
                upstream_request.admitted = Some(admitted);
                Ok(false)
            }
            Err(bound) => self.turn_away(session, ctx, bound).await.map(|()| true),
        }
    }

    async fn turn_away(
        &self,
        session: &mut Session,
        ctx: &mut RequestCtx,
        bound: Bound,
    ) -> pingora::Result<()> {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        ctx.run.own_status = Some(status.as_u16());
        if let Some(upstream_request) = ctx.run.upstream.as_mut() {
            upstream_request.attempts.gave_up(Cause::Overload);
            let service = ctx.run.snapshot.services.get(upstream_request.plan.service);
            service.meter.load.refused(bound).inc();
        }
        if !session.is_body_done() {
            // The rest of it is not worth reading.
            session.set_keepalive(None);
        }
        let why = "the service has too many requests";
        let fields = route_fields(session, ctx);
        reply::error(session, status, why, (ctx.run.told_request_id(), &fields)).await
    }

    fn shares(&self, ctx: &RequestCtx) -> Shares {
        self.connections
            .shares(ctx.run.snapshot.traffic.connections)
    }

    /// Makes connections to one of a service's upstreams.
    pub(super) fn connector(
        &self,
        service: &Service,
        cluster: &Arc<Cluster>,
        shares: Shares,
    ) -> Arc<Connector> {
        let terms = Terms {
            most: most_connections(service, shares),
            most_of_all: shares.upstreams,
            timeout: service.upstream.connect_timeout,
        };
        Connector::of(cluster, &service.meter, terms, &self.connections)
    }
}
