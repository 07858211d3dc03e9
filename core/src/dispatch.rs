//! What is to be done with one request: route, identity, decision, in this order, on one snapshot.

mod admission;
mod authorization;
mod explain;
mod gate;
mod refusal;
mod target;

use std::borrow::Cow;

use http::StatusCode;

use crate::canary::LaneResult;
use crate::context::{Context, Moment};
use crate::decide::lane::{self, Lane};
use crate::decide::overriding;
use crate::decide::{self, Decision};
use crate::engine::murmur3::murmur3_32;
use crate::engine::trace::Silent;
use crate::hygiene;
use crate::identity::token::ShownToken;
use crate::identity::{Anonymous, IdKind, UserKey};
use crate::overrides::OverrideResults;
use crate::request::RequestHead;
use crate::request::path::NormalPath;
use crate::route::cors;
use crate::route::{Action, Forward, Route, RouteIndex, ServiceIndex};
use crate::snapshot::{Service, Snapshot};
pub use explain::{Explained, explain, route_of};
pub use gate::Gate;
pub use refusal::Refusal;

/// The seed of [`UserKey`]: no flag's.
const BALANCE_SEED: u32 = 0x5e71_6e00;

/// Of a path that leads to one route as some servers read it, and elsewhere as others do.
const TWO_ROUTES: &str =
    "servers read the path in more than one way, and it has another route in each";

/// What is to be done with a request.
#[derive(Debug)]
pub enum Dispatch {
    /// It is answered with an error.
    Refuse(Refusal),
    /// It is answered by its route.
    Respond(DirectResponse),
    /// A browser asks whether a page may send a request, which it may: its route's answer is all there is to say.
    Preflight(RouteIndex),
    /// It is for the client API: this is its path behind the API's own.
    Client(Box<str>),
    /// It goes to a service.
    Forward(Plan),
}

/// A redirect or a fixed response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectResponse {
    /// The route that says so.
    pub route: RouteIndex,
    /// The status.
    pub status: StatusCode,
    /// `Location`, for a redirect.
    pub location: Option<String>,
    /// The body; empty for a redirect.
    pub body: Box<str>,
}

/// A request for a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The route that took it.
    pub route: RouteIndex,
    /// Where it goes.
    pub service: ServiceIndex,
    /// Which deployment it is meant for, and why.
    pub decision: Decision,
    /// What became of the lane that the request's baggage names, if it names one.
    pub lane: Option<LaneResult>,
    /// What became of the overrides that the request shows.
    pub overrides: OverrideResults,
    /// Whether the service is shut off for this user: the request is answered without it.
    pub shut_off: bool,
    /// Path and query to send upstream, where they are not those that the client sent.
    pub target: Option<String>,
    /// The random ID that this anonymous user was given just now.
    pub new_session: Option<String>,
    /// Whether every header field may pass as the client sent it, so that forwarding need not look for those that may not.
    pub headers_clean: bool,
    /// Stands for the user; `None`: the request has no ID.
    pub user: Option<UserKey>,
    /// The user's ID, else their session's, if [`Terms::keep_user_id`] asks for it.
    pub user_id: Option<Box<str>>,
    /// The token that the request shows.
    pub token: ShownToken,
    /// Whether the user is one of those who only test.
    pub is_test_user: bool,
}

/// On what terms a request is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Whether it must name a host (HTTP/1.1).
    pub host_required: bool,
    /// Whether [`Plan::user_id`] is wanted: it costs a copy.
    pub keep_user_id: bool,
}

/// Decides what is to be done with a request; `gate` counts it where its route is limited.
pub fn dispatch(
    snapshot: &Snapshot,
    head: &RequestHead<'_>,
    terms: Terms,
    moment: Moment,
    gate: &mut dyn Gate,
) -> Dispatch {
    match admitted(snapshot, head, terms) {
        Ok(matched) => {
            gate::pass(snapshot, head, &matched, moment, gate).unwrap_or_else(Dispatch::Refuse)
        }
        Err(settled) => settled,
    }
}

/// The service that a request is for, as far as that can be told without its user: nothing is counted, and no token looked at.
/// `None`: whoever asks, it goes to none.
pub fn destination(snapshot: &Snapshot, head: &RequestHead<'_>) -> Option<ServiceIndex> {
    let matched = admitted(snapshot, head, Terms::default()).ok()?;
    match &matched.route.action {
        Action::Forward(forward) => Some(forward.service),
        Action::Redirect(_) | Action::Respond(_) => None,
    }
}

