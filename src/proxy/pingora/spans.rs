//! The end of a request as the exporter of spans is told of it.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use http::{HeaderValue, Version};
use pingora::prelude::Session;

use super::ctx::RequestCtx;
use super::intake::is_https;
use super::proxy::Proxy;
use crate::otlp::record::{LastAttempt, RequestRecord, Told};
use crate::record::Outcome;
use crate::request::field;
use crate::trace::RequestTrace;

impl Proxy {
    /// Tells a request that is recorded. `outcome` has what was asked for.
    pub(super) fn tell_spans(
        &self,
        session: &Session,
        ctx: &RequestCtx,
        outcome: &Outcome<'_>,
        trace: &RequestTrace,
        now: Instant,
    ) {
        let (request, ended) = (session.req_header(), SystemTime::now());
        let text = |name: &str| {
            let value = field::first_named(&request.headers, name);
            value.map(HeaderValue::to_str).and_then(Result::ok)
        };
        let upstream = ctx.run.upstream.as_ref();
        let last = upstream.and_then(|own| {
            let (address, began) = own.attempts.last()?;
            Some(LastAttempt {
                deployment: own.attempts.deployment(),
                address,
                began,
            })
        });
        let rewritten = upstream.and_then(|own| own.plan.target.as_deref());
        let rewritten = rewritten.and_then(|target| target.split('?').next());
        let record = RequestRecord::new(&Told {
            outcome,
            trace,
            started: ctx.run.started,
            ended: (now, ended),
            last,
            scheme: match is_https(session, ctx) {
                true => "https",
                false => "http",
            },
            protocol: match request.version {
                Version::HTTP_2 => "2",
                Version::HTTP_10 => "1.0",
                _ => "1.1",
            },
            upstream_path: rewritten.unwrap_or(outcome.path),
            user_agent: text("user-agent"),
            // What vendors noted goes on with a trace that does.
            trace_state: trace.parent().and_then(|_| text("tracestate")),
        });
        let is_taken = record.is_some_and(|record| self.spans.offer(record));
        // Figures name only traces that the collector is to have, and count no requests to the gateway itself.
        if is_taken && !ctx.run.is_for_clients {
            let since = ended.duration_since(UNIX_EPOCH).unwrap_or_default();
            let unix_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
            outcome.exemplify(trace, unix_ms);
        }
    }
}
