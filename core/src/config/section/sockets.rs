//! Addresses that this process listens on, none of which it can listen on twice.

use std::net::SocketAddr;

use crate::config::node::Node;
use crate::config::reader::Reader;

/// Reads an address, which must not be taken yet, and notes that it is.
pub(super) fn add_address(
    reader: &mut Reader,
    node: &Node,
    taken: &mut Vec<SocketAddr>,
) -> Option<SocketAddr> {
    let address = reader.address(node)?;
    if taken.iter().any(|other| overlap(*other, address)) {
        reader
            .problems
            .error(node.span, "this address is listened on already");
    }
    taken.push(address);
    Some(address)
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
