//! How much one client has open, over all its connections.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// How many clients are known before those are looked for that have gone.
const LOOK_AFTER: usize = 1024;

/// The bits of an IPv6 address that stand for one client: what is behind them a client chooses as it likes.
const IPV6_PREFIX: u32 = 64;

/// What a client has too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excess {
    /// `server.limits.connections_per_client`.
    Connections,
    /// `server.limits.streams_per_client`.
    Streams,
    /// Its part of the connections to upstreams.
    Upstreams,
    /// HTTP/2 frames that carry nothing of a request ([`crate::request::framing::control`]).
    ControlFrames,
}

impl Excess {
    /// Everything there can be too much of.
    pub const ALL: [Self; 4] = [
        Self::Connections,
        Self::Streams,
        Self::Upstreams,
        Self::ControlFrames,
    ];

    /// The name that metrics carry.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Streams => "streams",
            Self::Upstreams => "upstream_connections",
            Self::ControlFrames => "control_frames",
        }
    }
}

/// What one client has open.
#[derive(Debug, Default)]
struct Open {
    connections: AtomicU32,
    /// Requests over HTTP/2, at rest or under way.
    streams: AtomicU32,
    /// Those of them that may have an upstream's connection.
    begun: AtomicU32,
}

/// A connection of a client, counted until dropped. Its requests are counted with it.
#[derive(Debug)]
pub struct ClientConnections(Arc<Open>);

impl Drop for ClientConnections {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request of a client, counted until dropped.
#[derive(Debug)]
pub struct ClientRequest {
    open: Arc<Open>,
    has_begun: bool,
}

impl ClientConnections {
    /// One more stream, unless there are `most` already.
    pub fn begin(&self, most: usize) -> Result<ClientRequest, Excess> {
        let before = self.0.streams.fetch_add(1, Ordering::Relaxed);
        let request = ClientRequest {
            open: self.0.clone(),
            has_begun: false,
        };
        match (before as usize) < most {
            true => Ok(request),
            false => Err(Excess::Streams),
        }
    }
}

impl ClientRequest {
    /// Notes that it may have an upstream's connection now, unless `most` of the client may already.
    pub fn go_on(&mut self, most: usize) -> Result<(), Excess> {
        let before = self.open.begun.fetch_add(1, Ordering::Relaxed);
        self.has_begun = true;
        match (before as usize) < most {
            true => Ok(()),
            false => Err(Excess::Upstreams),
        }
    }
}

impl Drop for ClientRequest {
    fn drop(&mut self) {
        if self.has_begun {
            self.open.begun.fetch_sub(1, Ordering::Relaxed);
        }
        self.open.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Every client that has something open. It belongs to the one thread that accepts connections; what is counted from
/// other threads are atomics that it hands out.
#[derive(Debug)]
pub struct Clients {
    open: HashMap<IpAddr, Arc<Open>>,
    look_at: usize,
}

impl Default for Clients {
    fn default() -> Self {
        Self {
            open: HashMap::new(),
            look_at: LOOK_AFTER,
        }
    }
}

impl Clients {
    /// One more connection from an address, unless its client has `most` already.
    pub fn enter(&mut self, address: IpAddr, most: usize) -> Result<ClientConnections, Excess> {
        if self.open.len() >= self.look_at {
            self.open.retain(|_, open| Arc::strong_count(open) > 1);
            self.look_at = LOOK_AFTER.max(2 * self.open.len());
        }
        let open = self.open.entry(client_of(address)).or_default();
        let before = open.connections.fetch_add(1, Ordering::Relaxed);
        let connection = ClientConnections(open.clone());
        match (before as usize) < most {
            true => Ok(connection),
            false => Err(Excess::Connections),
        }
    }
}

/// What stands for the client that an address is of: an IPv4 address, or the network of an IPv6 host, of whose addresses it has
/// as many as it likes.
pub fn client_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let mask = u128::MAX << (u128::BITS - IPV6_PREFIX);
            IpAddr::V6((address.to_bits() & mask).into())
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::{Clients, Excess, LOOK_AFTER};

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn one_client_has_so_many_connections() {
        let mut clients = Clients::default();
        let mut enter = |text| clients.enter(address(text), 2);
        let first = enter("192.0.2.1").expect("room");
        // The same, as a listener for both kinds of addresses sees it.
        let second = enter("::ffff:192.0.2.1").expect("room");
        assert_eq!(
            enter("192.0.2.1").expect_err("no room"),
            Excess::Connections
        );
        assert!(enter("192.0.2.2").is_ok());
        drop((first, second));
        assert!(enter("192.0.2.1").is_ok());
        // Of IPv6 the network counts.
        let held = [enter("2001:db8::1"), enter("2001:db8::ffff:2")];
        assert!(held.iter().all(Result::is_ok));
        assert!(enter("2001:db8::3").is_err());
        assert!(enter("2001:db8:0:1::3").is_ok());
    }

    #[test]
    fn its_requests_are_counted_over_all_its_connections() {
        let mut clients = Clients::default();
        let mut connect = || clients.enter(address("192.0.2.1"), 9).expect("room");
        let (one, two) = (connect(), connect());
        let mut first = one.begin(2).expect("room");
        let mut second = two.begin(2).expect("room");
        assert_eq!(one.begin(2).expect_err("no room"), Excess::Streams);
        assert_eq!(first.go_on(1), Ok(()));
        assert_eq!(second.go_on(1), Err(Excess::Upstreams));
        drop((first, second));
        let mut third = one.begin(2).expect("room");
        assert_eq!(third.go_on(1), Ok(()));
    }

    #[test]
    fn clients_that_have_gone_are_forgotten() {
        let mut clients = Clients::default();
        let held = clients.enter(address("192.0.2.1"), 1);
        for n in 0..10 * LOOK_AFTER as u32 {
            drop(clients.enter(IpAddr::V4((0x0a00_0000 + n).into()), 1));
        }
        assert!(clients.open.len() <= LOOK_AFTER);
        assert!(clients.enter(address("192.0.2.1"), 1).is_err());
        drop(held);
    }
}
