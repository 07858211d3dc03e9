//! `retries` and `rescue` of a service: when a request is sent again.

use std::sync::Arc;
use std::time::Duration;

use http::Method;

use crate::cluster::recovery::{QuarantinePolicy, RescuePolicy, RetryPolicy, Triggers};
use crate::config::ServiceConfig;
use crate::config::node::{Node, Value};
use crate::config::reader::Reader;
use crate::config::value;
use crate::engine::Flag;

/// What may stand in `on` beside statuses.
const CAUSES: [&str; 3] = ["connect", "reset", "timeout"];

/// The keys that name a source of flags beside the file.
const SERVERS: [&str; 2] = ["unleash", "launchdarkly"];

/// Compiles a service's `retries`.
pub fn retries(reader: &mut Reader, service: &Node) -> RetryPolicy {
    let default = RetryPolicy::default();
    let Some(node) = service.get("retries") else {
        return default;
    };
    let attempts = node
        .get("attempts")
        .and_then(|node| reader.integer(node, 0..=10))
        .unwrap_or(default.attempts);
    let on = triggers(reader, node.get("on")).unwrap_or(default.on);
    let budget = node.get("budget").and_then(|node| reader.share(node));
    RetryPolicy {
        attempts: if on.is_empty() { 0 } else { attempts },
        on,
        budget: budget.unwrap_or(default.budget),
    }
}

/// Compiles a service's `rescue`.
pub fn rescue(reader: &mut Reader, service: &Node) -> RescuePolicy {
    let default = RescuePolicy::default();
    let Some(node) = service.get("rescue") else {
        return default;
    };
    let on = triggers(reader, node.get("on")).unwrap_or(default.on);
    let methods = node.get("methods").map(|list| methods(reader, list));
    let after = node.get("after").and_then(|node| reader.time_limit(node));
    RescuePolicy {
        on,
        methods: methods.unwrap_or(default.methods),
        after,
        quarantine: quarantine(reader, node),
    }
}

fn quarantine(reader: &mut Reader, rescue: &Node) -> Option<QuarantinePolicy> {
    let default = QuarantinePolicy::default();
    let after = rescue
        .get("quarantine_after")
        .and_then(|node| reader.integer(node, 0..=1000))
        .and_then(|after| u16::try_from(after).ok())
        .unwrap_or(default.after);
    let period = rescue
        .get("quarantine_for")
        .and_then(|node| reader.time_limit(node))
        .unwrap_or(default.period);
    (after > 0).then_some(QuarantinePolicy { after, period })
}

/// `None`: the key is not there.
fn triggers(reader: &mut Reader, list: Option<&Node>) -> Option<Triggers> {
    let mut triggers = Triggers::default();
    for node in list?.items() {
        add_trigger(reader, node, &mut triggers);
    }
    Some(triggers)
}

fn add_trigger(reader: &mut Reader, node: &Node, triggers: &mut Triggers) {
    let Some(scalar) = node.scalar().filter(|scalar| !scalar.is_nothing()) else {
        return;
    };
    match scalar.text() {
        _ if scalar.is_placeholder() => {}
        "connect" => triggers.connect = true,
        "reset" => triggers.reset = true,
        "timeout" => triggers.timeout = true,
        text => match statuses(text) {
            Some(range) => range.for_each(|status| triggers.statuses.insert(status)),
            None => {
                let shown = value::shortened(scalar.shown());
                let hint = reader.problems.suggest(scalar.shown(), CAUSES);
                reader
                    .problems
                    .error(node.span, format!("`{shown}` is not known here"))
                    .hint(hint.unwrap_or_else(|| {
                        "valid here are `connect`, `reset`, `timeout`, `5xx` and statuses from 400 to 599".to_owned()
                    }));
            }
        },
    }
}

/// As in `503`, `5xx` or `4xx`.
fn statuses(text: &str) -> Option<std::ops::RangeInclusive<u16>> {
    match text {
        "4xx" => return Some(400..=499),
        "5xx" => return Some(500..=599),
        _ => {}
    }
    let status = text.parse().ok().filter(|_| text.len() == 3)?;
    (400..=599).contains(&status).then_some(status..=status)
}

fn methods(reader: &mut Reader, list: &Node) -> Vec<Method> {
    let mut methods = Vec::new();
    for node in list.items() {
        let method = reader.method(node);
        if let Some(method) = method.as_ref().filter(|method| !method.is_idempotent()) {
            reader
                .problems
                .warning(
                    node.span,
                    format!("a rescued {method} may be done twice: by the canary and by stable"),
                )
                .hint("leave it out, unless the service itself sees to that");
        }
        methods.extend(method);
    }
    methods
}

/// Warns where a canary may take so long that a route's `timeout` leaves no time for stable.
pub fn check_time_left(
    reader: &mut Reader,
    root: &Node,
    services: &[ServiceConfig],
    flags: &[Arc<Flag>],
) {
    let stated = |name: &str| root.get("services")?.get(name);
    let from_servers = SERVERS.iter().any(|server| root.get(server).is_some());
    let routes = root.get("routes").map(Node::items).unwrap_or_default();
    for route in routes {
        let (Some(name), Some(limit)) = (text(route.get("service")), route.get("timeout")) else {
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
