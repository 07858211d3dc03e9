//! Which addresses are connected to, and why others are not.

use std::fmt;
use std::net::SocketAddr;

use super::UpstreamUrl;
use super::policy::UrlRule;

/// Says whether a cluster may be connected to at an address, by what holds at that moment.
pub trait AddressGate: fmt::Debug + Send + Sync {
    /// Asked when addresses are found, and again before every connection that is made.
    fn judge(&self, url: &UpstreamUrl, address: SocketAddr) -> Result<(), AddressRefusal>;
}

/// A gate that is open to every address.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenGate;

impl AddressGate for OpenGate {
    fn judge(&self, _: &UpstreamUrl, _: SocketAddr) -> Result<(), AddressRefusal> {
        Ok(())
    }
}

/// An address that is not connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedAddress {
    /// Which one.
    pub address: SocketAddr,
    /// Why.
    pub why: AddressRefusal,
}

/// Why an address is not connected to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressRefusal {
    /// A request would come back to this gateway, or get into its admin API.
    #[error("it leads to a listener of this gateway's own")]
    OwnListener,
    /// Whoever may be led there gets the credentials of the machine.
    #[error("it is a metadata address")]
    Metadata,
    /// `canary_urls` does not allow it, or may not.
    #[error("`canary_urls` does not allow it: {}", .0)]
    NotAllowed(UrlRule),
}

impl fmt::Display for RefusedAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not connected to: {}", self.address, self.why)
    }
}
