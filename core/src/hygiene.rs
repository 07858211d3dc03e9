//! What a first hop refuses or removes before anybody behind it can misread it.

use http::HeaderName;

use crate::host::split_port;
use crate::identity::{Place, Rules, Source, Trust};
use crate::mirror;
use crate::overrides;
use crate::request::{HeaderLookup, RequestHead};

/// Why a request is refused with 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unclean {
    /// More than one `Content-Length`, one that is not a plain number, or one beside `Transfer-Encoding` (RFC 9112,
    /// section 6.3).
    #[error("Content-Length is not one number, or stands beside Transfer-Encoding")]
    ContentLength,
    /// More than one `Transfer-Encoding`, or one that is not just `chunked`: the only coding that is known here, and not
    /// to be applied twice (RFC 9112, section 6.1).
    #[error("Transfer-Encoding is not just chunked")]
    TransferEncoding,
    /// More than one `Host`, none in HTTP/1.1, or one that is not host and port (RFC 9112, section 3.2).
    #[error("Host is missing, repeated or malformed")]
    Host,
    /// A header whose name some servers read as `Transfer-Encoding` or `Content-Length`.
    #[error("a header's name is a look-alike of a framing header")]
    FramingLookalike,
    /// `Connection` names a header that identity or decision rests on.
    #[error("Connection names a protected header")]
    ConnectionNamesProtected,
    /// A user-ID header that is believed, or one for tokens, has more than one value.
    #[error("more than one user ID in a header")]
    SeveralIds,
    /// A property's header that only trusted proxies may send has more than one value.
    #[error("more than one value in a property's header")]
    SeveralValues,
}

/// Refuses what servers behind this one could read in two ways. HTTP/1.1 requires a host; HTTP/1.0 does not. Answers whether
/// every header field may pass as the client sent it: none is forbidden ([`visit_forbidden`]), and there is neither
/// baggage nor a trace to continue.
pub fn check(head: &RequestHead<'_>, rules: &Rules, host_required: bool) -> Result<bool, Unclean> {
    let headers = head.headers;
    // Most requests have none of these fields, and looking for each would cost more than looking at all once.
    let (mut framed, mut connection, mut lookalike, mut plain) = (false, false, false, true);
    headers.visit_names(&mut |name| match name {
        "content-length" | "transfer-encoding" => framed = true,
        "connection" => connection = true,
        "baggage" | "traceparent" => plain = false,
        name => {
            if is_forbidden(name, head.peer_trusted, rules) {
                plain = false;
                lookalike |= has_underscore(name) && is_framing(&dashed(name));
            }
        }
    });
    if framed {
        check_content_length(headers)?;
        check_transfer_encoding(headers)?;
    }
    check_host(head, host_required)?;
    if lookalike {
        return Err(Unclean::FramingLookalike);
    }
    if connection && names_protected(headers, rules) {
        return Err(Unclean::ConnectionNamesProtected);
    }
    check_ids(head, rules)?;
    Ok(plain)
}

/// Whether `Connection` names a header that identity or decision rests on.
fn names_protected(headers: &dyn HeaderLookup, rules: &Rules) -> bool {
    let mut protected = false;
    headers.visit("connection", &mut |value| {
        for token in value.split(|&byte| byte == b',') {
            let token = String::from_utf8_lossy(token);
            protected |= is_protected(&dashed(token.trim()), rules);
        }
    });
    protected
}

fn check_content_length(headers: &dyn HeaderLookup) -> Result<(), Unclean> {
    let (mut count, mut number) = (0, true);
    headers.visit("content-length", &mut |value| {
        count += 1;
        number &= !value.is_empty() && value.len() <= 18 && value.iter().all(u8::is_ascii_digit);
    });
    if count > 1 || !number || (count > 0 && headers.first("transfer-encoding").is_some()) {
        return Err(Unclean::ContentLength);
    }
    Ok(())
}

fn check_transfer_encoding(headers: &dyn HeaderLookup) -> Result<(), Unclean> {
    let (mut count, mut chunked) = (0, true);
    headers.visit("transfer-encoding", &mut |value| {
        count += 1;
        chunked &= value.trim_ascii().eq_ignore_ascii_case(b"chunked");
    });
    if count > 1 || !chunked {
        return Err(Unclean::TransferEncoding);
    }
    Ok(())
}

fn check_host(head: &RequestHead<'_>, required: bool) -> Result<(), Unclean> {
    let (mut count, mut clean) = (0, true);
    head.headers.visit("host", &mut |value| {
        count += 1;
        clean &= value.iter().all(|&byte| is_in_name(byte))
            || std::str::from_utf8(value).is_ok_and(is_host_and_port);
    });
    if count > 1 || !clean || (head.authority.is_empty() && required) {
        return Err(Unclean::Host);
    }
    Ok(())
}

/// The bytes of a host that is a name or an IPv4 address (RFC 3986, section 3.2.2), a bit for each that is ASCII.
const IN_NAME: u128 = {
    let mut bits = 0;
    let mut byte = 0;
    while byte < 128 {
        if (byte as u8).is_ascii_alphanumeric() {
            bits |= 1 << byte;
        }
        byte += 1;
    }
    let mut marks: &[u8] = b"-._~!$&'()*+;=%";
    while let [mark, rest @ ..] = marks {
        bits |= 1 << *mark;
        marks = rest;
    }
    bits
};

/// Whether a byte may stand in a host's name.
fn is_in_name(byte: u8) -> bool {
    byte.is_ascii() && IN_NAME >> byte & 1 == 1
}

