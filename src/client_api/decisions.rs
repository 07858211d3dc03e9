//! Where the caller's own requests go, service by service.

use http::StatusCode;
use serde_json::{Value, json};

use super::Asked;
use super::reply::Reply;
use crate::context::Context;
use crate::decide::{Decision, decide};
use crate::identity::Anonymous;
use crate::snapshot::Service;

/// Answers for the request's own identity, and for nobody else's.
pub(super) fn answer(asked: &Asked<'_>, own: &Context<'_>) -> Reply {
    let snapshot = asked.snapshot;
    if snapshot.identity.anonymous == Anonymous::Reject && own.user_id.is_none() {
        let why = "this request names no user";
        return Reply::error(StatusCode::UNAUTHORIZED, why);
    }
    let services = snapshot.services.iter();
    let decisions: Vec<Value> = services
        .map(|service| view(service, &decide(service, own, asked.moment)))
        .collect();
    let body = json!({ "digest": snapshot.digest.to_string(), "decisions": decisions });
    Reply::json(StatusCode::OK, body.to_string())
}

fn view(service: &Service, decision: &Decision) -> Value {
    let candidate = decision
        .candidate
        .and_then(|candidate| service.candidates.get(candidate));
    let variant = candidate
        .zip(decision.variant)
        .and_then(|(candidate, at)| candidate.flag.variant(at));
    let assigned = service.deployments.get(decision.assigned);
    json!({
        "service": &*service.name,
        "flag": candidate.map(|candidate| &*candidate.flag.name),
        "variant": variant.map(|variant| &*variant.name),
        "assigned": assigned.map(|deployment| &*deployment.name),
        "served": Value::Null,
        "reason": decision.reason.kind().as_str(),
        "randomised": decision.randomised,
    })
}