/// A request that has a route which lets it in; an error is what is to be done with another.
#[expect(
    clippy::result_large_err,
    reason = "what is to be done is handed on at once, and is as large as that"
)]
fn admitted<'a>(
    snapshot: &'a Snapshot,
    head: &RequestHead<'a>,
    terms: Terms,
) -> Result<Matched<'a>, Dispatch> {
    let headers_clean =
        acceptable(snapshot, head, terms.host_required).map_err(Dispatch::Refuse)?;
    let path = normal_path(head);
    if let Some(rest) = for_clients(snapshot, head.path, path.as_ref().ok()) {
        return Err(Dispatch::Client(rest));
    }
    if let (Some(asked), Ok(path)) = (cors::asked_about(head), &path)
        && let Some(answer) = admission::preflight(snapshot, &asked, path)
    {
        return Err(answer.map_or_else(Dispatch::Refuse, Dispatch::Preflight));
    }
    let matched = path.and_then(|path| {
        let (index, route) = match_route(snapshot, head, &path)?;
        admission::admit(snapshot, head, index, route)?;
        Ok(Matched {
            index,
            route,
            path,
            headers_clean,
            keep_user_id: terms.keep_user_id,
        })
    });
    matched.map_err(Dispatch::Refuse)
}

/// What a request's route makes of it, whose token is known.
fn act(
    snapshot: &Snapshot,
    head: &RequestHead<'_>,
    matched: &Matched<'_>,
    token: &ShownToken,
    moment: Moment,
    gate: &mut dyn Gate,
) -> Result<Dispatch, Refusal> {
    let Matched { index, route, .. } = *matched;
    Ok(match &route.action {
        Action::Forward(forward) => Dispatch::Forward(plan(
            snapshot,
            head,
            (matched, forward),
            token,
            moment,
            gate,
        )?),
        Action::Redirect(redirect) => Dispatch::Respond(DirectResponse {
            route: index,
            status: redirect.status,
            location: Some(target::location(route, redirect, head, &matched.path)),
            body: "".into(),
        }),
        Action::Respond(respond) => Dispatch::Respond(DirectResponse {
            route: index,
            status: respond.status,
            location: None,
            body: respond.body.clone(),
        }),
    })
}

/// The flag that shuts a service off for a user. Without a flag of its name, or with one that is off, nothing does.
fn shut_off_by<'a>(service: &'a Service, context: &Context<'_>, moment: Moment) -> Option<&'a str> {
    let flag = service.shutoff.as_ref()?.flag.as_deref()?;
    let evaluation = flag.evaluate(context, moment, &mut Silent);
    evaluation.on.then_some(&*flag.name)
}

impl DirectResponse {
    /// The answer to a browser that asks whether a page may send a request; what it may is in the fields that the route adds.
    pub fn preflight(route: RouteIndex) -> Self {
        Self {
            route,
            status: StatusCode::NO_CONTENT,
            location: None,
            body: "".into(),
        }
    }
}

/// Refuses what is too large, and what servers could read in two ways. Answers [`Plan::headers_clean`].
fn acceptable(
    snapshot: &Snapshot,
    head: &RequestHead<'_>,
    host_required: bool,
) -> Result<bool, Refusal> {
    snapshot
        .traffic
        .request
        .check(head)
        .map_err(|large| Refusal::new(large.status(), large.to_string(), None))?;
    hygiene::check(head, &snapshot.identity, host_required)
        .map_err(|unclean| Refusal::new(StatusCode::BAD_REQUEST, unclean.to_string(), None))
}

/// What of the path is the client API's. Nothing that could be meant for it is ever routed: neither what is so as it
/// stands (keys of flags may have encoded slashes), nor what comes to that; what may come to that is refused.
fn for_clients(
    snapshot: &Snapshot,
    as_sent: &str,
    normal: Option<&NormalPath<'_>>,
) -> Option<Box<str>> {
    let config = snapshot.client_api.as_deref()?;
    let rest = config.rest(as_sent);
    rest.or_else(|| config.rest(normal?.as_str()))
        .map(Into::into)
}

fn normal_path<'a>(head: &RequestHead<'a>) -> Result<NormalPath<'a>, Refusal> {
    NormalPath::new(head.path)
        .map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, error.to_string(), None))
}

