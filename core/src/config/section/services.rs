//! `services`, and which flags are whose canaries.

mod health;
mod mirror;
mod tls;

use std::sync::Arc;

use http::StatusCode;

use crate::capacity::LoadPolicy;
use crate::cluster::UpstreamUrl;
use crate::cluster::policy::{StreamPolicy, UpstreamPolicy};
use crate::config::keys::services as keys;
use crate::config::keys::shape::Key;
use crate::config::keys::{FLAGS, SERVICES};
use crate::config::node::{Node, Pair, Scalar, Value};
use crate::config::reader::Reader;
use crate::config::section::{fixed_response, recovery, unleash, unstated};
use crate::config::value;
use crate::config::{ServiceConfig, ShutoffConfig, ShutoffResponse};
use crate::engine::Flag;
use crate::flag::Glob;
pub use mirror::shadow_flags;

/// Compiles `services`, in file order.
pub fn compile(reader: &mut Reader, root: &Node) -> Vec<ServiceConfig> {
    let pairs = SERVICES.pairs(root);
    if let (Some(pair), []) = (SERVICES.pair(root), pairs)
        && matches!(pair.value.value, Value::Map(_))
    {
        reader
            .problems
            .error(pair.key_span, "there is no service")
            .hint("as in `search: http://127.0.0.1:9001`");
    }
    pairs
        .iter()
        .filter_map(|pair| service(reader, root, pair))
        .collect()
}

fn service(reader: &mut Reader, root: &Node, pair: &Pair) -> Option<ServiceConfig> {
    let node = &pair.value;
    if let Err(hint) = value::service_name(&pair.key) {
        let message = format!(
            "`{}` cannot be the name of a service",
            value::shortened(&pair.key)
        );
        reader.problems.error(pair.key_span, message).hint(hint);
    }
    let upstream = upstream(reader, node);
    let canaries = keys::CANARIES
        .read(reader, node)
        .unwrap_or_else(|| vec![Glob::new(&format!("{}.*", pair.key))]);
    Some(ServiceConfig {
        name: pair.key.as_str().into(),
        stable: stable(reader, root, node)?,
        canaries,
        tls_files: tls::files(&pair.key, node),
        upstream,
        shutoff: shutoff(reader, node),
        mirror: mirror::compile(reader, node),
    })
}

/// The URL: the service's whole value, or `stable`, or `stable.url`; `Some(None)` where it may be left out, and is.
fn stable(reader: &mut Reader, root: &Node, node: &Node) -> Option<Option<UpstreamUrl>> {
    let node = match (&node.value, keys::STABLE.node(node)) {
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
        _ => keys::STABLE_URL.read(reader, node),
    };
    url.map(Some)
}

fn upstream(reader: &mut Reader, service: &Node) -> UpstreamPolicy {
    let timeouts = keys::TIMEOUTS.node(service);
    let tls = tls::compile(reader, service).map(Arc::new);
    UpstreamPolicy {
        balance: keys::BALANCE.read(reader, service),
        connect_timeout: keys::CONNECT.read(reader, timeouts),
        response_timeout: keys::RESPONSE.read(reader, timeouts),
        idle_timeout: keys::IDLE.read(reader, timeouts),
        retries: recovery::retries(reader, service),
        rescue: recovery::rescue(reader, service),
        max_in_flight: keys::MAX_IN_FLIGHT.read(reader, service),
        streams: streams(reader, service),
        load: load(reader, service),
        preserve_host: keys::PRESERVE_HOST.read(reader, service),
        outlier: health::outlier(reader, service),
        health: health::health(reader, service, tls.as_ref()),
        tls,
    }
}

impl Default for UpstreamPolicy {
    fn default() -> Self {
        unstated(upstream)
    }
}

fn streams(reader: &mut Reader, service: &Node) -> StreamPolicy {
    let node = keys::STREAMS.node(service);
    StreamPolicy {
        on_leave: keys::ON_LEAVE.read(reader, node),
        within: keys::WITHIN.read(reader, node),
    }
}

fn load(reader: &mut Reader, service: &Node) -> LoadPolicy {
    let queue = keys::QUEUE.node(service);
    LoadPolicy {
        max_connections: keys::MAX_CONNECTIONS.read(reader, service),
        max_requests: keys::MAX_REQUESTS.read(reader, service),
        queue: keys::LENGTH.read(reader, queue),
        wait: keys::WAIT.read(reader, queue),
    }
}

impl Default for LoadPolicy {
    fn default() -> Self {
        unstated(load)
    }
}

