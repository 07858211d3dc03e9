//! From what was decided to the request that goes upstream, and to the response that the client gets.

use http::header::CONNECTION;
use http::{HeaderValue, Uri, Version};
use pingora::ErrorType;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::prelude::{Error, Session};
use rand::Rng as _;

use super::ctx::RequestCtx;
use super::head::ResponseFields;
use super::head::client_ip;
use super::head::{Fields, SplitTarget, edit, head};
use super::intake::{is_encrypted, is_https};
use super::proxy::Proxy;
use super::route_fields::route_fields;
use crate::attempts::pool::Pool;
use crate::edit::HeaderSink as _;
use crate::forward::via::Protocol;
use crate::forward::{self, Attempt, Edits, Served, TraceHop};
use crate::proxy::run::DebugHeader;
use crate::snapshot::DeploymentIndex;

const CLOSE: HeaderValue = HeaderValue::from_static("close");

/// The edits of a request that goes to a deployment, before its route's own; `None`: it goes to no service.
pub(super) fn edits(
    session: &Session,
    ctx: &RequestCtx,
    proxy: &Proxy,
    deployment: DeploymentIndex,
) -> Option<Edits> {
    let upstream_request = ctx.run.upstream.as_ref()?;
    let request = session.req_header();
    let fields = Fields(&request.headers);
    let target = SplitTarget::of(request)?;
    Some(forward::request_edits(&Attempt {
        snapshot: &ctx.run.snapshot,
        head: head(
            request,
            &target,
            &fields,
            client_ip(session),
            &ctx.run.snapshot.identity,
        ),
        plan: &upstream_request.plan,
        deployment,
        request_id: &ctx.run.request_id,
        trace: match &ctx.run.trace {
            Some(trace) => TraceHop::Told {
                context: trace.context(upstream_request.attempts.cause().is_some()),
                goes_on: trace.parent().is_some(),
            },
            // Only a trace that goes on needs a span.
            None if upstream_request.plan.headers_clean => TraceHop::Passed(1),
            None => TraceHop::Passed(rand::rng().next_u64().max(1)),
        },
        encrypted: is_encrypted(session),
        via: proxy.via.entry(protocol(request.version)),
    }))
}

/// Edits the request that one attempt sends upstream: target, Serin's own header fields, then the route's.
pub(super) fn edit_request(
    session: &Session,
    upstream: &mut RequestHeader,
    ctx: &RequestCtx,
    proxy: &Proxy,
) -> pingora::Result<()> {
    let (Some(upstream_request), Some((_, route))) = (&ctx.run.upstream, ctx.run.forward()) else {
        return Ok(());
    };
    let deployment = upstream_request.attempts.deployment();
    let Some(mut edits) = edits(session, ctx, proxy, deployment) else {
        return Ok(());
    };
    let rewritten = upstream_request.plan.target.as_deref().map(Uri::try_from);
    let rewritten = rewritten
        .transpose()
        .map_err(|e| Error::because(ErrorType::InternalError, "a rewritten path", e))?;
    let debug = proxy.debug.as_deref().map(DebugHeader::name);
    let receipts = proxy.receipts.as_deref().zip(ctx.receipt.as_ref());
    let receipt = receipts.and_then(|(receipts, shown)| shown.vouched(receipts, session));
    edit(upstream, |parts| {
        if let Some(uri) = rewritten {
            parts.uri = uri;
        }
        if let Some(name) = debug {
            // It may be a secret, and is for this gateway.
            parts.headers.remove(name);
        }
        for edit in edits.drain(..) {
            parts.headers.take(edit);
        }
        if let Some((name, value)) = receipt {
            parts.headers.insert(name, value.clone());
        }
        parts.headers.apply(&route.request_edits);
        if upstream_request.pool == Pool::Fresh {
            // No other request gets it: the upstream need not keep it, and pingora does not.
            parts.headers.insert(CONNECTION, CLOSE);
        }
    });
    Ok(())
}

/// A version as `Via` has it.
fn protocol(version: Version) -> Protocol {
    match version {
        Version::HTTP_2 => Protocol::Http2,
        Version::HTTP_10 => Protocol::Http10,
        _ => Protocol::Http11,
    }
}

impl Proxy {
    /// Edits the final response that a client gets from an upstream: Serin's own header fields, then the route's.
    pub(super) fn edit_response(
        &self,
        session: &Session,
        response: &mut ResponseHeader,
        ctx: &RequestCtx,
    ) {
        let (Some(upstream_request), Some((route, forward))) =
            (&ctx.run.upstream, ctx.run.forward())
        else {
            return;
        };
        let served = Served {
            deployment: upstream_request.attempts.deployment(),
            cause: upstream_request.attempts.cause(),
        };
        let (snapshot, plan) = (&ctx.run.snapshot, &upstream_request.plan);
        // Only a cookie has to know.
        let https = plan.new_session.is_some() && is_https(session, ctx);
        let mut edits = forward::response_edits(snapshot, plan, served, forward.expose, https);
        for edit in edits.drain(..) {
            ResponseFields(response).take(edit);
        }
        if let Some(receipts) = &self.receipts {
            self.tell_receipt(receipts, session, response, ctx, served);
        }
        if snapshot.client_api.is_some()
            && let Some(user) = plan.user
        {
            let service = snapshot.services.get(plan.service);
            self.served.note(user, service, served.deployment);
        }
        for edit in route_fields(session, ctx).drain(..) {
            ResponseFields(response).take(edit);
        }
        ResponseFields(response).apply(&route.response_edits);
    }
}
