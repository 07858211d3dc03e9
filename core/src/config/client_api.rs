//! `client_api`: by which the gateway itself answers clients.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use http::HeaderValue;
use sha2::{Digest as _, Sha256};

use crate::flag::Glob;

/// `client_api`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientApiConfig {
    /// Where it is: a path without a slash at its end.
    pub path: Box<str>,
    /// The tokens of apps.
    pub tokens: Vec<Token>,
    /// The tokens of servers.
    pub backend_tokens: Vec<Token>,
    /// The origins whose pages may ask.
    pub cors: Vec<HeaderValue>,
    /// Which flags apps may see.
    pub flags: Vec<Glob>,
    /// How much one address may ask.
    pub rate: Rate,
}

/// How often something may happen: so often in a window, and so often at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How often in a window.
    pub requests: NonZeroU32,
    /// The window.
    pub window: Duration,
    /// How often at once.
    pub burst: u32,
}

/// A token that is known by its hash alone (SHA-256), so that nothing can give it away.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Token([u8; 32]);

impl ClientApiConfig {
    /// The rest of a path below this API's own path; `None`: the path is not below it.
    pub fn rest<'p>(&self, path: &'p str) -> Option<&'p str> {
        let rest = path.strip_prefix(&*self.path)?;
        (rest.is_empty() || rest.starts_with('/')).then_some(rest)
    }

    /// Whether apps may see a flag.
    pub fn shows(&self, flag: &str) -> bool {
        self.flags.iter().any(|glob| glob.matches(flag))
    }
}

impl Token {
    /// Of a token's text.
    pub fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    /// Whether it is the same, found out in a time that tells nothing of it.
    pub fn is(&self, other: &Self) -> bool {
        let pairs = self.0.iter().zip(&other.0);
        pairs.fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
    }

    /// The hash.
    pub fn digest(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::Token;

    #[test]
    fn tokens_are_compared_and_not_shown() {
        let token = Token::of("*:development.secret");
        assert!(token.is(&Token::of("*:development.secret")));
        assert!(!token.is(&Token::of("*:development.secre")));
        assert_eq!(format!("{token:?}"), "Token(…)");
    }
}
