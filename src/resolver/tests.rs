use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, SRV};
use hickory_proto::rr::{RData, Record, RecordType};
use tokio::net::UdpSocket;
use tokio::runtime::Handle;

use super::ClusterManager;
use super::dns::{Dns, DnsSetupError};
use crate::cluster::policy::{PortRange, UrlPolicy};
use crate::cluster::{AddressRefusal, Cluster, DeploymentName};
use crate::snapshot::NamedBy;

/// What the test's own server says to a question.
#[derive(Clone)]
enum Reply {
    Addresses(Vec<IpAddr>),
    /// Priority, weight, port, target.
    Services(Vec<(u16, u16, u16, &'static str)>),
    Code(ResponseCode),
    Silence,
}

/// A DNS server on loopback, whose records live for one second.
struct Server {
    address: SocketAddr,
    zone: Arc<Mutex<HashMap<(String, RecordType), Reply>>>,
    asked: Arc<Mutex<u32>>,
}

impl Server {
    async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            address: socket.local_addr().unwrap(),
            zone: Arc::default(),
            asked: Arc::default(),
        };
        let (zone, asked) = (server.zone.clone(), server.asked.clone());
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                *asked.lock().unwrap() += 1;
                let question = Message::from_vec(&buffer[..length]).unwrap();
                if let Some(answer) = answer(&question, &zone.lock().unwrap()) {
                    let _ = socket.try_send_to(&answer.to_vec().unwrap(), from);
                }
            }
        });
        server
    }

    fn set(&self, name: &str, records: RecordType, reply: Reply) {
        let mut zone = self.zone.lock().unwrap();
        zone.insert((format!("{name}."), records), reply);
    }

    fn set_addresses(&self, name: &str, addresses: &[&str]) {
        let addresses: Vec<IpAddr> = addresses.iter().map(|a| a.parse().unwrap()).collect();
        let (v4, v6): (Vec<_>, Vec<_>) = addresses.into_iter().partition(IpAddr::is_ipv4);
        self.set(name, RecordType::A, Reply::Addresses(v4));
        self.set(name, RecordType::AAAA, Reply::Addresses(v6));
    }

    fn set_both(&self, name: &str, reply: &Reply) {
        self.set(name, RecordType::A, reply.clone());
        self.set(name, RecordType::AAAA, reply.clone());
    }

    fn asked(&self) -> u32 {
        *self.asked.lock().unwrap()
    }

    fn directory(&self) -> ClusterManager {
        let dns = Dns::new(Some(&self.address.to_string())).unwrap();
        let own = Box::new([OWN]);
        let mut directory = ClusterManager::new(dns, Handle::current(), own);
        directory.set_policy(&loopback());
        directory
    }
}

/// Where the gateway of these tests listens.
const OWN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 9900);

/// Whatever the name, loopback addresses.
fn loopback() -> UrlPolicy {
    UrlPolicy {
        networks: vec!["127.0.0.0/8".parse().unwrap()],
        names: None,
        ..UrlPolicy::nothing()
    }
}

fn answer(question: &Message, zone: &HashMap<(String, RecordType), Reply>) -> Option<Message> {
    let query = question.queries.first().unwrap();
    let key = (query.name().to_lowercase().to_string(), query.query_type());
    let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
    answer.add_query(query.clone());
    match zone.get(&key) {
        Some(Reply::Silence) => return None,
        Some(Reply::Code(code)) => answer.metadata.response_code = *code,
        None => answer.metadata.response_code = ResponseCode::NXDomain,
        Some(Reply::Services(services)) => {
            for &(priority, weight, port, target) in services {
                let data = RData::SRV(SRV::new(priority, weight, port, target.parse().unwrap()));
                answer.add_answer(Record::from_rdata(query.name().clone(), 1, data));
            }
        }
        Some(Reply::Addresses(addresses)) => {
            for address in addresses {
                let data = match *address {
                    IpAddr::V4(address) => RData::A(A(address)),
                    IpAddr::V6(address) => RData::AAAA(AAAA(address)),
                };
                answer.add_answer(Record::from_rdata(query.name().clone(), 1, data));
            }
        }
    }
    Some(answer)
}

fn addresses(cluster: &Cluster) -> Vec<String> {
    let endpoints = cluster.endpoints();
    endpoints.iter().map(|e| e.address.to_string()).collect()
}

