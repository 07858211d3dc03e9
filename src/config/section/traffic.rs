//! `server.limits` and `server.timeouts`.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::config::Traffic;
use crate::config::node::Node;
use crate::config::reader::Reader;
use crate::config::value;
use crate::request::limits::RequestLimits;
use crate::request::pace::BodyRate;

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
    let body_rate = timeouts.and_then(|timeouts| timeouts.get("body_rate"));
    let body_rate = body_rate.map_or(default.body_rate, |node| body_rate_of(reader, node));
    let limit = |key: &str| limits.and_then(|limits| limits.get(key));
    let mut count =
        |key: &str, most: u32| limit(key).and_then(|node| reader.integer(node, 1..=most));
    // pingora parses no more than 256.
    let headers = count("headers", 256).and_then(as_usize);
    let connections = count("connections", 10_000_000).and_then(as_usize);
    let connections_per_client = count("connections_per_client", 10_000_000).and_then(as_usize);
    let streams_per_client = count("streams_per_client", 10_000_000).and_then(as_usize);
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
        connections_per_client,
        streams_per_client: streams_per_client.unwrap_or(default.streams_per_client),
        requests_per_connection: requests_per_connection.unwrap_or(default.requests_per_connection),
        header_read,
        idle,
        body_read,
        body_rate,
        write,
    }
}

fn as_usize(number: u32) -> Option<usize> {
    usize::try_from(number).ok()
}

fn body_bytes(reader: &mut Reader, node: &Node) -> Option<u64> {
    match is_none(node) {
        true => None,
        false => reader.size(node, BODY_BYTES),
    }
}

fn body_rate_of(reader: &mut Reader, node: &Node) -> Option<BodyRate> {
    if is_none(node) {
        return None;
    }
    let default = BodyRate::default();
    let rate = reader.read(node, "a rate", default, |text| {
        rate(text).ok_or_else(|| "as in 1KiB/s, or 1KiB/s over 10s, or none".to_owned())
    });
    Some(rate.unwrap_or(default))
}

/// As in `1KiB/s`, or `1KiB/s over 10s`.
fn rate(text: &str) -> Option<BodyRate> {
    let (size, over) = match text.split_once(" over ") {
        Some((rate, over)) => (rate, value::duration(over).ok()?),
        None => (text, BodyRate::default().over),
    };
    let bytes = value::size(size.strip_suffix("/s")?).ok()?;
    (bytes > 0 && !over.is_zero()).then_some(BodyRate { bytes, over })
}

fn is_none(node: &Node) -> bool {
    node.scalar()
        .is_some_and(|scalar| !scalar.is_placeholder() && scalar.text() == "none")
}
