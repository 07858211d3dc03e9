//! Who may ask the admin listener, and that nobody keeps the others from being answered.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use bytes::Bytes;
use serde_json::json;
use tokio::net::{TcpSocket, TcpStream};

use crate::harness::client;
use crate::harness::{Answer, Call, Gateway, Origin, Raw, assert_has, fill, get, in_time, post};

const CONFIG: &str = "
services: { search: { stable: @stable } }
flags: { search.team: { url: @canary, rings: [{ name: all }] } }
routes: [{ path: /, service: search }]
identity: { user_id: [{ header: x-user-id, trust: anyone }] }
";

async fn start(admin: &str) -> (Origin, Origin, Gateway) {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let gateway = Gateway::start(fill(CONFIG, [&stable, &canary]) + admin).await;
    (stable, canary, gateway)
}

/// An address of this machine's that is not loopback, where there is one: no packet is sent to find it.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback()).then_some(address)
}

const STATUS: &[u8] =
    b"GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
const LIVEZ: &[u8] = b"GET /livez HTTP/1.1\r\nHost: gateway.example\r\nConnection: close\r\n\r\n";

/// The status of an answer to a client with this address.
async fn asked_from(client: &str, at: SocketAddr, request: &[u8]) -> u16 {
    let socket = TcpSocket::new_v4().expect("a socket");
    let client: SocketAddr = client.parse().expect("an address");
    socket.bind(client).expect("an address of this machine's");
    let stream = in_time("connecting", socket.connect(at)).await;
    let mut connection = Raw::of(stream.expect("a connection"));
    connection.write(request).await;
    client::RawAnswer(connection.read_to_end().await).status()
}

#[tokio::test]
async fn who_asks_decides_and_not_where_the_listener_is() {
    let (_stable, canary, gateway) = start("admin: { address: 0.0.0.0:0 }\n").await;
    let port = gateway.admin_address().port();
    let local = SocketAddr::from(([127, 0, 0, 1], port));
    assert_eq!(client::raw(local, STATUS).await.status(), 200);
    let kill = "/api/v1/services/search/canaries/search.team/kill";
    let killed = client::send(local, post(kill, "").host("localhost")).await;
    assert_has(
        &killed.json(),
        &json!({ "killed": true, "by": "127.0.0.1" }),
    );
    gateway.get_as("u1", "/").await.assert_from("stable");
    assert_eq!(canary.requests().len(), 0);

    let Some(own) = own_address() else { return };
    let elsewhere = SocketAddr::new(own, port);
    // As another machine would, and as a service mesh's proxy hands on what another machine sent.
    for client in [format!("{own}:0"), "127.0.0.6:0".to_owned()] {
        assert_eq!(
            asked_from(&client, elsewhere, STATUS).await,
            403,
            "{client}"
        );
        assert_eq!(asked_from(&client, elsewhere, LIVEZ).await, 200, "{client}");
    }
}

#[tokio::test]
async fn every_host_line_is_looked_at() {
    let (_stable, _canary, gateway) =
        start("admin: { address: 127.0.0.1:0, hosts: [serin.internal] }\n").await;
    let ask = async |hosts: &[&str]| {
        let hosts: String = hosts
            .iter()
            .map(|host| format!("Host: {host}\r\n"))
            .collect();
        let request = format!("GET /api/v1/status HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n");
        client::raw(gateway.admin_address(), request.as_bytes())
            .await
            .status()
    };
    assert_eq!(ask(&["localhost"]).await, 200);
    assert_eq!(ask(&["serin.internal:80"]).await, 200);
    assert_eq!(ask(&["evil.example"]).await, 421);
    assert_eq!(ask(&["localhost", "evil.example"]).await, 400);
    assert_eq!(ask(&["evil.example", "localhost"]).await, 400);
}

