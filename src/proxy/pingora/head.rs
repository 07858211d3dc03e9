//! pingora's headers in the clothes of the pure floors.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use http::header::{CONNECTION, COOKIE, HOST, HeaderMap, UPGRADE};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Version};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::prelude::Session;

use crate::edit::HeaderSink;
use crate::identity::Rules;
use crate::request::field;
use crate::request::limits::FieldSizes;
use crate::request::{HeaderLookup, RequestHead, without_blanks};

/// Look-up in pingora's header map.
pub(super) struct Fields<'a>(pub &'a HeaderMap);

impl HeaderLookup for Fields<'_> {
    fn first(&self, name: &str) -> Option<&[u8]> {
        field::first_named(self.0, name).map(HeaderValue::as_bytes)
    }

    fn visit<'a>(&'a self, name: &str, visit: &mut dyn FnMut(&'a [u8])) {
        field::visit_named(self.0, name, |value| visit(value.as_bytes()));
    }

    fn visit_names<'a>(&'a self, visit: &mut dyn FnMut(&'a str)) {
        for name in self.0.keys() {
            visit(name.as_str());
        }
    }

    fn sizes(&self) -> FieldSizes {
        let mut sizes = FieldSizes::default();
        for (name, value) in self.0 {
            sizes.add(name.as_str().as_bytes(), value.as_bytes());
        }
        sizes
    }
}

/// A request's target in parts.
pub(super) struct SplitTarget<'a> {
    authority: &'a str,
    path: &'a str,
    query: Option<&'a str>,
    /// Whether the request line had a whole URL, so that path and query must be sent upstream in its place.
    pub absolute: bool,
}

impl<'a> SplitTarget<'a> {
    /// Takes a request's target apart. `None`: it is not text, or its URL names another host than `Host` does.
    pub(super) fn of(request: &'a RequestHeader) -> Option<Self> {
        if !request.raw_path_is_utf8() {
            return None;
        }
        let field = field::first(&request.headers, &HOST);
        let field = field.and_then(|value| value.to_str().ok());
        let raw = request.raw_path();
        let absolute =
            request.version != Version::HTTP_2 && raw.first() != Some(&b'/') && raw != b"*";
        let authority = if absolute {
            let raw = std::str::from_utf8(raw).ok()?;
            let rest = raw.split_once("://")?.1;
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            let authority = &rest[..end];
            if authority.contains('@')
                || field.is_some_and(|field| !field.eq_ignore_ascii_case(authority))
            {
                return None;
            }
            authority
        } else {
            let from_uri = request.uri.authority().map(http::uri::Authority::as_str);
            from_uri.or(field).unwrap_or_default()
        };
        Some(Self {
            authority,
            path: request.uri.path(),
            query: request.uri.query(),
            absolute,
        })
    }

    /// The host that it names, and its port; empty: none.
    pub(super) fn authority(&self) -> &'a str {
        self.authority
    }

    /// Path and query.
    pub(super) fn origin_form(&self) -> String {
        match self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.to_owned(),
        }
    }
}

/// The head of a request, borrowed from pingora's.
pub(super) fn head<'a>(
    request: &'a RequestHeader,
    target: &SplitTarget<'a>,
    fields: &'a Fields<'a>,
    peer: IpAddr,
    rules: &Rules,
) -> RequestHead<'a> {
    RequestHead {
        method: request.method.as_str(),
        authority: target.authority,
        path: target.path,
        query: target.query,
        headers: fields,
        peer,
        peer_trusted: rules.trusts(peer),
    }
}

/// The other end of the client's connection.
pub(super) fn client_ip(session: &Session) -> IpAddr {
    session
        .client_addr()
        .and_then(|address| address.as_inet())
        .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), SocketAddr::ip)
}

/// Joins the lines that a client of HTTP/2 may send its cookies in: HTTP/1.1 has one (RFC 9113, section 8.2.3), and
/// servers that see several read the first or the last.
pub(super) fn join_cookies(request: &mut RequestHeader) {
    // Nothing is repeated in most requests.
    if request.headers.len() == request.headers.keys_len() {
        return;
    }
    let lines: Vec<&[u8]> = request
        .headers
        .get_all(COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if lines.len() < 2 {
        return;
    }
    // Valid fields with `; ` between them are one.
    if let Ok(joined) = HeaderValue::from_bytes(&lines.join(&b"; "[..])) {
        let _ = request.insert_header(COOKIE, joined);
    }
}

/// Drops an `Upgrade` that `Connection` does not name: it was meant for a hop before this one (RFC 9110, section 7.8),
/// and no tunnel is opened for it.
pub(super) fn forget_upgrade(request: &mut RequestHeader) {
    let connection = request.headers.get_all(CONNECTION);
    let mut options = connection
        .iter()
        .flat_map(|value| value.as_bytes().split(|&byte| byte == b','));
    if !options.any(|option| without_blanks(option).eq_ignore_ascii_case(b"upgrade")) {
        request.remove_header(&UPGRADE);
    }
}

/// Drops the memory of how the client wrote the names of its header fields: they mean the same in any case (RFC 9110,
/// section 5.1), and pingora would keep a second map of them, copy it for every attempt and parse each name that is
/// added. A whole URL as the target is left alone, since pingora keeps it in the same place.
pub(super) fn forget_spelling(request: &mut RequestHeader) {
    if request.has_case() && request.raw_path_is_utf8() && request.raw_path().starts_with(b"/") {
        edit(request, |_| {});
    }
}

/// Edits a request whose target is origin-form, and forgets how its names were written.
pub(super) fn edit<T>(request: &mut RequestHeader, edit: impl FnOnce(&mut Parts) -> T) -> T {
    let (nothing, ()) = http::Request::new(()).into_parts();
    let mut parts = Parts::from(std::mem::replace(request, RequestHeader::from(nothing)));
    let edited = edit(&mut parts);
    *request = RequestHeader::from(parts);
    edited
}

/// A response's fields, for edits. pingora's errors on header edits are about names and values that are not valid; these
/// are typed and cannot be.
pub(super) struct ResponseFields<'r>(pub &'r mut ResponseHeader);

impl HeaderSink for ResponseFields<'_> {
    fn has(&self, name: &HeaderName) -> bool {
        field::has(&self.0.headers, name)
    }

    fn remove(&mut self, name: &HeaderName) {
        self.0.remove_header(name);
    }

    fn set(&mut self, name: &HeaderName, value: &HeaderValue) {
        let _ = self.0.insert_header(name, value);
    }

    fn add(&mut self, name: &HeaderName, value: &HeaderValue) {
        let _ = self.0.append_header(name, value);
    }
}
