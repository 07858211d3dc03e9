//! `identity`: who the user is, and what flags may look at.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use ipnet::IpNet;

use crate::config::node::{Entry, Node};
use crate::config::reader::Reader;
use crate::config::section::routes;
use crate::config::value;
use crate::identity::{
    Anonymous, AnonymousCookie, Place, Property, Rules, SameSite, SecureCookie, Source, Trust,
};

/// What conditions call other things already.
const TAKEN: [&str; 9] = [
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
    let identity = root.get("identity");
    let key = |name: &str| identity.and_then(|identity| identity.get(name));
    let proxies = !trusted_proxies.is_empty();
    let anonymous = match reader.word(key("anonymous")) {
        Some("sticky") => Anonymous::Sticky,
        Some("reject") => Anonymous::Reject,
        _ => Anonymous::Stable,
    };
    let cookie = identity.and_then(|identity| identity.entry("anonymous_cookie"));
    let used =
        anonymous == Anonymous::Sticky || key("anonymous").is_some_and(Node::has_placeholder);
    Rules {
        user_id: user_ids(reader, key("user_id"), proxies),
        anonymous,
        cookie: anonymous_cookie(reader, cookie, used),
        properties: properties(reader, key("properties"), proxies),
        trusted_proxies,
    }
}

fn user_ids(reader: &mut Reader, list: Option<&Node>, proxies: bool) -> Vec<Source> {
    let mut sources = Vec::new();
    for node in list.map(Node::items).unwrap_or_default() {
        if node.get("trust").is_none() && node.get("jwt").is_none() && !node.entries().is_empty() {
            reader
                .problems
                .warning(node.span, "any client can say who it is here")
                .hint("state it: `trust: anyone`, or `trust: proxies` for what only your proxies may say");
        }
        sources.extend(source(reader, node, proxies));
    }
    sources
}

fn properties(reader: &mut Reader, map: Option<&Node>, proxies: bool) -> Vec<Property> {
    let mut properties = Vec::new();
    for entry in map.map(Node::entries).unwrap_or_default() {
        let name = entry.key.as_str();
        if TAKEN.contains(&name) {
            let message = format!("`{name}` means something else in conditions");
            reader
                .problems
                .error(entry.key_span, message)
                .hint("give the property another name");
        } else if name.is_empty() {
            reader.problems.error(entry.key_span, "a name is not empty");
        }
        if let Some(source) = source(reader, &entry.value, proxies) {
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
    let trust = match reader.word(node.get("trust")) {
        Some("proxies") => Trust::Proxies,
        _ => Trust::Anyone,
    };
    if let (Trust::Proxies, false, Some(word)) = (trust, proxies, node.get("trust")) {
        reader
            .problems
            .follow_up(
                word.span,
                "nobody is believed here: `server.trusted_proxies` is empty",
            )
            .hint("name your proxies' networks there");
    }
    let stated = |entry: &&Entry| matches!(entry.key.as_str(), "header" | "cookie" | "query");
    let places: Vec<&Entry> = node.entries().iter().filter(stated).collect();
    let place = match places.as_slice() {
        [entry] => place(reader, entry, trust)?,
        [] => {
            // Another key is there that is an error by itself, or nothing but `trust`.
            if node.entries().iter().all(|entry| entry.key == "trust") && node.scalar().is_none() {
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

fn place(reader: &mut Reader, entry: &Entry, trust: Trust) -> Option<Place> {
    let node = &entry.value;
    match entry.key.as_str() {
        "header" => {
            let name: HeaderName = reader.header_name(node)?;
            check_header(reader, node, name.as_str(), trust);
            Some(Place::Header(name))
        }
        "cookie" => reader
            .read(
                node,
                "the name of a cookie",
                "placeholder".into(),
                value::cookie_name,
            )
            .map(Place::Cookie),
        _ => {
            let name = reader.name(node)?;
            routes::warn_of_escapes(reader, node.span, name, routes::PARAMETERS, |_| false);
            Some(Place::Query(name.into()))
        }
    }
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
            "let a proxy that checks it set a header, and read that with `trust: proxies`",
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

/// What is odd about a forwarding header that anyone may set, and what to do instead.
const FORWARDING: (&str, &str) = (
    "is for proxies to set, but any client can set it here",
    "read it with `trust: proxies`; flags see the client's address as `remoteAddress`",
);

fn anonymous_cookie(reader: &mut Reader, entry: Option<&Entry>, used: bool) -> AnonymousCookie {
    let default = AnonymousCookie::default();
    let Some(entry) = entry else {
        return default;
    };
    if !used {
        reader
            .problems
            .follow_up(entry.key_span, "the cookie is never set")
            .hint("it goes with `anonymous: sticky`");
    }
    let cookie = &entry.value;
    let secure = match reader.word(cookie.get("secure")) {
        Some("always") => SecureCookie::Always,
        Some("never") => SecureCookie::Never,
        _ => SecureCookie::Auto,
    };
    let same_site = match reader.word(cookie.get("same_site")) {
        Some("strict") => SameSite::Strict,
        Some("none") => SameSite::None,
        _ => SameSite::Lax,
    };
    if let (SameSite::None, SecureCookie::Never, Some(node)) =
        (same_site, secure, cookie.get("secure"))
    {
        reader.problems.warning(
            node.span,
            "browsers refuse `same_site: none` without Secure",
        );
    }
    AnonymousCookie {
        name: cookie
            .get("name")
            .and_then(|node| {
                reader.read(
                    node,
                    "the name of a cookie",
                    "serin_id".into(),
                    value::cookie_name,
                )
            })
            .unwrap_or(default.name),
        max_age: cookie
            .get("max_age")
            .and_then(|node| reader.time_limit(node))
            .map_or(default.max_age, |age| {
                Duration::from_secs(age.as_secs().max(1))
            }),
        secure,
        same_site,
    }
}
