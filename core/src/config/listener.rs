//! `listeners`: where end users' traffic is taken.

use std::net::SocketAddr;

use super::tls::ListenerTls;

/// One entry of `listeners`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerConfig {
    /// Where it is.
    pub address: SocketAddr,
    /// What it speaks TLS with; `None`: it speaks plain HTTP.
    pub tls: Option<ListenerTls>,
    /// Whether each connection begins with a PROXY header.
    pub proxy_protocol: bool,
    /// Whether HTTP/2 is spoken.
    pub http2: bool,
}

impl ListenerConfig {
    /// Plain HTTP/1.1 and h2c.
    pub fn at(address: SocketAddr) -> Self {
        Self {
            address,
            tls: None,
            proxy_protocol: false,
            http2: true,
        }
    }
}
