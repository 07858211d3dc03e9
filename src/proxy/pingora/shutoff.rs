//! The answer of a service that is shut off for the user.

use pingora::prelude::Session;

use super::ctx::RequestCtx;
use super::intake::is_https;
use super::proxy::Proxy;
use super::reply;
use super::route_fields::route_fields;
use crate::forward;

impl Proxy {
    /// Answers for a service that is shut off for this user. The record has the decision all the same.
    pub(super) async fn shut_off(
        &self,
        session: &mut Session,
        ctx: &mut RequestCtx,
    ) -> pingora::Result<()> {
        let https = is_https(session, ctx);
        let Some(upstream_request) = ctx.run.upstream.as_ref() else {
            return Ok(());
        };
        let snapshot = &ctx.run.snapshot;
        let Some(shutoff) = &snapshot.services.get(upstream_request.plan.service).shutoff else {
            return Ok(());
        };
        ctx.run.own_status = Some(shutoff.respond.status.as_u16());
        let cookie = forward::session_cookie(snapshot, &upstream_request.plan, https);
        let route = snapshot.router.route(upstream_request.plan.route);
        let edits = route.iter().flat_map(|route| &route.response_edits);
        let id = ctx.run.told_request_id();
        let fields = route_fields(session, ctx);
        let edits = cookie.iter().chain(&fields).chain(edits);
        reply::shut_off(session, &shutoff.respond, edits, id).await
    }
}
