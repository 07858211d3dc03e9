//! Sockets that are bound before anything is started, so that a busy port is an error and not a retry; and which one a
//! connection came by.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use socket2::{Domain, Protocol, Socket, Type};

/// How many connections may wait to be accepted; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// What a listener is, as its connections know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its place in the configuration.
    pub id: usize,
    /// Where it is bound.
    pub address: SocketAddr,
}

/// A listener with its socket.
#[derive(Debug)]
pub struct BoundListener {
    /// Which one it is.
    pub listener: Arc<Listener>,
    /// The socket, non-blocking.
    pub socket: TcpListener,
}

impl BoundListener {
    /// Gives sockets that [`bind`] made their identity, in order.
    pub fn number(sockets: Vec<TcpListener>) -> io::Result<Vec<Self>> {
        let number = |(id, socket): (usize, TcpListener)| {
            let address = socket.local_addr()?;
            Ok(Self {
                listener: Arc::new(Listener { id, address }),
                socket,
            })
        };
        sockets.into_iter().enumerate().map(number).collect()
    }
}

/// Binds and listens. The socket is non-blocking.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // A restart must not wait for connections of the last process that linger.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        // `[::]` takes IPv4 as well, whatever the system's default is.
        socket.set_only_v6(false)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}
