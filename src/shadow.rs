//! Copies of requests on their way to shadows, and what became of them.
//!
//! A worker hands a copy over and goes on. All else happens on the control runtime: connections of their own, the exchange,
//! the comparison. So a shadow that is slow, gone or endless is met by nobody but its own copies, of which there are
//! [so many](crate::meter::mirror::MOST) at a time. Nothing of it counts as a request: no figures of deployments, no
//! endpoint's health, no record of who was served.

pub mod answer;
mod compare;
mod connections;
mod exchange;
mod failure;
mod json;
mod request;

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::clock;
use crate::mirror::MirrorResult;
use answer::Answer;
use compare::{Comparison, Differences};
use connections::Connections;
use exchange::Deadline;
use failure::Failure;
pub use request::ShadowRequest;

/// How long the rest of an answer is read that nobody compares, so that its connection can be used again.
const MOST_REST: Duration = Duration::from_millis(100);

/// Sends copies to shadows. Cloned into every worker.
#[derive(Clone, Debug)]
pub struct Shadows {
    control: Handle,
    connections: Arc<Connections>,
}

impl Shadows {
    /// One whose copies are sent by tasks on the runtime `control`.
    pub fn new(control: &Handle) -> Self {
        Self {
            control: control.clone(),
            connections: Arc::default(),
        }
    }

    /// Sends a copy that is whole, and never waits. It is dropped where there are as many as there may be, or the shadow has
    /// been withdrawn while it came. `stables` brings stable's answer, if it is to be compared with: one that never comes is
    /// nothing to compare with.
    pub fn send(&self, mut request: ShadowRequest, stables: Option<oneshot::Receiver<Answer>>) {
        if request.is_withdrawn() || !request.place.set_out() {
            return;
        }
        let connections = self.connections.clone();
        self.control.spawn(follow(connections, request, stables));
    }
}

/// One copy to its end.
async fn follow(
    connections: Arc<Connections>,
    mut request: ShadowRequest,
    stables: Option<oneshot::Receiver<Answer>>,
) {
    if request.is_withdrawn() {
        return;
    }
    let limit = request.service().upstream.response_timeout;
    let deadline = Deadline {
        at: Instant::now() + limit,
        limit,
    };
    request.place.result = MirrorResult::Failed;
    let begun = match exchange::ask(&connections, &request, deadline).await {
        Ok(begun) => begun,
        Err(Failure::Withdrawn) => {
            request.place.result = MirrorResult::Dropped;
            return;
        }
        Err(failure) => return tell_failure(&request, &failure),
    };
    let Some(stables) = stables else {
        request.place.result = MirrorResult::Answered;
        // For its connection's sake alone.
        let until = deadline.at.min(Instant::now() + MOST_REST);
        let _ = begun.read(&connections, until).await;
        return;
    };
    let answer = match begun.read(&connections, deadline.at).await {
        Ok(answer) => answer,
        Err(failure) => return tell_failure(&request, &failure),
    };
    request.place.result = MirrorResult::Answered;
    // A client may take its answer as slowly as it likes; the copy's place is for others.
    if let Ok(Ok(stables)) = timeout_at(deadline.at, stables).await {
        request.place.result = result(&request, &stables, &answer);
    }
}

/// What came of a copy whose answer is compared.
fn result(request: &ShadowRequest, stables: &Answer, shadows: &Answer) -> MirrorResult {
    let ignore = request.policy().map_or(&[][..], |policy| &policy.ignore);
    match compare::compare(stables, shadows, ignore) {
        Comparison::Same => MirrorResult::Same,
        Comparison::Unseen => MirrorResult::Answered,
        Comparison::Differs(differences) => {
            tell_differences(request, &differences);
            MirrorResult::Differs
        }
    }
}

fn tell_failure(request: &ShadowRequest, failure: &Failure) {
    if let Some(untold) = request.place.meter().failures.tells(clock::now()) {
        tracing::warn!(
            service = &*request.service().name,
            shadow = &*request.deployment().name,
            request_id = request.request_id.to_str().unwrap_or_default(),
            untold,
            "a shadow did not answer: {failure}"
        );
    }
}

fn tell_differences(request: &ShadowRequest, differences: &Differences) {
    if let Some(untold) = request.place.meter().differences.tells(clock::now()) {
        tracing::info!(
            service = &*request.service().name,
            shadow = &*request.deployment().name,
            request_id = request.request_id.to_str().unwrap_or_default(),
            method = request.method.as_str(),
            untold,
            "a shadow answered otherwise than stable: {differences}"
        );
    }
}
