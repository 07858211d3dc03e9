//! What an error answer says to clients: enough to report, nothing about the inside.

use std::borrow::Cow;

use http::StatusCode;

use super::run::RequestRun;
use crate::canary::{Cause, ReasonKind};

/// After how many seconds one may try again what Serin had to refuse.
pub(super) const COME_BACK: &str = "1";

/// The sentence that goes with the error that a request ends with. A tester, whose override asks for one deployment and no
/// other, has a right to know what is wrong with it.
pub(super) fn of_request(status: StatusCode, run: &RequestRun) -> Cow<'static, str> {
    let general = explanation(status);
    let Some(upstream) = &run.upstream else {
        return general.into();
    };
    let decision = &upstream.plan.decision;
    let is_overridden = decision.reason.kind() == ReasonKind::Override;
    let Some(cause) = upstream.attempts.cause().filter(|_| is_overridden) else {
        return general.into();
    };
    let service = run.snapshot.services.get(upstream.plan.service);
    let deployment = &service.deployments.get(decision.assigned).name;
    let cause = Cause::as_str(cause);
    format!("{general}; the override asks for {deployment}, and the cause is {cause}").into()
}

/// The sentence that goes with an error's status.
pub(super) fn explanation(status: StatusCode) -> &'static str {
    match status.as_u16() {
        502 => "the service could not be reached",
        503 => "the service is not available",
        504 => "the service did not answer in time",
        400 => "the request could not be read",
        408 => "the request did not come in time",
        413 => "the request's body is too large",
        431 => "the request's head is too large",
        _ => "the request could not be served",
    }
}
