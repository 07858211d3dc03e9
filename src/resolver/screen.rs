//! Which addresses are connected to: asked whenever a name has been looked up, again when what is allowed changes, and
//! before every connection that is made. Requests and checks that had an endpoint before then find out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::cluster::address::{is_metadata, stands_for};
use crate::cluster::policy::UrlPolicy;
use crate::cluster::{
    AddressGate, AddressRefusal, Cluster, Placement, RefusedAddress, UpstreamUrl,
};
use crate::snapshot::NamedBy;

/// Holds addresses to what may be connected to.
#[derive(Debug)]
pub(super) struct Screen {
    /// Where this gateway itself listens.
    own: Box<[SocketAddr]>,
    /// `canary_urls`.
    policy: ArcSwap<UrlPolicy>,
}

impl Screen {
    pub(super) fn new(own: Box<[SocketAddr]>, policy: UrlPolicy) -> Self {
        Self {
            own,
            policy: ArcSwap::from_pointee(policy),
        }
    }

    /// Takes another `canary_urls`. Whether it is another.
    pub(super) fn set_policy(&self, policy: &UrlPolicy) -> bool {
        let is_news = **self.policy.load() != *policy;
        if is_news {
            self.policy.store(Arc::new(policy.clone()));
        }
        is_news
    }

    fn judge(
        &self,
        url: &UpstreamUrl,
        named_by: NamedBy,
        address: SocketAddr,
    ) -> Result<(), AddressRefusal> {
        if self.is_own(address) {
            return Err(AddressRefusal::OwnListener);
        }
        if is_metadata(address.ip()) {
            return Err(AddressRefusal::Metadata);
        }
        match named_by {
            NamedBy::Platform => Ok(()),
            NamedBy::Flag | NamedBy::Registration => {
                let policy = self.policy.load();
                let checked = policy.check_address(url.host(), address);
                checked.map_err(AddressRefusal::NotAllowed)
            }
        }
    }

    /// Whether a listener of this gateway takes connections to the address.
    fn is_own(&self, address: SocketAddr) -> bool {
        let mut listeners = self.own.iter();
        listeners.any(|listener| {
            listener.port() == address.port()
                && stands_for(address.ip())
                    .into_iter()
                    .any(|target| takes(listener.ip(), target))
        })
    }
}

/// The screen for the clusters that one party has named.
#[derive(Debug)]
pub(super) struct ScreenFor {
    pub(super) screen: Arc<Screen>,
    pub(super) named_by: NamedBy,
}

impl AddressGate for ScreenFor {
    fn judge(&self, url: &UpstreamUrl, address: SocketAddr) -> Result<(), AddressRefusal> {
        self.screen.judge(url, self.named_by, address)
    }
}

/// Gives a cluster those of its addresses that may be connected to, and notes the others there.
pub(super) fn place(cluster: &Cluster, placements: Vec<Placement>) {
    let mut refused = Vec::new();
    let mut good = placements;
    good.retain(|place| match cluster.judge(place.address) {
        Ok(()) => true,
        Err(why) => {
            let address = place.address;
            refused.push(RefusedAddress { address, why });
            false
        }
    });
    cluster.place_endpoints(&good);
    if cluster.refuse(refused) {
        for refused in &*cluster.refused() {
            tracing::warn!(
                service = &*cluster.service,
                deployment = &*cluster.deployment,
                url = %cluster.url,
                "{refused}"
            );
        }
    }
}

/// Whether a socket that is bound to one address takes connections to the other.
fn takes(bound: IpAddr, target: IpAddr) -> bool {
    // Connections to no address in particular go to this machine.
    let target = match target {
        IpAddr::V4(v4) if v4.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(v6) if v6.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        target => target,
    };
    match bound {
        IpAddr::V4(v4) if v4.is_unspecified() => target.is_ipv4() && is_of_this_machine(target),
        // It is bound for IPv4 as well.
        IpAddr::V6(v6) if v6.is_unspecified() => is_of_this_machine(target),
        bound => bound.to_canonical() == target,
    }
}

/// Whether this machine has the address, as its kernel sees it: only then can a socket be bound to it. The list of
/// interfaces would not tell of all of 127.0.0.0/8, nor of routes to this machine.
fn is_of_this_machine(address: IpAddr) -> bool {
    address.is_loopback() || UdpSocket::bind((address, 0)).is_ok()
}

#[cfg(test)]
mod tests;
