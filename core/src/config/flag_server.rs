//! What the sections of all flag servers have in common: URL, secret, streaming, and how outages are met.

use std::fmt;
use std::time::Duration;

use http::Uri;

/// Whether flags are streamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streaming {
    /// Where the server offers it.
    Auto,
    /// A server that does not offer it is in error; it is polled meanwhile.
    Always,
    /// Polled only.
    Never,
}

/// The URL of an API, without a slash at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl {
    text: Box<str>,
    is_https: bool,
}

impl ServerUrl {
    /// Reads `http://…` or `https://…`, with a path or without.
    ///
    /// # Errors
    /// How such a URL is written.
    pub fn parse(text: &str) -> Result<Self, String> {
        let uri: Uri = text
            .trim_end_matches('/')
            .parse()
            .map_err(|_| "as in http://unleash.default.svc:4242/api".to_owned())?;
        let is_https = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err("it begins with http:// or https://".to_owned()),
        };
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        if authority.contains('@') {
            return Err("a secret belongs in `token`".to_owned());
        }
        if uri.host().is_none_or(str::is_empty) {
            return Err("it names a host, as in http://unleash.default.svc:4242/api".to_owned());
        }
        if uri.query().is_some() || text.contains('#') {
            return Err("it ends with its path".to_owned());
        }
        Ok(Self {
            text: text.trim_end_matches('/').into(),
            is_https,
        })
    }

    /// The URL.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is spoken to over TLS.
    pub fn is_https(&self) -> bool {
        self.is_https
    }
}

/// A text that must not appear in any output.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    /// Keeps a text secret.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The text, for whom it is meant.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// How outages of flag servers are met: `server.ready_without_flags`, `snapshot_max_age`, `removal_guard`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StalenessPolicy {
    /// After how long traffic may come although a source has never answered and nothing is stored; `None`: never.
    pub ready_without_flags: Option<Duration>,
    /// Stored flags that are older are loaded with a loud warning.
    pub snapshot_max_age: Duration,
    /// How long flags are kept that a suspiciously small answer lacks.
    pub removal_guard: Duration,
}
