//! What a request is answered, explained for a user who is described.

use http::StatusCode;

use super::{Refusal, match_route, normal_path, shut_off_by, user_key};
use crate::context::{Context, Moment};
use crate::decide::explain::Explanation;
use crate::decide::lane;
use crate::decide::{self, overriding};
use crate::identity::UserKey;
use crate::request::RequestHead;
use crate::route::nearest::nearest;
use crate::route::{Action, Route};
use crate::snapshot::Snapshot;

/// What `explain` says of a request.
#[derive(Debug)]
pub struct Explained<'a> {
    /// The route that takes it.
    pub route: &'a Route,
    /// Every step to the decision, where the route leads to a service.
    pub decision: Option<Explanation<'a>>,
    /// The flag that shuts the service off for the user.
    pub shut_off_by: Option<&'a str>,
    /// Stands for the user; `None`: no ID is described, or the route leads to no service.
    pub user: Option<UserKey>,
}

/// The route that takes a request.
///
/// # Errors
/// None does: why not, and which is the nearest.
pub fn route_of<'s>(snapshot: &'s Snapshot, head: &RequestHead<'_>) -> Result<&'s Route, Refusal> {
    let path = normal_path(head)?;
    let found = match_route(snapshot, head, &path).map_err(|mut refusal| {
        let nearest = nearest(snapshot.router.routes(), head, &path);
        if let (StatusCode::NOT_FOUND, Some((route, wanted))) = (refusal.status, nearest) {
            let why = &refusal.why;
            refusal.why = format!("{why}; the nearest is `{}`, which {wanted}", route.name).into();
        }
        refusal
    });
    found.map(|(_, route)| route)
}

/// Explains what [`dispatch`](super::dispatch) would decide on this route for a user that is described rather than read from the request.
pub fn explain<'a>(
    snapshot: &'a Snapshot,
    route: &'a Route,
    head: &RequestHead<'a>,
    context: &'a Context<'_>,
    moment: Moment,
) -> Explained<'a> {
    let Action::Forward(forward) = &route.action else {
        return Explained {
            route,
            decision: None,
            shut_off_by: None,
            user: None,
        };
    };
    let service = snapshot.services.get(forward.service);
    let lane = lane::find(snapshot.lanes, service, head, moment);
    let overriding = overriding::find(&snapshot.identity, service, head, context, moment);
    let explanation = decide::explain(service, context, moment);
    Explained {
        route,
        decision: Some(explanation.with(lane).overridden(overriding)),
        shut_off_by: shut_off_by(service, context, moment),
        user: user_key(context),
    }
}
