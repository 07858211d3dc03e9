//! A request before its route's rate limit.

use super::RequestRun;
use crate::capacity::clients::client_of;
use crate::dispatch::{Dispatch, Refusal, user_key};
use crate::identity::{Auth, IdKind, UserKey};
use crate::proxy::throttle::{Asker, Throttle};
use crate::rate::Level;
use crate::request::{RequestHead, without_blanks};
use crate::route::RouteIndex;
use crate::route::guard::Per;

impl RequestRun {
    /// Counts the request among those of whoever asks, where its route has a rate limit: what was to be done with it is done,
    /// or it is refused. What nobody is let in for anyway is not counted.
    pub(super) fn throttle(
        &mut self,
        dispatch: Dispatch,
        head: &RequestHead<'_>,
        throttle: &Throttle,
    ) -> Dispatch {
        let Some((index, taken)) = self.take(&dispatch, head, throttle) else {
            return dispatch;
        };
        match taken {
            Ok(level) => {
                self.level = Some(level);
                dispatch
            }
            Err(level) => {
                self.level = Some(level);
                if let Some(meter) = self.snapshot.route_meter(index) {
                    meter.rate_limited.inc();
                }
                Dispatch::Refuse(Refusal::too_many(index))
            }
        }
    }

    /// The limited route that a request counts for, and whether it may be asked once more; `None`: it has no limit.
    fn take(
        &self,
        dispatch: &Dispatch,
        head: &RequestHead<'_>,
        throttle: &Throttle,
    ) -> Option<(RouteIndex, Result<Level, Level>)> {
        let (index, user) = counted(dispatch)?;
        let snapshot = &self.snapshot;
        let route = snapshot.router.route(index)?;
        let limit = route.guard.rate_limit.as_ref()?;
        let address = || Asker::Address(client_of(snapshot.identity.client_address(head)));
        let asker = match &limit.per {
            Per::Route => Asker::Anybody,
            Per::Address => address(),
            Per::Header(name) => {
                let value = head.headers.first(name.as_str()).map(without_blanks);
                let value = value.filter(|value| !value.is_empty());
                value.map_or_else(address, Asker::Value)
            }
            Per::User => {
                let user = user.or_else(|| self.user_of(dispatch, head, route.auth));
                // An anonymous session is only as good as its cookie, which a client may throw away.
                let user = user.filter(|user| user.kind == IdKind::User);
                user.map_or_else(address, Asker::User)
            }
        };
        let taken = throttle.take(&route.name, &limit.rate, asker, self.started);
        Some((index, taken))
    }

    /// The user of a request that goes to no service, and whose user nobody has asked for yet.
    fn user_of(&self, dispatch: &Dispatch, head: &RequestHead<'_>, auth: Auth) -> Option<UserKey> {
        let rules = &self.snapshot.identity;
        match dispatch {
            Dispatch::Respond(_) => {
                let token = rules.tokens.shown(head, auth, self.moment);
                user_key(&rules.identify(head, &token, auth))
            }
            _ => None,
        }
    }
}

/// The route whose limit a request counts for, and its user as far as it is known.
fn counted(dispatch: &Dispatch) -> Option<(RouteIndex, Option<UserKey>)> {
    match dispatch {
        Dispatch::Forward(plan) => Some((plan.route, plan.user)),
        Dispatch::Respond(response) => Some((response.route, None)),
        // Somebody may be trying out who they could be.
        Dispatch::Refuse(refusal) if refusal.status.as_u16() == 401 => Some((refusal.route?, None)),
        // A browser's question before the request itself.
        Dispatch::Refuse(_) | Dispatch::Preflight(_) | Dispatch::Client(_) => None,
    }
}
