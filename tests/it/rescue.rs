//! A dying canary costs nobody anything, and stable's users are never sent to a canary.

use std::net::Ipv4Addr;

use bytes::Bytes;
use serde_json::json;

use crate::harness::{
    Blunt, Dns, Gateway, Lookup, Origin, Protocol, Reply, Setup, assert_has, fill, get, post,
};

const CONFIG: &str = "
services:
  search: { stable: @stable, timeouts: { connect: 500ms } }
flags:
  search.ranker: { url: @canary, rings: [{ name: one, when: { userId: [u1] } }] }
routes: [{ path: /, service: search }]
identity: { user_id: [{ header: x-user-id, trust: anyone }] }
";

const RESCUED: [(&str, &str); 3] = [
    ("service", "search"),
    ("from", "search.ranker"),
    ("cause", "connect"),
];

#[tokio::test]
async fn a_request_to_a_canary_that_is_gone_is_answered_by_stable() {
    let (stable, mut canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let gateway = Gateway::start(fill(CONFIG, [&stable, &canary])).await;
    gateway.get_as("u1", "/before").await.assert_from("canary");
    canary.stop().await;

    gateway.get_as("u1", "/get").await.assert_from("stable");
    let body = vec![b'x'; 300_000];
    let call = post("/post", body.clone()).user("u1");
    gateway.send(call).await.assert_from("stable");
    let seen = stable.last();
    assert_eq!(
        (seen.method.as_str(), seen.body.len()),
        ("POST", body.len())
    );
    assert_eq!(seen.header("x-serin-deployment").as_deref(), Some("stable"));
    assert_eq!(seen.all("baggage"), ["serin.search=stable"]);
    let chunks = [Bytes::from_static(b"one,"), Bytes::from_static(b"two")];
    let call = post("/chunks", "").chunks(chunks).user("u1");
    gateway.send(call).await.assert_from("stable");
    assert_eq!(&stable.last().body[..], b"one,two");

    for path in ["/get", "/post", "/chunks"] {
        let line = gateway.await_access_log_of(path).await;
        let expected = json!({
            "assigned": "search.ranker", "served": "stable", "cause": "connect",
            "reason": "ring", "flag": "search.ranker", "status": 200,
        });
        assert_has(&line, &expected);
    }
    gateway
        .await_metric("serin_rescues_total", &RESCUED, 3.0)
        .await;
    let labels = [
        ("service", "search"),
        ("assigned", "search.ranker"),
        ("served", "stable"),
        ("code", "200"),
    ];
    gateway
        .await_metric("serin_requests_total", &labels, 3.0)
        .await;

    // The assignment has not changed: the canary comes back, and so do its users.
    canary.restart().await;
    gateway.get_as("u1", "/after").await.assert_from("canary");
    let line = gateway.await_access_log_of("/after").await;
    assert_has(&line, &json!({ "served": "search.ranker", "cause": null }));
}

#[tokio::test]
async fn a_rescue_can_be_switched_off() {
    let (stable, mut canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let config = fill(CONFIG, [&stable, &canary]);
    let config = config.replace("timeouts:", "rescue: { on: [] }, timeouts:");
    let gateway = Gateway::start(config).await;
    canary.stop().await;
    assert_eq!(gateway.get_as("u1", "/").await.status, 502);
    assert_eq!(stable.count(), 0);
    let line = gateway.await_access_log_of("/").await;
    let expected = json!({
        "assigned": "search.ranker", "served": null, "cause": "connect", "status": 502,
    });
    assert_has(&line, &expected);
    assert_eq!(gateway.metrics().await.sum("serin_rescues_total", &[]), 0.0);
}

#[tokio::test]
async fn what_a_canary_answers_is_its_answer() {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let config = CONFIG.replace("timeouts:", "rescue: { on: [connect, 500] }, timeouts:");
    let gateway = Gateway::start(fill(&config, [&stable, &canary])).await;
    canary.answer(|_| Reply::status(503).body("busy"));
    let answer = gateway.get_as("u1", "/").await;
    assert_eq!((answer.status, answer.text()), (503, "busy"));
    assert_eq!(stable.count(), 0);
}

#[tokio::test]
async fn a_request_that_reached_the_canary_is_not_sent_again() {
    let stable = Origin::start("stable").await;
    // It takes requests and closes.
    let canary = Blunt::start(b"").await;
    let config = CONFIG.replace("@canary", &canary.url());
    let gateway = Gateway::start(fill(&config, [&stable])).await;
    assert_eq!(
        gateway.send(post("/post", "pay").user("u1")).await.status,
        502
    );
    assert_eq!((canary.count(), stable.count()), (1, 0));
    let line = gateway.await_access_log_of("/post").await;
    assert_has(
        &line,
        &json!({ "assigned": "search.ranker", "served": null, "cause": "reset" }),
    );
    // What cannot have had effects is.
    gateway.get_as("u1", "/get").await.assert_from("stable");
    assert_eq!((canary.count(), stable.count()), (2, 1));
}

#[tokio::test]
async fn a_broken_response_never_looks_whole() {
    let stable = Origin::start("stable").await;
    for bytes in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"[..],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ] {
        let canary = Blunt::start(bytes).await;
        let config = CONFIG.replace("@canary", &canary.url());
        let gateway = Gateway::start(fill(&config, [&stable])).await;
        let mut connection = gateway.connect().await;
        let broken = connection.try_send(get("/").user("u1")).await;
        assert!(broken.is_err(), "{broken:?}");
        let labels = [("service", "search"), ("served", "search.ranker")];
        gateway
            .await_metric("serin_broken_responses_total", &labels, 1.0)
            .await;
    }
    assert_eq!(stable.count(), 0);
}

#[tokio::test]
async fn when_stable_is_down_nobody_takes_its_place() {
    let (mut stable, mut canary) = (Origin::start("stable").await, Origin::start("canary").await);
    // Longer than an answer is waited for: a refusal is no reason to wait for anything.
    let config = CONFIG.replace("connect: 500ms", "connect: 60s");
    let gateway = Gateway::start(fill(&config, [&stable, &canary])).await;
    stable.stop().await;
    for n in 0..5 {
        let answer = gateway.get_as(&format!("other-{n}"), "/stable").await;
        assert_eq!((answer.status, answer.origin()), (502, "-"));
    }
    assert_eq!(canary.count(), 0);
    let line = gateway.await_access_log_of("/stable").await;
    let expected = json!({
        "assigned": "stable", "served": null, "cause": "connect", "status": 502,
    });
    assert_has(&line, &expected);
    // The canary's own users are well.
    gateway.get_as("u1", "/canary").await.assert_from("canary");

    canary.stop().await;
    assert_eq!(gateway.get_as("u1", "/none").await.status, 502);
    let line = gateway.await_access_log_of("/none").await;
    assert_has(
        &line,
        &json!({ "assigned": "search.ranker", "status": 502 }),
    );
}

#[tokio::test]
async fn another_endpoint_takes_what_one_cannot() {
    let mut one = Origin::start("one").await;
    let ip = Ipv4Addr::new(127, 0, 0, 2).into();
    let two = Origin::start_on("two", Protocol::Http1, ip, one.port()).await;
    let dns = Dns::start().await;
    let both = vec![one.address().ip(), two.address().ip()];
    dns.set("search.test", Lookup::Addresses(both, 60));
    let config = format!(
        "
services:
  search: {{ stable: 'http://search.test:{}', balance: round_robin }}
routes: [{{ path: /, service: search }}]
",
        one.port()
    );
    let gateway = Setup::new(config).dns(&dns).start().await;
    for _ in 0..4 {
        gateway.send(get("/")).await;
    }
    assert_eq!((one.count(), two.count()), (2, 2), "one after the other");

    one.stop().await;
    for n in 0..10 {
        let call = post(&format!("/{n}"), "hello");
        gateway.send(call).await.assert_from("two");
    }
    let metrics = gateway.metrics().await;
    let retries = metrics.sum(
        "serin_retries_total",
        &[("service", "search"), ("cause", "connect")],
    );
    assert!((1.0..=10.0).contains(&retries), "{retries} retries");
    let retried = gateway.await_access_log(|line| line["retries"] == 1).await;
    assert_has(
        &retried,
        &json!({ "assigned": "stable", "served": "stable", "status": 200 }),
    );
}