/// Whether colons stand in brackets or before the port, and the port is none, empty (RFC 3986, section 3.2.3, allows
/// it) or a number that a port can be.
fn is_host_and_port(authority: &str) -> bool {
    let allowed = |byte| is_in_name(byte) || matches!(byte, b':' | b'[' | b']');
    if !authority.bytes().all(allowed) {
        return false;
    }
    let (host, port) = split_port(authority);
    let inside = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let host_is_clean = match inside {
        Some(address) => !address.contains(['[', ']']),
        None => !host.contains(['[', ']', ':']),
    };
    let digits = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    host_is_clean
        && port.is_none_or(|port| port.is_empty() || (digits(port) && port.parse::<u16>().is_ok()))
}

/// Refuses repeated fields where the first would be believed, and a service might take the last: an ID's, and a
/// property's that a trusted proxy vouches for. Others' fields may well be lists (`Accept-Language`).
fn check_ids(head: &RequestHead<'_>, rules: &Rules) -> Result<(), Unclean> {
    let believed = |trust| trust == Trust::Anyone || head.peer_trusted;
    let ids = rules.user_id.iter();
    if ids
        .filter(|source| believed(source.trust))
        .any(|source| is_repeated(source, head.headers))
        || rules
            .tokens
            .headers()
            .any(|name| is_twice(name, head.headers))
    {
        return Err(Unclean::SeveralIds);
    }
    let mut vouched = rules.properties.iter().map(|property| &property.source);
    let is_vouched = |source: &Source| head.peer_trusted && source.trust == Trust::Proxies;
    if vouched.any(|source| is_vouched(source) && is_repeated(source, head.headers)) {
        return Err(Unclean::SeveralValues);
    }
    Ok(())
}

/// Whether there is more than one field of the name that a source reads.
fn is_repeated(source: &Source, headers: &dyn HeaderLookup) -> bool {
    let Place::Header(name) = &source.place else {
        return false;
    };
    is_twice(name, headers)
}

fn is_twice(name: &HeaderName, headers: &dyn HeaderLookup) -> bool {
    let mut count = 0;
    headers.visit(name.as_str(), &mut |_| count += 1);
    count > 1
}

/// Calls `remove` with the name, as it stands in the request, of every header that must not pass as the client sent
/// it: Serin's own, forwarding headers and untrusted identity headers, in any spelling; from a trusted proxy only
/// look-alikes with underscores, the one that overrides come in, which are for this gateway, and the one that marks copies
/// for shadows, which this gateway alone sends.
pub fn visit_forbidden(head: &RequestHead<'_>, rules: &Rules, remove: &mut dyn FnMut(HeaderName)) {
    head.headers.visit_names(&mut |name| {
        if is_forbidden(name, head.peer_trusted, rules)
            && let Ok(name) = HeaderName::from_bytes(name.as_bytes())
        {
            remove(name);
        }
    });
}

fn is_forbidden(name: &str, peer_trusted: bool, rules: &Rules) -> bool {
    if has_underscore(name) {
        is_protected(&dashed(name), rules)
    } else {
        is_gateways(name, rules)
            || (!peer_trusted
                && (is_forwarding(name)
                    || name.starts_with("x-serin-")
                    || is_identity(name, rules, Trust::Proxies)))
    }
}

/// Whether a header is this gateway's own, even from a trusted proxy: overrides come in it, or would where the configuration
/// says nothing else of them, or it marks copies for shadows.
fn is_gateways(name: &str, rules: &Rules) -> bool {
    let own = rules.overrides.as_ref();
    // Nearly every header's name begins with other letters.
    name.starts_with("x-")
        && (matches!(name, overrides::HEADER | mirror::HEADER)
            || own.is_some_and(|own| own.header == name))
}

/// Whether forwarding, decision or identity rests on a header, whoever sends it.
fn is_protected(name: &str, rules: &Rules) -> bool {
    name.starts_with("x-serin-")
        || is_gateways(name, rules)
        || is_forwarding(name)
        || is_framing(name)
        || matches!(name, "baggage" | "cookie" | "traceparent" | "host" | "via")
        || is_identity(name, rules, Trust::Anyone)
        || is_identity(name, rules, Trust::Proxies)
}

/// Whether a user ID or a property is read from this header and believed from `trust`.
fn is_identity(name: &str, rules: &Rules, trust: Trust) -> bool {
    let properties = rules.properties.iter().map(|property| &property.source);
    let is_stated = rules.user_id.iter().chain(properties).any(|source| {
        source.trust == trust && matches!(&source.place, Place::Header(header) if header == name)
    });
    // Any client may show a token.
    is_stated || (trust == Trust::Anyone && rules.tokens.headers().any(|header| header == name))
}

fn is_forwarding(name: &str) -> bool {
    // Nearly every header's name begins with another letter than these.
    match name.as_bytes().first() {
        Some(b'x') => {
            name.starts_with("x-forwarded-") || matches!(name, "x-real-ip" | "x-request-id")
        }
        Some(b'f') => name == "forwarded",
        _ => false,
    }
}

fn has_underscore(name: &str) -> bool {
    name.bytes().any(|byte| byte == b'_')
}

fn is_framing(name: &str) -> bool {
    matches!(name, "transfer-encoding" | "content-length")
}

/// A header's name as servers read it that take `_` for `-`.
fn dashed(name: &str) -> String {
    name.to_ascii_lowercase().replace('_', "-")
}

#[cfg(test)]
mod tests;
