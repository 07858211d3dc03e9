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

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::clock;
use crate::mirror::MirrorResult;
use answer::Answer;
use compare::Differences;
use connections::Connections;
use failure::Failure;
pub use request::ShadowRequest;

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

    /// Sends a copy, and never waits. `stables` brings stable's answer, if it is to be compared with: one that never comes is
    /// nothing to compare with.
    pub fn send(&self, request: ShadowRequest, stables: Option<oneshot::Receiver<Answer>>) {
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
    request.place.result = MirrorResult::Failed;
    let limit = request.service().upstream.response_timeout;
    let answer = match timeout(limit, exchange::ask(&connections, &request)).await {
        Ok(answer) => answer,
        Err(_) => Err(Failure::TooLong(limit)),
    };
    let answer = match answer {
        Ok(answer) => answer,
        Err(failure) => return tell_failure(&request, &failure),
    };
    request.place.result = MirrorResult::Answered;
    let Some(stables) = stables else {
        return;
    };
    // A client may take its answer as slowly as it likes; the copy's place is for others.
    let Ok(Ok(stables)) = timeout(limit, stables).await else {
        return;
    };
    let ignore = request.policy().map_or(&[][..], |policy| &policy.ignore);
    request.place.result = match compare::differences(&stables, &answer, ignore) {
        None => MirrorResult::Same,
        Some(differences) => {
            tell_differences(&request, &differences);
            MirrorResult::Differs
        }
    };
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
