//! `services`, and which flags are whose canaries.

mod health;

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use crate::capacity::LoadPolicy;
use crate::cluster::policy::UpstreamPolicy;
use crate::cluster::{Balance, UpstreamUrl};
use crate::config::node::{Entry, Node, Scalar, Value};
use crate::config::reader::Reader;
use crate::config::section::{fixed_response, recovery, unleash};
use crate::config::value;
use crate::config::{ServiceConfig, ShutoffConfig, ShutoffResponse};
use crate::engine::Flag;
use crate::flag::Glob;

/// Compiles `services`, in file order.
pub fn compile(reader: &mut Reader, root: &Node) -> Vec<ServiceConfig> {
    let entries = root.get("services").map(Node::entries).unwrap_or_default();
    if let (Some(entry), []) = (root.entry("services"), entries)
        && matches!(entry.value.value, Value::Map(_))
    {
        reader
            .problems
            .error(entry.key_span, "there is no service")
            .hint("as in `search: http://127.0.0.1:9001`");
    }
    entries
        .iter()
        .filter_map(|entry| service(reader, root, entry))
        .collect()
}

fn service(reader: &mut Reader, root: &Node, entry: &Entry) -> Option<ServiceConfig> {
    let node = &entry.value;
    if let Err(hint) = value::service_name(&entry.key) {
        let message = format!(
            "`{}` cannot be the name of a service",
            value::shortened(&entry.key)
        );
        reader.problems.error(entry.key_span, message).hint(hint);
    }
    let upstream = upstream(reader, node);
    let canaries = match node.get("canaries") {
        Some(list) => list
            .items()
            .iter()
            .filter_map(|node| reader.name(node).map(Glob::new))
            .collect(),
        None => vec![Glob::new(&format!("{}.*", entry.key))],
    };
    Some(ServiceConfig {
        name: entry.key.as_str().into(),
        stable: stable(reader, root, node)?,
        canaries,
        upstream,
        shutoff: shutoff(reader, node),
    })
}

/// The URL: the service's whole value, or `stable`, or `stable.url`; `Some(None)` where it may be left out, and is.
fn stable(reader: &mut Reader, root: &Node, node: &Node) -> Option<Option<UpstreamUrl>> {
    let node = match (&node.value, node.get("stable")) {
        (Value::Scalar(_), _) => node,
        (_, Some(stable)) => stable,
        (Value::Map(_), None) if unleash::is_configured(root) => return Some(None),
        (Value::Map(_), None) => {
            reader
                .problems
                .error(node.span, "`stable` is missing")
                .hint("The stable deployment: its URL.");
            return None;
        }
        (Value::List(_), None) => return None,
    };
    let url = match &node.value {
        Value::Scalar(_) => reader.url(node),
        _ => reader.url(node.get("url")?),
    };
    url.map(Some)
}

fn upstream(reader: &mut Reader, node: &Node) -> UpstreamPolicy {
    let timeouts = node.get("timeouts");
    let mut timeout = |key: &str, default: u64| {
        timeouts
            .and_then(|timeouts| timeouts.get(key))
            .and_then(|node| reader.time_limit(node))
            .unwrap_or(Duration::from_secs(default))
    };
    let (connect_timeout, response_timeout, idle_timeout) = (
        timeout("connect", 1),
        timeout("response", 15),
        timeout("idle", 60),
    );
    UpstreamPolicy {
        balance: match reader.word(node.get("balance")) {
            Some("round_robin") => Balance::RoundRobin,
            Some("hash_user") => Balance::HashUser,
            _ => Balance::LeastRequests,
        },
        connect_timeout,
        response_timeout,
        idle_timeout,
        retries: recovery::retries(reader, node),
        rescue: recovery::rescue(reader, node),
        max_in_flight: node
            .get("max_in_flight")
            .and_then(|node| reader.integer(node, 1..=1_000_000)),
        load: load(reader, node),
        preserve_host: node
            .get("preserve_host")
            .and_then(|node| reader.bool(node))
            .unwrap_or(true),
        outlier: health::outlier(reader, node),
        health: health::health(reader, node),
    }
}

fn load(reader: &mut Reader, node: &Node) -> LoadPolicy {
    let default = LoadPolicy::default();
    let queue = node.get("queue");
    let of_queue = |key: &str| queue.and_then(|queue| queue.get(key));
    let mut most = |key: &str| {
        node.get(key)
            .and_then(|node| reader.integer(node, 1..=10_000_000))
    };
    let (max_connections, max_requests) = (most("max_connections"), most("max_requests"));
    LoadPolicy {
        max_connections,
        max_requests,
        queue: of_queue("length")
            .and_then(|node| reader.integer(node, 0..=100_000))
            .unwrap_or(default.queue),
        wait: of_queue("wait")
            .and_then(|node| reader.time_limit(node))
            .unwrap_or(default.wait),
    }
}

