//! What a route does with a request: `service`, `redirect` or `respond`, and what goes with each.

use std::collections::HashMap;
use std::time::Duration;

use super::replacement;
use crate::config::keys::routes as keys;
use crate::config::keys::shape::Key;
use crate::config::keys::{SERVICES, services};
use crate::config::node::{Node, Pair};
use crate::config::reader::Reader;
use crate::config::section::fixed_response;
use crate::config::section::headers::{self, Side};
use crate::context::Moment;
use crate::route::{Action, Forward, Redirect, Respond, RouteTimeout, ServiceIndex};

/// Keys that mean something only for what goes to a service.
static FORWARD_ONLY: [&dyn Key; 4] = [
    &keys::REWRITE,
    &keys::REQUEST_HEADERS,
    &keys::TIMEOUT,
    &keys::EXPOSE,
];

/// The services' names, and how long each waits for a connection.
#[derive(Debug)]
pub struct Services<'t> {
    pairs: &'t [Pair],
    by_name: HashMap<&'t str, ServiceIndex>,
}

impl<'t> Services<'t> {
    /// Collects the names, in file order.
    pub fn new(root: &'t Node) -> Self {
        let pairs = SERVICES.pairs(root);
        Self {
            pairs,
            by_name: pairs
                .iter()
                .map(|pair| pair.key.as_str())
                .zip((0..).map(ServiceIndex::new))
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
        let service = self.pairs.get(index.position()).map(|pair| &pair.value);
        let timeouts = services::TIMEOUTS.node(service);
        let stated = services::CONNECT.node(timeouts);
        if stated.is_some_and(Node::has_placeholder) {
            return Duration::ZERO;
        }
        // Its problems are noted where the service is compiled.
        let mut reader = Reader::new(Moment { unix_ms: 0 });
        let connect = services::CONNECT.try_read(&mut reader, timeouts);
        connect.unwrap_or(Duration::ZERO)
    }
}

/// Compiles the one action of a route.
pub fn compile(reader: &mut Reader, route: &Node, services: &Services<'_>) -> Option<Action> {
    let names = [
        keys::SERVICE.name(),
        keys::REDIRECT.name(),
        keys::RESPOND.name(),
    ];
    let is_action = |pair: &&Pair| names.contains(&pair.key.as_str());
    let actions: Vec<&Pair> = route.pairs().iter().filter(is_action).collect();
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
    if action.key == keys::SERVICE.name() {
        return forward(reader, route, &action.value, services).map(Action::Forward);
    }
    for pair in route.pairs() {
        if FORWARD_ONLY.iter().any(|key| key.name() == pair.key) {
            let message = format!(
                "`{}` goes with `service`, not with `{}`",
                pair.key, action.key
            );
            reader.problems.error(pair.key_span, message);
        }
    }
    if action.key == keys::REDIRECT.name() {
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
    let edits = keys::REQUEST_HEADERS.node(route);
    let request_edits = headers::edits(reader, edits, Side::Request);
    let timeout = timeout(reader, route, service, services);
    Some(Forward {
        service: service?,
        rewrite_prefix,
        request_edits,
        timeout,
        expose: keys::EXPOSE.read(reader, route),
    })
}

fn timeout(
    reader: &mut Reader,
    route: &Node,
    service: Option<ServiceIndex>,
    services: &Services<'_>,
) -> RouteTimeout {
    let timeout = match keys::TIMEOUT.read(reader, route) {
        Some(Some(timeout)) => timeout,
        Some(None) => return RouteTimeout::Waived,
        None => return RouteTimeout::Unset,
    };
    if let (Some(service), Some(node)) = (service, keys::TIMEOUT.node(route))
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
    let rewrite = keys::REWRITE.pair(route)?;
    if keys::PATH_REGEX.node(keys::PATH.node(route)).is_some() {
        reader
            .problems
            .error(
                rewrite.key_span,
                "`rewrite` replaces a prefix, and this path is an expression",
            )
            .hint("use a prefix or {exact: …}");
    }
    let prefix = keys::PREFIX.node(&rewrite.value)?;
    replacement(reader, prefix)
}

fn redirect(reader: &mut Reader, node: &Node) -> Option<Redirect> {
    let to = keys::TO.read(reader, node);
    let status = keys::REDIRECT_STATUS.try_read(reader, node);
    Some(Redirect {
        to: to?,
        status: status?,
    })
}

fn respond(reader: &mut Reader, node: &Node) -> Option<Respond> {
    let (status, body) = fixed_response::compile(
        reader,
        Some(node),
        &keys::RESPOND_STATUS,
        &keys::RESPOND_BODY,
    );
    Some(Respond {
        status: status?,
        body,
    })
}
