//! What a route adds to each of its answers, those of Serin's own included.

use http::StatusCode;

use crate::forward::{ResponseEdits, guarded};
use crate::proxy::run::RequestRun;

/// The edits of an answer that follow from its route's guard. They come before the route's `response_headers`.
pub(super) fn route_fields(run: &RequestRun) -> ResponseEdits {
    let mut edits = ResponseEdits::new();
    let route = run.route.and_then(|index| run.snapshot.router.route(index));
    if let Some(route) = route {
        let refused = run.own_status == Some(StatusCode::TOO_MANY_REQUESTS.as_u16());
        guarded::rate_limit(&route.guard, run.level, refused, &mut edits);
    }
    edits
}
