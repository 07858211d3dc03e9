use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::endpoint::Finding;
use super::policy::{HealthPolicy, Probe, UpstreamPolicy};
use super::{
    Balance, Choice, Cluster, DeploymentName, NoopListener, UpstreamUrl, UpstreamUrlError,
};

fn url(text: &str) -> UpstreamUrl {
    text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn cluster(text: &str) -> Arc<Cluster> {
    of_deployment("stable", text)
}

fn of_deployment(deployment: &str, text: &str) -> Arc<Cluster> {
    let name = DeploymentName {
        service: "search",
        deployment,
    };
    Cluster::new(1, name, url(text), Arc::new(NoopListener))
}

fn pick(
    cluster: &Cluster,
    balance: Balance,
    tried: &[SocketAddr],
    random: u64,
) -> Option<super::endpoint::EndpointUse> {
    let policy = UpstreamPolicy {
        balance,
        ..UpstreamPolicy::default()
    };
    let choice = Choice {
        policy: &policy,
        tried,
        random,
        user_hash: None,
        now: Instant::now(),
    };
    cluster.pick(&choice).ok()
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

#[test]
fn urls_are_scheme_host_and_port() {
    for (text, shown, authority) in [
        ("http://a.example", "http://a.example:80", "a.example"),
        (
            "HTTP://A.Example.:8080/",
            "http://a.example:8080",
            "a.example:8080",
        ),
        (
            "h2c://10.0.0.1:9000",
            "h2c://10.0.0.1:9000",
            "10.0.0.1:9000",
        ),
        (
            "srv+http://_http._tcp.Search.svc/",
            "srv+http://_http._tcp.search.svc",
            "_http._tcp.search.svc",
        ),
        ("http://[::1]:80", "http://[::1]:80", "[::1]"),
        ("http://[fe80::1]", "http://[fe80::1]:80", "[fe80::1]"),
    ] {
        assert_eq!(url(text).to_string(), shown);
        assert_eq!(url(text).authority(), authority);
    }
}

#[test]
fn what_is_not_a_url_is_told_why() {
    let error = |text: &str| text.parse::<UpstreamUrl>().expect_err(text);
    assert_eq!(error("a.example:80"), UpstreamUrlError::NoScheme);
    for text in [
        "http://::1:9",
        "http://::1",
        "h2c://fe80::1:80",
        "http://a:1:2",
    ] {
        assert_eq!(error(text), UpstreamUrlError::Brackets, "{text}");
    }
    for (text, shown, authority) in [
        ("https://a", "https://a:443", "a"),
        ("h2://a:8443", "h2://a:8443", "a:8443"),
        ("https://a:80", "https://a:80", "a:80"),
        ("h2c://a:443", "h2c://a:443", "a:443"),
    ] {
        let url: UpstreamUrl = text.parse().unwrap();
        assert_eq!((&*url.to_string(), &*url.authority()), (shown, authority));
    }
    assert_eq!(error("ftp://a"), UpstreamUrlError::Scheme("ftp".into()));
    for text in [
        "srv+http://a:80",
        "srv+http://127.0.0.1",
        "srv+http://[::1]",
    ] {
        assert_eq!(error(text), UpstreamUrlError::Srv, "{text}");
    }
    assert_eq!(error("http://u:p@a"), UpstreamUrlError::Credentials);
    assert_eq!(error("http://a/x"), UpstreamUrlError::Path);
    assert_eq!(error("http://a?x"), UpstreamUrlError::Path);
    assert_eq!(error("http://a:0"), UpstreamUrlError::Port("0".into()));
    assert_eq!(error("http://a:+80"), UpstreamUrlError::Port("+80".into()));
    for text in [
        "http://a b",
        " http://a",
        "http://a\n",
        "http://a\\b",
        "http://a\t.b",
        "http://a:8\r0",
    ] {
        assert_eq!(error(text), UpstreamUrlError::Character, "{text}");
    }
    for host in ["", "-a", "[::1", "a..b"] {
        let text = format!("http://{host}");
        assert!(matches!(error(&text), UpstreamUrlError::Host(_)), "{text}");
    }
}

#[test]
fn round_robin_takes_turns() {
    let cluster = cluster("http://name");
    assert!(pick(&cluster, Balance::RoundRobin, &[], 0).is_none());
    cluster.replace_endpoints(&[address(1), address(2), address(3)]);
    let mut counts: HashMap<SocketAddr, u32> = HashMap::new();
    for _ in 0..30 {
        let used = pick(&cluster, Balance::RoundRobin, &[], 0).expect("there are endpoints");
        *counts.entry(used.address()).or_default() += 1;
    }
    assert_eq!(counts.into_values().collect::<Vec<_>>(), [10, 10, 10]);
}

#[test]
fn least_requests_prefers_the_idler_of_two() {
    let cluster = cluster("http://name");
    cluster.replace_endpoints(&[address(1), address(2)]);
    let first = pick(&cluster, Balance::LeastRequests, &[], 0).expect("an endpoint");
    for random in [0, 1, 7 << 32, u64::MAX, 0x1234_5678_9abc_def0] {
        let second = pick(&cluster, Balance::LeastRequests, &[], random).expect("an endpoint");
        assert_ne!(first.address(), second.address(), "{random:x}");
    }
}

#[test]
fn what_was_tried_is_avoided_while_something_else_is_there() {
    let cluster = cluster("http://name");
    cluster.replace_endpoints(&[address(1), address(2)]);
    for balance in [Balance::RoundRobin, Balance::LeastRequests] {
        for random in 0..8 {
            let used = pick(&cluster, balance, &[address(1)], random).expect("an endpoint");
            assert_eq!(used.address(), address(2));
            assert!(pick(&cluster, balance, &[address(1), address(2)], random).is_some());
        }
    }
}

#[test]
fn an_endpoint_that_stays_keeps_its_count() {
    let cluster = cluster("http://127.0.0.1:1");
    let used = pick(&cluster, Balance::LeastRequests, &[], 0);
    cluster.replace_endpoints(&[address(2), address(1)]);
    let in_flight = |cluster: &Cluster| -> Vec<u32> {
        cluster.endpoints().iter().map(|e| e.in_flight()).collect()
    };
    assert_eq!(in_flight(&cluster), [1, 0]);
    drop(used);
    assert_eq!(in_flight(&cluster), [0, 0]);
}

#[test]
fn who_only_stands_by_is_sent_to_healthy_endpoints_in_turn_and_counts_nowhere() {
    let canary = of_deployment("search.b", "http://search");
    let now = Instant::now();
    assert_eq!(canary.bystander(now), None);
    canary.replace_endpoints(&[address(1), address(2), address(3)]);
    let turns = |count| -> Vec<_> { (0..count).map(|_| canary.bystander(now)).collect() };
    assert_eq!(turns(4), [1, 2, 3, 1].map(|port| Some(address(port))));
    assert_eq!(canary.in_flight(), 0);

    let failed = |endpoint: &super::endpoint::Endpoint| {
        let policy = HealthPolicy {
            probe: Probe::Tcp,
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            unhealthy_after: 1,
            healthy_after: 1,
            tls: None,
        };
        let finding = Finding {
            passed: false,
            said: "no".into(),
            took: Duration::ZERO,
        };
        endpoint.take_check(finding, &policy, now);
    };
    let endpoints = canary.endpoints();
    failed(&endpoints[1]);
    assert_eq!(turns(3), [1, 3, 1].map(|port| Some(address(port))));
    failed(&endpoints[0]);
    failed(&endpoints[2]);
    assert_eq!(turns(1), [None]);
}
