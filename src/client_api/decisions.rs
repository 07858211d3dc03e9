//! Where the caller's own requests go, service by service.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use super::ApiRequest;
use super::reply::Reply;
use crate::context::Context;
use crate::decide::{Decision, decide, overriding};
use crate::dispatch::user_key;
use crate::identity::Anonymous;
use crate::quarantine::QuarantineKey;
use crate::receipt::Receipt;
use crate::snapshot::{STABLE, Service};

/// Answers for the request's own identity, and for no other.
pub(super) fn answer(asked: &ApiRequest<'_>, own: &Context<'_>) -> Reply {
    let snapshot = asked.snapshot;
    if snapshot.identity.anonymous == Anonymous::Reject && own.user_id.is_none() {
        let why = "this request names no user";
        return Reply::error(StatusCode::UNAUTHORIZED, why);
    }
    let held = held(asked, own);
    let services = snapshot.services.iter();
    let decisions: Vec<Value> = services
        .map(|service| view(asked, (own, held.as_deref()), service))
        .collect();
    let body = json!({ "digest": snapshot.digest.to_string(), "decisions": decisions });
    Reply::json(StatusCode::OK, body.to_string())
}

fn view(
    asked: &ApiRequest<'_>,
    (own, held): (&Context<'_>, Option<&Receipt>),
    service: &Service,
) -> Value {
    let identity = &asked.snapshot.identity;
    let overriding = overriding::find(identity, service, asked.head, own, asked.moment);
    let decision = overriding.decision;
    let decision = decision.unwrap_or_else(|| decide(service, own, asked.moment));
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
        "served": served(asked, (own, held), service, &decision),
        "reason": decision.reason.kind().as_str(),
        "randomised": decision.randomised,
    })
}

/// Who answered the user last: as their receipt says, else as this gateway remembers. Where neither is known, stable has
/// answered those who are meant for it and those who are spared a canary that failed them too often.
fn served(
    asked: &ApiRequest<'_>,
    (own, held): (&Context<'_>, Option<&Receipt>),
    service: &Service,
    decision: &Decision,
) -> Option<String> {
    if let Some(by) = held.and_then(|held| held.served.get(&*service.name)) {
        return Some(by.deployment.to_string());
    }
    let user = user_key(own);
    if let Some(served) = user.and_then(|user| asked.served.recall(user, service)) {
        return Some(service.deployments.get(served).name.to_string());
    }
    let cluster = &service.deployments.get(decision.assigned).cluster;
    let is_spared = || {
        let key = QuarantineKey::new(user?, cluster.id);
        asked.quarantine.holds(key, asked.now)
    };
    let is_stables = decision.assigned == STABLE || is_spared().is_some();
    is_stables.then(|| "stable".to_owned())
}

/// The receipt that the request shows, if it is valid and its own user's.
fn held(asked: &ApiRequest<'_>, own: &Context<'_>) -> Option<Arc<Receipt>> {
    let receipts = asked.receipts?;
    let id = own.user_id.as_deref().or(own.session_id.as_deref())?;
    let held = receipts.held(asked.head, id, asked.moment);
    held.map(|(receipt, _)| receipt)
}
