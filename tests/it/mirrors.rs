//! A shadow gets copies of requests, and nobody notices: what it gets, what is compared, and that nothing of it ever costs
//! a request anything.

mod comparing;
mod trouble;

use bytes::Bytes;
use http::Method;
use serde_json::json;

use crate::harness::{Blunt, Call, Gateway, Origin, Protocol, assert_has, fill, get, post, until};

/// `%more%` is of the mirror. `ann` is on `search.ranker`, `sue` on the shadow.
const CONFIG: &str = "
services:
  search:
    stable: @stable
    rescue: { methods: [GET, HEAD, PUT] }
    mirror: { to: search.shadow, %more% }
flags:
  search.ranker: { url: @canary, rings: [{ name: ann, when: { userId: [ann] } }] }
  search.shadow: { url: @shadow, rings: [{ name: sue, when: { userId: [sue] } }] }
routes:
  - { path: /old, service: search, rewrite: { prefix: /new }, request_headers: { set: { x-added: by-route } } }
  - { path: /, service: search }
identity:
  user_id: [{ header: x-user-id, trust: anyone }]
  override: { key: 0123456789abcdef0123456789abcdef }
";

/// A gateway with a shadow.
struct Stage {
    stable: Origin,
    canary: Origin,
    shadow: Origin,
    gateway: Gateway,
}

impl Stage {
    /// `more` is of the mirror.
    async fn start(more: &str) -> Self {
        Self::with(Protocol::Http1, |config| config.replace("%more%", more)).await
    }

    async fn with(protocol: Protocol, change: impl FnOnce(String) -> String) -> Self {
        let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
        let shadow = match protocol {
            Protocol::Http1 => Origin::start("shadow").await,
            Protocol::H2c => Origin::start_h2c("shadow").await,
        };
        let config = change(fill(CONFIG, [&stable, &canary, &shadow]));
        Self {
            gateway: Gateway::start(config).await,
            stable,
            canary,
            shadow,
        }
    }

    /// Waits until so many requests have come to this.
    async fn await_result(&self, result: &str, count: u32) {
        await_result(&self.gateway, result, count).await;
    }
}

async fn await_result(gateway: &Gateway, result: &str, count: u32) {
    let labels = [("service", "search"), ("result", result)];
    let name = "serin_mirror_total";
    gateway.await_metric(name, &labels, count.into()).await;
}

/// How many requests came to anything.
async fn results(gateway: &Gateway) -> f64 {
    gateway.metrics().await.sum("serin_mirror_total", &[])
}

#[tokio::test]
async fn the_shadow_gets_the_request_that_stable_gets_and_is_told_that_it_is_one() {
    let stage = Stage::start("sample: 100%").await;
    let call = get("/old/a%20b?q=1&q=2")
        .header("cookie", "session=1")
        .header("authorization", "Bearer of-the-service")
        .header("x-serin-override", "not.a.token")
        .header("x-serin-mirror", "true")
        .header(
            "traceparent",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        )
        .header("accept", "text/plain")
        .user("u1");
    stage.gateway.send(call).await.assert_from("stable");
    stage.await_result("answered", 1).await;
    let (real, copy) = (stage.stable.last(), stage.shadow.last());
    assert_eq!(
        (copy.method.as_str(), copy.target.as_str()),
        ("GET", "/new/a%20b?q=1&q=2")
    );
    assert_eq!((&copy.target, &copy.host), (&real.target, &real.host));
    for name in [
        "cookie",
        "authorization",
        "accept",
        "x-user-id",
        "x-added",
        "x-request-id",
        "x-forwarded-for",
        "x-forwarded-proto",
        "via",
    ] {
        let sent = real.all(name);
        assert_eq!((sent.len(), copy.all(name)), (1, sent), "{name}");
    }
    let deployment = |of| (copy.header(of), real.header(of));
    let named = |name: &str| Some(name.to_owned());
    assert_eq!(
        deployment("x-serin-deployment"),
        (named("search.shadow"), named("stable"))
    );
    assert_eq!(
        deployment("baggage"),
        (
            named("serin.search=search.shadow"),
            named("serin.search=stable")
        )
    );
    assert_eq!(deployment("x-serin-mirror"), (named("true"), None));
    assert_eq!(deployment("x-serin-override"), (None, None));
    // The same trace, which nobody records for its sake.
    let trace = copy.header("traceparent").expect("a trace");
    assert!(
        trace.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"),
        "{trace}"
    );
    assert!(trace.ends_with("-00"), "{trace}");
}

#[tokio::test]
async fn nothing_of_a_copy_counts_as_a_request() {
    let stage = Stage::start("compare: true").await;
    for user in ["u1", "u2"] {
        stage.gateway.get_as(user, "/").await.assert_from("stable");
    }
    stage.await_result("differs", 2).await;
    let metrics = stage.gateway.metrics().await;
    assert_eq!(
        metrics.sum("serin_requests_total", &[("service", "search")]),
        2.0
    );
    let of_shadow = [("served", "search.shadow")];
    for name in [
        "serin_requests_total",
        "serin_request_duration_seconds_count",
    ] {
        assert_eq!(metrics.sum(name, &of_shadow), 0.0, "{name}");
    }
    let line = stage.gateway.await_access_log_of("/").await;
    assert_has(
        &line,
        &json!({ "assigned": "stable", "served": "stable", "status": 200 }),
    );
    assert_eq!(stage.gateway.access_log_lines(), 2);
}

