//! `unleash`, and what `server` says of flag servers' outages.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use crate::config::flag_server::{Secret, ServerUrl, StalenessPolicy, Streaming};
use crate::config::node::{Node, Value};
use crate::config::reader::Reader;
use crate::config::unleash::UnleashConfig;
use crate::config::value;

/// What a source is called without a name of its own.
const NAME: &str = "unleash";
/// What other sources are called.
const TAKEN: [&str; 2] = ["file", "launchdarkly"];
/// Below this, a server is not polled but attacked.
const LEAST_POLL: Duration = Duration::from_millis(100);

/// Compiles `unleash`, in order of precedence.
pub fn compile(reader: &mut Reader, root: &Node) -> Vec<UnleashConfig> {
    let Some(node) = root.get("unleash") else {
        return Vec::new();
    };
    let servers = match &node.value {
        Value::List(items) => items.as_slice(),
        Value::Map(_) => std::slice::from_ref(node),
        Value::Scalar(_) => return Vec::new(),
    };
    let mut compiled: Vec<UnleashConfig> = Vec::new();
    for node in servers {
        let Some(server) = server(reader, node) else {
            continue;
        };
        if compiled.iter().any(|other| other.name == server.name) {
            let span = node.get("name").map_or(node.span, |name| name.span);
            reader
                .problems
                .error(span, format!("another source is called `{}`", server.name))
                .hint("give each of several a `name` of its own");
        }
        compiled.push(server);
    }
    compiled
}

/// Whether flags come from elsewhere too, so that names which this file does not know may mean something.
pub fn is_configured(root: &Node) -> bool {
    root.get("unleash")
        .is_some_and(|node| !matches!(&node.value, Value::List(items) if items.is_empty()))
}

/// What `server` says of outages.
pub fn outages(reader: &mut Reader, root: &Node) -> StalenessPolicy {
    let server = root.get("server");
    let key = |name: &str| server.and_then(|server| server.get(name));
    let default = StalenessPolicy::default();
    StalenessPolicy {
        ready_without_flags: key("ready_without_flags").and_then(|node| {
            reader
                .read(node, "a duration or `never`", None, |text| match text {
                    "never" => Ok(None),
                    _ => value::duration(text)
                        .map(Some)
                        .map_err(|hint| format!("`never`, or {hint}")),
                })
                .flatten()
        }),
        snapshot_max_age: key("snapshot_max_age")
            .and_then(|node| reader.time_limit(node))
            .unwrap_or(default.snapshot_max_age),
        removal_guard: key("removal_guard")
            .and_then(|node| reader.duration(node))
            .unwrap_or(default.removal_guard),
    }
}

fn server(reader: &mut Reader, node: &Node) -> Option<UnleashConfig> {
    let name = node.get("name").map_or(Some(NAME.into()), |node| {
        reader.read(node, "a name for a source", NAME.into(), source_name)
    });
    let url = node.get("url").and_then(|node| url(reader, node));
    let token = node.get("token").and_then(|node| token(reader, node));
    let app_name = node.get("app_name").map_or(Some("serin".into()), |node| {
        reader.read(node, "a name for an application", "serin".into(), app_name)
    });
    let poll = node
        .get("poll")
        .map_or(Some(Duration::from_secs(15)), |node| poll(reader, node));
    let streaming = match reader.word(node.get("streaming")) {
        Some("always") => Streaming::Always,
        Some("never") => Streaming::Never,
        _ => Streaming::Auto,
    };
    Some(UnleashConfig {
        name: name?,
        url: url?,
        token: token?,
        app_name: app_name?,
        poll: poll?,
        streaming,
    })
}

fn source_name(text: &str) -> Result<Arc<str>, String> {
    value::service_name(text)?;
    if TAKEN.contains(&text) {
        return Err("another source is always called so".to_owned());
    }
    Ok(text.into())
}

fn app_name(text: &str) -> Result<Arc<str>, String> {
    value::service_name(text).map(|()| text.into())
}

fn url(reader: &mut Reader, node: &Node) -> Option<ServerUrl> {
    let stand_in = ServerUrl::parse("http://placeholder.invalid/api").ok()?;
    reader.read(node, "a flag server's URL", stand_in, ServerUrl::parse)
}

// Nothing of a token is shown, not even of one that is none.
pub(super) fn token(reader: &mut Reader, node: &Node) -> Option<Secret> {
    let scalar = node.scalar().filter(|scalar| !scalar.is_nothing())?;
    let text = scalar.text().trim();
    if !scalar.is_placeholder()
        && (text.is_empty() || HeaderValue::from_str(text).is_err() || text.contains(' '))
    {
        reader
            .problems
            .error(node.span, "this is not a token")
            .hint("visible ASCII characters without spaces");
        return None;
    }
    Some(Secret::new(text))
}

fn poll(reader: &mut Reader, node: &Node) -> Option<Duration> {
    reader.read(node, "an interval", LEAST_POLL, |text| {
        let poll = value::duration(text)?;
        Some(poll)
            .filter(|poll| *poll >= LEAST_POLL)
            .ok_or_else(|| "at least 100ms".to_owned())
    })
}
