//! `identity`: who the user is, and what flags may look at.

mod channels;
mod overrides;
mod secrets;
pub mod tokens;

use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use ipnet::IpNet;

use crate::config::keys::IDENTITY;
use crate::config::keys::identity as keys;
use crate::config::keys::shape::Key;
use crate::config::node::{Node, Pair};
use crate::config::reader::Reader;
use crate::config::section::{routes, unstated};
use crate::identity::token::Tokens;
use crate::identity::{
    Anonymous, AnonymousCookie, Place, Property, Rules, SameSite, SecureCookie, Source, Trust,
};

/// Names that mean something else in conditions.
const OTHER_MEANINGS: [&str; 9] = [
    "userId",
    "sessionId",
    "remoteAddress",
    "now",
    "any",
    "all",
    "segment",
    "not",
    "ignore_case",
];

/// Compiles `identity`.
pub fn compile(reader: &mut Reader, root: &Node, trusted_proxies: Vec<IpNet>) -> Rules {
    let identity = IDENTITY.node(root);
    let proxies = !trusted_proxies.is_empty();
    let anonymous = keys::ANONYMOUS.read(reader, identity);
    let unknown = keys::ANONYMOUS
        .node(identity)
        .is_some_and(Node::has_placeholder);
    let cookie = keys::ANONYMOUS_COOKIE.pair(identity);
    if let Some(pair) = cookie
        && anonymous != Anonymous::Sticky
        && !unknown
    {
        reader
            .problems
            .follow_up(pair.key_span, "the cookie is never set")
            .hint("it goes with `anonymous: sticky`");
    }
    let cookie = anonymous_cookie(reader, cookie.map(|pair| &pair.value));
    let sticky = (anonymous == Anonymous::Sticky).then_some(&*cookie.name);
    // A claim is one of the tokens that say who users are.
    let mut tokens = Tokens::default();
    let user_id = user_ids(reader, keys::USER_ID.items(identity), proxies, &mut tokens);
    let stated = keys::PROPERTIES.node(identity);
    let mut properties = properties(reader, stated, proxies, &mut tokens);
    let overrides = overrides::compile(reader, identity, sticky);
    let taken = [sticky, overrides.as_ref().map(|rules| &*rules.cookie)];
    let channels = channels::compile(reader, (root, identity), taken, &mut properties);
    Rules {
        user_id,
        anonymous,
        overrides,
        channels,
        cookie,
        properties,
        test_users: keys::TEST_USERS.read(reader, identity).unwrap_or_default(),
        trusted_proxies,
        tokens,
    }
}

fn user_ids(reader: &mut Reader, list: &[Node], proxies: bool, tokens: &mut Tokens) -> Vec<Source> {
    let mut sources = Vec::new();
    for node in list {
        if tokens::stands_in(node) {
            sources.extend(tokens::source(reader, node, tokens));
            continue;
        }
        let says_whose = keys::TRUST.node(node).is_some();
        if !says_whose && !node.pairs().is_empty() {
            reader
                .problems
                .warning(node.span, "any client can say who it is here")
                .hint("state it: `trust: anyone`, or `trust: proxies` for what only your proxies may say");
        }
        sources.extend(source(reader, node, proxies));
    }
    sources
}

fn properties(
    reader: &mut Reader,
    map: Option<&Node>,
    proxies: bool,
    tokens: &mut Tokens,
) -> Vec<Property> {
    let mut properties = Vec::new();
    for pair in map.map(Node::pairs).unwrap_or_default() {
        let name = pair.key.as_str();
        if OTHER_MEANINGS.contains(&name) {
            let message = format!("`{name}` means something else in conditions");
            reader
                .problems
                .error(pair.key_span, message)
                .hint("give the property another name");
        } else if name.is_empty() {
            reader.problems.error(pair.key_span, "a name is not empty");
        }
        let source = match keys::CLAIM.node(&pair.value) {
            Some(_) => tokens::claim(reader, &pair.value, tokens),
            None => source(reader, &pair.value, proxies),
        };
        if let Some(source) = source {
            properties.push(Property {
                name: Arc::from(name),
                source,
            });
        }
    }
    if properties.len() > usize::from(u16::MAX)
        && let Some(map) = map
    {
        reader.problems.error(map.span, "at most 65535 properties");
    }
    properties
}

