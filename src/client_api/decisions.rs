//! Where the caller's own requests go, service by service.

use http::StatusCode;
use serde_json::{Value, json};

use super::ApiRequest;
use super::reply::Reply;
use crate::context::Context;
use crate::decide::{Decision, decide};
use crate::dispatch::user_key;
use crate::identity::Anonymous;
use crate::quarantine::QuarantineKey;
use crate::snapshot::{STABLE, Service};

/// Answers for the request's own identity, and for no other.
pub(super) fn answer(asked: &ApiRequest<'_>, own: &Context<'_>) -> Reply {
    let snapshot = asked.snapshot;
    if snapshot.identity.anonymous == Anonymous::Reject && own.user_id.is_none() {
        let why = "this request names no user";
        return Reply::error(StatusCode::UNAUTHORIZED, why);
    }
    let services = snapshot.services.iter();
    let decisions: Vec<Value> = services.map(|service| view(asked, own, service)).collect();
    let body = json!({ "digest": snapshot.digest.to_string(), "decisions": decisions });
    Reply::json(StatusCode::OK, body.to_string())
}

fn view(asked: &ApiRequest<'_>, own: &Context<'_>, service: &Service) -> Value {
    let decision = decide(service, own, asked.moment);
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
        "assigned": &*assigned.name,
        "served": served(asked, own, service, &decision),
        "reason": decision.reason.kind().as_str(),
        "randomised": decision.randomised,
    })
}

/// Who answered the user of late, as far as anybody remembers: stable, for those meant for it and for those spared a
/// canary that failed them too often. Of the others nothing is kept.
fn served(
    asked: &ApiRequest<'_>,
    own: &Context<'_>,
    service: &Service,
    decision: &Decision,
) -> Option<&'static str> {
    let cluster = &service.deployments.get(decision.assigned).cluster;
    let is_spared = || {
        let key = QuarantineKey::new(user_key(own)?, cluster.id);
        asked.quarantine.holds(key, asked.now)
    };
    (decision.assigned == STABLE || is_spared().is_some()).then_some("stable")
}
