//! The end of a request: from pingora's session and the request's context to the record.

use std::borrow::Cow;
use std::time::Instant;

use pingora::prelude::Session;

use super::ctx::RequestCtx;
use super::head::client_ip;
use super::head::{Fields, SplitTarget, head};
use super::proxy::Proxy;
use super::recovery::{final_answer, replay};
use crate::attribution::exposures::{Exposures, FirstSight};
use crate::forward::trace_context::{self, hex};
use crate::identity::Auth;
use crate::identity::token::ShownToken;
use crate::proxy::client::ClientConnection;
use crate::proxy::run::{RequestEnd, StepContext};
use crate::record::Outcome;
use crate::request::field;
use crate::trace::RequestTrace;

impl Proxy {
    /// Settles what has ended: the attempt, the record, the upstream's connection.
    pub(super) fn end(&self, session: &mut Session, ctx: &mut RequestCtx, now: Instant) {
        if !ctx.run.is_whole() && !session.is_body_done() {
            ClientConnection::current(ClientConnection::leave_unread);
        }
        let end = RequestEnd {
            status: session.response_written().map(|head| head.status.as_u16()),
            request_bytes: session.body_bytes_read() as u64,
            response_bytes: session.body_bytes_sent() as u64,
        };
        let step = StepContext {
            quarantine: &self.quarantine,
            replay: replay(session),
            now,
        };
        ctx.run.on_end(end, &step);
        self.record(session, ctx, now);
        ctx.rest_upstream(now);
    }

    /// Counts what became of the request, and tells those who want to know.
    fn record(&self, session: &Session, ctx: &RequestCtx, now: Instant) {
        let request = session.req_header();
        let peer = client_ip(session);
        let upstream_request = ctx.run.upstream.as_ref();
        let answered = upstream_request.filter(|own| own.upstream_time.is_some());
        let outcome = Outcome {
            snapshot: &ctx.run.snapshot,
            route: ctx.run.route,
            service: upstream_request.map(|own| own.plan.service),
            decision: upstream_request.map(|own| own.plan.decision),
            served: answered.map(|own| own.attempts.deployment()),
            cause: upstream_request.and_then(|own| own.attempts.cause()),
            retries: upstream_request.map_or(&[], |own| own.attempts.retries()),
            // An answer of Serin's own may have to be written in another status (gRPC's is always 200).
            status: ctx.run.own_status.unwrap_or_else(|| {
                final_answer(session).map_or(0, |response| response.status.as_u16())
            }),
            request_bytes: session.body_bytes_read() as u64,
            response_bytes: session.body_bytes_sent() as u64,
            upstream_time: upstream_request.and_then(|own| own.upstream_time),
            total_time: now.saturating_duration_since(ctx.run.started),
            moment: ctx.run.moment,
            method: request.method.as_str(),
            host: "",
            path: "",
            user: upstream_request.and_then(|upstream_request| upstream_request.plan.user),
            user_id: None,
            client: peer,
            request_id: ctx.run.request_id.to_str().unwrap_or_default(),
            upstream: upstream_request.and_then(|own| own.attempts.address()),
            trace_id: None,
        };
        if !ctx.run.is_for_clients {
            outcome.count();
        }
        let is_logged = self.access_log.picks(&outcome);
        let exposures = self.exposures.as_ref();
        // Tests are not what analysts ask about.
        let is_test = upstream_request.is_some_and(|own| own.plan.is_test_user);
        let exposures = exposures.filter(|_| !is_test);
        let first =
            exposures.and_then(|exposures| Some((exposures, exposures.first_sight(&outcome)?)));
        let trace = ctx.run.trace.as_ref();
        let traced = trace.filter(|trace| trace.is_sampled() || outcome.is_always_told());
        if is_logged || first.is_some() || traced.is_some() {
            let wanted = Wanted {
                is_logged,
                first,
                traced,
            };
            self.tell(session, ctx, &outcome, wanted, now);
        }
    }

    /// Tells the access log, the record of exposures, and the collector of spans. What was asked for, and by whom, is read again only
    /// for the few requests that these want.
    #[cold]
    fn tell(
        &self,
        session: &Session,
        ctx: &RequestCtx,
        outcome: &Outcome<'_>,
        wanted: Wanted<'_>,
        now: Instant,
    ) {
        let (request, peer) = (session.req_header(), outcome.client);
        let (fields, target) = (Fields(&request.headers), SplitTarget::of(request));
        let rules = &ctx.run.snapshot.identity;
        let head = target
            .as_ref()
            .map(|target| head(request, target, &fields, peer, rules));
        let plan = ctx.run.upstream.as_ref().map(|own| &own.plan);
        let token = plan.map_or(&ShownToken::Nothing, |plan| &plan.token);
        let route = ctx.run.route;
        let route = route.and_then(|index| ctx.run.snapshot.router.route(index));
        // Of a refused token nobody is the user, nor of a cookie where only tokens count.
        let auth = route.map_or(Auth::None, |route| route.auth);
        let context = head.map(|head| rules.identify(&head, token, auth));
        let mut context = context.unwrap_or_default();
        if let Some((exposures, first)) = wanted.first {
            let new_session = plan.and_then(|plan| plan.new_session.as_deref());
            context.session_id = context.session_id.or(new_session.map(Cow::Borrowed));
            exposures.offer(outcome, &context, first);
        }
        let own_trace = ctx.run.trace.as_ref().map(|trace| hex(trace.id()));
        let sent_trace = field::first_named(&request.headers, "traceparent")
            .and_then(|sent| trace_context::trace_id(sent.as_bytes()));
        let outcome = Outcome {
            host: head.map_or("", |head| head.host()),
            path: head.map_or("", |head| head.path),
            user_id: context.user_id.as_deref(),
            client: head.map_or(peer, |_| context.remote_address),
            trace_id: match &own_trace {
                Some(own) => std::str::from_utf8(own).ok(),
                None => sent_trace,
            },
            ..*outcome
        };
        if wanted.is_logged {
            self.access_log.offer(&outcome);
        }
        if let Some(trace) = wanted.traced {
            self.tell_spans(session, ctx, &outcome, trace, now);
        }
    }
}

/// Who wants to know of a request.
struct Wanted<'a> {
    is_logged: bool,
    first: Option<(&'a Exposures, FirstSight)>,
    traced: Option<&'a RequestTrace>,
}
