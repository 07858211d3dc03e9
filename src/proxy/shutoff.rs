//! The answer of a service that is shut off for the user.

use pingora::prelude::Session;

use super::exchange::Exchange;
use super::hooks::Proxy;
use super::intake::is_https;
use super::reply;
use crate::canary::Cause;
use crate::dispatch::Plan;
use crate::forward;

impl Proxy {
    /// Answers for a service that is shut off for this user. The record has the decision all the same.
    pub(super) async fn shut_off(
        &self,
        session: &mut Session,
        exchange: &mut Exchange,
        plan: Plan,
    ) -> pingora::Result<()> {
        let https = is_https(session, exchange);
        exchange.embark(plan);
        let Some(passage) = exchange.passage.as_mut() else {
            return Ok(());
        };
        passage.attempts.gave_up(Cause::Shutoff);
        let snapshot = &exchange.snapshot;
        let Some(shutoff) = &snapshot.services[passage.plan.service].shutoff else {
            return Ok(());
        };
        exchange.own_status = Some(shutoff.respond.status.as_u16());
        let cookie = forward::session_cookie(snapshot, &passage.plan, https);
        let edits = &snapshot.routes[passage.plan.route].response_edits;
        let id = exchange.told_request_id();
        reply::shut_off(session, &shutoff.respond, cookie.iter().chain(edits), id).await
    }
}
