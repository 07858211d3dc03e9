//! What routes let in.

use std::time::Duration;

use super::{check, config};
use crate::route::guard::{Guard, Networks, Per};

/// The guard of a route that says this.
fn guard(keys: &str) -> Guard {
    let text =
        format!("services: {{ a: http://a }}\nroutes: [{{ path: /, service: a, {keys} }}]\n");
    config(&text).routes[0].guard.clone()
}

/// What is told of a route that says this.
fn told(keys: &str) -> String {
    check(&format!(
        "services: {{ a: http://a }}\nroutes: [{{ path: /, service: a, {keys} }}]\n"
    ))
}

#[test]
fn nothing_stated_lets_everything_in() {
    let guard = guard("");
    assert!(guard.networks.is_everywhere());
    assert_eq!((guard.rate_limit, guard.body_bytes), (None, None));
}

#[test]
fn a_limit_counts_by_user_address_header_or_route() {
    let header = Per::Header(http::HeaderName::from_static("x-api-key"));
    for (per, expected) in [
        ("user", Per::User),
        ("address", Per::Address),
        ("route", Per::Route),
        ("{ header: X-Api-Key }", header),
    ] {
        let guard = guard(&format!("rate_limit: {{ per: {per}, requests: 100 }}"));
        let limit = guard.rate_limit.expect("a limit");
        assert_eq!(limit.per, expected);
        let rate = limit.rate;
        assert_eq!((rate.requests.get(), rate.burst), (100, 100));
        assert_eq!(rate.window, Duration::from_secs(1));
    }
    let guard = guard("rate_limit: { per: user, requests: 5, window: 1m, burst: 7 }");
    let rate = guard.rate_limit.expect("a limit").rate;
    assert_eq!((rate.burst, rate.window), (7, Duration::from_secs(60)));
}

#[test]
fn networks_are_written_as_elsewhere_and_ipv4_in_ipv6_clothes_is_ipv4() {
    let guard = guard("allow: [10.0.0.0/8, '::ffff:192.0.2.0/120', '2001:db8::1'], deny: []");
    let nets = ["10.0.0.0/8", "192.0.2.0/24", "2001:db8::1/128"];
    let allow = nets.map(|net| net.parse().expect("a network")).to_vec();
    let deny = Vec::new();
    assert_eq!(guard.networks, Networks { allow, deny });
}

#[test]
fn what_cannot_be_meant_is_said() {
    let wrong = [
        "rate_limit: {}",
        "rate_limit: { per: session, requests: 0 }",
        "rate_limit: { per: { header: 'x y' }, requests: 1, window: 0s }",
        "allow: [], deny: [10.0.0.0/33], body_bytes: lots",
    ];
    insta::assert_snapshot!(wrong.map(told).join("\n"));
}