async fn until(what: &str, fact: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !fact() {
        assert!(Instant::now() < deadline, "never came true: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn cluster(directory: &mut ClusterManager, deployment: &str, url: &str) -> Arc<Cluster> {
    let named_by = match deployment {
        "stable" => NamedBy::Platform,
        _ => NamedBy::Flag,
    };
    let service = "search";
    let name = DeploymentName {
        service,
        deployment,
    };
    directory.cluster(name, &url.parse().unwrap(), named_by)
}

#[tokio::test]
async fn the_same_deployment_and_url_is_the_same_cluster() {
    let server = Server::start().await;
    let mut directory = server.directory();
    let first = cluster(&mut directory, "stable", "http://127.0.0.1:81");
    let again = cluster(&mut directory, "stable", "http://127.0.0.1:81");
    assert!(Arc::ptr_eq(&first, &again) && first.is_settled());
    let others = [
        cluster(&mut directory, "canary", "http://127.0.0.1:81"),
        cluster(&mut directory, "stable", "http://127.0.0.1:82"),
        cluster(&mut directory, "stable", "h2c://127.0.0.1:81"),
        directory.cluster(
            DeploymentName {
                service: "shop",
                deployment: "stable",
            },
            &"http://127.0.0.1:81".parse().unwrap(),
            NamedBy::Platform,
        ),
    ];
    let mut ids: Vec<u64> = others.iter().map(|c| c.id).chain([first.id]).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 5);
}

#[tokio::test]
async fn a_name_is_followed_through_changes_and_failures() {
    let server = Server::start().await;
    server.set_addresses("api.test", &["127.0.0.2", "::2"]);
    let mut directory = server.directory();
    let one = cluster(&mut directory, "stable", "http://api.test:81");
    until("both families", || {
        addresses(&one) == ["127.0.0.2:81", "[::2]:81"]
    })
    .await;
    // A second cluster of the name is served from what is known, at once.
    let two = cluster(&mut directory, "stable", "http://api.test:82");
    assert_eq!(addresses(&two), ["127.0.0.2:82", "[::2]:82"]);

    server.set_addresses("api.test", &["127.0.0.3", "127.0.0.4"]);
    until("the change", || {
        addresses(&one) == ["127.0.0.3:81", "127.0.0.4:81"]
    })
    .await;
    until("the change everywhere", || {
        addresses(&two) == ["127.0.0.3:82", "127.0.0.4:82"]
    })
    .await;

    for broken in [
        Reply::Code(ResponseCode::NXDomain),
        Reply::Code(ResponseCode::ServFail),
        Reply::Addresses(vec![]),
    ] {
        server.set_both("api.test", &broken);
        let before = server.asked();
        until("further questions", || server.asked() >= before + 4).await;
        assert_eq!(addresses(&one), ["127.0.0.3:81", "127.0.0.4:81"]);
    }
    server.set_addresses("api.test", &["127.0.0.5"]);
    until("the recovery", || addresses(&one) == ["127.0.0.5:81"]).await;
}

#[tokio::test]
async fn one_family_is_enough_when_the_other_is_silent() {
    let server = Server::start().await;
    server.set_addresses("half.test", &["127.0.0.2"]);
    server.set("half.test", RecordType::AAAA, Reply::Silence);
    let mut directory = server.directory();
    let half = cluster(&mut directory, "stable", "http://half.test:81");
    let begun = Instant::now();
    until("the answer", || addresses(&half) == ["127.0.0.2:81"]).await;
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "it waited for the silent half"
    );
}

#[tokio::test]
async fn a_name_that_fails_settles_its_cluster() {
    let server = Server::start().await;
    server.set_both("silent.test", &Reply::Silence);
    let mut directory = server.directory();
    let unknown = cluster(&mut directory, "stable", "http://unknown.test");
    let silent = cluster(&mut directory, "stable", "http://silent.test");
    assert!(!unknown.is_settled() && !silent.is_settled());
    until("NXDOMAIN settles", || unknown.is_settled()).await;
    until("silence settles", || silent.is_settled()).await;
    assert!(addresses(&unknown).is_empty() && addresses(&silent).is_empty());
}

#[tokio::test]
async fn nobody_gets_a_metadata_address() {
    let server = Server::start().await;
    server.set_addresses("evil.test", &["169.254.169.254", "127.0.0.2"]);
    server.set_addresses("worse.test", &["169.254.169.254", "fe80::1"]);
    let mut directory = server.directory();
    let canary = cluster(&mut directory, "search.x", "http://evil.test");
    let stable = cluster(&mut directory, "stable", "http://evil.test");
    let nothing = cluster(&mut directory, "search.y", "http://worse.test");
    until("the canary's", || addresses(&canary) == ["127.0.0.2:80"]).await;
    until("stable's", || addresses(&stable) == ["127.0.0.2:80"]).await;
    until("an answer", || nothing.is_settled()).await;
    assert!(addresses(&nothing).is_empty());
}

