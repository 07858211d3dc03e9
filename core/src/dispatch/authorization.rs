//! Whether a request may take its route, as far as tokens say.

use http::StatusCode;

use super::{Gate, Refusal};
use crate::context::Moment;
use crate::identity::Auth;
use crate::identity::token::ShownToken;
use crate::request::RequestHead;
use crate::route::{Action, Route, RouteIndex};
use crate::snapshot::Snapshot;

/// The challenge of a 401 for who shows no token (RFC 6750, section 3).
const NO_TOKEN: &str = "Bearer";
/// The same, for who shows one that is not believed (section 3.1).
const INVALID_TOKEN: &str = "Bearer error=\"invalid_token\"";

/// The token that a request shows on its route.
///
/// # Errors
/// 401 where the route needs one that is verified, and there is none.
pub(super) fn shown_token(
    snapshot: &Snapshot,
    head: &RequestHead<'_>,
    (index, route): (RouteIndex, &Route),
    moment: Moment,
    gate: &mut dyn Gate,
) -> Result<ShownToken, Refusal> {
    let tokens = &snapshot.identity.tokens;
    let is_asked = matches!(route.action, Action::Forward(_))
        || route.auth == Auth::Required
        || route.guard.counts_users();
    if tokens.sources.is_empty() || !is_asked {
        return Ok(ShownToken::Nothing);
    }
    let shown = tokens.shown(head, route.auth, moment);
    gate.note(&shown);
    if route.auth != Auth::Required || matches!(shown, ShownToken::Verified { .. }) {
        return Ok(shown);
    }
    Err(Refusal {
        challenge: Some(challenge(&shown)),
        ..Refusal::new(
            StatusCode::UNAUTHORIZED,
            "this takes a valid token",
            Some(index),
        )
    })
}

/// What a client is to do better that shows this.
pub(super) fn challenge(shown: &ShownToken) -> &'static str {
    match shown {
        ShownToken::Nothing => NO_TOKEN,
        ShownToken::Refused { .. } | ShownToken::Verified { .. } => INVALID_TOKEN,
    }
}
