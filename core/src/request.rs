//! A request's head as the pure floors see it, whoever parsed it.

pub mod field;
pub mod framing;
pub mod limits;
pub mod pace;
pub mod path;
pub mod proxy_header;
pub mod target;

use std::borrow::Cow;
use std::net::IpAddr;

use memchr::memchr_iter;

use limits::FieldSizes;
use percent_encoding::percent_decode_str;

use crate::host::split_port;

/// Read access to header fields. Names are given in lower case; values are the bytes as sent.
pub trait HeaderLookup {
    /// The value of the first field of this name.
    fn first(&self, name: &str) -> Option<&[u8]>;

    /// Calls `visit` with the value of every field of this name, in the order of the message.
    fn visit<'a>(&'a self, name: &str, visit: &mut dyn FnMut(&'a [u8]));

    /// Calls `visit` with every field's name (lower case), in any order, possibly repeated.
    fn visit_names<'a>(&'a self, visit: &mut dyn FnMut(&'a str));

    /// How many fields there are, and how long.
    fn sizes(&self) -> FieldSizes;

    /// The value of the first field of this name, if it is visible ASCII or UTF-8.
    fn text(&self, name: &str) -> Option<&str> {
        self.first(name)
            .and_then(|value| std::str::from_utf8(value).ok())
    }
}

/// What routing, identity and decision may look at.
#[derive(Clone, Copy)]
pub struct RequestHead<'a> {
    /// The method, as sent.
    pub method: &'a str,
    /// The host asked for, perhaps with a port, as sent (any case); empty when there is none.
    pub authority: &'a str,
    /// The path as sent, percent-encoding and all, without the query.
    pub path: &'a str,
    /// The query without its `?`.
    pub query: Option<&'a str>,
    /// The header fields.
    pub headers: &'a dyn HeaderLookup,
    /// The address at the other end of the connection.
    pub peer: IpAddr,
    /// Whether `peer` is one of `server.trusted_proxies`.
    pub peer_trusted: bool,
}

impl<'a> RequestHead<'a> {
    /// The host asked for, without its port.
    pub fn host(&self) -> &'a str {
        split_port(self.authority).0
    }

    /// The first value of the query parameter whose name comes to `name`; the value is as sent.
    pub fn query_value(&self, name: &str) -> Option<&'a str> {
        query_pairs(self.query?)
            .find(|(key, _)| match key.contains(['%', '+']) {
                true => form_decoded(key).is_some_and(|key| *key == *name),
                false => *key == name,
            })
            .map(|(_, value)| value)
    }

    /// Every value of the cookie `name`, in the order sent (RFC 6265, section 5.4). Cookies beside it may be in any
    /// encoding: they are other people's.
    pub fn visit_cookie(&self, name: &str, visit: &mut dyn FnMut(&'a str)) {
        self.visit_cookie_bytes(name, &mut |value| {
            if let Ok(value) = std::str::from_utf8(value) {
                visit(value);
            }
        });
    }

    /// The same, of cookies that may be no text.
    pub fn visit_cookie_bytes(&self, name: &str, visit: &mut dyn FnMut(&'a [u8])) {
        self.headers.visit("cookie", &mut |field| {
            for pair in cookie_pairs(field) {
                if let Some(value) = cookie_value(pair, name) {
                    visit(value);
                }
            }
        });
    }

    /// The first value of the cookie `name`, be it text or not.
    pub fn cookie_bytes(&self, name: &str) -> Option<&'a [u8]> {
        let mut found = None;
        self.visit_cookie_bytes(name, &mut |value| {
            found.get_or_insert(value);
        });
        found
    }

    /// The value of the cookie `name`, which all cookies of that name must have.
    pub fn only_cookie_bytes(&self, name: &str) -> Option<Result<&'a [u8], SeveralCookies>> {
        let mut found = None;
        self.visit_cookie_bytes(name, &mut |value| {
            found = match found {
                None => Some(Ok(value)),
                Some(Ok(first)) if first == value => found,
                Some(_) => Some(Err(SeveralCookies)),
            };
        });
        found
    }

    /// The first value of the cookie `name` that is text.
    pub fn cookie(&self, name: &str) -> Option<&'a str> {
        let mut found = None;
        self.visit_cookie(name, &mut |value| {
            found.get_or_insert(value);
        });
        found
    }
}