#[tokio::test]
async fn whoever_serves_is_copied_but_the_shadow_itself() {
    let stage = Stage::start("compare: true").await;
    // What a canary answers is not what the shadow stands in for.
    stage.gateway.get_as("ann", "/").await.assert_from("canary");
    stage.await_result("answered", 1).await;
    stage
        .gateway
        .get_as("sue", "/own")
        .await
        .assert_from("shadow");
    stage.gateway.get_as("u1", "/").await.assert_from("stable");
    stage.await_result("differs", 1).await;
    assert_eq!(results(&stage.gateway).await, 2.0);
    let own: Vec<_> = stage.shadow.requests();
    let own = own.iter().filter(|seen| seen.target == "/own");
    assert_eq!(own.count(), 1);
}

#[tokio::test]
async fn only_methods_that_are_named_are_copied_and_bodies_come_whole() {
    let stage = Stage::start("methods: [POST, PUT]").await;
    stage.gateway.send(get("/")).await.assert_from("stable");
    let body = Bytes::from(vec![b'x'; 64 * 1024]);
    let sent = [
        post("/length", body.clone()),
        post("/chunks", "").chunks([body.slice(..1000), body.slice(1000..)]),
        post("/empty", ""),
    ];
    for (call, count) in sent.into_iter().zip(1..) {
        stage.gateway.send(call).await.assert_from("stable");
        stage.await_result("answered", count).await;
        let (real, copy) = (stage.stable.last(), stage.shadow.last());
        assert_eq!((&copy.target, &copy.body), (&real.target, &real.body));
    }
    // More than that is not kept.
    let large = Bytes::from(vec![b'x'; 64 * 1024 + 1]);
    for (call, count) in [
        post("/large", large.clone()),
        post("/large", "").chunks([large]),
    ]
    .into_iter()
    .zip(1..)
    {
        stage.gateway.send(call).await.assert_from("stable");
        stage.await_result("dropped", count).await;
    }
    assert_eq!((stage.shadow.count(), stage.stable.count()), (3, 6));
}

#[tokio::test]
async fn a_body_that_is_sent_again_to_stable_is_copied_once() {
    let (stable, shadow) = (Origin::start("stable").await, Origin::start("shadow").await);
    let canary = Blunt::start(b"").await;
    let config = CONFIG.replace("@canary", &canary.url());
    let config = config.replace("%more%", "methods: [PUT]");
    let gateway = Gateway::start(fill(&config, [&stable, &shadow])).await;
    for (count, size) in [(1, 10), (2, 50_000)] {
        let body = Bytes::from(vec![b'x'; size]);
        let call = Call::new(Method::PUT, "/").body(body.clone()).user("ann");
        gateway.send(call).await.assert_from("stable");
        await_result(&gateway, "answered", count).await;
        assert_eq!(shadow.last().body, body);
    }
    assert_eq!((canary.count(), shadow.count()), (2, 2));
}

#[tokio::test]
async fn a_tunnel_is_not_copied() {
    let stage = Stage::start("").await;
    let mut raw = stage.gateway.open_raw().await;
    raw.write(
        b"GET /ws HTTP/1.1\r\nhost: api.example.com\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
          sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    )
    .await;
    let head = raw.read_until(b"\r\n\r\n").await;
    assert!(head.starts_with(b"HTTP/1.1 101"), "{head:?}");
    stage
        .gateway
        .send(get("/after"))
        .await
        .assert_from("stable");
    stage.await_result("answered", 1).await;
    let seen: Vec<String> = stage
        .shadow
        .requests()
        .into_iter()
        .map(|seen| seen.target)
        .collect();
    assert_eq!(seen, ["/after"]);
}

#[tokio::test]
async fn connections_to_the_shadow_are_used_again_over_either_http() {
    for protocol in [Protocol::Http1, Protocol::H2c] {
        let change = |config: String| config.replace("%more%", "methods: [GET, POST]");
        let stage = Stage::with(protocol, change).await;
        for count in 1..=5 {
            stage
                .gateway
                .send(post("/p?x=1", "body"))
                .await
                .assert_from("stable");
            stage.await_result("answered", count).await;
        }
        let copy = stage.shadow.last();
        assert_eq!(
            (copy.target.as_str(), &copy.body[..]),
            ("/p?x=1", &b"body"[..])
        );
        assert_eq!(copy.host, stage.stable.last().host);
        assert_eq!(copy.header("x-serin-mirror").as_deref(), Some("true"));
        assert_eq!(stage.shadow.connections(), 1, "{protocol:?}");
    }
}

