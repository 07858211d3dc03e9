//! `admin`: sockets of the API, and tokens of its callers.

use std::net::SocketAddr;
use std::sync::Arc;

use super::sockets::add_address;
use super::{tls, unleash};
use crate::config::admin::{AdminConfig, AdminToken};
use crate::config::keys::admin as keys;
use crate::config::keys::shape::Key;
use crate::config::keys::{ADMIN, SERVICES};
use crate::config::node::{Node, Scalar, Value};
use crate::config::reader::Reader;
use crate::config::token::Token;

/// A token that is shorter could be guessed.
const MIN_TOKEN: usize = 16;

/// Compiles `admin`, given the addresses that traffic is taken at.
pub fn compile(reader: &mut Reader, root: &Node, listeners: Vec<SocketAddr>) -> AdminConfig {
    let mut config = AdminConfig::at(SocketAddr::from(([127, 0, 0, 1], 9900)));
    let Some(admin) = ADMIN.node(root) else {
        return config;
    };
    let is_map = matches!(admin.value, Value::Map(_));
    let address = if is_map {
        keys::ADDRESS.node(admin)
    } else {
        Some(admin)
    };
    config.tokens = tokens(reader, root, admin);
    let tls = keys::TLS.node(admin);
    config.tls = tls.map(|node| tls::compile(reader, node, "admin.tls"));
    let speaks_tls = tls.is_some();
    // All addresses of this process, so that none is asked for twice.
    let mut taken = listeners;
    if let Some(node) = address {
        let addresses = addresses(reader, node, &mut taken);
        if config.tokens.is_empty() {
            warn_of_unreachable_api(reader, node, &addresses);
        } else if !speaks_tls {
            warn_of_open_text(reader, node, &addresses);
        }
        // An empty list is an error, and so is one that has only errors.
        if !addresses.is_empty() {
            config.addresses = addresses;
        }
    }
    if let Some(node) = keys::PROBES.node(admin) {
        config.probes = addresses(reader, node, &mut taken);
    }
    for node in keys::HOSTS.items(admin) {
        config.hosts.extend(reader.host(node));
    }
    config
}

/// One address or several, none of which is taken.
fn addresses(reader: &mut Reader, node: &Node, taken: &mut Vec<SocketAddr>) -> Vec<SocketAddr> {
    let before = taken.len();
    let nodes = node.one_or_many();
    if nodes.is_empty() {
        reader
            .problems
            .error(node.span, "there is no address")
            .hint("an IP address and a port, as in 127.0.0.1:9900");
    }
    for node in nodes {
        add_address(reader, node, taken);
    }
    taken.get(before..).unwrap_or_default().to_vec()
}

/// Callers on this machine are those that come from loopback to loopback.
fn warn_of_unreachable_api(reader: &mut Reader, node: &Node, addresses: &[SocketAddr]) {
    let is_local = |address: &SocketAddr| {
        let ip = address.ip().to_canonical();
        ip.is_loopback() || ip.is_unspecified()
    };
    if !addresses.is_empty() && !addresses.iter().any(is_local) {
        reader
            .problems
            .warning(
                node.span,
                "nobody can use the API: without `admin.tokens`, at an address that is not loopback only /livez, /readyz and /metrics answer",
            )
            .hint("add `tokens`, or 127.0.0.1:9900 for callers on this machine");
    }
}

/// Without `tls`, tokens pass in the clear.
fn warn_of_open_text(reader: &mut Reader, node: &Node, addresses: &[SocketAddr]) {
    let is_open = |address: &SocketAddr| !address.ip().to_canonical().is_loopback();
    if addresses.iter().any(is_open) {
        reader
            .problems
            .warning(node.span, "tokens reach this address in the clear")
            .hint("add `tls`, or keep others from reading them by a network policy, a service mesh or a proxy that ends TLS");
    }
}

