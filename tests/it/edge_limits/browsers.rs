//! `cors` and `security_headers`: what pages may read and do.

use http::Method;

use super::start;
use crate::harness::{Answer, Call, Gateway, Reply, get};

const ROUTES: &str = "
  - path: /api
    service: search
    methods: [GET, PUT]
    cors: { origins: [https://app.example.com, 'https://*.example.org'], methods: [GET, PUT], headers: [x-one], expose: [etag], credentials: true, max_age: 1h }
    rate_limit: { per: route, requests: 10, window: 1h }
    deny: [192.0.2.0/24]
  - { path: /open, respond: { body: pong }, cors: { origins: ['*'] } }
  - { path: /, service: search }
";

/// A browser's question before a page's request.
fn preflight(path: &str, origin: &str, method: &str) -> Call {
    Call::new(Method::OPTIONS, path)
        .header("origin", origin)
        .header("access-control-request-method", method)
        .header("access-control-request-headers", "x-one")
}

/// What an answer says of pages.
fn told(answer: &Answer) -> Vec<String> {
    let mut told: Vec<String> = answer
        .headers
        .iter()
        .filter(|(name, _)| name.as_str().starts_with("access-control-"))
        .map(|(name, value)| {
            let name = name.as_str().trim_start_matches("access-control-");
            format!("{name}: {}", value.to_str().expect("text"))
        })
        .collect();
    told.sort();
    told
}

async fn over_both(gateway: &Gateway, call: Call) -> [Answer; 2] {
    let over_h2 = gateway.connect_h2c().await.send(call.clone()).await;
    [gateway.send(call).await, over_h2]
}

#[tokio::test]
async fn a_preflight_is_answered_here_for_the_pages_that_may_ask() {
    let (origin, gateway) = start(ROUTES).await;
    for page in ["https://app.example.com", "https://a.b.example.org"] {
        for answer in over_both(&gateway, preflight("/api/x", page, "PUT")).await {
            assert_eq!((answer.status, answer.text()), (204, ""));
            assert_eq!(
                told(&answer),
                [
                    "allow-credentials: true".to_owned(),
                    "allow-headers: x-one".to_owned(),
                    "allow-methods: GET, PUT".to_owned(),
                    format!("allow-origin: {page}"),
                    "max-age: 3600".to_owned(),
                ]
            );
            assert_eq!(answer.header("vary"), Some("origin"));
            // It costs nothing of what the page's request may.
            assert_eq!(answer.header("ratelimit"), None);
        }
    }
    for page in [
        "https://evil.example",
        "https://app.example.com.evil.example",
        "null",
    ] {
        for answer in over_both(&gateway, preflight("/api/x", page, "PUT")).await {
            assert_eq!((answer.status, told(&answer)), (403, Vec::new()));
            assert_eq!(answer.header("vary"), Some("origin"));
        }
    }
    let denied = preflight("/api/x", "https://app.example.com", "PUT");
    let denied = gateway.send(denied.header("x-forwarded-for", "192.0.2.1"));
    assert_eq!(denied.await.status, 403);
    let open = gateway.send(preflight("/open", "null", "GET")).await;
    assert_eq!(open.status, 204);
    let expected = [
        "allow-methods: GET, HEAD, POST",
        "allow-origin: *",
        "max-age: 600",
    ];
    assert_eq!(told(&open), expected);
    assert_eq!((open.header("vary"), origin.count()), (None, 0));
    // Of a route that says nothing of pages, the service does.
    let other = gateway.send(preflight("/other", "https://app.example.com", "PUT"));
    other.await.assert_from("origin");
    // A method that the route does not have is another route's.
    let other = gateway.send(preflight("/api/x", "https://app.example.com", "DELETE"));
    other.await.assert_from("origin");
}

#[tokio::test]
async fn answers_say_which_pages_may_read_them_whatever_the_service_says() {
    let (origin, gateway) = start(ROUTES).await;
    origin.answer(|_| {
        Reply::status(200)
            .header("access-control-allow-origin", "*")
            .header("access-control-allow-credentials", "true")
            .header("access-control-max-age", "1")
            .header("vary", "accept")
    });
    let from = |page: &str| get("/api").header("origin", page);
    for answer in over_both(&gateway, from("https://app.example.com")).await {
        assert_eq!(answer.status, 200);
        let page = "allow-origin: https://app.example.com";
        let expected = ["allow-credentials: true", page, "expose-headers: etag"];
        assert_eq!(told(&answer), expected);
        let vary: Vec<_> = answer.headers.get_all("vary").iter().collect();
        assert_eq!(vary, ["accept", "origin"]);
    }
    // Browsers let no other page read them; caches are told that pages differ.
    for call in [from("https://evil.example"), get("/api")] {
        for answer in over_both(&gateway, call).await {
            assert_eq!((answer.status, told(&answer)), (200, Vec::new()));
            assert_eq!(answer.headers.get_all("vary").iter().count(), 2);
        }
    }
    // What all pages may read says so whoever asks: a cache may keep it for a page.
    for call in [
        get("/open").header("origin", "https://any.example"),
        get("/open"),
    ] {
        for answer in over_both(&gateway, call).await {
            assert_eq!(told(&answer), ["allow-origin: *"]);
            assert_eq!(answer.header("vary"), None);
        }
    }
    let other = gateway.send(get("/other")).await;
    assert_eq!(told(&other).len(), 3);
    // Refusals too: a page is to see why.
    for _ in 0..4 {
        gateway.send(get("/api")).await;
    }
    let refused = gateway.send(from("https://app.example.com")).await;
    assert_eq!((refused.status, told(&refused).len()), (429, 3));
}

#[tokio::test]
async fn answers_get_security_headers_unless_the_service_sets_them() {
    let (origin, gateway) = start(
        "
  - { path: /pages, service: search, security_headers: true }
  - { path: /framed, service: search, security_headers: { x-frame-options: none, referrer-policy: no-referrer } }
  - { path: /old, redirect: { to: /pages }, security_headers: true }
  - { path: /pong, respond: { body: pong }, security_headers: true }
  - { path: /denied, service: search, deny: [127.0.0.0/8], security_headers: true }
  - { path: /edited, service: search, security_headers: true, response_headers: { remove: [x-frame-options] } }
  - { path: /, service: search }
",
    )
    .await;
    let told = |answer: &Answer| {
        [
            "x-content-type-options",
            "x-frame-options",
            "referrer-policy",
            "strict-transport-security",
        ]
        .map(|name| answer.header(name).map(str::to_owned))
    };
    let expected = |texts: [&str; 4]| texts.map(|text| (!text.is_empty()).then(|| text.to_owned()));
    let usual = ["nosniff", "DENY", "strict-origin-when-cross-origin", ""];
    for (path, status, texts) in [
        ("/pages", 200, usual),
        ("/framed", 200, ["nosniff", "", "no-referrer", ""]),
        ("/old", 308, usual),
        ("/pong", 200, usual),
        ("/denied", 403, usual),
        ("/edited", 200, ["nosniff", "", usual[2], ""]),
        ("/other", 200, [""; 4]),
    ] {
        for answer in over_both(&gateway, get(path)).await {
            assert_eq!(answer.status, status, "{path}");
            assert_eq!(told(&answer), expected(texts), "{path}");
        }
    }
    // Over HTTPS, as a trusted proxy says.
    let https = gateway.send(get("/pages").header("x-forwarded-proto", "https"));
    assert_eq!(told(&https.await)[3].as_deref(), Some("max-age=31536000"));
    origin.answer(|_| {
        Reply::status(200)
            .header("x-frame-options", "SAMEORIGIN")
            .header("referrer-policy", "origin")
    });
    let own = told(&gateway.send(get("/pages")).await);
    assert_eq!(own, expected(["nosniff", "SAMEORIGIN", "origin", ""]));
    origin.answer(|_| Reply::status(200));
    let gone = gateway.connect_h2c().await.send(get("/pages")).await;
    assert_eq!(told(&gone), expected(usual));
}

#[tokio::test]
async fn an_answer_in_place_of_a_service_that_is_gone_has_them_too() {
    let (mut origin, gateway) = start(
        "  - { path: /, service: search, security_headers: true, cors: { origins: [https://app.example.com] } }",
    )
    .await;
    origin.stop().await;
    for answer in over_both(
        &gateway,
        get("/").header("origin", "https://app.example.com"),
    )
    .await
    {
        assert_eq!((answer.status, answer.origin()), (502, "-"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(told(&answer), ["allow-origin: https://app.example.com"]);
    }
}
