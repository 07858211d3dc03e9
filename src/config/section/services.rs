//! `services`, and which flags are whose canaries.

mod health;

use std::sync::Arc;
use std::time::Duration;

use crate::cluster::policy::UpstreamPolicy;
use crate::cluster::{Balance, UpstreamUrl};
use crate::config::ServiceConfig;
use crate::config::node::{Entry, Node, Value};
use crate::config::reader::Reader;
use crate::config::section::unleash;
use crate::config::value;
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
    let on_connect = |section: &str| {
        let causes = node.get(section).and_then(|section| section.get("on"));
        causes.is_none_or(|causes| !causes.items().is_empty())
    };
    let attempts = node
        .get("retries")
        .and_then(|retries| retries.get("attempts"))
        .and_then(|node| reader.integer(node, 0..=10))
        .unwrap_or(1);
    UpstreamPolicy {
        balance: match reader.word(node.get("balance")) {
            Some("round_robin") => Balance::RoundRobin,
            Some("hash_user") => Balance::HashUser,
            _ => Balance::LeastRequests,
        },
        connect_timeout,
        response_timeout,
        idle_timeout,
        retries: if on_connect("retries") { attempts } else { 0 },
        rescue_on_connect: on_connect("rescue"),
        preserve_host: node
            .get("preserve_host")
            .and_then(|node| reader.bool(node))
            .unwrap_or(true),
        outlier: health::outlier(reader, node),
        health: health::health(reader, node),
    }
}

/// Holds `canaries` and `flags` against each other: a flag that an entry names must be there, and no flag may
/// belong to two services.
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
        let Some(name) = reader.name(node).filter(|name| !name.contains('*')) else {
            continue;
        };
        let here = flags.binary_search_by(|flag| (*flag.name).cmp(name));
        if here.is_err() && !unleash::is_configured(root) {
            let shown = node.scalar().map_or("", |scalar| scalar.shown());
            let hint = reader
                .problems
                .suggest(shown, flags.iter().map(|flag| &*flag.name));
            reader
                .problems
                .error(node.span, format!("there is no flag `{shown}`"))
                .maybe_hint(hint);
        }
    }
    for entry in root.get("flags").map(Node::entries).unwrap_or_default() {
        if !check_owner(reader, entry, services) && known {
            let message = format!(
                "`{}` is a canary of no service: nobody is sent there",
                entry.key
            );
            reader.problems.warning(entry.key_span, message).hint(
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