fn source(reader: &mut Reader, node: &Node, proxies: bool) -> Option<Source> {
    let trust = keys::TRUST.read(reader, node);
    if let (Trust::Proxies, false, Some(word)) = (trust, proxies, keys::TRUST.node(node)) {
        reader
            .problems
            .follow_up(
                word.span,
                "nobody is believed here: `server.trusted_proxies` is empty",
            )
            .hint("name your proxies' networks there");
    }
    let names = [keys::HEADER.name(), keys::COOKIE.name(), keys::QUERY.name()];
    let stated = |pair: &&Pair| names.contains(&pair.key.as_str());
    let places: Vec<&Pair> = node.pairs().iter().filter(stated).collect();
    let place = match places.as_slice() {
        [_] => place(reader, node, trust)?,
        [] => {
            // Another key is there that is an error by itself, or nothing but `trust`.
            if node.pairs().iter().all(|pair| pair.key == "trust") && node.scalar().is_none() {
                reader
                    .problems
                    .error(node.span, "this source does not say where to read")
                    .hint("one of `header`, `cookie` and `query`");
            }
            return None;
        }
        [_, second, ..] => {
            reader
                .problems
                .error(second.key_span, "a source is read from one place")
                .hint("only one of `header`, `cookie` and `query`");
            return None;
        }
    };
    Some(Source { place, trust })
}

/// The one place that a source states.
fn place(reader: &mut Reader, source: &Node, trust: Trust) -> Option<Place> {
    if let Some(node) = keys::HEADER.node(source) {
        let name: HeaderName = reader.header_name(node)?;
        check_header(reader, node, name.as_str(), trust);
        return Some(Place::Header(name));
    }
    if let Some(node) = keys::QUERY.node(source) {
        let name = keys::QUERY.read(reader, source)?;
        routes::warn_of_escapes(reader, node.span, &name, routes::PARAMETERS, |_| false);
        return Some(Place::Query(name));
    }
    keys::COOKIE.read(reader, source).map(Place::Cookie)
}

/// Tells of headers that have another meaning already: an error where they cannot say who somebody is, a warning where
/// they hardly do.
fn check_header(reader: &mut Reader, node: &Node, name: &str, trust: Trust) {
    let lasting = "name what is the same with every request of a user";
    let (meaning, hint) = match name {
        "connection" | "keep-alive" | "proxy-connection" | "te" | "trailer"
        | "transfer-encoding" | "upgrade" | "content-length" | "expect" => {
            let message = format!("`{name}` is about a connection or a body, never about a user");
            reader.problems.error(node.span, message);
            return;
        }
        _ if name.starts_with("x-serin-") => {
            let message = "`x-serin-` headers are Serin's own and never come from clients";
            reader.problems.error(node.span, message);
            return;
        }
        "cookie" => (
            "is all cookies at once",
            "for one of them write `cookie: its-name`",
        ),
        "host" => (
            "is the site that is asked for",
            "routes match it with `hosts`",
        ),
        "authorization" | "proxy-authorization" => (
            "is a secret that changes, and is not checked here",
            "tokens are checked by `jwt` under `identity.user_id`, and their claims are properties by `claim`",
        ),
        "x-request-id" | "traceparent" | "tracestate" => {
            ("is another one with every request", lasting)
        }
        "baggage" | "via" => ("is what everybody on the way adds to", lasting),
        "forwarded" | "x-real-ip" if trust == Trust::Anyone => FORWARDING,
        _ if name.starts_with("x-forwarded-") && trust == Trust::Anyone => FORWARDING,
        _ => return,
    };
    let message = format!("`{name}` {meaning}");
    reader.problems.warning(node.span, message).hint(hint);
}

/// The same, of headers with tokens.
fn check_token_header(reader: &mut Reader, node: &Node, name: &str) {
    if name != "authorization" {
        check_header(reader, node, name, Trust::Anyone);
    }
}

/// What is odd about a forwarding header that anyone may set, and what to do instead.
const FORWARDING: (&str, &str) = (
    "is for proxies to set, but any client can set it here",
    "read it with `trust: proxies`; flags see the client's address as `remoteAddress`",
);

fn anonymous_cookie(reader: &mut Reader, cookie: Option<&Node>) -> AnonymousCookie {
    let secure = keys::SECURE.read(reader, cookie);
    let same_site = keys::SAME_SITE.read(reader, cookie);
    if let (SameSite::None, SecureCookie::Never, Some(node)) =
        (same_site, secure, keys::SECURE.node(cookie))
    {
        reader.problems.warning(
            node.span,
            "browsers refuse `same_site: none` without Secure",
        );
    }
    let max_age = keys::MAX_AGE.read(reader, cookie);
    AnonymousCookie {
        name: keys::COOKIE_NAME.read(reader, cookie),
        max_age: Duration::from_secs(max_age.as_secs().max(1)),
        secure,
        same_site,
    }
}

impl Default for AnonymousCookie {
    fn default() -> Self {
        unstated(|reader, cookie| anonymous_cookie(reader, Some(cookie)))
    }
}
