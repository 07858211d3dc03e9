//! `client_api`: by which the gateway itself answers clients.

use http::HeaderValue;

use super::token::Token;
use crate::flag::Glob;
use crate::rate::Rate;

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
