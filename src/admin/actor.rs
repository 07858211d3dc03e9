//! Who asks, once let in, and what they may do.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::problem::Problem;
use crate::audit::actor::Actor as Signature;
use crate::config::admin::{AdminToken, Role};
use crate::config::token::Token;

/// Who asks, once let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Actor {
    /// The token's name; `None`: there are no tokens, and the caller is on this machine.
    pub(super) name: Option<Arc<str>>,
    /// What they may do.
    pub(super) role: Role,
    /// The services that they may do so with; `None`: all.
    pub(super) services: Option<Arc<[Arc<str>]>>,
    /// Where they are.
    pub(super) address: IpAddr,
    /// By its hash, the token that they came with.
    pub(super) token: Option<Token>,
}

impl Actor {
    /// Who comes with this token, from this address.
    pub(super) fn bearing(token: &AdminToken, address: IpAddr) -> Self {
        Self {
            name: Some(token.name.clone()),
            role: token.role,
            services: token.services.clone(),
            address,
            token: Some(token.token),
        }
    }

    /// Whether they would be let in as the same today, by these tokens: what lasts ends when they would not.
    pub(super) fn is_still_let_in(&self, tokens: &[AdminToken]) -> bool {
        match self.token {
            None => tokens.is_empty(),
            Some(_) => tokens
                .iter()
                .any(|token| Self::bearing(token, self.address) == *self),
        }
    }

    /// Whether their role is enough for an operation.
    ///
    /// # Errors
    /// What they lack.
    pub(super) fn has_role(&self, needed: Role) -> Result<(), Problem> {
        if self.role >= needed {
            return Ok(());
        }
        let detail = format!(
            "this takes the role {}, and the token {self} has {}",
            needed.as_str(),
            self.role.as_str()
        );
        Err(Problem::new(403, detail))
    }

    /// The name that they do things in, for the audit trail.
    pub(super) fn signature(&self) -> Signature {
        Signature {
            name: self.name.clone(),
            role: Some(self.role),
            address: Some(self.address),
        }
    }

    /// Who did something, for people: the token's name and the address, or the address alone.
    pub(super) fn by(&self) -> String {
        self.signature().by()
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name:?}"),
            None => write!(f, "of {}", self.address),
        }
    }
}
