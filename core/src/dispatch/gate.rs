//! What stands between a request and what its route makes of it: how often the route may be asked, and the token that it takes.

use http::StatusCode;

use super::{Dispatch, Matched, Refusal, act, authorization, user_key};
use crate::context::Moment;
use crate::identity::UserKey;
use crate::identity::token::ShownToken;
use crate::request::RequestHead;
use crate::route::RouteIndex;
use crate::route::guard::RateLimit;
use crate::snapshot::Snapshot;

/// What a dispatch needs of who asks for it: what a pure function cannot have.
pub trait Gate {
    /// A random ID, for an anonymous user who needs one.
    fn fresh_id(&mut self) -> String;

    /// Counts a request where its route is limited; `user` made it, as far as that is known.
    ///
    /// # Errors
    /// It is one too many.
    fn count(
        &mut self,
        route: RouteIndex,
        limit: &RateLimit,
        user: Option<UserKey>,
    ) -> Result<(), Refusal>;

    /// Notes what became of the token that a request shows.
    fn note(&mut self, token: &ShownToken);
}

/// Makes IDs, and counts nothing: for tests of what is decided.
#[cfg(any(test, feature = "testing"))]
impl<F: FnMut() -> String> Gate for F {
    fn fresh_id(&mut self) -> String {
        self()
    }

    fn count(&mut self, _: RouteIndex, _: &RateLimit, _: Option<UserKey>) -> Result<(), Refusal> {
        Ok(())
    }

    fn note(&mut self, _: &ShownToken) {}
}

/// What becomes of a request that its route admits.
///
/// A limit that does not go by users is asked first: to verify a token costs more than the rest of a request, and made-up ones
/// must not get that done more often than the limit allows. For one that goes by users the user must be known before; what is
/// refused otherwise than for its user is not counted there.
pub(super) fn pass(
    snapshot: &Snapshot,
    head: &RequestHead<'_>,
    matched: &Matched<'_>,
    moment: Moment,
    gate: &mut dyn Gate,
) -> Result<Dispatch, Refusal> {
    let (index, route) = (matched.index, matched.route);
    let limit = route.guard.rate_limit.as_ref();
    let (of_users, of_others) = match route.guard.counts_users() {
        true => (limit, None),
        false => (None, limit),
    };
    if let Some(limit) = of_others {
        gate.count(index, limit, None)?;
    }
    let token = authorization::shown_token(snapshot, head, (index, route), moment, gate);
    let Some(limit) = of_users else {
        return act(snapshot, head, matched, &token?, moment, gate);
    };
    let settled = token.and_then(|token| {
        let settled = act(snapshot, head, matched, &token, moment, gate)?;
        let user = match &settled {
            Dispatch::Forward(plan) => plan.user,
            _ => user_key(&snapshot.identity.identify(head, &token, route.auth)),
        };
        Ok((settled, user))
    });
    let user = match &settled {
        Ok((_, user)) => *user,
        // Somebody may be trying out who they could be.
        Err(refusal) if refusal.status == StatusCode::UNAUTHORIZED => None,
        Err(_) => return settled.map(|(settled, _)| settled),
    };
    gate.count(index, limit, user)?;
    settled.map(|(settled, _)| settled)
}