#[tokio::test]
async fn a_connection_of_http2_is_shared_before_its_first_answer() {
    let change = |config: String| config.replace(", %more%", "");
    let stage = Stage::with(Protocol::H2c, change).await;
    stage.shadow.hold();
    for count in 1..=10 {
        stage.gateway.send(get("/")).await.assert_from("stable");
        stage.shadow.await_requests(count).await;
    }
    assert_eq!(stage.shadow.connections(), 1);
    stage.shadow.release();
    stage.await_result("answered", 10).await;
}

#[tokio::test]
async fn not_even_a_trusted_proxy_says_that_a_request_is_a_copy() {
    let (stable, shadow) = (Origin::start("stable").await, Origin::start("shadow").await);
    let config = CONFIG.replace("@canary", "http://127.0.0.1:1");
    let server = "server: { threads: 1, shutdown_delay: 1ms, trusted_proxies: [127.0.0.0/8] }\n";
    let config = fill(&config.replace(", %more%", ""), [&stable, &shadow]) + server;
    let gateway = Gateway::start(config).await;
    for name in ["x-serin-mirror", "x_serin_mirror"] {
        let call = get("/").header(name, "true").header("x-serin-own", "1");
        gateway.send(call).await.assert_from("stable");
        let seen = stable.last();
        assert_eq!(
            (seen.all("x-serin-mirror"), seen.all(name)),
            (vec![], vec![])
        );
        // The proxy is trusted indeed.
        assert_eq!(seen.header("x-serin-own").as_deref(), Some("1"));
    }
}

#[tokio::test]
async fn the_sample_is_a_part_of_the_requests() {
    let stage = Stage::start("sample: 10%").await;
    let mut connection = stage.gateway.connect().await;
    for _ in 0..300 {
        connection.send(get("/")).await.assert_from("stable");
    }
    // 30 are expected; fewer than 5, or more than 80, come once in millions of runs.
    let least = until("the first copies", || {
        (stage.shadow.count() >= 5).then_some(())
    });
    least.await;
    // A copy of all that is sent from here on: what came before has gone before.
    let config = fill(CONFIG, [&stage.stable, &stage.canary, &stage.shadow]);
    let generation = stage.gateway.generation().await;
    stage
        .gateway
        .rewrite_config(&config.replace("%more%", "sample: 100%"));
    stage.gateway.await_generation(generation + 1).await;
    connection.send(get("/last")).await.assert_from("stable");
    let last = || (stage.shadow.last().target == "/last").then_some(());
    until("the last copy", last).await;
    let came = stage.shadow.count();
    assert!((5..80).contains(&came), "{came}");
}

#[tokio::test]
async fn another_file_has_another_mirror_and_a_kill_ends_it() {
    let stage = Stage::start("").await;
    stage.gateway.send(get("/1")).await.assert_from("stable");
    stage.await_result("answered", 1).await;
    let config = fill(CONFIG, [&stage.stable, &stage.canary, &stage.shadow]);
    let other = config.replace("to: search.shadow, %more%", "to: search.ranker");
    let generation = stage.gateway.generation().await;
    stage.gateway.rewrite_config(&other);
    stage.gateway.await_generation(generation + 1).await;
    stage.gateway.send(get("/2")).await.assert_from("stable");
    stage.await_result("answered", 2).await;
    assert_eq!(stage.canary.last().target, "/2");

    let kill = "/api/v1/services/search/canaries/search.ranker/kill";
    let killed = stage.gateway.admin_send(post(kill, "")).await;
    assert_eq!(killed.status, 200, "{killed:?}");
    for _ in 0..3 {
        stage.gateway.send(get("/3")).await.assert_from("stable");
    }
    // Nobody is sent there any more; it is no mishap either.
    assert_eq!(results(&stage.gateway).await, 2.0);
    assert_eq!((stage.canary.count(), stage.shadow.count()), (1, 1));
}

#[tokio::test]
async fn a_shadow_that_no_flag_names_is_told() {
    let stage = Stage::start("").await;
    let config = fill(CONFIG, [&stage.stable, &stage.canary, &stage.shadow]);
    let config = config.replace(", %more%", "");
    // The name of the flag's canary is another one: it has a variant.
    let other = config.replace(
        "search.shadow: { url:",
        "search.shadow: { variants: [{ name: one, weight: 50%, url: http://127.0.0.1:1 }, { name: two, weight: 50%, url:",
    );
    let other = other.replace(", rings: [{ name: sue,", " }], rings: [{ name: sue,");
    let generation = stage.gateway.generation().await;
    stage.gateway.rewrite_config(&other);
    stage.gateway.await_generation(generation + 1).await;
    let warnings = stage.gateway.status().await["warnings"].to_string();
    assert!(
        warnings.contains("nothing of search is mirrored"),
        "{warnings}"
    );
    stage.gateway.send(get("/")).await.assert_from("stable");
    assert_eq!(results(&stage.gateway).await, 0.0);
}
