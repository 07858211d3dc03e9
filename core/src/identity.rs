//! Who the user is: where an ID or a property is read from, and whom it is believed from.

pub mod token;
mod user_key;

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use ipnet::IpNet;
use smallvec::SmallVec;

use crate::channel::ChannelRules;
use crate::context::Context;
use crate::flag::Glob;
use crate::host::split_port;
use crate::overrides::OverrideRules;
use crate::request::{RequestHead, form_decoded, without_blanks};
use token::{ShownToken, Tokens};
pub use user_key::{IdKind, UserKey};

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
    /// A query parameter; name and value are compared decoded.
    Query(Box<str>),
    /// The cookie of the channel that the user has opted in to.
    Channel(Arc<ChannelRules>),
    /// The user that a verified token names: the token's position in [`Tokens::sources`].
    Token(usize),
    /// A claim of the verified token: its position in [`Tokens::claims`].
    Claim(usize),
}

/// What a route asks of its users' tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Auth {
    /// One that is verified says who the user is; other sources may, too.
    #[default]
    Optional,
    /// Only one that is verified says who the user is; without it the request is refused.
    Required,
    /// None is looked at.
    None,
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

impl SecureCookie {
    /// Whether a cookie carries it for a client that came by HTTPS, or did not.
    pub fn holds(self, https: bool) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => https,
        }
    }
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

/// A property that `identity.properties` does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no property {name:?} under identity.properties; there are: {known}")]
pub struct UnknownProperty {
    name: String,
    known: String,
}

impl UnknownProperty {
    fn new(name: &str, known: &[Property]) -> Self {
        let names: Vec<&str> = known.iter().map(|property| &*property.name).collect();
        Self {
            name: name.to_owned(),
            known: if names.is_empty() {
                "none".to_owned()
            } else {
                names.join(", ")
            },
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
    /// `override`; `None`: nobody may ask for a deployment.
    pub overrides: Option<OverrideRules>,
    /// `channels`; `None`: there is nothing to opt in to. A property reads them.
    pub channels: Option<Arc<ChannelRules>>,
    /// `server.trusted_proxies`.
    pub trusted_proxies: Vec<IpNet>,
    /// The tokens that say who users are.
    pub tokens: Tokens,
    /// Users who are routed like anybody, and left out of exposures.
    pub test_users: Vec<Glob>,
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

impl Rules {
    /// The cookies that are for this gateway alone.
    pub fn own_cookies(&self) -> impl Iterator<Item = &str> {
        let overrides = self.overrides.iter().map(|rules| &*rules.cookie);
        overrides.chain(self.channels.iter().map(|rules| &*rules.cookie))
    }

    /// Reads user ID, session ID, address and properties from a request and the token that it shows. Nothing else of it is
    /// looked at.
    pub fn identify<'a>(
        &self,
        head: &RequestHead<'a>,
        token: &'a ShownToken,
        auth: Auth,
    ) -> Context<'a> {
        let is_believed =
            |source: &&Source| auth != Auth::Required || matches!(source.place, Place::Token(_));
        let mut sources = self.user_id.iter().filter(is_believed);
        Context {
            user_id: sources.find_map(|source| source.read(head, token)),
            session_id: match self.anonymous {
                Anonymous::Sticky => self.session(head),
                Anonymous::Stable | Anonymous::Reject => None,
            },
            remote_address: self.client_address(head),
            properties: self
                .properties
                .iter()
                .map(|property| property.source.read(head, token))
                .collect(),
        }
    }

    /// Whether a user is one of those who only test.
    pub fn is_test_user(&self, id: &str) -> bool {
        self.test_users.iter().any(|glob| glob.matches(id))
    }

    /// A context that is described rather than read from a request: for `explain`.
    pub fn describe<'a>(
        &self,
        user_id: Option<&'a str>,
        session_id: Option<&'a str>,
        remote_address: IpAddr,
        properties: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Context<'a>, UnknownProperty> {
        let mut context = Context {
            user_id: user_id.map(Cow::Borrowed),
            session_id: session_id.map(Cow::Borrowed),
            remote_address: remote_address.to_canonical(),
            properties: self.properties.iter().map(|_| None).collect(),
        };
        for (name, value) in properties {
            let position = self
                .properties
                .iter()
                .position(|known| *known.name == *name);
            match position.and_then(|slot| context.properties.get_mut(slot)) {
                Some(slot) => *slot = Some(Cow::Borrowed(value)),
                None => return Err(UnknownProperty::new(name, &self.properties)),
            }
        }
        Ok(context)
    }

    /// The client's address: the connection's peer, or the nearest address in `X-Forwarded-For` that is no trusted
    /// proxy's, as far as trusted proxies vouch for it.
    pub fn client_address(&self, head: &RequestHead<'_>) -> IpAddr {
        let mut client = head.peer.to_canonical();
        if !head.peer_trusted {
            return client;
        }
        let mut fields: SmallVec<[&[u8]; 4]> = SmallVec::new();
        head.headers
            .visit("x-forwarded-for", &mut |field| fields.push(field));
        let hops = fields
            .iter()
            .rev()
            .flat_map(|field| field.rsplit(|&byte| byte == b','));
        for hop in hops {
            let hop = std::str::from_utf8(without_blanks(hop)).ok();
            let Some(address) = hop.and_then(forwarded_address) else {
                break;
            };
            client = address;
            if !self.trusts(client) {
                break;
            }
        }
        client
    }

    /// The anonymous cookie's value, if it could be one of ours.
    fn session<'a>(&self, head: &RequestHead<'a>) -> Option<Cow<'a, str>> {
        let value = head.cookie(&self.cookie.name)?;
        let ours = (16..=64).contains(&value.len())
            && value
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        ours.then_some(Cow::Borrowed(value))
    }
}

impl Source {
    /// The value, if it is there, is text, is not empty, and is believed from this peer.
    fn read<'a>(&self, head: &RequestHead<'a>, token: &'a ShownToken) -> Option<Cow<'a, str>> {
        if self.trust == Trust::Proxies && !head.peer_trusted {
            return None;
        }
        let value = match &self.place {
            Place::Header(name) => {
                let value = without_blanks(head.headers.first(name.as_str())?);
                Cow::Borrowed(std::str::from_utf8(value).ok()?)
            }
            Place::Cookie(name) => Cow::Borrowed(head.cookie(name)?),
            Place::Query(name) => form_decoded(head.query_value(name)?)?,
            Place::Channel(rules) => Cow::Borrowed(rules.read(head)?),
            Place::Token(source) => Cow::Borrowed(token.user_of(*source)?),
            Place::Claim(position) => Cow::Borrowed(token.claim(*position)?),
        };
        (!value.is_empty()).then_some(value)
    }
}

/// An entry of `X-Forwarded-For`: an address, perhaps with a port, IPv6 perhaps in brackets.
fn forwarded_address(hop: &str) -> Option<IpAddr> {
    let address = hop.parse::<IpAddr>().ok().or_else(|| {
        let (host, _) = split_port(hop);
        host.trim_start_matches('[')
            .trim_end_matches(']')
            .parse()
            .ok()
    });
    address.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests;
