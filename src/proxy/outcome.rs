//! What became of a request, from pingora's session and the exchange to the record.

use std::time::Instant;

use pingora::prelude::Session;

use super::exchange::Exchange;
use super::head::{Fields, Target, head};
use super::hooks::Proxy;
use super::intake::client_ip;
use super::recovery::final_answer;
use crate::forward::trace_context;
use crate::record::Outcome;

impl Proxy {
    /// Counts what became of the request, and tells the access log.
    pub(super) fn record(&self, session: &Session, exchange: &Exchange, now: Instant) {
        let request = session.req_header();
        let peer = client_ip(session);
        let passage = exchange.passage.as_ref();
        let answered = passage.filter(|passage| passage.upstream_time.is_some());
        let outcome = Outcome {
            snapshot: &exchange.snapshot,
            route: exchange.route,
            service: passage.map(|passage| passage.plan.service),
            decision: passage.map(|passage| passage.plan.decision),
            served: answered.map(|passage| passage.attempts.deployment()),
            cause: passage.and_then(|passage| passage.attempts.cause()),
            retries: passage.map_or(&[], |passage| passage.attempts.retries()),
            // An answer of Serin's own may have to be written in another status (gRPC's is always 200).
            status: exchange.own_status.unwrap_or_else(|| {
                final_answer(session).map_or(0, |response| response.status.as_u16())
            }),
            request_bytes: session.body_bytes_read() as u64,
            response_bytes: session.body_bytes_sent() as u64,
            upstream_time: passage.and_then(|passage| passage.upstream_time),
            total_time: now.saturating_duration_since(exchange.started),
            moment: exchange.moment,
            method: request.method.as_str(),
            host: "",
            path: "",
            user_id: None,
            client: peer,
            request_id: exchange.request_id.to_str().unwrap_or_default(),
            upstream: passage.and_then(|passage| passage.attempts.address()),
            trace_id: None,
        };
        if !exchange.is_for_clients {
            outcome.count();
        }
        // What was asked for, and by whom, is read again only for the few records that are told.
        if self.access_log.picks(&outcome) {
            let (fields, target) = (Fields(&request.headers), Target::of(request));
            let rules = &exchange.snapshot.identity;
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