/// There are cookies of one name that differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeveralCookies;

/// The parts of a `Cookie` field that semicolons divide, each with the blanks around it.
pub fn cookie_pairs(field: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut start = 0;
    let ends = memchr_iter(b';', field).chain([field.len()]);
    ends.map(move |end| {
        let pair = field.get(start..end).unwrap_or_default();
        start = end + 1;
        pair
    })
}

/// The value of such a part, if it is of the cookie `name`.
pub fn cookie_value<'a>(pair: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let rest = without_blanks(pair).strip_prefix(name.as_bytes())?;
    let value = without_blanks(rest).strip_prefix(b"=")?;
    Some(without_quotes(without_blanks(value)))
}

/// A field's value, or a part of it, without the spaces and tabs around it: the only white space there is in HTTP
/// (RFC 9110, section 5.6.3). Whatever else looks like some is a part of the value, as it is for the services behind.
pub fn without_blanks(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// A cookie's value without the quotes around it.
fn without_quotes(mut value: &[u8]) -> &[u8] {
    while let [b'"', rest @ ..] | [rest @ .., b'"'] = value {
        value = rest;
    }
    value
}

/// The `key=value` pairs of a query, undecoded; a key without `=` has an empty value.
pub fn query_pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// A part of a query as forms encode it: `+` for a space, and percent-encoded UTF-8. `None`: it is no text.
pub fn form_decoded(text: &str) -> Option<Cow<'_, str>> {
    if text.contains('+') {
        let spaced = text.replace('+', " ");
        let decoded = percent_decode_str(&spaced).decode_utf8().ok()?;
        return Some(Cow::Owned(decoded.into_owned()));
    }
    percent_decode_str(text).decode_utf8().ok()
}

/// Header fields in a list: what `explain` and tests hand in, and what a parser of raw bytes would.
#[derive(Clone, Debug, Default)]
pub struct HeaderList(Vec<(String, String)>);

impl HeaderList {
    /// Adds a field; the name is lower-cased.
    pub fn push(&mut self, name: &str, value: impl Into<String>) {
        self.0.push((name.to_ascii_lowercase(), value.into()));
    }
}

#[cfg(test)]
impl HeaderList {
    /// A GET of `/` with these fields, from an address that nobody trusts.
    pub(crate) fn head(&self) -> RequestHead<'_> {
        RequestHead {
            method: "GET",
            authority: "",
            path: "/",
            query: None,
            headers: self,
            peer: [192, 0, 2, 1].into(),
            peer_trusted: false,
        }
    }
}

impl<N: AsRef<str>, V: Into<String>> FromIterator<(N, V)> for HeaderList {
    fn from_iter<T: IntoIterator<Item = (N, V)>>(fields: T) -> Self {
        let mut list = Self::default();
        for (name, value) in fields {
            list.push(name.as_ref(), value);
        }
        list
    }
}

impl HeaderLookup for HeaderList {
    fn first(&self, name: &str) -> Option<&[u8]> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_bytes())
    }

    fn visit<'a>(&'a self, name: &str, visit: &mut dyn FnMut(&'a [u8])) {
        for (_, value) in self.0.iter().filter(|(key, _)| key == name) {
            visit(value.as_bytes());
        }
    }

    fn visit_names<'a>(&'a self, visit: &mut dyn FnMut(&'a str)) {
        for (name, _) in &self.0 {
            visit(name);
        }
    }

    fn sizes(&self) -> FieldSizes {
        let mut sizes = FieldSizes::default();
        for (name, value) in &self.0 {
            sizes.add(name.as_bytes(), value.as_bytes());
        }
        sizes
    }
}

#[cfg(test)]
mod tests {
    use super::without_blanks;

    #[test]
    fn only_spaces_and_tabs_are_blanks() {
        assert_eq!(without_blanks(b" \t a b\t "), b"a b");
        assert_eq!(without_blanks(b" \t "), b"");
        for other in ["\u{a0}a", "a\u{3000}", "\u{85}", "\u{b}a\u{c}", "a\r"] {
            assert_eq!(without_blanks(other.as_bytes()), other.as_bytes());
        }
    }
}