fn shutoff(reader: &mut Reader, service: &Node) -> Option<ShutoffConfig> {
    let node = service.get("shutoff")?;
    let flag = node.get("flag").and_then(|node| reader.name(node))?;
    let respond = node.get("respond");
    let retry_after = respond
        .and_then(|respond| respond.get("retry_after"))
        .and_then(|node| reader.duration(node));
    let unavailable = StatusCode::SERVICE_UNAVAILABLE;
    let (status, body) = fixed_response::compile(reader, respond, unavailable);
    Some(ShutoffConfig {
        flag: flag.into(),
        respond: ShutoffResponse {
            status: status.unwrap_or(unavailable),
            // Whole seconds, and no promise that is too early.
            retry_after: retry_after.map(|time| time.as_millis().div_ceil(1000) as u64),
            body: body.into(),
        },
    })
}

/// The flags that shut services off. They lead nowhere, and need not.
pub fn shutoff_flags(root: &Node) -> Vec<&str> {
    let entries = root.get("services").map(Node::entries).unwrap_or_default();
    let flags = entries
        .iter()
        .filter_map(|entry| entry.value.get("shutoff")?.get("flag")?.scalar());
    flags.map(Scalar::text).collect()
}

/// The flags that are named must be there.
fn check_shutoffs(reader: &mut Reader, root: &Node, flags: &[Arc<Flag>]) {
    let entries = root.get("services").map(Node::entries).unwrap_or_default();
    for entry in entries {
        let flag = entry.value.get("shutoff").and_then(|node| node.get("flag"));
        if let Some(flag) = flag.filter(|flag| !flag.has_placeholder()) {
            check_flag(reader, root, flag, flags);
        }
    }
}

/// A flag that a node names must be there, unless a flag server may have it.
fn check_flag(reader: &mut Reader, root: &Node, node: &Node, flags: &[Arc<Flag>]) {
    let Some(name) = reader.name(node) else {
        return;
    };
    let here = flags.binary_search_by(|flag| (*flag.name).cmp(name));
    if here.is_ok() || unleash::is_configured(root) {
        return;
    }
    let shown = node.scalar().map_or("", |scalar| scalar.shown());
    let names = flags.iter().map(|flag| &*flag.name);
    let hint = reader.problems.suggest(shown, names);
    reader
        .problems
        .error(node.span, format!("there is no flag `{shown}`"))
        .maybe_hint(hint);
}

/// Holds `canaries`, `shutoff` and `flags` against each other: a flag that an entry names must be there, and no flag
/// may belong to two services.
pub fn check_claims(
    reader: &mut Reader,
    root: &Node,
    services: &[ServiceConfig],
    flags: &[Arc<Flag>],
) {
    let entries = root.get("services").map(Node::entries).unwrap_or_default();
    let lists = entries
        .iter()
        .filter_map(|entry| entry.value.get("canaries"));
    // What could not be read might have named any flag.
    let mut known = services.len() == entries.len();
    for node in lists.flat_map(Node::items) {
        known &= !node.has_placeholder();
        if reader.name(node).is_some_and(|name| !name.contains('*')) {
            check_flag(reader, root, node, flags);
        }
    }
    check_shutoffs(reader, root, flags);
    let shutoffs = shutoff_flags(root);
    for entry in root.get("flags").map(Node::entries).unwrap_or_default() {
        let leads_nowhere = shutoffs.contains(&entry.key.as_str());
        if !check_owner(reader, entry, services) && known && !leads_nowhere {
            let message = format!(
                "`{}` is a canary of no service: nobody is sent there",
                entry.key
            );
            reader.problems.follow_up(entry.key_span, message).hint(
                "name it in a service's `canaries`; without that key they are \"<service>.*\"",
            );
        }
    }
}

/// Of the services whose `canaries` match a flag, the one with the longest literal prefix has it. Whether there is
/// any.
fn check_owner(reader: &mut Reader, flag: &Entry, services: &[ServiceConfig]) -> bool {
    let claims = services.iter().filter_map(|service| {
        let matching = service
            .canaries
            .iter()
            .filter(|glob| glob.matches(&flag.key));
        Some((matching.map(Glob::literal_prefix).max()?, service))
    });
    let mut best: Vec<(usize, &ServiceConfig)> = Vec::new();
    for claim in claims {
        match best.first() {
            Some((longest, _)) if claim.0 < *longest => {}
            Some((longest, _)) if claim.0 == *longest => best.push(claim),
            _ => best = vec![claim],
        }
    }
    if let [(_, one), (_, other), ..] = best.as_slice() {
        let message = format!(
            "`{}` is a canary of `{}` and of `{}`",
            flag.key, one.name, other.name
        );
        reader
            .problems
            .error(flag.key_span, message)
            .hint("name it in the `canaries` of one of them");
    }
    !best.is_empty()
}
