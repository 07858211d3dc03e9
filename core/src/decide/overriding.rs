//! Overrides: the deployment that a signed token asks for, whatever the flags say of the user.
//!
//! An override beats flags, lanes, stickiness and quarantine. It beats no kill and no lease that is over, and a deployment that
//! does not exist it cannot bring about: then it is ignored, and the request is decided as if it showed none.

use super::Decision;
use super::named::Named;
use crate::canary::{ReasonKind, Withdrawal};
use crate::context::{Context, Moment};
use crate::identity::Rules;
use crate::overrides::{Override, OverrideResult, OverrideResults, Visit};
use crate::request::RequestHead;
use crate::signature::Rejected;
use crate::snapshot::Service;

/// What the overrides that a request shows come to for one service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overriding {
    /// The decision, if one of them decides.
    pub decision: Option<Decision>,
    /// What became of them. Those for other services are to be told of only if there is nothing else to tell: a tester
    /// shows them with every request.
    pub results: OverrideResults,
    /// The one that decides; else the last one that the key has signed, and what became of it.
    pub read: Option<(Override, OverrideResult)>,
}

/// Looks for an override of a service; the first one that can decides.
pub fn find(
    rules: &Rules,
    service: &Service,
    head: &RequestHead<'_>,
    context: &Context<'_>,
    moment: Moment,
) -> Overriding {
    let mut found = Overriding::default();
    let Some(rules) = &rules.overrides else {
        return found;
    };
    let mut is_elsewhere = false;
    let has_more = rules.visit_tokens(head, &mut |token| {
        let read = match Override::open(token, &rules.key) {
            Ok(read) => read,
            Err(rejected) => {
                found.results.add(match rejected {
                    Rejected::Malformed => OverrideResult::Malformed,
                    Rejected::Forged => OverrideResult::Forged,
                });
                return Visit::GoOn;
            }
        };
        if *read.service != *service.name {
            is_elsewhere = true;
            return Visit::GoOn;
        }
        let (result, visit) = match apply(&read, service, context, moment) {
            Ok(decision) => {
                found.decision = Some(decision);
                (OverrideResult::Applied, Visit::Stop)
            }
            Err(why) => (why, Visit::GoOn),
        };
        found.results.add(result);
        found.read = Some((read, result));
        visit
    });
    if has_more {
        found.results.add(OverrideResult::Malformed);
    }
    if is_elsewhere && found.results.is_empty() {
        found.results.add(OverrideResult::Foreign);
    }
    found
}

fn apply(
    read: &Override,
    service: &Service,
    context: &Context<'_>,
    moment: Moment,
) -> Result<Decision, OverrideResult> {
    if read.is_over(moment) {
        return Err(OverrideResult::Expired);
    }
    if !read.is_for(context.user_id.as_deref()) {
        return Err(OverrideResult::Foreign);
    }
    let named = Named::find(service, read.deployment.as_bytes());
    let named = named.ok_or(OverrideResult::UnknownDeployment)?;
    match named.withdrawal_at(moment) {
        Some(Withdrawal::Killed | Withdrawal::Unknown) => Err(OverrideResult::Killed),
        Some(Withdrawal::LeaseOver) => Err(OverrideResult::LeaseOver),
        // Whoever asks for a canary that is not ready learns that from the answer.
        Some(Withdrawal::NotReady) | None => Ok(named.decision(ReasonKind::Override)),
    }
}

#[cfg(test)]
mod tests;