#[tokio::test]
async fn there_may_be_several_addresses_and_one_for_probes() {
    let admin = "admin: { address: ['127.0.0.1:0', '[::1]:0'], probes: 127.0.0.1:0 }\n";
    let (_stable, _canary, gateway) = start(admin).await;
    let second = gateway
        .log_lines()
        .iter()
        .filter(|line| line["kind"] == "admin")
        .filter_map(|line| line["address"].as_str()?.parse::<SocketAddr>().ok())
        .nth(1)
        .expect("two addresses");
    assert!(second.is_ipv6(), "{second}");
    for address in [gateway.admin_address(), second] {
        assert_eq!(
            client::raw(address, STATUS).await.status(),
            200,
            "{address}"
        );
    }
    let probes = gateway.probes_address();
    for (path, status) in [
        ("/livez", 200),
        ("/readyz", 200),
        ("/metrics", 200),
        ("/api/v1/status", 404),
    ] {
        let answer = client::send(probes, get(path).host("localhost")).await;
        assert_eq!(answer.status, status, "{path}");
    }
}

/// Connections that say this and nothing more, so many.
async fn hold(address: SocketAddr, count: usize, request: &[u8]) -> Vec<Raw> {
    let mut held = Vec::new();
    for _ in 0..count {
        let mut connection = Raw::of(TcpStream::connect(address).await.expect("a connection"));
        // One that has made room already takes nothing.
        connection.try_write(request).await;
        held.push(connection);
    }
    held
}

const HALF_HEAD: &[u8] = b"GET /livez HTTP/1.1\r\nHost: local";
const HALF_BODY: &[u8] =
    b"POST /api/v1/explain HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n{";
const EVENTS: &[u8] = b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n";
const IDLE: &[u8] = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
const DEAF: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// More than there are places at the listener.
const MANY: usize = 300;

#[tokio::test]
async fn nobody_keeps_probes_and_orders_from_being_answered() {
    let (_stable, _canary, gateway) = start("").await;
    for held in [&b""[..], HALF_HEAD, HALF_BODY, EVENTS, IDLE, DEAF] {
        let _held = hold(gateway.admin_address(), MANY, held).await;
        let shown = String::from_utf8_lossy(held);
        for _ in 0..3 {
            for path in ["/livez", "/readyz", "/metrics", "/api/v1/status"] {
                assert_eq!(
                    gateway.admin(path).await.status,
                    200,
                    "{path} beside {shown}"
                );
            }
            for order in ["kill", "restore"] {
                let path = format!("/api/v1/services/search/canaries/search.team/{order}");
                let answer: Answer = gateway.admin_send(post(&path, "{}")).await;
                assert_eq!(answer.status, 200, "{order} beside {shown}");
            }
            gateway.get_as("u1", "/").await.assert_from("canary");
        }
    }
}

#[tokio::test]
async fn a_body_over_the_bound_is_413_whether_it_says_its_length_or_not() {
    let (_stable, _canary, gateway) = start("").await;
    let part = Bytes::from(vec![b'x'; 10_000]);
    let chunks = vec![part; 20];
    let explain = || post("/api/v1/explain", "");
    for call in [
        explain().body(vec![b'x'; 100_000]),
        explain().chunks(chunks.clone()),
        Call::new(http::Method::PUT, "/api/v1/flags/search.team").chunks(chunks),
    ] {
        let answer = gateway.admin_send(call).await;
        assert_eq!(answer.status, 413, "{answer:?}");
    }
}

#[tokio::test]
async fn half_heads_from_elsewhere_fail_no_probe() {
    let (_stable, _canary, gateway) =
        start("admin: { address: 0.0.0.0:0, probes: 0.0.0.0:0 }\n").await;
    let own = own_address().unwrap_or(IpAddr::from([127, 0, 0, 1]));
    for port in [
        gateway.admin_address().port(),
        gateway.probes_address().port(),
    ] {
        let address = SocketAddr::new(own, port);
        let _held = hold(address, MANY, HALF_HEAD).await;
        for _ in 0..21 {
            assert_eq!(client::raw(address, LIVEZ).await.status(), 200);
        }
    }
}
