//! `unleash`, and what `server` says of flag servers' outages.

use http::HeaderValue;

use crate::config::flag_server::{Secret, StalenessPolicy};
use crate::config::keys::shape::Key;
use crate::config::keys::unleash as keys;
use crate::config::keys::{REGISTRY, SERVER, UNLEASH, process, registry};
use crate::config::node::{Node, Value};
use crate::config::reader::Reader;
use crate::config::section::unstated;
use crate::config::unleash::{UnleashAdmin, UnleashConfig, UnleashPlace};

/// Compiles `unleash`, in order of precedence.
pub fn compile(reader: &mut Reader, root: &Node) -> Vec<UnleashConfig> {
    let place = place(reader, root);
    let servers = match UNLEASH.node(root) {
        Some(node) => match &node.value {
            Value::List(items) => items.as_slice(),
            Value::Map(_) => std::slice::from_ref(node),
            Value::Scalar(_) => return Vec::new(),
        },
        None => &[],
    };
    check_place(reader, root, servers);
    let mut compiled: Vec<UnleashConfig> = Vec::new();
    for node in servers {
        let is_first = compiled.iter().all(|server| server.admin.is_none());
        let Some(server) = server(reader, node, &place, is_first) else {
            continue;
        };
        if compiled.iter().any(|other| other.name == server.name) {
            let span = keys::NAME.node(node).map_or(node.span, |name| name.span);
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
    UNLEASH
        .node(root)
        .is_some_and(|node| !matches!(&node.value, Value::List(items) if items.is_empty()))
}

/// What `server` says of outages.
pub fn outages(reader: &mut Reader, root: &Node) -> StalenessPolicy {
    let server = SERVER.node(root);
    StalenessPolicy {
        ready_without_flags: process::READY_WITHOUT_FLAGS.read(reader, server),
        snapshot_max_age: process::SNAPSHOT_MAX_AGE.read(reader, server),
        removal_guard: process::REMOVAL_GUARD.read(reader, server),
    }
}

impl Default for StalenessPolicy {
    fn default() -> Self {
        unstated(outages)
    }
}

/// What `registry.unleash` says.
fn place(reader: &mut Reader, root: &Node) -> UnleashPlace {
    let stated = registry::UNLEASH.node(REGISTRY.node(root));
    UnleashPlace {
        project: registry::PROJECT.read(reader, stated),
        environment: registry::ENVIRONMENT.read(reader, stated),
        on_deregister: registry::ON_DEREGISTER.read(reader, stated),
    }
}

/// `registry.unleash` is of no use unless a server has an `admin_token`.
fn check_place(reader: &mut Reader, root: &Node, servers: &[Node]) {
    let has_token = |server: &Node| keys::ADMIN_TOKEN.node(server).is_some();
    let stated = registry::UNLEASH.pair(REGISTRY.node(root));
    if let Some(pair) = stated.filter(|_| !servers.iter().any(has_token)) {
        reader
            .problems
            .error(
                pair.key_span,
                "canaries cannot be recorded in Unleash without a token that may write there",
            )
            .hint("give a server of `unleash` an `admin_token`, or take `registry.unleash` out");
    }
}

fn server(
    reader: &mut Reader,
    node: &Node,
    place: &UnleashPlace,
    is_first: bool,
) -> Option<UnleashConfig> {
    let admin = match keys::ADMIN_TOKEN.node(node) {
        Some(stated) => Some(UnleashAdmin {
            token: token(reader, stated)?,
            is_recorder: is_first,
            place: place.clone(),
        }),
        None => None,
    };
    let name = keys::NAME.try_read(reader, node);
    let url = keys::URL.read(reader, node);
    let token = keys::TOKEN.node(node).and_then(|node| token(reader, node));
    let app_name = keys::APP_NAME.try_read(reader, node);
    let poll = keys::POLL.try_read(reader, node);
    let streaming = keys::STREAMING.read(reader, node);
    Some(UnleashConfig {
        name: name?,
        url: url?,
        token: token?,
        app_name: app_name?,
        poll: poll?,
        streaming,
        admin,
    })
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
