//! `listeners`, `admin`, `server` and `redis`: what takes a restart to change.

use std::net::SocketAddr;

use ipnet::IpNet;

use crate::config::keys::process as keys;
use crate::config::keys::shape::Key;
use crate::config::keys::{ADMIN, LISTENERS, SERVER};
use crate::config::node::{Node, Value};
use crate::config::reader::Reader;
use crate::config::section::redis;
use crate::config::{AdminConfig, Process};

/// Compiles `listeners`, `admin` and the process's part of `server`.
pub fn compile(reader: &mut Reader, root: &Node) -> Process {
    let listeners = listeners(reader, root);
    let admin = admin(reader, root, &listeners);
    let server = SERVER.node(root);
    Process {
        listeners,
        admin,
        threads: keys::THREADS.read(reader, server),
        state_dir: keys::STATE_DIR.read(reader, server),
        redis: redis::compile(reader, root),
        shutdown_delay: keys::SHUTDOWN_DELAY.read(reader, server),
        shutdown_grace: keys::SHUTDOWN_GRACE.read(reader, server),
    }
}

/// `server.trusted_proxies`.
pub fn trusted_proxies(reader: &mut Reader, root: &Node) -> Vec<IpNet> {
    let mut networks = Vec::new();
    for node in keys::TRUSTED_PROXIES.items(SERVER.node(root)) {
        let Some(network) = reader.network(node) else {
            continue;
        };
        if network.prefix_len() == 0 {
            reader
                .problems
                .warning(node.span, "every client counts as a trusted proxy")
                .hint("name the networks that your proxies are in");
        }
        networks.push(network);
    }
    networks
}

fn listeners(reader: &mut Reader, root: &Node) -> Vec<SocketAddr> {
    let Some(node) = LISTENERS.node(root) else {
        return vec![SocketAddr::from(([0, 0, 0, 0], 8080))];
    };
    if matches!(&node.value, Value::List(items) if items.is_empty()) {
        reader
            .problems
            .error(node.span, "there is no listener")
            .hint("without the key there is one, 0.0.0.0:8080");
    }
    let mut addresses = Vec::new();
    for item in node.items() {
        let node = keys::LISTENER_ADDRESS.node(item).unwrap_or(item);
        add_address(reader, node, &mut addresses);
    }
    addresses
}

fn admin(reader: &mut Reader, root: &Node, listeners: &[SocketAddr]) -> AdminConfig {
    let mut config = AdminConfig::at(SocketAddr::from(([127, 0, 0, 1], 9900)));
    let Some(admin) = ADMIN.node(root) else {
        return config;
    };
    let is_map = matches!(admin.value, Value::Map(_));
    let address = if is_map {
        keys::ADMIN_ADDRESS.node(admin)
    } else {
        Some(admin)
    };
    // All addresses of this process, so that none is asked for twice.
    let mut taken = listeners.to_vec();
    if let Some(node) = address {
        let addresses = addresses(reader, node, &mut taken);
        warn_of_unreachable_api(reader, node, &addresses);
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

fn add_address(reader: &mut Reader, node: &Node, taken: &mut Vec<SocketAddr>) {
    let Some(address) = reader.address(node) else {
        return;
    };
    if taken.iter().any(|other| overlap(*other, address)) {
        reader
            .problems
            .error(node.span, "this address is listened on already");
    }
    taken.push(address);
}

/// Whether the system refuses to listen on both. Port 0 is any free port, which can be asked for more than once.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    // `[::]` takes IPv4, too.
    let covers = |wide: SocketAddr, narrow: SocketAddr| {
        wide.ip().is_unspecified() && (wide.is_ipv6() || narrow.is_ipv4())
    };
    let same_host = one.ip() == other.ip() || covers(one, other) || covers(other, one);
    one.port() != 0 && one.port() == other.port() && same_host
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
                "nobody can use the API: at an address that is not loopback, only /livez, /readyz and /metrics answer",
            )
            .hint("add 127.0.0.1:9900 for callers on this machine; `admin.tokens` is not supported yet");
    }
}