#[tokio::test]
async fn localhost_needs_no_server() {
    let mut directory = ClusterManager::new(
        Dns::new(Some("127.0.0.1:9")).unwrap(),
        Handle::current(),
        Box::default(),
    );
    let local = cluster(&mut directory, "stable", "http://localhost:81");
    until("localhost", || {
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 81)).to_string();
        addresses(&local).contains(&loopback)
    })
    .await;
}

#[tokio::test]
async fn what_nobody_uses_goes_after_a_while_and_is_asked_for_no_more() {
    let server = Server::start().await;
    server.set_addresses("gone.test", &["127.0.0.2"]);
    let mut directory = server.directory();
    let used = cluster(&mut directory, "stable", "http://127.0.0.1:81");
    let unused = cluster(&mut directory, "stable", "http://gone.test:81");
    until("addresses", || !addresses(&unused).is_empty()).await;
    let id = unused.id;
    drop(unused);
    let start = Instant::now();
    directory.sweep(start);
    directory.sweep(start + Duration::from_secs(599));
    assert_eq!(directory.len(), 2);
    let back = cluster(&mut directory, "stable", "http://gone.test:81");
    assert_eq!(back.id, id);
    drop(back);
    directory.sweep(start + Duration::from_secs(600));
    assert_eq!(directory.len(), 2, "its time began again");
    directory.sweep(start + Duration::from_secs(1200));
    assert_eq!(directory.len(), 1);
    assert!(directory.names.is_empty());
    assert_eq!(addresses(&used), ["127.0.0.1:81"]);
}

#[test]
fn servers_are_addresses_with_ports() {
    assert!(Dns::new(Some("127.0.0.1:53,[::1]:5353")).is_ok());
    for list in ["", "127.0.0.1", "dns.test:53", "127.0.0.1:53,"] {
        assert!(
            matches!(Dns::new(Some(list)), Err(DnsSetupError::Server(_))),
            "{list}"
        );
    }
}

