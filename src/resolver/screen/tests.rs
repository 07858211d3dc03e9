use std::net::SocketAddr;
use std::sync::Arc;

use super::{Screen, ScreenFor, place};
use crate::cluster::policy::UrlPolicy;
use crate::cluster::{Cluster, DeploymentName, NoopListener, Placement};
use crate::snapshot::NamedBy;

fn policy(networks: &[&str]) -> UrlPolicy {
    UrlPolicy {
        networks: networks.iter().map(|net| net.parse().unwrap()).collect(),
        names: None,
        ..UrlPolicy::nothing()
    }
}

fn screen(own: Box<[SocketAddr]>, policy: UrlPolicy) -> Arc<Screen> {
    Arc::new(Screen::new(own, policy))
}

const OWN: &str = "it leads to a listener of this gateway's own";
const METADATA: &str = "it is a metadata address";

/// What is said of an address that is refused.
fn refusal(screen: &Arc<Screen>, named_by: NamedBy, address: &str) -> Option<String> {
    let url = "http://name.test".parse().unwrap();
    let (service, deployment) = ("search", "search.x");
    let name = DeploymentName {
        service,
        deployment,
    };
    let screen = screen.clone();
    let gate = Arc::new(ScreenFor { screen, named_by });
    let cluster = Cluster::gated(1, name, url, Arc::new(NoopListener), gate);
    let address: SocketAddr = address.parse().unwrap();
    place(&cluster, vec![Placement::from(address)]);
    let refused = cluster.refused();
    assert_eq!(refused.len() + cluster.endpoints().len(), 1, "{address}");
    refused.first().map(|refused| refused.why.to_string())
}

#[test]
fn own_listeners_are_never_an_upstream_by_whatever_address() {
    let own = ["0.0.0.0:8080", "127.0.0.1:9900", "[::]:8443", "[::1]:9901"];
    let own = own.map(|address| address.parse::<SocketAddr>().unwrap());
    let screen = screen(Box::new(own), policy(&["0.0.0.0/0", "::/0"]));
    for address in [
        "127.0.0.1:8080",
        "127.7.7.7:8080",
        "0.0.0.0:8080",
        "[::ffff:127.0.0.1]:8080",
        "[64:ff9b::127.0.0.1]:8080",
        "127.0.0.1:9900",
        "0.0.0.0:9900",
        "[::ffff:127.0.0.1]:9900",
        "[::1]:8443",
        "[::]:8443",
        "127.0.0.1:8443",
        "[::1]:9901",
        "[::]:9901",
    ] {
        for named_by in [NamedBy::Platform, NamedBy::Flag] {
            let found = refusal(&screen, named_by, address);
            assert_eq!(found.as_deref(), Some(OWN), "{address}");
        }
    }
    // Another port, another machine, an address of this one that nothing is bound to there.
    for address in [
        "127.0.0.1:8081",
        "192.0.2.1:8080",
        "[::1]:8080",
        "127.0.0.2:9900",
        "127.0.0.1:9901",
        "[2001:db8::1]:8443",
    ] {
        assert_eq!(
            refusal(&screen, NamedBy::Platform, address),
            None,
            "{address}"
        );
    }
}

#[test]
fn every_address_of_this_machine_leads_to_a_listener_on_all_of_them() {
    let screen = screen(Box::new(["0.0.0.0:80".parse().unwrap()]), policy(&[]));
    // A socket that is bound by the way out of this machine; nothing is sent. Without a network there is none.
    let out = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    if out.connect("192.0.2.1:9").is_ok() {
        let own = out.local_addr().unwrap().ip();
        let found = refusal(&screen, NamedBy::Platform, &format!("{own}:80"));
        assert_eq!(found.as_deref(), Some(OWN), "{own}");
    }
}

#[test]
fn payloads_lead_only_where_canary_urls_allows_and_routes_yaml_anywhere_but_metadata() {
    let screen = screen(Box::new([]), policy(&["10.0.0.0/8"]));
    let public =
        "`canary_urls` does not allow it: `8.8.8.8` is a public address that `allow` does not list";
    let translated = "`canary_urls` does not allow it: `64:ff9b::808:808` stands for `8.8.8.8`, a public address that \
                      `allow` does not list";
    let loopback = "`canary_urls` does not allow it: `127.0.0.1` is a loopback address that `allow` does not list";
    let link_local = "`canary_urls` does not allow it: `169.254.7.7` is a link-local address where no canary may be";
    for (address, platform, flag) in [
        ("10.0.0.1:80", None, None),
        ("[::ffff:10.0.0.1]:80", None, None),
        ("127.0.0.1:80", None, Some(loopback)),
        ("8.8.8.8:80", None, Some(public)),
        ("[64:ff9b::8.8.8.8]:80", None, Some(translated)),
        ("169.254.7.7:80", None, Some(link_local)),
        ("169.254.169.254:80", Some(METADATA), Some(METADATA)),
        ("[2002:a9fe:a9fe::]:80", Some(METADATA), Some(METADATA)),
        (
            "[fd00:ec2::5efe:10.0.0.1]:80",
            Some(METADATA),
            Some(METADATA),
        ),
    ] {
        let by_platform = refusal(&screen, NamedBy::Platform, address);
        assert_eq!(by_platform.as_deref(), platform, "{address}");
        for named_by in [NamedBy::Flag, NamedBy::Registration] {
            let found = refusal(&screen, named_by, address);
            assert_eq!(found.as_deref(), flag, "{address}");
        }
    }
    let all = policy(&["0.0.0.0/0", "::/0"]);
    assert!(screen.set_policy(&all) && !screen.set_policy(&all));
    for (address, flag) in [
        ("8.8.8.8:80", None),
        ("169.254.7.7:80", Some(link_local)),
        ("100.100.100.200:80", Some(METADATA)),
    ] {
        let found = refusal(&screen, NamedBy::Flag, address);
        assert_eq!(found.as_deref(), flag, "{address}");
    }
}
