//! `canary_urls`.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::cluster::address::never_allowed;
use crate::cluster::policy::UrlPolicy;
use crate::config::keys::CANARY_URLS;
use crate::config::keys::process::{ALLOW, PORTS, SCHEMES};
use crate::config::keys::shape::Key;
use crate::config::node::Node;
use crate::config::reader::Reader;
use crate::config::value;
use crate::host::HostPattern;

/// Loopback and private networks (RFC 1918, RFC 4193).
const NETWORKS: [&str; 6] = [
    "127.0.0.0/8",
    "::1",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "fc00::/7",
];

enum Allowed {
    Network(IpNet),
    Name(HostPattern),
}

/// Compiles `canary_urls`. By default any name may be named, and any address that is private or loopback be connected to.
/// Where `allow` lists names, only they may be named; where it lists networks, every address must lie in one. A name that
/// is listed exactly, without any network, may be public.
pub fn compile(reader: &mut Reader, root: &Node) -> UrlPolicy {
    let node = CANARY_URLS.node(root);
    let mut policy = UrlPolicy {
        ports: PORTS.read(reader, node),
        schemes: SCHEMES.read(reader, node),
        ..UrlPolicy::nothing()
    };
    let Some(allow) = ALLOW.node(node) else {
        policy.networks = local_networks();
        policy.names = None;
        return policy;
    };
    let mut names = Vec::new();
    for node in allow.items() {
        let stand_in = Allowed::Name(HostPattern::Exact("placeholder.invalid".into()));
        match reader.parse(node, "a network or a host name", stand_in, allowed) {
            Some(Allowed::Network(network)) => {
                if within_never_allowed(&network) {
                    reader.problems.warning(
                        node.span,
                        "link-local, metadata and multicast addresses never are allowed",
                    );
                }
                policy.networks.push(network);
            }
            Some(Allowed::Name(name)) => names.push(name),
            None => {}
        }
    }
    if policy.networks.is_empty() && !names.is_empty() {
        policy.networks = local_networks();
        policy.exact_names_anywhere = true;
    }
    policy.names = (policy.networks.is_empty() || !names.is_empty()).then_some(names);
    policy
}

fn local_networks() -> Vec<IpNet> {
    let networks = NETWORKS.iter();
    networks
        .filter_map(|text| value::network(text).ok())
        .collect()
}

fn allowed(text: &str) -> Result<Allowed, String> {
    if let Ok(network) = value::network(text) {
        return Ok(Allowed::Network(network));
    }
    let hint = || "as in 10.0.0.0/8, api.example.com or *.svc.cluster.local".to_owned();
    // A misspelt network would otherwise pass for an odd name.
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
    ends.into_iter().all(|end| never_allowed(end).is_some())
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use crate::cluster::UpstreamHost;
    use crate::cluster::policy::UrlPolicy;
    use crate::config::{Config, Environment, OnUnset, compile};
    use crate::context::Moment;

    struct Empty;

    impl Environment for Empty {
        fn variable(&self, _: &str) -> Option<String> {
            None
        }

        fn file(&self, _: &str) -> Result<String, String> {
            Err("no files".to_owned())
        }
    }

    fn policy(allow: &str) -> UrlPolicy {
        let text = format!(
            "services: {{ s: 'http://s:1' }}\nroutes: [{{ path: /, service: s }}]\n{allow}"
        );
        let now = Moment { unix_ms: 0 };
        let config: Config = compile(&text, &Empty, OnUnset::StandIn, now)
            .unwrap_or_else(|problems| panic!("{allow}: {problems:?}"));
        config.canary_urls
    }

    fn names(policy: &UrlPolicy, url: &str) -> bool {
        let url = url.parse().unwrap_or_else(|error| panic!("{url}: {error}"));
        policy.check(&url).is_ok()
    }

    fn connects(policy: &UrlPolicy, name: &str, address: &str) -> bool {
        let host = UpstreamHost::Name(name.into());
        let ip = address.parse().expect(address);
        policy
            .check_address(&host, SocketAddr::new(ip, 8080))
            .is_ok()
    }

    #[test]
    fn by_default_any_name_may_be_named_and_private_and_loopback_addresses_connected_to() {
        let policy = policy("");
        for url in [
            "http://127.0.0.1:9002",
            "http://[::1]:9002",
            "http://10.1.2.3",
            "http://172.31.0.1",
            "http://192.168.7.7",
            "http://[fd00::1]",
            "http://[::ffff:10.1.2.3]",
            "http://localhost:9002",
            "http://search-v2:8080",
            "h2c://a.default.svc.cluster.local",
            "http://example.com",
        ] {
            assert!(names(&policy, url), "{url}");
        }
        for url in [
            "http://8.8.8.8",
            "http://[64:ff9b::8.8.8.8]",
            "http://169.254.169.254",
            "http://[fd00:ec2::254]",
            "http://[fd20:ce::254]",
            "http://[2002:a9fe:a9fe::]",
        ] {
            assert!(!names(&policy, url), "{url}");
        }
        for (address, allowed) in [
            ("10.0.0.1", true),
            ("::1", true),
            ("8.8.8.8", false),
            ("100.100.100.200", false),
        ] {
            assert_eq!(
                connects(&policy, "search-v2", address),
                allowed,
                "{address}"
            );
        }
    }

    #[test]
    fn what_is_listed_says_which_names_and_which_addresses() {
        let both = policy("canary_urls: { allow: [10.0.0.0/8, '*.test', one.example] }");
        assert!(names(&both, "http://a.test") && !names(&both, "http://a.other"));
        for (name, address, allowed) in [
            ("a.test", "10.0.0.1", true),
            ("a.test", "127.0.0.1", false),
            ("one.example", "8.8.8.8", false),
        ] {
            assert_eq!(connects(&both, name, address), allowed, "{name} {address}");
        }
        let networks = policy("canary_urls: { allow: [203.0.113.0/24] }");
        assert!(names(&networks, "http://a.other"));
        assert!(connects(&networks, "a.other", "203.0.113.7"));
        assert!(!connects(&networks, "a.other", "10.0.0.1"));
        let alone = policy("canary_urls: { allow: ['*.test', one.example] }");
        for (name, address, allowed) in [
            ("a.test", "10.0.0.1", true),
            // Anybody may have a name below.
            ("a.test", "8.8.8.8", false),
            ("one.example", "8.8.8.8", true),
            ("one.example", "169.254.169.254", false),
        ] {
            assert_eq!(connects(&alone, name, address), allowed, "{name} {address}");
        }
        let nothing = policy("canary_urls: { allow: [] }");
        assert!(!names(&nothing, "http://a.test") && !connects(&nothing, "a.test", "10.0.0.1"));
    }
}
