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
fn websockets_are_let_in_unless_a_list_without_them_is_stated() {
    assert!(!guard("").refuses_websockets);
    assert!(!guard("upgrade: [websocket]").refuses_websockets);
    assert!(guard("upgrade: []").refuses_websockets);
    let told = told("upgrade: [h2c]");
    assert!(
        told.contains("`h2c`") && told.contains("websocket"),
        "{told}"
    );
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
    let proxies = "services: { a: http://a }\nroutes: [{ path: /, service: a }]\nserver: { trusted_proxies: ['::ffff:192.0.2.0/120'] }\n";
    let rules = config(proxies).identity;
    for (address, trusted) in [
        ("192.0.2.9", true),
        ("::ffff:192.0.2.9", true),
        ("192.0.3.9", false),
    ] {
        assert_eq!(
            rules.trusts(address.parse().expect("an address")),
            trusted,
            "{address}"
        );
    }
}

#[test]
fn pages_are_named_by_origin() {
    let said = "cors: { origins: [https://a.example, 'https://*.b.example:8443'], methods: [GET, PUT], headers: [X-One, x-two], expose: [etag], credentials: true, max_age: 1h }";
    let cors = guard(said).cors.expect("pages");
    for (origin, expected) in [
        ("https://a.example", true),
        ("https://x.b.example:8443", true),
        ("https://x.b.example", false),
        ("https://b.a.example", false),
    ] {
        assert_eq!(cors.admits(origin.as_bytes()), expected, "{origin}");
    }
    assert_eq!(
        (cors.methods.as_bytes(), cors.credentials),
        (&b"GET, PUT"[..], true)
    );
    assert_eq!(cors.headers.expect("names"), "x-one, x-two");
    assert_eq!(
        (cors.expose.expect("names"), cors.max_age),
        ("etag".parse().expect("a value"), 3600.into())
    );
    let plain = guard("cors: { origins: ['*'] }").cors.expect("pages");
    assert!(plain.is_for_all() && plain.admits(b"null"));
    assert_eq!(
        (plain.methods, plain.max_age),
        ("GET, HEAD, POST".parse().expect("a value"), 600.into())
    );
    assert_eq!(
        (plain.headers, plain.expose, plain.credentials),
        (None, None, false)
    );
}

#[test]
fn security_headers_are_the_usual_ones_unless_single_ones_are_changed() {
    let shown = |keys: &str| {
        let security = guard(keys).security_headers?;
        let all = security.fields.iter().chain(&security.over_https);
        let all = all.map(|(name, value)| format!("{name}: {}", value.to_str().expect("text")));
        Some(all.collect::<Vec<_>>())
    };
    assert_eq!(shown("security_headers: false"), None);
    let usual = shown("security_headers: true").expect("some");
    assert_eq!(
        usual,
        [
            "x-content-type-options: nosniff",
            "x-frame-options: DENY",
            "referrer-policy: strict-origin-when-cross-origin",
            "strict-transport-security: max-age=31536000",
        ]
    );
    let changed =
        "security_headers: { x-frame-options: SAMEORIGIN, strict-transport-security: none }";
    assert_eq!(
        shown(changed).expect("some"),
        [
            "x-content-type-options: nosniff",
            "x-frame-options: SAMEORIGIN",
            "referrer-policy: strict-origin-when-cross-origin",
        ]
    );
    assert_eq!(shown("security_headers: {}").expect("some"), usual);
}

#[test]
fn what_cannot_be_meant_is_said() {
    let wrong = [
        "rate_limit: {}",
        "rate_limit: { per: session, requests: 0 }",
        "rate_limit: { per: { header: 'x y' }, requests: 1, window: 0s }",
        "allow: [], deny: [10.0.0.0/33], body_bytes: lots",
        "cors: {}",
        "cors: { origins: ['*', https://a.example], credentials: true }",
        "cors: { origins: [https://a.example/, https://A.example, a.example, https://a.example:443] }",
        "cors: { origins: [], methods: [get], headers: ['*'], expose: [a b], max_age: long }",
        "cors: { origins: [https://a.example], headers: ['*'], credentials: true }",
        "security_headers: yes",
        "security_headers: { x-frame: DENY }",
    ];
    insta::assert_snapshot!(wrong.map(told).join("\n"));
}
