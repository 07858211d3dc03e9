//! What upstreams are spoken to with over TLS.

use std::path::PathBuf;

use crate::cluster::{Cluster, Role};

/// `tls` of a service's stable deployment, whose authority and certificate hold for its canaries as well.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UpstreamTls {
    /// The PEM file of who vouches for them; `None`: the system's authorities.
    pub ca: Option<PathBuf>,
    /// The PEM files of the certificate that they are shown, and of its key; `None`: none.
    pub client: Option<(PathBuf, PathBuf)>,
    /// The name that stable's certificate is for; `None`: its URL's host.
    pub sni: Option<Box<str>>,
    /// Whether stable's certificate is verified; a canary's always is.
    pub verify: bool,
}

/// Who an upstream has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerIdentity {
    /// The name, or the address, that its certificate has to be for.
    pub name: String,
    /// Whether it has to have such a one.
    pub verify: bool,
}

impl ServerIdentity {
    /// Of the upstream of a deployment, where the service's policy says so.
    pub fn of(cluster: &Cluster, tls: Option<&UpstreamTls>) -> Self {
        let stables = tls.filter(|_| Role::of(&cluster.deployment) == Role::Stable);
        let stated = stables.and_then(|tls| tls.sni.as_deref());
        Self {
            name: stated.map_or_else(|| cluster.url.host().unbracketed(), str::to_owned),
            verify: stables.is_none_or(|tls| tls.verify),
        }
    }
}
