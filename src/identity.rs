//! Who the user is: where an ID or a property is read from, and whom it is believed from.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use ipnet::IpNet;

/// Whose word counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Trust {
    /// Any client's.
    #[default]
    Anyone,
    /// Only that of `server.trusted_proxies`.
    Proxies,
}

/// The place in a request that a value is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A header field.
    Header(HeaderName),
    /// A cookie.
    Cookie(Box<str>),
    /// A query parameter, percent-decoded.
    Query(Box<str>),
}

/// A place and whom it is believed from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Where the value stands.
    pub place: Place,
    /// Whose word counts.
    pub trust: Trust,
}

/// A named value that flags may look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    /// Its name in conditions.
    pub name: Arc<str>,
    /// Where it is read from.
    pub source: Source,
}

/// What happens to a request without a user ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Anonymous {
    /// Never on a canary by percentage.
    #[default]
    Stable,
    /// Gets a random ID in a first-party cookie, which is the context's session ID.
    Sticky,
    /// Is answered 401.
    Reject,
}

/// When the anonymous cookie carries `Secure`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SecureCookie {
    /// When the client came by HTTPS, as far as this gateway or a trusted proxy can tell.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The cookie's `SameSite` (RFC 6265bis).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SameSite {
    /// `Strict`.
    Strict,
    /// `Lax`.
    #[default]
    Lax,
    /// `None`; browsers take it with `Secure` only.
    None,
}

/// The first-party cookie of `anonymous: sticky`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnonymousCookie {
    /// Its name.
    pub name: Box<str>,
    /// How long browsers keep it.
    pub max_age: Duration,
    /// When it carries `Secure`.
    pub secure: SecureCookie,
    /// Its `SameSite`.
    pub same_site: SameSite,
}

impl Default for AnonymousCookie {
    fn default() -> Self {
        Self {
            name: "serin_id".into(),
            max_age: Duration::from_secs(365 * 24 * 3600),
            secure: SecureCookie::Auto,
            same_site: SameSite::Lax,
        }
    }
}

/// The whole of `identity`, and the proxies whose word counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// The first that yields a value wins.
    pub user_id: Vec<Source>,
    /// What happens without a user ID.
    pub anonymous: Anonymous,
    /// The cookie of [`Anonymous::Sticky`].
    pub cookie: AnonymousCookie,
    /// What flags may look at, in slot order ([`crate::context::Slot`]).
    pub properties: Vec<Property>,
    /// `server.trusted_proxies`.
    pub trusted_proxies: Vec<IpNet>,
}

impl Rules {
    /// Whether an address belongs to a trusted proxy. An IPv4 address in IPv6 clothes counts as IPv4.
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted_proxies
            .iter()
            .any(|net| net.contains(&address))
    }
}