fn shutoff(reader: &mut Reader, service: &Node) -> Option<ShutoffConfig> {
    let node = keys::SHUTOFF.node(service)?;
    let flag = keys::SHUTOFF_FLAG.read(reader, node)?;
    let respond = keys::RESPOND.node(node);
    let retry_after = keys::RETRY_AFTER.read(reader, respond);
    let (status, body) =
        fixed_response::compile(reader, respond, &keys::SHUTOFF_STATUS, &keys::SHUTOFF_BODY);
    Some(ShutoffConfig {
        flag,
        respond: ShutoffResponse {
            status: status.unwrap_or(StatusCode::SERVICE_UNAVAILABLE),
            // Whole seconds, and no promise that is too early.
            retry_after: retry_after.map(|time| time.as_millis().div_ceil(1000) as u64),
            body,
        },
    })
}

/// The flags that shut services off. They lead nowhere, and need not.
pub fn shutoff_flags(root: &Node) -> Vec<&str> {
    let services = SERVICES.pairs(root).iter();
    let flags = services.filter_map(|service| shutoff_flag(&service.value)?.scalar());
    flags.map(Scalar::text).collect()
}

fn shutoff_flag(service: &Node) -> Option<&Node> {
    keys::SHUTOFF_FLAG.node(keys::SHUTOFF.node(service))
}

/// The flags that are named must be there.
fn check_shutoffs(reader: &mut Reader, root: &Node, flags: &[Arc<Flag>]) {
    for service in SERVICES.pairs(root) {
        let flag = shutoff_flag(&service.value);
        if let Some(flag) = flag.filter(|flag| !flag.has_placeholder()) {
            check_flag(reader, root, flag, flags);
        }
    }
}

fn has(flags: &[Arc<Flag>], name: &str) -> bool {
    let found = flags.binary_search_by(|flag| (*flag.name).cmp(name));
    found.is_ok()
}

/// A flag that a node names must be there, unless a flag server may have it.
fn check_flag(reader: &mut Reader, root: &Node, node: &Node, flags: &[Arc<Flag>]) {
    let Some(name) = reader.name(node) else {
        return;
    };
    if has(flags, name) || unleash::is_configured(root) {
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
    let pairs = SERVICES.pairs(root);
    let lists = pairs
        .iter()
        .filter_map(|pair| keys::CANARIES.node(&pair.value));
    // A service that could not be read might have named any flag.
    let mut known = services.len() == pairs.len();
    for node in lists.flat_map(Node::items) {
        known &= !node.has_placeholder();
        if reader.name(node).is_some_and(|name| !name.contains('*')) {
            check_flag(reader, root, node, flags);
        }
    }
    check_shutoffs(reader, root, flags);
    if known {
        mirror::check(reader, root, services, flags);
    }
    let shutoffs = shutoff_flags(root);
    for pair in FLAGS.pairs(root) {
        let leads_nowhere = shutoffs.contains(&pair.key.as_str());
        if !check_owner(reader, pair, services) && known && !leads_nowhere {
            let message = format!(
                "`{}` is a canary of no service: nobody is sent there",
                pair.key
            );
            reader.problems.follow_up(pair.key_span, message).hint(
                "name it in a service's `canaries`; without that key they are \"<service>.*\"",
            );
        }
    }
}

/// No flag may belong to two services. Whether it belongs to any.
fn check_owner(reader: &mut Reader, flag: &Pair, services: &[ServiceConfig]) -> bool {
    let owners = owners(&flag.key, services);
    if let [one, other, ..] = owners.as_slice() {
        let message = format!(
            "`{}` is a canary of `{}` and of `{}`",
            flag.key, one.name, other.name
        );
        reader
            .problems
            .error(flag.key_span, message)
            .hint("name it in the `canaries` of one of them");
    }
    !owners.is_empty()
}

/// Of the services whose `canaries` match a flag, the one with the longest literal prefix has it: several where they are as long.
fn owners<'s>(flag: &str, services: &'s [ServiceConfig]) -> Vec<&'s ServiceConfig> {
    let claims = services.iter().filter_map(|service| {
        let matching = service.canaries.iter().filter(|glob| glob.matches(flag));
        Some((matching.map(Glob::literal_prefix).max()?, service))
    });
    let claims: Vec<_> = claims.collect();
    let longest = claims.iter().map(|(prefix, _)| *prefix).max();
    let best = claims
        .into_iter()
        .filter(|(prefix, _)| Some(*prefix) == longest);
    best.map(|(_, service)| service).collect()
}
