//! `retries` and `rescue` of a service: when a request is sent again.

use std::sync::Arc;
use std::time::Duration;

use crate::cluster::recovery::{QuarantinePolicy, RescuePolicy, RetryPolicy};
use crate::config::ServiceConfig;
use crate::config::keys as top;
use crate::config::keys::services::recovery as keys;
use crate::config::keys::shape::{Key, Scope};
use crate::config::node::{Node, Value};
use crate::config::reader::Reader;
use crate::config::section::unstated;
use crate::config::value;
use crate::engine::Flag;

/// Compiles a service's `retries`.
pub fn retries(reader: &mut Reader, service: &Node) -> RetryPolicy {
    let retries = keys::RETRIES.node(service);
    let attempts = keys::ATTEMPTS.read(reader, retries);
    let on = keys::RETRIED.read(reader, retries);
    RetryPolicy {
        attempts: if on.is_empty() { 0 } else { attempts },
        on,
        budget: keys::BUDGET.read(reader, retries),
    }
}

/// Compiles a service's `rescue`.
pub fn rescue(reader: &mut Reader, service: &Node) -> RescuePolicy {
    let rescue = keys::RESCUE.node(service);
    RescuePolicy {
        on: keys::RESCUED.read(reader, rescue),
        methods: keys::METHODS.read(reader, rescue),
        after: keys::AFTER.read(reader, rescue),
        quarantine: Some(quarantine(reader, rescue)).filter(|policy| policy.after > 0),
    }
}

fn quarantine(reader: &mut Reader, rescue: Option<&Node>) -> QuarantinePolicy {
    QuarantinePolicy {
        after: keys::QUARANTINE_AFTER.read(reader, rescue),
        period: keys::QUARANTINE_FOR.read(reader, rescue),
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        unstated(retries)
    }
}

impl Default for RescuePolicy {
    fn default() -> Self {
        unstated(rescue)
    }
}

/// Warns where a canary may take so long that a route's `timeout` leaves no time for stable.
pub fn check_time_left(
    reader: &mut Reader,
    root: &Node,
    services: &[ServiceConfig],
    flags: &[Arc<Flag>],
) {
    let stated = |name: &str| top::SERVICES.node(root)?.get(name);
    let from_servers = has_sources(root);
    for route in top::ROUTES.items(root) {
        let service = text(top::routes::SERVICE.node(route));
        let (Some(name), Some(limit)) = (service, top::routes::TIMEOUT.node(route)) else {
            continue;
        };
        let (Some(service), Some(timeout)) = (
            services.iter().find(|service| *service.name == *name),
            text(Some(limit)).and_then(|text| value::duration(text).ok()),
        ) else {
            continue;
        };
        let has_canaries = from_servers
            || flags
                .iter()
                .any(|flag| service.canaries.iter().any(|glob| glob.matches(&flag.name)));
        if let Some(patience) = rescued_after(service).filter(|patience| *patience >= timeout)
            && has_canaries
            && !stated(name).is_some_and(Node::has_placeholder)
        {
            let message = format!(
                "this leaves no time for stable: a canary of `{name}` may take {} to begin its answer",
                in_words(patience)
            );
            reader
                .problems
                .follow_up(limit.span, message)
                .hint("set the service's `rescue.after` to less");
        }
    }
}

/// Whether the file names sources of flags beside itself.
fn has_sources(root: &Node) -> bool {
    let mut keys = top::ROOT.map.iter().flat_map(|keys| keys.known);
    keys.any(|key| key.statement().scope == Scope::Source && root.get(key.name()).is_some())
}

/// How long a canary may take before stable takes over; `None`: stable does not, for that.
fn rescued_after(service: &ServiceConfig) -> Option<Duration> {
    let policy = &service.upstream;
    let rescues = policy.rescue.on.timeout && !policy.rescue.methods.is_empty();
    rescues.then(|| policy.rescue.after.unwrap_or(policy.response_timeout))
}

fn text(node: Option<&Node>) -> Option<&str> {
    let node = node?;
    match &node.value {
        Value::Scalar(scalar) if !scalar.is_placeholder() => Some(scalar.text()),
        _ => None,
    }
}

/// As the file would have it.
fn in_words(time: Duration) -> String {
    match (time.as_secs(), time.subsec_millis()) {
        (seconds, 0) => format!("{seconds}s"),
        _ => format!("{}ms", time.as_millis()),
    }
}
