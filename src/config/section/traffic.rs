//! `server.limits` and `server.timeouts`.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::config::Traffic;
use crate::config::node::Node;
use crate::config::reader::Reader;
use crate::request::limits::RequestLimits;

/// How large `header_bytes` may be: pingora takes no head above that.
const HEADER_BYTES: RangeInclusive<u64> = 1 << 10..=1 << 20;

/// How large `body_bytes` may be.
const BODY_BYTES: RangeInclusive<u64> = 0..=1 << 50;

/// Compiles `server.limits` and `server.timeouts`.
pub fn compile(reader: &mut Reader, root: &Node) -> Traffic {
    let server = root.get("server");
    let limits = server.and_then(|server| server.get("limits"));
    let timeouts = server.and_then(|server| server.get("timeouts"));
    let default = Traffic::default();
    let mut timeout = |key: &str, default: Duration| {
        timeouts
            .and_then(|timeouts| timeouts.get(key))
            .and_then(|node| reader.time_limit(node))
            .unwrap_or(default)
    };
    let [header_read, idle, body_read, write] = [
        timeout("header_read", default.header_read),
        timeout("idle", default.idle),
        timeout("body_read", default.body_read),
        timeout("write", default.write),
    ];
    let limit = |key: &str| limits.and_then(|limits| limits.get(key));
    let mut count =
        |key: &str, most: u32| limit(key).and_then(|node| reader.integer(node, 1..=most));
    // pingora parses no more than 256.
    let headers = count("headers", 256).and_then(as_usize);
    let connections = count("connections", 10_000_000).and_then(as_usize);
    let requests_per_connection = count("requests_per_connection", u32::MAX);
    Traffic {
        request: RequestLimits {
            header_bytes: limit("header_bytes")
                .and_then(|node| reader.size(node, HEADER_BYTES))
                .and_then(|size| usize::try_from(size).ok())
                .unwrap_or(default.request.header_bytes),
            headers: headers.unwrap_or(default.request.headers),
            body_bytes: limit("body_bytes").and_then(|node| body_bytes(reader, node)),
        },
        connections,
        requests_per_connection: requests_per_connection.unwrap_or(default.requests_per_connection),
        header_read,
        idle,
        body_read,
        write,
    }
}

fn as_usize(number: u32) -> Option<usize> {
    usize::try_from(number).ok()
}

fn body_bytes(reader: &mut Reader, node: &Node) -> Option<u64> {
    let none = node
        .scalar()
        .is_some_and(|scalar| !scalar.is_placeholder() && scalar.text() == "none");
    if none {
        return None;
    }
    reader.size(node, BODY_BYTES)
}
