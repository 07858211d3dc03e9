//! `server.limits` and `server.timeouts`.

use crate::config::Traffic;
use crate::config::keys::SERVER;
use crate::config::keys::process::traffic as keys;
use crate::config::keys::shape::Key;
use crate::config::node::Node;
use crate::config::reader::Reader;
use crate::config::section::unstated;
use crate::request::limits::RequestLimits;

/// Compiles `server.limits` and `server.timeouts`.
pub fn compile(reader: &mut Reader, root: &Node) -> Traffic {
    let server = SERVER.node(root);
    let limits = keys::LIMITS.node(server);
    let timeouts = keys::TIMEOUTS.node(server);
    Traffic {
        request: RequestLimits {
            header_bytes: keys::HEADER_BYTES.read(reader, limits),
            headers: keys::HEADERS.read(reader, limits),
            body_bytes: keys::BODY_BYTES.read(reader, limits),
        },
        connections: keys::CONNECTIONS.read(reader, limits),
        connections_per_client: keys::CONNECTIONS_PER_CLIENT.read(reader, limits),
        streams_per_client: keys::STREAMS_PER_CLIENT.read(reader, limits),
        streams_per_connection: keys::STREAMS_PER_CONNECTION.read(reader, limits),
        requests_per_connection: keys::REQUESTS_PER_CONNECTION.read(reader, limits),
        header_read: keys::HEADER_READ.read(reader, timeouts),
        idle: keys::IDLE.read(reader, timeouts),
        body_read: keys::BODY_READ.read(reader, timeouts),
        body_rate: keys::BODY_RATE.read(reader, timeouts),
        write: keys::WRITE.read(reader, timeouts),
    }
}

impl Default for Traffic {
    fn default() -> Self {
        unstated(compile)
    }
}
