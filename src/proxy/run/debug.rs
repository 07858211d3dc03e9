//! What the steps of a request write to the log at level `debug`, and the requests whose steps are written whatever the
//! log's level is.
//!
//! Where neither is on, a step costs one load of the log's level. Every line has the request's ID.

use std::net::SocketAddr;
use std::time::Instant;

use http::{HeaderName, HeaderValue};
use tracing::level_filters::LevelFilter;

use super::{HeadStep, NoAttempt, RequestEnd, RequestRun};
use crate::attempts::Failure;
use crate::request::RequestHead;
use crate::telemetry::log::DEBUG_REQUEST;

/// The header field that picks the requests whose steps are logged (`--debug-request`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DebugHeader {
    name: HeaderName,
    secret: Option<Box<str>>,
}

/// Why a text is no `NAME` or `NAME: VALUE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadDebugHeader {
    /// The name is not one.
    #[error("the name of the header field is not valid")]
    Name,
    /// The value is not one, or too short.
    #[error(
        "the value must have at least {SHORTEST_SECRET} visible ASCII characters: it is a secret"
    )]
    Value,
}

/// How long a secret is at least.
const SHORTEST_SECRET: usize = 16;

impl std::str::FromStr for DebugHeader {
    type Err = BadDebugHeader;

    fn from_str(text: &str) -> Result<Self, BadDebugHeader> {
        let (name, secret) = match text.split_once(':') {
            Some((name, secret)) => (name, Some(secret.trim())),
            None => (text, None),
        };
        let name = name.trim().parse().map_err(|_| BadDebugHeader::Name)?;
        let is_good = |secret: &str| {
            secret.len() >= SHORTEST_SECRET && secret.bytes().all(|byte| byte.is_ascii_graphic())
        };
        match secret {
            Some(secret) if !is_good(secret) => Err(BadDebugHeader::Value),
            secret => Ok(Self {
                name,
                secret: secret.map(Into::into),
            }),
        }
    }
}

impl DebugHeader {
    /// The field's name. The field is for this gateway, and goes to no upstream.
    pub fn name(&self) -> &HeaderName {
        &self.name
    }

    /// Whether a request's steps are logged: it has the field with the secret value, or, if there is no secret, a
    /// trusted proxy sent it the field.
    pub(super) fn picks(&self, head: &RequestHead<'_>) -> bool {
        let sent = || head.headers.first(self.name.as_str());
        match &self.secret {
            Some(secret) => sent().is_some_and(|sent| is_same(sent, secret.as_bytes())),
            None => head.peer_trusted && sent().is_some(),
        }
    }
}

/// Compares in a time that does not depend on where the two differ.
fn is_same(sent: &[u8], secret: &[u8]) -> bool {
    let differences = sent.iter().zip(secret).fold(0, |all, (a, b)| all | (a ^ b));
    sent.len() == secret.len() && std::hint::black_box(differences) == 0
}

/// Writes a step of a request.
macro_rules! step {
    ($run:expr, $($fields:tt)*) => {
        if LevelFilter::current() >= LevelFilter::DEBUG {
            let id = id(&$run.request_id);
            if $run.is_debugged {
                tracing::debug!(target: DEBUG_REQUEST, request_id = id, $($fields)*);
            } else {
                tracing::debug!(request_id = id, $($fields)*);
            }
        }
    };
}

fn id(id: &HeaderValue) -> &str {
    id.to_str().unwrap_or_default()
}

impl RequestRun {
    /// Writes a line about the request, where its steps are logged.
    pub fn debug_note(&self, what: &'static str) {
        step!(self, "{what}");
    }

    pub(super) fn debug_head(&self, head: &RequestHead<'_>, next: &HeadStep) {
        if LevelFilter::current() < LevelFilter::DEBUG {
            return;
        }
        let client = head.peer;
        step!(self, method = head.method, host = head.authority, path = head.path, %client, "head read");
        let route = self
            .route
            .and_then(|route| self.snapshot.router.route(route));
        let route = route.map(|route| &*route.name);
        let Some(upstream) = &self.upstream else {
            let (what, status) = match next {
                HeadStep::Refuse(refusal) => ("refuse", refusal.status.as_u16()),
                HeadStep::Respond(response) => ("answer", response.status.as_u16()),
                _ => ("client API", 0),
            };
            step!(self, route, what, status, "dispatched");
            return;
        };
        let service = self.snapshot.services.get(upstream.plan.service);
        let decision = &upstream.plan.decision;
        let assigned = &*service.deployments.get(decision.assigned).name;
        let reason = decision.reason.kind().as_str();
        let service = &*service.name;
        step!(self, route, service, assigned, reason, "dispatched");
    }

    pub(super) fn debug_attempt(&self, endpoint: SocketAddr) {
        if let Some(upstream) = &self.upstream {
            let service = self.snapshot.services.get(upstream.plan.service);
            let deployment = || &*service.deployments.get(upstream.attempts.deployment()).name;
            step!(self, %endpoint, deployment = deployment(), "attempt begins");
        }
    }

    pub(super) fn debug_no_attempt(&self, why: NoAttempt) {
        step!(self, ?why, "no attempt can be made");
    }

    /// Writes how the attempt got its connection.
    pub fn debug_connected(&self, reused: bool, deadline: Option<Instant>) {
        if LevelFilter::current() < LevelFilter::DEBUG {
            return;
        }
        let now = Instant::now();
        if let Some(upstream) = &self.upstream {
            let began = upstream.timing.attempt_started();
            let took = now.saturating_duration_since(began);
            let answer_within = deadline.map(|until| until.saturating_duration_since(now));
            step!(self, reused, ?took, ?answer_within, "connected");
        }
    }

    /// Writes that a deadline was over.
    pub fn debug_deadline(&self, awaited: &'static str) {
        step!(self, awaited, "a deadline was over");
    }

    pub(super) fn debug_response(&self, status: u16) {
        if let Some(upstream) = &self.upstream {
            let took = upstream.upstream_time.unwrap_or_default();
            step!(self, status, ?took, "response head");
        }
    }

    pub(super) fn debug_failure(&self, failure: Failure, follows: &'static str) {
        step!(self, ?failure, follows, "attempt failed");
    }

    pub(super) fn debug_no_room(&self) {
        step!(self, "no room for a connection");
    }

    pub(super) fn debug_end(&self, end: &RequestEnd, now: Instant) {
        let took = || now.saturating_duration_since(self.started);
        step!(
            self,
            status = self.own_status.or(end.status).unwrap_or(0),
            request_bytes = end.request_bytes,
            response_bytes = end.response_bytes,
            took = ?took(),
            "request ends"
        );
    }
}
