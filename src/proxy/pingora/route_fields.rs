//! What a route adds to each of its answers, those of Serin's own included.

use http::StatusCode;
use pingora::prelude::Session;

use super::ctx::RequestCtx;
use super::head::Fields;
use super::intake::is_https;
use crate::forward::{ResponseEdits, guarded};

/// The edits of an answer that follow from its route's guard. They come before the route's `response_headers`.
pub(super) fn route_fields(session: &Session, ctx: &RequestCtx) -> ResponseEdits {
    let mut edits = ResponseEdits::new();
    let run = &ctx.run;
    let route = run.route.and_then(|index| run.snapshot.router.route(index));
    let Some(guard) = route.map(|route| &route.guard) else {
        return edits;
    };
    let refused = run.own_status == Some(StatusCode::TOO_MANY_REQUESTS.as_u16());
    guarded::rate_limit(guard, run.level, refused, &mut edits);
    let request = session.req_header();
    guarded::cors(
        guard,
        request.method.as_str(),
        &Fields(&request.headers),
        &mut edits,
    );
    if guard.security_headers.is_some() {
        guarded::security_headers(guard, is_https(session, ctx), &mut edits);
    }
    edits
}
