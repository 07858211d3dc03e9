//! Upstreams by name: addresses change, look-ups fail, and no request waits for either.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Dns, Lookup, Origin, Protocol, Setup, assert_has, eventually, get};

/// Two origins on one port of two loopback addresses.
async fn pair() -> (Origin, Origin) {
    let one = Origin::start("one").await;
    let ip = Ipv4Addr::new(127, 0, 0, 2).into();
    let two = Origin::start_on("two", Protocol::Http1, ip, one.port()).await;
    (one, two)
}

fn config(port: u16) -> String {
    format!(
        "
services: {{ search: 'http://stable.test:{port}' }}
flags:
  search.near: {{ url: 'http://near.test:{port}', rings: [{{ name: near, when: {{ userId: [near] }} }}] }}
  search.far: {{ url: 'http://far.test:{port}', rings: [{{ name: far, when: {{ userId: [far] }} }}] }}
canary_urls: {{ allow: ['*.test', 127.0.0.0/8] }}
routes: [{{ path: /, service: search }}]
identity: {{ user_id: [{{ header: x-user-id, trust: anyone }}] }}
"
    )
}

#[tokio::test]
async fn a_name_is_followed_and_a_failure_keeps_its_last_addresses() {
    let (one, two) = pair().await;
    let dns = Dns::start().await;
    dns.set("stable.test", Lookup::address(one.address().ip()));
    let gateway = Setup::new(config(one.port())).dns(&dns).start().await;
    gateway.send(get("/")).await.assert_from("one");
    assert_eq!(one.last().host, "api.example.com");

    dns.set("stable.test", Lookup::address(two.address().ip()));
    eventually("the new address", || async {
        (gateway.send(get("/")).await.origin() == "two").then_some(())
    })
    .await;
    let generation = gateway.generation().await;
    assert_eq!(generation, 1, "an address is no generation");

    for failure in [Lookup::Failure, Lookup::Missing] {
        dns.set("stable.test", failure);
        dns.await_asked("stable.test", 3).await;
        gateway.send(get("/")).await.assert_from("two");
    }
    gateway.await_log("the last good addresses stay").await;
    let services = gateway.admin("/api/v1/services/search").await;
    let address = two.address().to_string();
    assert!(services.text().contains(&address), "{}", services.text());
}

#[tokio::test]
async fn a_name_without_addresses_is_a_quick_failure_until_it_has_one() {
    let (one, _two) = pair().await;
    let dns = Dns::start().await;
    // The stable name fails at once, which is an answer too: the gateway is ready.
    let gateway = Setup::new(config(one.port())).dns(&dns).start().await;
    let begun = Instant::now();
    let answer = gateway.send(get("/none")).await;
    assert_eq!((answer.status, answer.origin()), (503, "-"));
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
    let line = gateway.await_access_log_of("/none").await;
    let expected = json!({
        "assigned": "stable", "served": null, "cause": "unhealthy", "status": 503,
    });
    assert_has(&line, &expected);
    gateway.await_log("it has no addresses yet").await;
    assert!(!gateway.log().contains("addresses stay"));

    dns.set("stable.test", Lookup::address(Ipv4Addr::LOCALHOST));
    eventually("an address", || async {
        (gateway.send(get("/")).await.origin() == "one").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_silent_server_delays_readiness_but_no_request() {
    let (one, _two) = pair().await;
    let dns = Dns::start().await;
    dns.set("stable.test", Lookup::Silence);
    let gateway = Setup::new(config(one.port())).dns(&dns).launch().await;
    dns.await_asked("stable.test", 1).await;
    assert_eq!(gateway.admin("/readyz").await.status, 503);
    assert_eq!(gateway.admin("/livez").await.status, 200);
    let begun = Instant::now();
    assert_eq!(gateway.send(get("/")).await.status, 503);
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
    dns.set("stable.test", Lookup::address(Ipv4Addr::LOCALHOST));
    eventually("readiness", || async {
        (gateway.admin("/readyz").await.status == 200).then_some(())
    })
    .await;
    eventually("an address", || async {
        (gateway.send(get("/")).await.origin() == "one").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_canary_without_addresses_is_rescued() {
    let (one, two) = pair().await;
    let dns = Dns::start().await;
    dns.set("stable.test", Lookup::address(one.address().ip()));
    dns.set("near.test", Lookup::address(two.address().ip()));
    // The cloud's metadata service is nobody's canary, whatever a name says.
    dns.set(
        "far.test",
        Lookup::address(Ipv4Addr::new(169, 254, 169, 254)),
    );
    let gateway = Setup::new(config(one.port())).dns(&dns).start().await;
    eventually("the canary's address", || async {
        (gateway.get_as("near", "/near").await.origin() == "two").then_some(())
    })
    .await;
    gateway.get_as("far", "/far").await.assert_from("one");
    let line = gateway.await_access_log_of("/far").await;
    let expected = json!({
        "assigned": "search.far", "served": "stable", "cause": "unhealthy", "status": 200,
    });
    assert_has(&line, &expected);
    let labels = [
        ("service", "search"),
        ("from", "search.far"),
        ("cause", "unhealthy"),
    ];
    gateway
        .await_metric("serin_rescues_total", &labels, 1.0)
        .await;
}
