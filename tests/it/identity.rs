//! Who the user is: sources in order, whose word counts, and what never passes.

use serde_json::json;

use crate::harness::{Gateway, Origin, Setup, assert_has, fill, get};

/// The canary is for u1 alone, and for the session of a client at 203.0.113.0/24.
const CONFIG: &str = "
services: { search: @stable }
flags:
  search.ranker:
    url: @canary
    rings:
      - { name: one, when: { userId: [u1] } }
      - { name: office, when: { remoteAddress: [203.0.113.0/24] } }
      - { name: region, when: { region: [eu], appVersion: { semver_gte: 10.1.0 } } }
routes: [{ path: /, service: search }]
identity:
  user_id:
    - { cookie: uid, trust: anyone }
    - { header: x-user-id, trust: proxies }
    - { query: uid, trust: anyone }
  properties:
    region: { cookie: region }
    appVersion: { header: x-app-version }
";

const TRUSTING: &str = "server: { trusted_proxies: [127.0.0.0/8], shutdown_delay: 1ms }\n";

/// The two origins and a gateway before them.
async fn start(config: &str) -> (Origin, Origin, Gateway) {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let gateway = Gateway::start(fill(config, [&stable, &canary])).await;
    (stable, canary, gateway)
}

/// A request whose headers are written as they stand here.
fn raw(path: &str, headers: &[&str]) -> String {
    let mut lines = vec![format!("GET {path} HTTP/1.1"), "Host: a.example.com".into()];
    lines.extend(headers.iter().map(|line| (*line).to_owned()));
    if !headers
        .iter()
        .any(|line| line.to_lowercase().starts_with("connection:"))
    {
        lines.push("Connection: close".into());
    }
    lines.join("\r\n") + "\r\n\r\n"
}

#[tokio::test]
async fn the_first_source_that_yields_a_value_wins() {
    let (stable, _canary, gateway) = start(CONFIG).await;
    let send = async |call| gateway.send(call).await;
    send(get("/?uid=u1")).await.assert_from("canary");
    send(get("/").header("cookie", "a=b; uid=u1; c=d"))
        .await
        .assert_from("canary");
    send(get("/?uid=u1").header("cookie", "uid=u2"))
        .await
        .assert_from("stable");
    send(get("/?uid=u2").header("cookie", "uid=u1"))
        .await
        .assert_from("canary");
    // An empty value is none.
    send(get("/?uid=u1").header("cookie", "uid="))
        .await
        .assert_from("canary");
    // Nobody here is a trusted proxy.
    send(get("/").user("u1")).await.assert_from("stable");
    assert_eq!(stable.last().header("x-user-id"), None);
    send(get("/?uid=u1").user("u2")).await.assert_from("canary");

    send(get("/encoded?uid=a%40b%20c"))
        .await
        .assert_from("stable");
    let line = gateway.await_access_log_of("/encoded").await;
    assert_has(&line, &json!({ "user_id": "a@b c", "path": "/encoded" }));
}

