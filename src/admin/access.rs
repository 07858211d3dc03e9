//! Who asks the admin API: tokens, and how many wrong ones an address may try.

mod attempts;
pub mod metrics;

use std::sync::Arc;
use std::time::Instant;

use axum::http::{HeaderMap, header};

use super::actor::Actor;
use super::connections::Caller;
use super::problem::Problem;
use crate::config::admin::{AdminToken, Role};
use crate::config::token::{self, Token};
use attempts::FailedAttempts;
use metrics::AdminFigures;

/// What is known of callers, and counted of them.
#[derive(Debug, Default)]
pub struct AccessControl {
    failed: FailedAttempts,
    /// Requests by role and status.
    pub(super) figures: Arc<AdminFigures>,
}

impl AccessControl {
    /// Nobody has asked yet; who does is counted there.
    pub fn counting(figures: Arc<AdminFigures>) -> Self {
        Self {
            failed: FailedAttempts::default(),
            figures,
        }
    }

    /// Who asks, by the tokens of the configuration in force.
    ///
    /// # Errors
    /// Why they are not let in.
    pub(super) fn identify(
        &self,
        caller: &Caller,
        headers: &HeaderMap,
        tokens: &[AdminToken],
        now: Instant,
    ) -> Result<Actor, Problem> {
        if tokens.is_empty() {
            return without_tokens(caller);
        }
        // A right token is let in whatever else comes from its address: else anybody behind the same proxy could keep
        // the people on call from killing a canary.
        match bearer(headers) {
            Ok(given) => match known(&Token::of(given), tokens) {
                Some(token) => Ok(Actor::bearing(token, caller.address)),
                None => {
                    self.refuse_for_a_while(caller, now)?;
                    self.failed.note(caller.address, now);
                    tracing::warn!(client = %caller.address, "an admin request came with a token that is not known");
                    Err(Problem::new(401, "this token is not known").challenging())
                }
            },
            Err(problem) => {
                self.refuse_for_a_while(caller, now)?;
                Err(problem)
            }
        }
    }

    /// Refuses an address that many wrong tokens came from.
    fn refuse_for_a_while(&self, caller: &Caller, now: Instant) -> Result<(), Problem> {
        let Some(left) = self.failed.wait(caller.address, now) else {
            return Ok(());
        };
        let detail = "too many wrong tokens came from this address, and this one is wrong or missing: wait, and look \
                      where they come from";
        Err(Problem::new(429, detail).retry_after(left))
    }
}

/// The entry of a token. All are compared, by hash: how long it takes says nothing about the tokens.
fn known<'a>(given: &Token, tokens: &'a [AdminToken]) -> Option<&'a AdminToken> {
    let mut known = None;
    for token in tokens {
        if token.token.is(given) {
            known = Some(token);
        }
    }
    known
}

/// The token of a request.
fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let mut fields = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(field), None) = (fields.next(), fields.next()) else {
        let detail = "one token is needed, as in `Authorization: Bearer <token>`";
        return Err(Problem::new(401, detail).challenging());
    };
    token::bearer(field.to_str().unwrap_or_default()).ok_or_else(|| {
        let detail = "the token is sent as `Authorization: Bearer <token>`";
        Problem::new(401, detail).challenging()
    })
}

/// Callers on this machine may do everything, and no others anything.
fn without_tokens(caller: &Caller) -> Result<Actor, Problem> {
    if caller.is_local() {
        return Ok(Actor {
            name: None,
            role: Role::Admin,
            services: None,
            address: caller.address,
            token: None,
        });
    }
    let detail = "from elsewhere only probes and metrics are open; the rest is for callers who come from \
                  loopback to loopback (on this machine, in this container or pod), until `admin.tokens` in \
                  routes.yaml says who else may";
    Err(Problem::new(403, detail))
}

#[cfg(test)]
mod tests;
