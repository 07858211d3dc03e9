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
        if let Some(left) = self.failed.wait(caller.address, now) {
            let detail =
                "too many wrong tokens came from this address: wait, and look where they come from";
            return Err(Problem::new(429, detail).retry_after(left));
        }
        let given = bearer(headers)?;
        let given = Token::of(given);
        // All are compared, by hash: how long it takes says nothing about the tokens.
        let known = tokens
            .iter()
            .fold(None, |known, token| match token.token.is(&given) {
                true => Some(token),
                false => known,
            });
        let Some(token) = known else {
            self.failed.note(caller.address, now);
            tracing::warn!(client = %caller.address, "an admin request came with a token that is not known");
            return Err(Problem::new(401, "this token is not known").challenging());
        };
        Ok(Actor {
            name: Some(token.name.clone()),
            role: token.role,
            services: token.services.clone(),
            address: caller.address,
        })
    }
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
        });
    }
    let detail = "from elsewhere only probes and metrics are open; the rest is for callers who come from \
                  loopback to loopback (on this machine, in this container or pod), until `admin.tokens` in \
                  routes.yaml says who else may";
    Err(Problem::new(403, detail))
}

#[cfg(test)]
mod tests;
