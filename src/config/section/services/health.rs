//! `health` and `outlier`: when an endpoint is thought to be down.

use std::time::Duration;

use http::uri::PathAndQuery;

use crate::cluster::policy::{HealthPolicy, OutlierPolicy, Probe};
use crate::config::node::{Node, Value};
use crate::config::reader::Reader;

/// `outlier`, as far as it says something; the rest is default.
pub(super) fn outlier(reader: &mut Reader, service: &Node) -> OutlierPolicy {
    let mut policy = OutlierPolicy::default();
    let Some(node) = service.get("outlier") else {
        return policy;
    };
    let key = |name| node.get(name);
    let set = |place: &mut Duration, value: Option<Duration>| {
        if let Some(value) = value {
            *place = value;
        }
    };
    set(
        &mut policy.window,
        key("window").and_then(|node| reader.time_limit(node)),
    );
    set(
        &mut policy.eject_for,
        key("eject_for").and_then(|node| reader.time_limit(node)),
    );
    if let Some(failures) = key("consecutive_failures").and_then(|n| reader.integer(n, 0..=MOST)) {
        policy.consecutive_failures = failures;
    }
    if let Some(requests) = key("min_requests").and_then(|n| reader.integer(n, 1..=MOST)) {
        policy.min_requests = requests;
    }
    if let Some(ratio) = key("error_ratio").and_then(|node| reader.share(node)) {
        policy.error_ratio = ratio;
    }
    if let Some(share) = key("max_ejected").and_then(|node| reader.share(node)) {
        policy.max_ejected = share;
    }
    policy
}

/// The largest count that a key may name.
const MOST: u32 = 1_000_000;

/// `health`, where there are checks.
pub(super) fn health(reader: &mut Reader, service: &Node) -> Option<HealthPolicy> {
    let node = service.get("health")?;
    if !matches!(node.value, Value::Map(_)) {
        return None;
    }
    let mut time = |key: &str, default: u64| {
        let own = node.get(key).and_then(|node| reader.time_limit(node));
        own.unwrap_or(Duration::from_secs(default))
    };
    let (interval, timeout) = (time("interval", 5), time("timeout", 2));
    let mut count = |key: &str, default: u32| {
        let own = node.get(key).and_then(|node| reader.integer(node, 1..=100));
        own.unwrap_or(default)
    };
    let (unhealthy_after, healthy_after) = (count("unhealthy_after", 3), count("healthy_after", 2));
    Some(HealthPolicy {
        probe: probe(reader, node),
        interval,
        timeout,
        unhealthy_after,
        healthy_after,
    })
}

/// What is asked: what `type` says, else HTTP where there is a path, else whether there is a connection.
fn probe(reader: &mut Reader, node: &Node) -> Probe {
    let kind = match reader.word(node.get("type")) {
        Some(kind) => kind,
        None if node.get("path").is_some() => "http",
        None => "tcp",
    };
    if kind == "http" {
        let path = node.get("path").and_then(|node| path(reader, node));
        let status = node
            .get("status")
            .and_then(|n| reader.integer(n, 200..=599));
        return Probe::Http {
            path: path.unwrap_or_else(|| "/".into()),
            status: status.and_then(|status| u16::try_from(status).ok()),
        };
    }
    for key in ["path", "status"] {
        if let Some(entry) = node.entry(key) {
            let message = format!("`{key}` means nothing in a check of type {kind}");
            reader.problems.error(entry.key_span, message);
        }
    }
    if kind == "grpc" {
        Probe::Grpc
    } else {
        Probe::Tcp
    }
}

fn path(reader: &mut Reader, node: &Node) -> Option<Box<str>> {
    reader.read(node, "the path of a check", "/".into(), |text| {
        let path = PathAndQuery::try_from(text).ok();
        path.filter(|path| text.starts_with('/') && path.as_str() == text)
            .map(|path| path.as_str().into())
            .ok_or_else(|| "a path as in /healthz".to_owned())
    })
}
