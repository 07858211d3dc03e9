//! Overrides: by a signed token that expires, testers ask for a deployment. Here is what one says, what became of it, and
//! where a request shows it.

#[cfg(any(test, feature = "testing"))]
pub mod sample;
mod token;

use http::HeaderName;

use crate::context::Moment;
use crate::request::{RequestHead, without_blanks};
use crate::signature::SigningKey;
pub use token::{LONGEST, Override, Unwritable, key};

/// The header field that they come in where the configuration names no other. It is Serin's own whoever sends it.
pub const HEADER: &str = "x-serin-override";

/// How many tokens of a request are looked at.
const MOST: usize = 16;

/// `identity.override`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverrideRules {
    /// What they are signed with.
    pub key: SigningKey,
    /// The header field that they come in.
    pub header: HeaderName,
    /// The cookie, the same.
    pub cookie: Box<str>,
}

impl OverrideRules {
    /// Calls `visit` with the tokens that a request shows, those of the header field first, until it has had enough. Answers
    /// whether there were more than are looked at.
    pub fn visit_tokens<'a>(
        &self,
        head: &RequestHead<'a>,
        visit: &mut dyn FnMut(&'a [u8]) -> Visit,
    ) -> bool {
        let mut left = MOST;
        let mut is_over = false;
        let mut has_more = false;
        let mut list = |field: &'a [u8]| {
            let tokens = field.split(|&byte| byte == b',').map(without_blanks);
            for token in tokens.filter(|token| !token.is_empty()) {
                if is_over {
                    return;
                }
                if left == 0 {
                    has_more = true;
                    return;
                }
                left -= 1;
                is_over = visit(token) == Visit::Stop;
            }
        };
        head.headers.visit(self.header.as_str(), &mut list);
        head.visit_cookie_bytes(&self.cookie, &mut list);
        has_more
    }
}

/// Whether more tokens are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visit {
    /// The next one is.
    GoOn,
    /// None is.
    Stop,
}

/// What became of an override.
///
/// The order is that of [`OverrideResult::ALL`]; metrics index by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OverrideResult {
    /// It decided.
    Applied,
    /// It is no token, it is too long, or there were too many before it.
    Malformed,
    /// Nobody with the key has made it.
    Forged,
    /// Its time is over.
    Expired,
    /// It is for another user, or for another service than the request's.
    Foreign,
    /// Its deployment has been killed.
    Killed,
    /// The lease of its deployment is over.
    LeaseOver,
    /// The service has no such deployment.
    UnknownDeployment,
}

impl OverrideResult {
    /// Every result, in index order.
    pub const ALL: [Self; 8] = [
        Self::Applied,
        Self::Malformed,
        Self::Forged,
        Self::Expired,
        Self::Foreign,
        Self::Killed,
        Self::LeaseOver,
        Self::UnknownDeployment,
    ];

    /// The name that metrics and explanations carry.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Malformed => "malformed",
            Self::Forged => "forged",
            Self::Expired => "expired",
            Self::Foreign => "foreign",
            Self::Killed => "killed",
            Self::LeaseOver => "lease_over",
            Self::UnknownDeployment => "unknown_deployment",
        }
    }

    /// The position in [`OverrideResult::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }
}

/// What became of all overrides of a request: each result at most once, however many tokens it is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OverrideResults(u8);

impl OverrideResults {
    /// Adds one.
    pub fn add(&mut self, result: OverrideResult) {
        self.0 |= 1 << result.index();
    }

    /// Whether nothing became of anything: the request shows no override.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those that there are, in index order.
    pub fn iter(self) -> impl Iterator<Item = OverrideResult> {
        let all = OverrideResult::ALL.into_iter();
        all.filter(move |result| self.0 >> result.index() & 1 == 1)
    }
}

impl Override {
    /// Whether its time is over: at the very second that it names, whatever clocks may be off by.
    pub fn is_over(&self, now: Moment) -> bool {
        now.unix_ms >= self.expires.saturating_mul(1000)
    }

    /// Whether it holds for a request whose user has this ID, or none.
    pub fn is_for(&self, user: Option<&str>) -> bool {
        self.user.as_deref().is_none_or(|own| user == Some(own))
    }
}

#[cfg(test)]
mod tests;
