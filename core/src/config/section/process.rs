//! `listeners`, `admin`, `server`, `redis` and `attribution`: what takes a restart to change.

use std::net::SocketAddr;

use ipnet::IpNet;

use super::sockets::add_address;
use super::{admin, attribution, tls};
use crate::config::Process;
use crate::config::keys::process as keys;
use crate::config::keys::shape::Key;
use crate::config::keys::{LISTENERS, SERVER};
use crate::config::listener::ListenerConfig;
use crate::config::node::{Node, Value};
use crate::config::reader::Reader;
use crate::config::section::redis;
use crate::identity::Property;

/// Compiles `listeners`, `admin`, `redis`, `attribution` and the process's part of `server`. `properties` are those of `identity`.
pub fn compile(reader: &mut Reader, root: &Node, properties: &[Property]) -> Process {
    let listeners = listeners(reader, root);
    let taken = listeners.iter().map(|listener| listener.address);
    let admin = admin::compile(reader, root, taken.collect());
    let server = SERVER.node(root);
    Process {
        listeners,
        admin,
        threads: keys::THREADS.read(reader, server),
        state_dir: keys::STATE_DIR.read(reader, server),
        redis: redis::compile(reader, root),
        attribution: attribution::compile(reader, root, properties),
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

fn listeners(reader: &mut Reader, root: &Node) -> Vec<ListenerConfig> {
    let Some(node) = LISTENERS.node(root) else {
        let everywhere = SocketAddr::from(([0, 0, 0, 0], 8080));
        return vec![ListenerConfig::at(everywhere)];
    };
    if matches!(&node.value, Value::List(items) if items.is_empty()) {
        reader
            .problems
            .error(node.span, "there is no listener")
            .hint("without the key there is one, 0.0.0.0:8080");
    }
    let (mut taken, mut listeners) = (Vec::new(), Vec::new());
    for (index, item) in node.items().iter().enumerate() {
        let node = keys::LISTENER_ADDRESS.node(item).unwrap_or(item);
        let address = add_address(reader, node, &mut taken);
        let tls = keys::LISTENER_TLS.node(item);
        let tls = tls.map(|node| tls::compile(reader, node, &format!("listeners.{index}.tls")));
        let proxy_protocol = proxy_protocol(reader, root, item);
        let http2 = keys::HTTP2.read(reader, item);
        listeners.extend(address.map(|address| ListenerConfig {
            address,
            tls,
            proxy_protocol,
            http2,
        }));
    }
    listeners
}

fn proxy_protocol(reader: &mut Reader, root: &Node, listener: &Node) -> bool {
    let is_spoken = keys::PROXY_PROTOCOL.read(reader, listener);
    if let (true, Some(node)) = (is_spoken, keys::PROXY_PROTOCOL.node(listener))
        && keys::TRUSTED_PROXIES.items(SERVER.node(root)).is_empty()
    {
        reader
            .problems
            .error(
                node.span,
                "nobody may connect here: `server.trusted_proxies` is empty",
            )
            .hint("name the networks of the load balancers that send PROXY headers there");
    }
    is_spoken
}