#[tokio::test]
async fn srv_records_lead_to_addresses_and_ports() {
    let server = Server::start().await;
    let services = |list: &[(u16, u16, u16, &'static str)]| Reply::Services(list.to_vec());
    let name = "_http._tcp.shop.test";
    server.set(
        name,
        RecordType::SRV,
        services(&[
            (1, 30, 8001, "one.test."),
            (1, 10, 8002, "two.test."),
            (2, 0, 8003, "three.test."),
        ]),
    );
    server.set_addresses("one.test", &["127.0.0.1", "127.0.0.2"]);
    server.set_addresses("two.test", &["127.0.0.3"]);
    server.set_addresses("three.test", &["127.0.0.4"]);
    let mut directory = server.directory();
    let shop = cluster(&mut directory, "stable", &format!("srv+http://{name}"));
    let all = [
        "127.0.0.1:8001",
        "127.0.0.2:8001",
        "127.0.0.3:8002",
        "127.0.0.4:8003",
    ];
    until("every target", || addresses(&shop) == all).await;

    // A target whose name fails keeps its addresses, one that is named no more goes.
    let failing = Reply::Code(ResponseCode::ServFail);
    server.set_both("one.test", &failing);
    server.set(
        name,
        RecordType::SRV,
        services(&[(1, 1, 8001, "one.test."), (1, 1, 9002, "two.test.")]),
    );
    let fewer = ["127.0.0.1:8001", "127.0.0.2:8001", "127.0.0.3:9002"];
    until("the new records", || addresses(&shop) == fewer).await;

    // Neither a failure nor the word that the service is offered nowhere takes the last good addresses away.
    for reply in [failing, services(&[(0, 0, 0, ".")])] {
        server.set(name, RecordType::SRV, reply);
        let asked = server.asked();
        until("more questions", || server.asked() >= asked + 2).await;
        assert_eq!(addresses(&shop), fewer);
    }
}

#[tokio::test]
async fn a_service_without_srv_records_settles_its_cluster() {
    let server = Server::start().await;
    server.set_addresses("plain.test", &["127.0.0.1"]);
    let mut directory = server.directory();
    let plain = cluster(&mut directory, "stable", "srv+http://plain.test");
    until("an answer", || plain.is_settled()).await;
    assert!(addresses(&plain).is_empty());
}

#[tokio::test]
async fn srv_records_lead_no_canary_to_a_metadata_address() {
    let server = Server::start().await;
    let services = vec![(0, 0, 80, "evil.test."), (0, 0, 80, "good.test.")];
    server.set("srv.test", RecordType::SRV, Reply::Services(services));
    server.set_addresses("evil.test", &["169.254.169.254"]);
    server.set_addresses("good.test", &["127.0.0.2"]);
    let mut directory = server.directory();
    let canary = cluster(&mut directory, "search.x", "srv+http://srv.test");
    until("the good one", || addresses(&canary) == ["127.0.0.2:80"]).await;
}

#[tokio::test]
async fn the_ports_of_srv_records_are_screened_for_what_others_name() {
    let server = Server::start().await;
    let services = vec![(0, 0, 22, "one.test."), (0, 0, 8080, "one.test.")];
    server.set("srv.test", RecordType::SRV, Reply::Services(services));
    server.set_addresses("one.test", &["127.0.0.2"]);
    let mut directory = server.directory();
    let ports = vec![PortRange::single(8080)];
    directory.set_policy(&UrlPolicy {
        ports,
        ..loopback()
    });
    let canary = cluster(&mut directory, "search.x", "srv+http://srv.test");
    until("the good port", || addresses(&canary) == ["127.0.0.2:8080"]).await;
    let refused = canary.refused()[0].to_string();
    let expected = "127.0.0.2:22 is not connected to: `canary_urls` does not allow it: \
                    the port `22` is none of `ports` (8080)";
    assert_eq!(refused, expected);
    let stable = cluster(&mut directory, "stable", "srv+http://srv.test");
    until("both", || addresses(&stable).len() == 2).await;
}

#[tokio::test]
async fn a_name_that_comes_to_lead_elsewhere_gets_no_users() {
    let server = Server::start().await;
    server.set_addresses("moved.test", &["127.0.0.2"]);
    let mut directory = server.directory();
    let canary = cluster(&mut directory, "search.x", "http://moved.test:9900");
    let other = cluster(&mut directory, "search.y", "http://moved.test:9901");
    let stable = cluster(&mut directory, "stable", "http://moved.test:9901");
    until("its address", || addresses(&other) == ["127.0.0.2:9901"]).await;
    // The gateway listens at every address there.
    assert!(addresses(&canary).is_empty());
    assert_eq!(canary.refused()[0].why, AddressRefusal::OwnListener);

    server.set_addresses("moved.test", &["192.0.2.1"]);
    until("no address", || addresses(&other).is_empty()).await;
    let AddressRefusal::NotAllowed(rule) = &other.refused()[0].why else {
        panic!("{:?}", other.refused());
    };
    let expected = "`192.0.2.1` is a public address that `allow` does not list";
    assert_eq!(rule.to_string(), expected);
    until("stable's", || addresses(&stable) == ["192.0.2.1:9901"]).await;
    let mut wider = loopback();
    wider.networks.push("192.0.2.0/24".parse().unwrap());
    directory.set_policy(&wider);
    assert_eq!(addresses(&other), ["192.0.2.1:9901"]);
    assert!(other.refused().is_empty());
    // An attempt or a check that has got its endpoint, and connects when less is allowed again.
    let given = other.endpoints()[0].address;
    assert!(other.judge(given).is_ok());
    directory.set_policy(&loopback());
    assert!(other.judge(given).is_err() && stable.judge(given).is_ok());
    assert!(addresses(&other).is_empty());
    server.set_addresses("moved.test", &["127.0.0.3"]);
    until("its address again", || {
        addresses(&other) == ["127.0.0.3:9901"]
    })
    .await;
}

#[tokio::test]
async fn an_address_that_is_written_is_screened_as_well() {
    let server = Server::start().await;
    let mut directory = server.directory();
    for (deployment, url, expected) in [
        (
            "stable",
            "http://127.0.0.1:9900",
            Some("it leads to a listener of this gateway's own"),
        ),
        (
            "stable",
            "http://169.254.169.254",
            Some("it is a metadata address"),
        ),
        ("stable", "http://192.0.2.1", None),
        (
            "search.x",
            "http://192.0.2.1",
            Some(
                "`canary_urls` does not allow it: `192.0.2.1` is a public address that `allow` does not list",
            ),
        ),
        ("search.x", "http://127.0.0.1:9901", None),
    ] {
        let cluster = cluster(&mut directory, deployment, url);
        let refused = cluster.refused();
        let refused = refused.first().map(|refused| refused.why.to_string());
        assert_eq!(refused.as_deref(), expected, "{deployment} {url}");
        assert_eq!(addresses(&cluster).is_empty(), expected.is_some(), "{url}");
    }
    directory.set_policy(&UrlPolicy::nothing());
    let canary = cluster(&mut directory, "search.x", "http://127.0.0.1:9901");
    assert!(addresses(&canary).is_empty());
}
