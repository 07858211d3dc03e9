//! Sockets that are bound before anything is started, so that a busy port is an error and not a retry; and which one a
//! connection came by.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use socket2::{Domain, Protocol, Socket, Type};

use crate::certificates::ServerTls;

/// How many connections may wait to be accepted; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// What a listener is, as its connections know it.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Where it is bound.
    pub address: SocketAddr,
    /// What it speaks TLS with; `None`: it speaks plain HTTP.
    pub tls: Option<Arc<ServerTls>>,
    /// Whether each connection begins with a PROXY header.
    pub proxy_protocol: bool,
    /// Whether HTTP/2 is spoken.
    pub http2: bool,
}

impl Listener {
    /// One that speaks plain HTTP/1.1 and h2c.
    pub fn plain(address: SocketAddr) -> Self {
        Self {
            address,
            tls: None,
            proxy_protocol: false,
            http2: true,
        }
    }
}

/// A listener with its socket.
#[derive(Debug)]
pub struct BoundListener {
    /// Which one it is.
    pub listener: Arc<Listener>,
    /// The socket, non-blocking.
    pub socket: TcpListener,
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