#[tokio::test]
async fn a_trusted_proxy_is_believed() {
    let (stable, canary, gateway) = start(&format!("{TRUSTING}{CONFIG}")).await;
    gateway.get_as("u1", "/").await.assert_from("canary");
    assert_eq!(canary.last().header("x-user-id").as_deref(), Some("u1"));
    gateway
        .send(get("/?uid=u1").user("u2"))
        .await
        .assert_from("stable");

    let call = get("/far")
        .header("x-forwarded-for", "198.51.100.1, 203.0.113.9")
        .header("x-forwarded-proto", "https")
        .header("x-forwarded-host", "www.example.com")
        .header("x-request-id", "0123456789abcdef-from-the-edge")
        .header("x-serin-note", "kept")
        .header("baggage", "serin.other=canary,a=1");
    gateway.send(call).await.assert_from("canary");
    let seen = canary.last();
    for (name, value) in [
        ("x-forwarded-for", "198.51.100.1, 203.0.113.9, 127.0.0.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "www.example.com"),
        ("x-request-id", "0123456789abcdef-from-the-edge"),
        ("x-serin-note", "kept"),
    ] {
        assert_eq!(seen.all(name).join(", "), value, "{name}");
    }
    let baggage = seen.all("baggage").join(",");
    assert!(
        baggage.contains("serin.other=canary") && baggage.contains("a=1"),
        "{baggage}"
    );
    let line = gateway.await_access_log_of("/far").await;
    assert_eq!(
        line["client"], "203.0.113.9",
        "the last that no proxy of ours added"
    );

    // What a client claims before its proxy's own word does not count.
    let call = get("/").header("x-forwarded-for", "203.0.113.9, 198.51.100.1");
    gateway.send(call).await.assert_from("stable");
    assert_eq!(stable.count(), 2);
}

#[tokio::test]
async fn what_an_untrusted_client_claims_never_passes() {
    let (stable, _canary, gateway) = start(CONFIG).await;
    let claims = [
        "X-User-ID: u1",
        "x_user_id: u1",
        "X_User-Id: u1",
        "X-Serin-Deployment: search.ranker",
        "X_Serin_Deployment: search.ranker",
        "x-serin-anything: 1",
        "X-Forwarded-For: 203.0.113.9",
        "X_Forwarded_For: 203.0.113.9",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: evil.example.com",
        "X-Forwarded-Port: 1",
        "Forwarded: for=203.0.113.9",
        "X-Real-IP: 203.0.113.9",
        "X_Real_IP: 203.0.113.9",
        "X-Request-Id: mine",
        "X_Request_Id: mine",
        "Baggage: serin.search=search.ranker,a=1, serin.other = x;p=1",
    ];
    for claim in claims {
        let answer = gateway.raw(raw("/", &[claim])).await;
        assert_eq!(answer.status(), 200, "{claim}: {}", answer.text());
        assert!(
            answer.text().contains("x-origin: stable"),
            "{claim}: {}",
            answer.text()
        );
        let seen = stable.last();
        let (name, value) = claim.split_once(": ").expect("a header");
        let alike = |other: &str| {
            other
                .replace('_', "-")
                .eq_ignore_ascii_case(&name.replace('_', "-"))
        };
        for (name, seen) in seen.headers.iter().filter(|(name, _)| alike(name)) {
            assert!(!name.contains('_'), "{claim} passed as {name}");
            let seen = String::from_utf8_lossy(seen);
            assert!(!seen.contains(value), "{claim} passed: {seen}");
            assert!(
                !seen.contains("ranker") && !seen.contains("serin.other"),
                "{claim}: {seen}"
            );
        }
    }
    assert_eq!(stable.count(), claims.len());
    let baggage = stable.last().all("baggage").join(",");
    assert!(
        baggage.contains("a=1") && baggage.contains("serin.search=stable"),
        "{baggage}"
    );
}

#[tokio::test]
async fn a_request_that_plays_with_identity_is_refused() {
    let (stable, canary, gateway) = start(&CONFIG.replace("trust: proxies", "trust: anyone")).await;
    for (what, headers) in [
        // Hop-by-hop headers are taken out on the way: this would make the ID vanish after the decision.
        (
            "nominated",
            &["X-User-Id: u1", "Connection: close, X-User-Id"][..],
        ),
        (
            "nominated deployment",
            &["Connection: close, x-serin-deployment"],
        ),
        ("two values", &["X-User-Id: u1", "X-User-Id: u2"]),
        ("two spellings", &["X-User-Id: u2", "x-USER-id: u1"]),
    ] {
        let answer = gateway.raw(raw("/", headers)).await;
        assert_eq!(answer.status(), 400, "{what}: {}", answer.text());
    }
    assert_eq!((stable.count(), canary.count()), (0, 0));
    // Other names may be nominated; they go no further.
    let answer = gateway
        .raw(raw("/", &["X-Mine: 1", "Connection: close, x-mine"]))
        .await;
    assert_eq!(answer.status(), 200);
    assert_eq!(stable.last().header("x-mine"), None);
}

#[tokio::test]
async fn properties_come_from_headers_and_cookies() {
    let (_stable, _canary, gateway) = start(CONFIG).await;
    for (region, version, origin) in [
        ("eu", "10.1.0", "canary"),
        ("eu", "10.2.0", "canary"),
        ("eu", "9.9.9", "stable"),
        ("eu", "10.1.0-rc.1", "stable"),
        ("us", "10.1.0", "stable"),
        ("eu", "ten", "stable"),
    ] {
        let call = get("/")
            .header("cookie", &format!("region={region}"))
            .header("x-app-version", version);
        gateway.send(call).await.assert_from(origin);
    }
    gateway
        .send(get("/").header("cookie", "region=eu"))
        .await
        .assert_from("stable");
}

const STICKY: &str = "
services: { search: @stable, plain: @stable }
flags:
  search.ranker: { url: @canary, rings: [{ name: half, rollout: 50% }] }
routes:
  - { path: /, service: search }
  - { path: /plain, service: plain }
  - { path: /ping, respond: { status: 200, body: pong } }
identity:
  user_id: [{ header: x-user-id, trust: anyone }]
  anonymous: sticky
";

#[tokio::test]
async fn a_sticky_anonymous_user_stays_where_it_is() {
    let (_stable, _canary, gateway) = start(STICKY).await;
    let mut seen = Vec::new();
    for _ in 0..20 {
        let first = gateway.send(get("/")).await;
        let cookie = first.header("set-cookie").expect("a cookie").to_owned();
        let mut parts = cookie.split("; ");
        let pair = parts.next().expect("a pair");
        let mut attributes: Vec<String> = parts.map(str::to_lowercase).collect();
        attributes.sort();
        assert_eq!(
            attributes,
            ["httponly", "max-age=31536000", "path=/", "samesite=lax"]
        );
        let id = pair.strip_prefix("serin_id=").expect("the default name");
        assert!(id.len() >= 16, "{id}");

        let hash = murmur3::murmur3_32(&mut std::io::Cursor::new(format!("search.ranker:{id}")), 0);
        let expected = if hash.expect("a hash") % 100 < 50 {
            "canary"
        } else {
            "stable"
        };
        first.assert_from(expected);
        let again = gateway.send(get("/").header("cookie", pair)).await;
        again.assert_from(expected);
        assert_eq!(again.header("set-cookie"), None);
        seen.push(expected);
    }
    assert!(
        seen.contains(&"stable") && seen.contains(&"canary"),
        "{seen:?}"
    );

    // Only where a rollout could use it, and nobody else's.
    for call in [get("/plain"), get("/ping"), get("/").user("u1")] {
        let answer = gateway.send(call).await;
        assert_eq!((answer.status, answer.header("set-cookie")), (200, None));
    }
}

#[tokio::test]
async fn the_sticky_cookie_is_as_the_file_says() {
    let config = STICKY.to_owned()
        + "  anonymous_cookie: { name: who, max_age: 1d, secure: auto, same_site: strict }\n";
    let (_stable, _canary, gateway) = start(&format!("{TRUSTING}{config}")).await;
    let answer = gateway
        .send(get("/").header("x-forwarded-proto", "https"))
        .await;
    let cookie = answer
        .header("set-cookie")
        .expect("a cookie")
        .to_lowercase();
    assert!(cookie.starts_with("who="), "{cookie}");
    for attribute in ["; secure", "; samesite=strict", "; max-age=86400"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
}

#[tokio::test]
async fn an_anonymous_user_can_be_turned_away() {
    let config = CONFIG.replace("identity:\n", "identity:\n  anonymous: reject\n");
    let (stable, canary, gateway) = start(&config).await;
    let refused = gateway.send(get("/")).await;
    assert_eq!(refused.status, 401);
    assert_eq!(
        refused.header("www-authenticate"),
        Some("Bearer realm=\"users\"")
    );
    // The header is not this client's to set.
    assert_eq!(gateway.send(get("/").user("u1")).await.status, 401);
    assert_eq!((stable.count(), canary.count()), (0, 0));
    gateway.send(get("/?uid=u1")).await.assert_from("canary");
    gateway.send(get("/?uid=u2")).await.assert_from("stable");
}

#[tokio::test]
async fn user_ids_are_hashed_or_left_out_of_the_access_log() {
    let stable = Origin::start("stable").await;
    let base = fill(
        "
services: { search: @stable }
routes: [{ path: /, service: search }]
identity: { user_id: [{ header: x-user-id, trust: anyone }] }
",
        [&stable],
    );
    // HMAC-SHA-256 of `u1` under the key `pepper`, by another implementation.
    let hash = "e57d7b3dd97a9d7bd2d475222b2bde6d0e52c391ee3deedf9c77ea53bda981fd";
    for (logging, expected) in [
        (
            "{ access: all, user_id: hash, hash_key: '${LOG_KEY}' }",
            json!(hash),
        ),
        ("{ access: all, user_id: plain }", json!("u1")),
        ("{ access: all, user_id: omit }", json!(null)),
    ] {
        let setup = Setup::new(format!("logging: {logging}\n{base}"));
        let gateway = setup.env("LOG_KEY", "pepper").start().await;
        gateway.get_as("u1", "/").await.assert_from("stable");
        let line = gateway.await_access_log_of("/").await;
        assert_has(&line, &json!({ "user_id": expected, "status": 200 }));
        assert!(!gateway.log().contains("pepper"), "{}", gateway.log());
    }
}

#[tokio::test]
async fn cookies_that_come_in_pieces_are_one_line() {
    let (stable, canary, gateway) = start(CONFIG).await;
    let mut client = gateway.connect_h2c().await;
    let pieces = get("/")
        .header("cookie", "a=b")
        .header("cookie", "uid=u1")
        .header("cookie", "c=d");
    client.send(pieces).await.assert_from("canary");
    assert_eq!(canary.last().all("cookie"), ["a=b; uid=u1; c=d"]);
    let lines = ["Cookie: a=b", "X-Other: 1", "cookie: uid=u2"];
    assert_eq!(gateway.raw(raw("/", &lines)).await.status(), 200);
    assert_eq!(stable.last().all("cookie"), ["a=b; uid=u2"]);
    assert_eq!(stable.last().all("x-other"), ["1"]);
}

#[tokio::test]
async fn an_id_is_the_text_that_the_service_sees() {
    let config = CONFIG.replace("trust: proxies", "trust: anyone");
    let (stable, canary, gateway) = start(&config).await;
    let send = async |field: &[u8]| {
        let head = b"GET / HTTP/1.1\r\nHost: a.example.com\r\nConnection: close\r\n";
        gateway
            .raw([head, field, b"\r\n\r\n"].concat())
            .await
            .text()
    };
    // Other people's cookies may be in any encoding.
    for cookie in [
        &b"Cookie: name=J\xfcrgen; uid=u1"[..],
        b"Cookie: uid=u1; name=\xff\xfe",
        b"Cookie:\ta=b;\tuid\t=\tu1\t; c",
    ] {
        let answer = send(cookie).await;
        assert!(answer.contains("x-origin: canary"), "{cookie:?}: {answer}");
    }
    assert!(
        send(b"X-User-Id: \t u1 \t ")
            .await
            .contains("x-origin: canary")
    );
    let canaries = canary.count();
    // Not white space in HTTP: the service sees another name, and so does Serin.
    for blank in ["\u{a0}", "\u{3000}", "\u{85}", "\u{2003}"] {
        for field in ["X-User-Id: ", "Cookie: uid="] {
            let answer = send(format!("{field}u1{blank}").as_bytes()).await;
            assert!(
                answer.contains("x-origin: stable"),
                "{field}{blank:?}: {answer}"
            );
        }
    }
    assert_eq!((stable.count(), canary.count()), (8, canaries));
}

#[tokio::test]
async fn what_a_proxy_vouches_for_is_said_once() {
    let vouched = CONFIG.replace(
        "appVersion: { header: x-app-version }",
        "appVersion: { header: x-app-version, trust: proxies }",
    );
    let (stable, canary, gateway) = start(&(TRUSTING.to_owned() + &vouched)).await;
    let twice = ["X-App-Version: 10.2.0", "x-app-version: 1.0.0"];
    assert_eq!(gateway.raw(raw("/", &twice)).await.status(), 400);
    // Nobody's word is taken for these: they are stripped, however many there are.
    let (apart, _, untrusting) = start(&vouched).await;
    assert_eq!(untrusting.raw(raw("/", &twice)).await.status(), 200);
    assert_eq!(apart.last().all("x-app-version"), [""; 0]);
    // Nor may anything be taken out on the way that has been decided by.
    for nominated in ["cookie", "Cookie, x-app-version", "x-app-version"] {
        let connection = format!("Connection: close, {nominated}");
        let answer = gateway
            .raw(raw("/", &["Cookie: uid=u1", &connection]))
            .await;
        assert_eq!(answer.status(), 400, "{nominated}");
    }
    assert_eq!((stable.count(), canary.count()), (0, 0));
}

#[tokio::test]
async fn an_empty_chain_of_proxies_gets_no_comma() {
    let (stable, _canary, gateway) = start(&(TRUSTING.to_owned() + CONFIG)).await;
    for chain in [
        &["X-Forwarded-For:"][..],
        &["X-Forwarded-For: ", "X-Forwarded-For: \t"],
    ] {
        assert_eq!(gateway.raw(raw("/", chain)).await.status(), 200);
        assert_eq!(stable.last().all("x-forwarded-for"), ["127.0.0.1"]);
    }
    let chain = ["X-Forwarded-For: 192.0.2.1", "X-Forwarded-For:"];
    assert_eq!(gateway.raw(raw("/", &chain)).await.status(), 200);
    assert_eq!(
        stable.last().all("x-forwarded-for"),
        ["192.0.2.1, 127.0.0.1"]
    );
}
