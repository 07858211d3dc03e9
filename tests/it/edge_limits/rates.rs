//! `rate_limit`: how often a route may be asked.

use std::time::{Duration, Instant};

use super::{config, start};
use crate::harness::{Answer, Call, Gateway, Origin, get, pause};

/// Nothing comes back within a test.
const SLOW: &str = "requests: 3, window: 1h";

/// How many of some requests pass before one is refused, which may be at most `most`.
async fn passing(gateway: &Gateway, call: &Call, most: usize) -> usize {
    for passed in 0..=most {
        let answer = gateway.send(call.clone()).await;
        if answer.status == 429 {
            return passed;
        }
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    panic!("more than {most} passed");
}

fn number(answer: &Answer, name: &str) -> u64 {
    let value = answer
        .header(name)
        .unwrap_or_else(|| panic!("{name}: {answer:?}"));
    value.parse().expect("a number")
}

#[tokio::test]
async fn each_user_has_so_many_and_is_told_what_is_left() {
    let (origin, gateway) = start(&format!(
        "  - {{ path: /, service: search, rate_limit: {{ per: user, {SLOW} }} }}"
    ))
    .await;
    let mut h2 = gateway.connect_h2c().await;
    for left in [2, 1, 0] {
        let call = get("/").user("ann");
        let answer = match left {
            1 => h2.send(call).await,
            _ => gateway.send(call).await,
        };
        answer.assert_from("origin");
        assert_eq!(
            answer.header("ratelimit-policy"),
            Some("\"user\";q=3;w=3600")
        );
        let told = format!("\"user\";r={left};t=1200");
        assert_eq!(answer.header("ratelimit"), Some(&*told));
        assert_eq!(answer.header("retry-after"), None);
    }
    for answer in [
        gateway.send(get("/").user("ann")).await,
        h2.send(get("/").user("ann")).await,
    ] {
        assert_eq!((answer.status, answer.origin()), (429, "-"));
        assert_eq!(answer.header("ratelimit"), Some("\"user\";r=0;t=1200"));
        assert_eq!(number(&answer, "retry-after"), 1200);
        assert_eq!(
            answer.text(),
            "429 Too Many Requests: too many requests; see Retry-After\n"
        );
    }
    // Another user has as many, and those without an ID have them by address.
    assert_eq!(passing(&gateway, &get("/").user("bob"), 3).await, 3);
    let at = |address| get("/").header("x-forwarded-for", address);
    assert_eq!(passing(&gateway, &at("192.0.2.1"), 3).await, 3);
    assert_eq!(passing(&gateway, &at("192.0.2.2"), 3).await, 3);
    assert_eq!(origin.count(), 12);
    gateway
        .await_metric("serin_rate_limited_total", &[("route", "/")], 5.0)
        .await;
    gateway
        .await_metric("serin_requests_total", &[("code", "429")], 5.0)
        .await;
}

#[tokio::test]
async fn a_limit_is_by_address_header_or_for_all_together() {
    let (_origin, gateway) = start(&format!(
        "
  - {{ path: /address, service: search, rate_limit: {{ per: address, {SLOW} }} }}
  - {{ path: /key, service: search, rate_limit: {{ per: {{ header: x-api-key }}, {SLOW} }} }}
  - {{ path: /all, respond: {{ body: pong }}, rate_limit: {{ per: route, {SLOW}, burst: 5 }} }}
  - {{ path: /old, redirect: {{ to: /new }}, rate_limit: {{ per: user, {SLOW} }} }}
"
    ))
    .await;
    let at = |path, address| get(path).header("x-forwarded-for", address);
    // Users change nothing, addresses of one IPv6 network neither.
    let from = at("/address", "192.0.2.1");
    assert_eq!(passing(&gateway, &from.clone().user("ann"), 3).await, 3);
    assert_eq!(gateway.send(from.user("bob")).await.status, 429);
    assert_eq!(
        passing(&gateway, &at("/address", "2001:db8::1"), 3).await,
        3
    );
    assert_eq!(
        gateway.send(at("/address", "2001:db8::2")).await.status,
        429
    );
    assert_eq!(
        gateway.send(at("/address", "2001:db8:0:1::2")).await.status,
        200
    );

    let key = |value| at("/key", "192.0.2.1").header("x-api-key", value);
    assert_eq!(passing(&gateway, &key("one"), 3).await, 3);
    assert_eq!(passing(&gateway, &key("two"), 3).await, 3);
    assert_eq!(passing(&gateway, &at("/key", "192.0.2.1"), 3).await, 3);
    assert_eq!(passing(&gateway, &at("/key", "192.0.2.9"), 3).await, 3);

    // Everybody together, and what `burst` says at once.
    assert_eq!(passing(&gateway, &at("/all", "192.0.2.1"), 5).await, 5);
    assert_eq!(gateway.send(at("/all", "192.0.2.2")).await.status, 429);

    let old = |user: &str| get("/old").user(user);
    for status in [308, 308, 308, 429] {
        assert_eq!(gateway.send(old("ann")).await.status, status);
    }
    assert_eq!(gateway.send(old("bob")).await.status, 308);
}

#[tokio::test]
async fn who_comes_back_when_told_to_passes() {
    let (_origin, gateway) = start(
        "  - { path: /, service: search, rate_limit: { per: user, requests: 2, window: 2s, burst: 1 } }",
    )
    .await;
    let call = || get("/").user("ann");
    for _ in 0..2 {
        gateway.send(call()).await.assert_from("origin");
        let begun = Instant::now();
        let refused = gateway.send(call()).await;
        // Where the machine took a second over one request, there is nothing to refuse.
        if refused.status == 200 {
            assert!(begun.elapsed() > Duration::from_millis(900), "{refused:?}");
            continue;
        }
        assert_eq!(refused.status, 429);
        let after = number(&refused, "retry-after");
        assert_eq!(after, 1);
        pause(after * 1000).await;
    }
    gateway.send(call()).await.assert_from("origin");
}

#[tokio::test]
async fn a_reload_that_changes_no_limit_leaves_it_as_it_is() {
    let (origin, gateway) = start(&format!(
        "  - {{ path: /, service: search, rate_limit: {{ per: user, {SLOW} }} }}"
    ))
    .await;
    let call = get("/").user("ann");
    assert_eq!(passing(&gateway, &call, 3).await, 3);
    let changed = format!(
        "
  - {{ path: /, service: search, timeout: 20s, rate_limit: {{ per: user, {SLOW} }} }}
  - {{ path: /other, service: search }}
"
    );
    gateway.rewrite_config(&config(&changed, &origin));
    gateway.await_generation(2).await;
    assert_eq!(gateway.send(call.clone()).await.status, 429);
    gateway
        .await_metric("serin_rate_limited_total", &[("route", "/")], 2.0)
        .await;
    // Another limit is another count.
    let raised = changed.replace("requests: 3", "requests: 4");
    gateway.rewrite_config(&config(&raised, &origin));
    gateway.await_generation(3).await;
    assert_eq!(passing(&gateway, &call, 4).await, 4);
}

#[tokio::test]
async fn a_hundred_thousand_names_cost_a_few_megabytes_and_reset_nobody() {
    let (_origin, gateway) = start(&format!(
        "
  - {{ path: /warm, respond: {{ body: warm }} }}
  - {{ path: /, respond: {{ body: pong }}, rate_limit: {{ per: {{ header: x-api-key }}, {SLOW} }} }}
"
    ))
    .await;
    let mut connection = gateway.connect().await;
    let key = |key: &str| get("/").header("x-api-key", key);
    for _ in 0..100 {
        connection.send(get("/warm")).await;
    }
    let before = gateway.memory().resident;
    gateway.forget_peak();
    assert_eq!(passing(&gateway, &key("limited"), 3).await, 3);
    for number in 0..100_000 {
        let answer = match connection.try_send(key(&number.to_string())).await {
            Ok(answer) => answer,
            // A connection has 10,000 requests.
            Err(_) => {
                connection = gateway.connect().await;
                connection.send(key(&number.to_string())).await
            }
        };
        assert_eq!(answer.status, 200);
    }
    let grown = gateway.memory().peak.saturating_sub(before);
    eprintln!("100,000 names: {} KiB", grown / 1024);
    assert!(grown <= 16 << 20, "{} KiB", grown / 1024);
    assert_eq!(gateway.send(key("limited")).await.status, 429);
    gateway
        .await_metric("serin_rate_limit_unnoted_total", &[], 0.0)
        .await;
}

#[tokio::test]
async fn a_refused_grpc_call_gets_its_status_and_its_time() {
    let (_origin, gateway) = start(&format!(
        "  - {{ path: /, service: search, rate_limit: {{ per: route, {SLOW}, burst: 1 }} }}"
    ))
    .await;
    gateway.send(get("/")).await.assert_from("origin");
    let call = get("/pkg.Service/Call").header("content-type", "application/grpc");
    let answer = gateway.connect_h2c().await.send(call).await;
    assert_eq!(
        (answer.status, answer.header("grpc-status")),
        (200, Some("14"))
    );
    assert_eq!(number(&answer, "retry-after"), 1200);
}

#[tokio::test]
async fn a_gateway_without_a_limit_tells_nothing_of_limits() {
    let origin = Origin::start("origin").await;
    let gateway = Gateway::start(config("  - { path: /, service: search }", &origin)).await;
    let answer = gateway.send(get("/")).await;
    assert!(!answer.headers.contains_key("ratelimit"));
    assert!(!answer.headers.contains_key("ratelimit-policy"));
}
