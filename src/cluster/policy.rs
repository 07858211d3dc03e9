//! How upstreams may be named and how they are spoken to.

use std::net::IpAddr;
use std::time::Duration;

use super::{Balance, UpstreamHost, UpstreamUrl};
use crate::route::HostPattern;

/// How a service's upstreams are spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamPolicy {
    /// How an endpoint is chosen.
    pub balance: Balance,
    /// Until a connection stands.
    pub connect_timeout: Duration,
    /// Until an attempt's response begins.
    pub response_timeout: Duration,
    /// A pooled connection's life.
    pub idle_timeout: Duration,
    /// Further attempts on the same deployment when no connection could be made.
    pub retries: u32,
    /// Whether stable takes over when no connection to a canary can be made.
    pub rescue_on_connect: bool,
    /// Whether the client's `Host` is passed on; else the URL's.
    pub preserve_host: bool,
}

/// Which upstream addresses flags, payloads and registrations may name (`canary_urls`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlPolicy {
    /// Networks that literal addresses, and the addresses of allowed names, may lie in.
    pub networks: Vec<ipnet::IpNet>,
    /// Host names: exact, or `*.suffix`.
    pub names: Vec<HostPattern>,
}

impl UrlPolicy {
    /// Whether a canary may have this URL. Link-local and metadata addresses never may, whatever is allowed.
    pub fn allows(&self, url: &UpstreamUrl) -> bool {
        match url.host() {
            UpstreamHost::Address(address) => {
                let address = address.to_canonical();
                !never_allowed(address) && self.networks.iter().any(|net| net.contains(&address))
            }
            UpstreamHost::Name(name) => self.names.iter().any(|pattern| pattern.matches(name)),
            UpstreamHost::Nowhere => false,
        }
    }
}

/// Link-local addresses (169.254.0.0/16 with the cloud's metadata service, fe80::/10), the IPv6 metadata address
/// of AWS, multicast, broadcast and the unspecified address.
pub fn never_allowed(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            v4.is_link_local() || v4.is_multicast() || v4.is_broadcast() || v4.is_unspecified()
        }
        IpAddr::V6(v6) => {
            v6.is_unicast_link_local()
                || v6.is_multicast()
                || v6.is_unspecified()
                || v6.segments() == [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254]
        }
    }
}
