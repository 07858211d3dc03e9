//! `listeners`, `admin` and `server`: what takes a restart to change.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::config::Process;
use crate::config::node::{Node, Value};
use crate::config::reader::Reader;

/// Compiles `listeners`, `admin` and the process's part of `server`.
pub fn compile(reader: &mut Reader, root: &Node) -> Process {
    let listeners = listeners(reader, root);
    let admin = admin(reader, root, &listeners);
    let server = root.get("server");
    let key = |name: &str| server.and_then(|server| server.get(name));
    Process {
        listeners,
        admin,
        threads: key("threads")
            .and_then(|node| reader.integer(node, 0..=1024))
            .and_then(|threads| usize::try_from(threads).ok())
            .unwrap_or(0),
        state_dir: key("state_dir")
            .and_then(|node| reader.name(node))
            .map_or_else(|| "./state".into(), PathBuf::from),
        shutdown_delay: key("shutdown_delay")
            .and_then(|node| reader.duration(node))
            .unwrap_or(Duration::from_secs(5)),
        shutdown_grace: key("shutdown_grace")
            .and_then(|node| reader.duration(node))
            .unwrap_or(Duration::from_secs(30)),
    }
}

/// `server.trusted_proxies`.
pub fn trusted_proxies(reader: &mut Reader, root: &Node) -> Vec<IpNet> {
    let nodes = root
        .get("server")
        .and_then(|server| server.get("trusted_proxies"));
    let mut networks = Vec::new();
    for node in nodes.map(Node::items).unwrap_or_default() {
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
    let Some(node) = root.get("listeners") else {
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
        let node = item.get("address").unwrap_or(item);
        let Some(address) = reader.address(node) else {
            continue;
        };
        // Port 0 is any free port, which can be asked for more than once.
        if address.port() != 0 && addresses.contains(&address) {
            reader
                .problems
                .error(node.span, "this address is listened on already");
        }
        addresses.push(address);
    }
    addresses
}

fn admin(reader: &mut Reader, root: &Node, listeners: &[SocketAddr]) -> SocketAddr {
    let default = SocketAddr::from(([127, 0, 0, 1], 9900));
    let Some(admin) = root.get("admin") else {
        return default;
    };
    let node = match &admin.value {
        Value::Map(_) => admin.get("address"),
        _ => Some(admin),
    };
    let Some((node, address)) = node.and_then(|node| Some((node, reader.address(node)?))) else {
        return default;
    };
    if address.port() != 0 && listeners.contains(&address) {
        reader
            .problems
            .error(node.span, "this address is a listener for traffic already");
    }
    if !address.ip().to_canonical().is_loopback() {
        reader
            .problems
            .warning(
                node.span,
                "at an address that is not loopback, only /livez, /readyz and /metrics answer",
            )
            .hint(
                "the rest needs `admin.tokens`, not supported yet; 127.0.0.1 or [::1] has it all",
            );
    }
    address
}
