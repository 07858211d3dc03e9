use std::net::SocketAddr;
use std::sync::Arc;

use super::Screen;
use crate::cluster::policy::UrlPolicy;
use crate::cluster::{AddressRefusal, Cluster, DeploymentName, NoopListener, Placement};
use crate::snapshot::NamedBy;

fn policy(networks: &[&str]) -> UrlPolicy {
    UrlPolicy {
        networks: networks.iter().map(|net| net.parse().unwrap()).collect(),
        names: None,
        exact_names_anywhere: false,
    }
}

fn refusal(screen: &Screen, named_by: NamedBy, address: &str) -> Option<AddressRefusal> {
    let url = "http://name.test".parse().unwrap();
    let (service, deployment) = ("search", "search.x");
    let name = DeploymentName {
        service,
        deployment,
    };
    let cluster = Cluster::new(1, name, url, Arc::new(NoopListener));
    let address: SocketAddr = address.parse().unwrap();
    screen.place(&cluster, named_by, vec![Placement::from(address)]);
    let refused = cluster.refused();
    assert_eq!(refused.len() + cluster.endpoints().len(), 1, "{address}");
    refused.first().map(|refused| refused.why)
}

#[test]
fn own_listeners_are_never_an_upstream_by_whatever_address() {
    let own = ["0.0.0.0:8080", "127.0.0.1:9900", "[::]:8443", "[::1]:9901"];
    let own = own.map(|address| address.parse::<SocketAddr>().unwrap());
    let screen = Screen::new(Box::new(own), policy(&["0.0.0.0/0", "::/0"]));
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
            assert_eq!(found, Some(AddressRefusal::OwnListener), "{address}");
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
    let screen = Screen::new(Box::new(["0.0.0.0:80".parse().unwrap()]), policy(&[]));
    // A socket that is bound by the way out of this machine; nothing is sent. Without a network there is none.
    let out = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    if out.connect("192.0.2.1:9").is_ok() {
        let own = out.local_addr().unwrap().ip();
        let found = refusal(&screen, NamedBy::Platform, &format!("{own}:80"));
        assert_eq!(found, Some(AddressRefusal::OwnListener), "{own}");
    }
}

#[test]
fn payloads_lead_only_where_canary_urls_allows_and_routes_yaml_anywhere_but_metadata() {
    let screen = Screen::new(Box::new([]), policy(&["10.0.0.0/8"]));
    for (address, platform, flag) in [
        ("10.0.0.1:80", None, None),
        ("[::ffff:10.0.0.1]:80", None, None),
        ("127.0.0.1:80", None, Some(AddressRefusal::NotAllowed)),
        ("8.8.8.8:80", None, Some(AddressRefusal::NotAllowed)),
        (
            "[64:ff9b::8.8.8.8]:80",
            None,
            Some(AddressRefusal::NotAllowed),
        ),
        ("169.254.7.7:80", None, Some(AddressRefusal::NotAllowed)),
        (
            "169.254.169.254:80",
            Some(AddressRefusal::Metadata),
            Some(AddressRefusal::Metadata),
        ),
        (
            "[2002:a9fe:a9fe::]:80",
            Some(AddressRefusal::Metadata),
            Some(AddressRefusal::Metadata),
        ),
    ] {
        assert_eq!(
            refusal(&screen, NamedBy::Platform, address),
            platform,
            "{address}"
        );
        assert_eq!(refusal(&screen, NamedBy::Flag, address), flag, "{address}");
    }
    let all = policy(&["0.0.0.0/0", "::/0"]);
    assert!(screen.set_policy(&all) && !screen.set_policy(&all));
    for (address, flag) in [
        ("8.8.8.8:80", None),
        ("169.254.7.7:80", Some(AddressRefusal::NotAllowed)),
        ("100.100.100.200:80", Some(AddressRefusal::Metadata)),
    ] {
        assert_eq!(refusal(&screen, NamedBy::Flag, address), flag, "{address}");
    }
}