fn tokens(reader: &mut Reader, root: &Node, admin: &Node) -> Arc<[AdminToken]> {
    let mut tokens: Vec<AdminToken> = Vec::new();
    for node in keys::TOKENS.items(admin) {
        let Some(token) = token(reader, root, node) else {
            continue;
        };
        let span = keys::NAME.node(node).map_or(node.span, |name| name.span);
        let mut others = tokens.iter();
        if others.clone().any(|other| other.name == token.name) {
            reader
                .problems
                .error(span, format!("another token is called `{}`", token.name))
                .hint("the name says who did what: give each bearer one of their own");
        }
        if let Some(other) = others.find(|other| other.token.is(&token.token))
            && !is_placeholder(node)
        {
            let message = format!("this is the token of `{}`, too", other.name);
            reader
                .problems
                .error(node.span, message)
                .hint("each bearer has a token of their own, so that it can be taken away");
        }
        tokens.push(token);
    }
    tokens.into()
}

fn token(reader: &mut Reader, root: &Node, node: &Node) -> Option<AdminToken> {
    let name = keys::NAME.read(reader, node);
    let role = keys::ROLE.read(reader, node);
    let services = services(reader, root, node);
    let token = match (keys::TOKEN.node(node), keys::TOKEN_SHA256.node(node)) {
        (Some(secret), None) => secret_token(reader, secret),
        (None, Some(_)) => keys::TOKEN_SHA256.read(reader, node),
        (None, None) => {
            reader
                .problems
                .error(node.span, "there is no token")
                .hint("add `token: \"${NAME}\"`, or `token_sha256` with the hash of one");
            None
        }
        (Some(_), Some(hash)) => {
            reader
                .problems
                .error(hash.span, "there are both `token` and `token_sha256`")
                .hint("keep one of them");
            None
        }
    };
    Some(AdminToken {
        name: name?,
        role: role?,
        services,
        token: token?,
    })
}

fn secret_token(reader: &mut Reader, node: &Node) -> Option<Token> {
    let secret = unleash::token(reader, node)?;
    let is_placeholder = node.scalar().is_some_and(Scalar::is_placeholder);
    if !is_placeholder && secret.expose().len() < MIN_TOKEN {
        reader
            .problems
            .error(
                node.span,
                format!("this token has fewer than {MIN_TOKEN} characters and can be guessed"),
            )
            .hint("`openssl rand -hex 32` makes one");
        return None;
    }
    Some(Token::of(secret.expose()))
}

/// Whether a variable that is not set stands for an entry's token: it could be any.
fn is_placeholder(entry: &Node) -> bool {
    let nodes = [keys::TOKEN.node(entry), keys::TOKEN_SHA256.node(entry)];
    let mut scalars = nodes.into_iter().flatten().filter_map(Node::scalar);
    scalars.any(Scalar::is_placeholder)
}

/// The services of a token; `None`: all. A list without any is an error: it reads as none and as all.
fn services(reader: &mut Reader, root: &Node, node: &Node) -> Option<Arc<[Arc<str>]>> {
    let list = keys::SERVICES.node(node)?;
    if list.items().is_empty() {
        reader
            .problems
            .error(list.span, "there is no service")
            .hint("name some, or leave `services` out for all");
    }
    let known: Vec<&str> = match SERVICES.node(root).map(|services| &services.value) {
        Some(Value::Map(pairs)) => pairs.iter().map(|pair| pair.key.as_str()).collect(),
        _ => Vec::new(),
    };
    let mut named = Vec::new();
    for item in list.items() {
        let Some(name) = reader.name(item) else {
            continue;
        };
        if !known.contains(&name) {
            let shown = item.scalar().map_or("", |scalar| scalar.shown());
            let hint = reader.problems.suggest(shown, known.iter().copied());
            reader
                .problems
                .error(item.span, format!("there is no service `{shown}`"))
                .maybe_hint(hint);
        }
        named.push(name.into());
    }
    Some(named.into())
}
