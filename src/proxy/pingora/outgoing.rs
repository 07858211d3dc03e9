//! From what was decided to the request that goes upstream.

use http::header::CONNECTION;
use http::{HeaderValue, Uri, Version};
use pingora::ErrorType;
use pingora::http::RequestHeader;
use pingora::prelude::{Error, Session};
use rand::Rng as _;

use super::ctx::RequestCtx;
use super::head::{Fields, Target, edit, head};
use super::intake::client_ip;
use crate::attempts::pool::Pool;
use crate::edit::HeaderSink as _;
use crate::forward::via::{Protocol, Via};
use crate::forward::{self, Attempt};

const CLOSE: HeaderValue = HeaderValue::from_static("close");

/// Edits the request that one attempt sends upstream: target, Serin's own header fields, then the route's.
pub(super) fn edit_request(
    session: &Session,
    upstream: &mut RequestHeader,
    ctx: &RequestCtx,
    via: Via,
) -> pingora::Result<()> {
    let (Some(upstream_request), Some((_, route))) = (&ctx.upstream_request, ctx.forward()) else {
        return Ok(());
    };
    let request = session.req_header();
    let fields = Fields(&request.headers);
    let Some(target) = Target::of(request) else {
        return Ok(());
    };
    let rewritten = upstream_request.plan.target.as_deref().map(Uri::try_from);
    let rewritten = rewritten
        .transpose()
        .map_err(|e| Error::because(ErrorType::InternalError, "a rewritten path", e))?;
    let mut edits = forward::request_edits(&Attempt {
        snapshot: &ctx.snapshot,
        head: head(
            request,
            &target,
            &fields,
            client_ip(session),
            &ctx.snapshot.identity,
        ),
        plan: &upstream_request.plan,
        deployment: upstream_request.attempts.deployment(),
        request_id: &ctx.request_id,
        // Only a trace that goes on needs one.
        span_id: match upstream_request.plan.plain {
            true => 1,
            false => rand::rng().next_u64().max(1),
        },
        via: via.entry(match request.version {
            Version::HTTP_2 => Protocol::Http2,
            Version::HTTP_10 => Protocol::Http10,
            _ => Protocol::Http11,
        }),
    });
    edit(upstream, |parts| {
        if let Some(uri) = rewritten {
            parts.uri = uri;
        }
        for edit in edits.drain(..) {
            parts.headers.take(edit);
        }
        parts.headers.apply(&route.request_edits);
        if upstream_request.pool == Pool::Fresh {
            // Nobody else gets it: the upstream need not keep it, and pingora does not.
            parts.headers.insert(CONNECTION, CLOSE);
        }
    });
    Ok(())
}