fn match_route<'s>(
    snapshot: &'s Snapshot,
    head: &RequestHead<'_>,
    path: &NormalPath<'_>,
) -> Result<(RouteIndex, &'s Route), Refusal> {
    let find = |path: &NormalPath<'_>| snapshot.router.find(head, path);
    let is_for_clients = |path: &NormalPath<'_>| {
        let config = snapshot.client_api.as_deref();
        config.is_some_and(|config| config.rest(path.as_str()).is_some())
    };
    let index = |found: Option<(RouteIndex, &Route)>| found.map(|(index, _)| index);
    let found = find(path);
    let others = path.other_readings();
    if others
        .iter()
        .any(|other| is_for_clients(other) || index(find(other)) != index(found))
    {
        return Err(Refusal::bad_request(TWO_ROUTES));
    }
    found.ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, "no route for this request", None))
}

/// A request that has a route.
struct Matched<'a> {
    index: RouteIndex,
    route: &'a Route,
    path: NormalPath<'a>,
    /// [`Plan::headers_clean`].
    headers_clean: bool,
    /// [`Terms::keep_user_id`].
    keep_user_id: bool,
}

fn plan(
    snapshot: &Snapshot,
    head: &RequestHead<'_>,
    (matched, forward): (&Matched<'_>, &Forward),
    token: &ShownToken,
    moment: Moment,
    gate: &mut dyn Gate,
) -> Result<Plan, Refusal> {
    let identity = &snapshot.identity;
    let service = snapshot.services.get(forward.service);
    let target = target::rewritten(matched.route, forward, head, &matched.path)?;
    let mut context = identity.identify(head, token, matched.route.auth);
    if identity.anonymous == Anonymous::Reject && context.user_id.is_none() {
        let why = "this request names no user";
        let route = Some(matched.index);
        let shows_one = *token != ShownToken::Nothing;
        return Err(Refusal {
            challenge: shows_one.then(|| authorization::challenge(token)),
            ..Refusal::new(StatusCode::UNAUTHORIZED, why, route)
        });
    }
    let overriding = overriding::find(identity, service, head, &context, moment);
    let newcomer = context.user_id.is_none() && context.session_id.is_none();
    // What is overridden is decided by no ID, and leaves no trace.
    let wants_session = newcomer && service.uses_session && overriding.decision.is_none();
    let new_session =
        (identity.anonymous == Anonymous::Sticky && wants_session).then(|| gate.fresh_id());
    if let Some(id) = &new_session {
        context.session_id = Some(Cow::Owned(id.clone()));
    }
    // A request with baggage has headers that are looked at.
    let lane = match matched.headers_clean || overriding.decision.is_some() {
        true => None,
        false => lane::find(snapshot.lanes, service, head, moment),
    };
    let followed = lane.as_ref().and_then(|lane| lane.decision.ok());
    let settled = overriding.decision.or(followed);
    let kept = context.user_id.as_deref().or(context.session_id.as_deref());
    let user_id = kept.filter(|_| matched.keep_user_id).map(Into::into);
    let named = context.user_id.as_deref();
    Ok(Plan {
        route: matched.index,
        service: forward.service,
        decision: settled.unwrap_or_else(|| decide::decide(service, &context, moment)),
        lane: lane.as_ref().map(Lane::result),
        overrides: overriding.results,
        shut_off: shut_off_by(service, &context, moment).is_some(),
        user: user_key(&context),
        user_id,
        is_test_user: named.is_some_and(|id| identity.is_test_user(id)),
        target,
        new_session,
        headers_clean: matched.headers_clean,
        token: token.clone(),
    })
}

/// What stands for a user: of the user's ID, else of the session's. The hash is salted, so that the users of a canary, who
/// were chosen by the same kind of hash, do not all land on the same of its endpoints.
pub fn user_key(context: &Context<'_>) -> Option<UserKey> {
    let (kind, id) = match (&context.user_id, &context.session_id) {
        (Some(id), _) => (IdKind::User, id),
        (None, Some(id)) => (IdKind::Session, id),
        (None, None) => return None,
    };
    let half = |seed| u64::from(murmur3_32(seed, [id.as_bytes()]));
    let hash = half(BALANCE_SEED) << 32 | half(!BALANCE_SEED);
    Some(UserKey { kind, hash })
}

#[cfg(test)]
mod tests;
