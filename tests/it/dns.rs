//! Upstreams by name: addresses change, look-ups fail, and no request waits for either.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use serde_json::json;

use crate::harness::{Dns, Gateway, Lookup, Origin, Protocol, Setup, assert_has, eventually, get};

/// The name of stable's upstream.
const NAME: &str = "stable.test";

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
    // Nothing is tried, and nothing waited for: what is unhealthy has no attempt.
    let answer = gateway.send(get("/none")).await;
    assert_eq!((answer.status, answer.origin()), (503, "-"));
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
    answered_within_a_look_up(&dns, "stable.test", async || {
        assert_eq!(gateway.send(get("/")).await.status, 503);
    })
    .await;
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

/// Makes a request while a name's look-up hangs; its answer must be there before the next look-up begins. One may begin
/// just then by chance, which does not happen time after time.
async fn answered_within_a_look_up(dns: &Dns, name: &str, request: impl AsyncFn()) {
    eventually("an answer within one look-up", || async {
        let before = dns.asked(name);
        request().await;
        (dns.asked(name) == before).then_some(())
    })
    .await;
}

/// Sends requests over one connection until the name has been asked for `more` more times; all must be answered by one of
/// `origins`, many of them between two look-ups: one that waited for a look-up would be alone with it.
async fn served_all_along(gateway: &Gateway, origins: &[&str], dns: &Dns, more: usize) {
    let over = dns.await_asked(NAME, more);
    let mut over = std::pin::pin!(over);
    let mut connection = gateway.connect().await;
    let (mut most, mut since_look_up, mut asked) = (0, 0, dns.asked(NAME));
    while over.as_mut().now_or_never().is_none() {
        let answer = connection.send(get("/")).await;
        assert!(
            answer.status == 200 && origins.contains(&answer.origin()),
            "{answer:?}"
        );
        if dns.asked(NAME) != asked {
            (since_look_up, asked) = (0, dns.asked(NAME));
        }
        since_look_up += 1;
        most = most.max(since_look_up);
    }
    assert!(most >= 10, "{most} requests between two look-ups");
}

#[tokio::test]
async fn no_request_waits_for_a_look_up() {
    let (one, _two) = pair().await;
    let dns = Dns::start().await;
    dns.set("stable.test", Lookup::address(one.address().ip()));
    let gateway = Setup::new(config(one.port())).dns(&dns).start().await;
    gateway.send(get("/")).await.assert_from("one");
    for failure in [Lookup::Silence, Lookup::Failure, Lookup::Missing] {
        dns.set("stable.test", failure);
        served_all_along(&gateway, &["one"], &dns, 4).await;
    }
    gateway.await_log("the last good addresses stay").await;
    dns.set("stable.test", Lookup::address(one.address().ip()));
    gateway.await_log("the name resolves again").await;
}

#[tokio::test]
async fn no_request_fails_while_addresses_change() {
    let (one, two) = pair().await;
    let dns = Dns::start().await;
    let (first, second) = (one.address().ip(), two.address().ip());
    dns.set("stable.test", Lookup::address(first));
    let gateway = Setup::new(config(one.port())).dns(&dns).start().await;
    gateway.send(get("/")).await.assert_from("one");
    for addresses in [vec![second], vec![first, second], vec![first]] {
        dns.set("stable.test", Lookup::Addresses(addresses, 1));
        let both = ["one", "two"];
        // The answer to the second pair of questions has been put in force when the third is asked.
        served_all_along(&gateway, &both, &dns, 6).await;
    }
    gateway.send(get("/")).await.assert_from("one");
}

#[tokio::test]
async fn an_address_where_nobody_listens_is_passed_over() {
    let (one, _two) = pair().await;
    let dns = Dns::start().await;
    let nobody = Ipv4Addr::new(127, 0, 0, 3).into();
    let addresses = vec![nobody, one.address().ip()];
    dns.set("stable.test", Lookup::Addresses(addresses, 60));
    let gateway = Setup::new(config(one.port())).dns(&dns).start().await;
    for _ in 0..40 {
        gateway.send(get("/")).await.assert_from("one");
    }
    let metrics = gateway.metrics().await;
    let retries = metrics.sum("serin_retries_total", &[("cause", "connect")]);
    assert!(retries > 0.0);
}

#[tokio::test]
async fn a_time_to_live_of_zero_is_no_storm() {
    let (one, _two) = pair().await;
    let dns = Dns::start().await;
    let address = vec![one.address().ip()];
    dns.set("stable.test", Lookup::Addresses(address, 0));
    let gateway = Setup::new(config(one.port())).dns(&dns).start().await;
    gateway.send(get("/")).await.assert_from("one");
    let begun = Instant::now();
    // Two questions a look-up, and a second between two of them, less its jitter.
    dns.await_asked("stable.test", 5).await;
    assert!(
        begun.elapsed() > Duration::from_millis(900),
        "{:?}",
        begun.elapsed()
    );
    gateway.send(get("/")).await.assert_from("one");
}

#[tokio::test]
async fn the_name_of_a_new_service_stops_nobody() {
    let (one, two) = pair().await;
    let dns = Dns::start().await;
    dns.set("stable.test", Lookup::address(one.address().ip()));
    dns.set("later.test", Lookup::Silence);
    let config = config(one.port());
    let gateway = Setup::new(config.clone()).dns(&dns).start().await;
    gateway.send(get("/")).await.assert_from("one");
    let more = config
        .replace(
            "services: { ",
            &format!("services: {{ later: 'http://later.test:{}', ", one.port()),
        )
        .replace("routes: [", "routes: [{ path: /later, service: later }, ");
    gateway.rewrite_config(&more);
    gateway.await_generation(2).await;
    answered_within_a_look_up(&dns, "later.test", async || {
        let answer = gateway.send(get("/later")).await;
        assert_eq!((answer.status, answer.origin()), (503, "-"));
    })
    .await;
    gateway.send(get("/")).await.assert_from("one");
    assert_eq!(gateway.admin("/readyz").await.status, 200);
    dns.set("later.test", Lookup::address(two.address().ip()));
    eventually("the new service", || async {
        (gateway.send(get("/later")).await.origin() == "two").then_some(())
    })
    .await;
}
