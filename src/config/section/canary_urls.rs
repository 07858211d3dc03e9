//! `canary_urls`.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::cluster::policy::{UrlPolicy, never_allowed};
use crate::config::node::Node;
use crate::config::reader::Reader;
use crate::config::value;
use crate::route::HostPattern;

/// Loopback and private networks (RFC 1918, RFC 4193).
const NETWORKS: [&str; 6] = [
    "127.0.0.0/8",
    "::1",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "fc00::/7",
];

/// This machine, and a cluster's own services.
const NAMES: [&str; 2] = ["localhost", "*.svc.cluster.local"];

enum Allowed {
    Network(IpNet),
    Name(HostPattern),
}

/// `canary_urls`, compiled.
#[derive(Debug)]
pub struct CanaryUrls {
    /// What is allowed.
    pub policy: UrlPolicy,
    /// Whether a placeholder stands for some of it, so that a URL may be allowed all the same.
    pub incomplete: bool,
}

/// Compiles `canary_urls`.
pub fn compile(reader: &mut Reader, root: &Node) -> CanaryUrls {
    let Some(allow) = root.get("canary_urls").and_then(|node| node.get("allow")) else {
        return CanaryUrls {
            policy: default(),
            incomplete: false,
        };
    };
    let mut policy = UrlPolicy {
        networks: Vec::new(),
        names: Vec::new(),
    };
    for node in allow.items() {
        let stand_in = Allowed::Name(HostPattern::Exact("placeholder.invalid".into()));
        match reader.read(node, "a network or a host name", stand_in, allowed) {
            Some(Allowed::Network(network)) => {
                if within_never_allowed(&network) {
                    reader.problems.warning(
                        node.span,
                        "link-local, metadata and multicast addresses never are allowed",
                    );
                }
                policy.networks.push(network);
            }
            Some(Allowed::Name(name)) => policy.names.push(name),
            None => {}
        }
    }
    CanaryUrls {
        policy,
        incomplete: allow.has_placeholder(),
    }
}

fn default() -> UrlPolicy {
    UrlPolicy {
        networks: NETWORKS
            .iter()
            .filter_map(|text| value::network(text).ok())
            .collect(),
        names: NAMES
            .iter()
            .filter_map(|text| value::host(text).ok())
            .collect(),
    }
}

fn allowed(text: &str) -> Result<Allowed, String> {
    if let Ok(network) = value::network(text) {
        return Ok(Allowed::Network(network));
    }
    let hint = || "as in 10.0.0.0/8, api.example.com or *.svc.cluster.local".to_owned();
    // What looks like a network but is none would otherwise be an odd name.
    let numeric = text
        .rsplit('.')
        .next()
        .is_some_and(|last| last.starts_with(|c: char| c.is_ascii_digit()));
    match value::host(text) {
        Ok(name) if !numeric => Ok(Allowed::Name(name)),
        _ => Err(hint()),
    }
}

fn within_never_allowed(network: &IpNet) -> bool {
    let ends: [IpAddr; 2] = [network.network(), network.broadcast()];
    ends.into_iter().all(never_allowed)
}

#[cfg(test)]
mod tests {
    use super::default;

    #[test]
    fn by_default_loopback_private_networks_and_cluster_services_are_allowed() {
        let policy = default();
        let allows =
            |text: &str| policy.allows(&text.parse().unwrap_or_else(|e| panic!("{text}: {e}")));
        for url in [
            "http://127.0.0.1:9002",
            "http://[::1]:9002",
            "http://10.1.2.3",
            "http://172.31.0.1",
            "http://192.168.7.7",
            "http://[fd00::1]",
            "http://localhost:9002",
            "h2c://a.default.svc.cluster.local",
        ] {
            assert!(allows(url), "{url}");
        }
        for url in [
            "http://8.8.8.8",
            "http://169.254.169.254",
            "http://[fd00:ec2::254]",
            "http://example.com",
            "http://svc.cluster.local",
        ] {
            assert!(!allows(url), "{url}");
        }
    }
}
