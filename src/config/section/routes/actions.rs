//! What a route does with a request: `service`, `redirect` or `respond`, and what goes with each.

use std::collections::HashMap;
use std::time::Duration;

use http::StatusCode;

use super::replacement;
use crate::config::node::{Entry, Node};
use crate::config::reader::Reader;
use crate::config::section::fixed_response;
use crate::config::section::headers::{self, Side};
use crate::config::value;
use crate::route::{Action, Forward, Redirect, Respond, RouteTimeout, ServiceIndex};

/// The statuses of a redirect (RFC 9110, section 15.4) that say where to go.
const REDIRECTS: [u32; 5] = [301, 302, 303, 307, 308];

/// What a redirect says unless told otherwise: for good, and with the same method.
const PERMANENT: u32 = 308;

/// Keys that mean something only for what goes to a service.
const FORWARD_ONLY: [&str; 4] = ["rewrite", "request_headers", "timeout", "expose"];

/// The services' names, and how long each waits for a connection.
#[derive(Debug)]
pub struct Services<'t> {
    entries: &'t [Entry],
    by_name: HashMap<&'t str, ServiceIndex>,
}

impl<'t> Services<'t> {
    /// Collects the names, in file order.
    pub fn new(root: &'t Node) -> Self {
        let entries = root.get("services").map(Node::entries).unwrap_or_default();
        Self {
            entries,
            by_name: entries
                .iter()
                .map(|entry| entry.key.as_str())
                .zip(0..)
                .collect(),
        }
    }

    /// The service that a node names.
    fn named(&self, reader: &mut Reader, node: &Node) -> Option<ServiceIndex> {
        let name = reader.name(node)?;
        let found = self.by_name.get(name).copied();
        if found.is_none() {
            let shown = node.scalar().map_or("", |scalar| scalar.shown());
            let hint = reader.problems.suggest(shown, self.by_name.keys().copied());
            reader
                .problems
                .error(node.span, format!("there is no service `{shown}`"))
                .maybe_hint(hint);
        }
        found
    }

    /// `timeouts.connect`; nothing if it cannot be read.
    fn connect_timeout(&self, index: ServiceIndex) -> Duration {
        let stated = self
            .entries
            .get(index)
            .and_then(|entry| entry.value.get("timeouts")?.get("connect")?.scalar());
        match stated {
            Some(scalar) => value::duration(scalar.text()).unwrap_or(Duration::ZERO),
            None => Duration::from_secs(1),
        }
    }
}

/// Compiles the one action of a route.
pub fn compile(reader: &mut Reader, route: &Node, services: &Services<'_>) -> Option<Action> {
    let is_action =
        |entry: &&Entry| matches!(entry.key.as_str(), "service" | "redirect" | "respond");
    let actions: Vec<&Entry> = route.entries().iter().filter(is_action).collect();
    let action = match actions.as_slice() {
        [action] => *action,
        [] => {
            if route.scalar().is_none() && route.items().is_empty() {
                reader
                    .problems
                    .error(route.span, "this route leads nowhere")
                    .hint("give it a `service`, a `redirect` or a `respond`");
            }
            return None;
        }
        [first, second, ..] => {
            let message = format!("this route has a `{}` already", first.key);
            reader
                .problems
                .error(second.key_span, message)
                .hint("one of `service`, `redirect` and `respond`");
            return None;
        }
    };
    if action.key == "service" {
        return forward(reader, route, &action.value, services).map(Action::Forward);
    }
    for entry in route.entries() {
        if FORWARD_ONLY.contains(&entry.key.as_str()) {
            let message = format!(
                "`{}` goes with `service`, not with `{}`",
                entry.key, action.key
            );
            reader.problems.error(entry.key_span, message);
        }
    }
    if action.key == "redirect" {
        redirect(reader, &action.value).map(Action::Redirect)
    } else {
        respond(reader, &action.value).map(Action::Respond)
    }
}

fn forward(
    reader: &mut Reader,
    route: &Node,
    service: &Node,
    services: &Services<'_>,
) -> Option<Forward> {
    let service = services.named(reader, service);
    let rewrite_prefix = rewrite(reader, route);
    let request_edits = headers::edits(reader, route.get("request_headers"), Side::Request);
    let timeout = timeout(reader, route.get("timeout"), service, services);
    Some(Forward {
        service: service?,
        rewrite_prefix,
        request_edits,
        timeout,
        expose: route
            .get("expose")
            .and_then(|node| reader.bool(node))
            .unwrap_or(false),
    })
}

fn timeout(
    reader: &mut Reader,
    node: Option<&Node>,
    service: Option<ServiceIndex>,
    services: &Services<'_>,
) -> RouteTimeout {
    if reader.word(node) == Some("none") {
        return RouteTimeout::Waived;
    }
    let Some((node, timeout)) = node.and_then(|node| Some((node, reader.time_limit(node)?))) else {
        return RouteTimeout::Unset;
    };
    if let Some(service) = service
        && !node.scalar().is_some_and(|scalar| scalar.is_placeholder())
        && timeout < services.connect_timeout(service)
    {
        let connect = services.connect_timeout(service).as_millis();
        reader
            .problems
            .follow_up(
                node.span,
                "this route gives up before its service stops trying to connect",
            )
            .hint(format!("the service's `timeouts.connect` is {connect}ms"));
    }
    RouteTimeout::After(timeout)
}

fn rewrite(reader: &mut Reader, route: &Node) -> Option<Box<str>> {
    let rewrite = route.entry("rewrite")?;
    if route
        .get("path")
        .is_some_and(|path| path.get("regex").is_some())
    {
        reader
            .problems
            .error(
                rewrite.key_span,
                "`rewrite` replaces a prefix, and this path is an expression",
            )
            .hint("use a prefix or {exact: …}");
    }
    rewrite
        .value
        .get("prefix")
        .and_then(|node| replacement(reader, node))
}

fn redirect(reader: &mut Reader, node: &Node) -> Option<Redirect> {
    let to = node
        .get("to")
        .and_then(|node| reader.read(node, "a place to go", "/".into(), target));
    let status = match node.get("status") {
        Some(node) => redirect_status(reader, node),
        None => Some(PERMANENT),
    };
    Some(Redirect {
        to: to?,
        status: status.and_then(fixed_response::status_code)?,
    })
}

/// A path, or an `http` or `https` URL.
fn target(text: &str) -> Result<Box<str>, String> {
    let form = || "a path, as in /search, or a URL, as in https://example.com/search".to_owned();
    let uri: http::Uri = text.parse().map_err(|_| form())?;
    let relative = text.starts_with('/') && !text.starts_with("//");
    let absolute = matches!(uri.scheme_str(), Some("http" | "https")) && uri.authority().is_some();
    if !(relative || absolute) || text.contains('#') {
        return Err(form());
    }
    if text.contains('?') {
        return Err("the request's own query is kept; `to` has none".to_owned());
    }
    Ok(text.into())
}

fn redirect_status(reader: &mut Reader, node: &Node) -> Option<u32> {
    reader.read(node, "the status of a redirect", PERMANENT, |text| {
        text.parse()
            .ok()
            .filter(|status| REDIRECTS.contains(status))
            .ok_or_else(|| "301, 302, 303, 307 or 308".to_owned())
    })
}

fn respond(reader: &mut Reader, node: &Node) -> Option<Respond> {
    let (status, body) = fixed_response::compile(reader, Some(node), StatusCode::OK);
    Some(Respond {
        status: status?,
        body: body.into(),
    })
}
