//! What became of a request, from pingora's session and the request to the record.

use std::time::Instant;

use pingora::prelude::Session;

use super::ctx::RequestCtx;
use super::head::{Fields, Target, head};
use super::intake::client_ip;
use super::proxy::Proxy;
use super::recovery::final_answer;
use crate::forward::trace_context;
use crate::record::Outcome;

impl Proxy {
    /// Counts what became of the request, and tells the access log.
    pub(super) fn record(&self, session: &Session, ctx: &RequestCtx, now: Instant) {
        let request = session.req_header();
        let peer = client_ip(session);
        let upstream_request = ctx.upstream_request.as_ref();
        let answered =
            upstream_request.filter(|upstream_request| upstream_request.upstream_time.is_some());
        let outcome = Outcome {
            snapshot: &ctx.snapshot,
            route: ctx.route,
            service: upstream_request.map(|upstream_request| upstream_request.plan.service),
            decision: upstream_request.map(|upstream_request| upstream_request.plan.decision),
            served: answered.map(|upstream_request| upstream_request.attempts.deployment()),
            cause: upstream_request.and_then(|upstream_request| upstream_request.attempts.cause()),
            retries: upstream_request
                .map_or(&[], |upstream_request| upstream_request.attempts.retries()),
            // An answer of Serin's own may have to be written in another status (gRPC's is always 200).
            status: ctx.own_status.unwrap_or_else(|| {
                final_answer(session).map_or(0, |response| response.status.as_u16())
            }),
            request_bytes: session.body_bytes_read() as u64,
            response_bytes: session.body_bytes_sent() as u64,
            upstream_time: upstream_request
                .and_then(|upstream_request| upstream_request.upstream_time),
            total_time: now.saturating_duration_since(ctx.started),
            moment: ctx.moment,
            method: request.method.as_str(),
            host: "",
            path: "",
            user_id: None,
            client: peer,
            request_id: ctx.request_id.to_str().unwrap_or_default(),
            upstream: upstream_request
                .and_then(|upstream_request| upstream_request.attempts.address()),
            trace_id: None,
        };
        if !ctx.is_for_clients {
            outcome.count();
        }
        // What was asked for, and by whom, is read again only for the few records that are told.
        if self.access_log.picks(&outcome) {
            let (fields, target) = (Fields(&request.headers), Target::of(request));
            let rules = &ctx.snapshot.identity;
            let head = target
                .as_ref()
                .map(|target| head(request, target, &fields, peer, rules));
            let context = head.map(|head| rules.identify(&head)).unwrap_or_default();
            self.access_log.offer(&Outcome {
                host: head.map_or("", |head| head.host()),
                path: head.map_or("", |head| head.path),
                user_id: context.user_id.as_deref(),
                client: head.map_or(peer, |_| context.remote_address),
                trace_id: request
                    .headers
                    .get("traceparent")
                    .and_then(|sent| trace_context::trace_id(sent.as_bytes())),
                ..outcome
            });
        }
    }
}
