//! Endpoints that fail are left alone, tried again and brought back; checks say so before users notice.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use serde_json::{Value, json};

use crate::harness::{
    Call, Dns, Gateway, Lookup, Origin, Protocol, Reply, Setup, assert_has, eventually, fill, get,
    until,
};

const CONFIG: &str = "
services:
  search:
    stable: @stable
    outlier: { eject_for: 500ms }
flags:
  search.ranker: { url: @canary, rings: [{ name: one, when: { userId: [u1] } }] }
routes: [{ path: /, service: search }]
identity: { user_id: [{ header: x-user-id, trust: anyone }] }
logging: { access: all }
";

const RESCUES: &str = "serin_rescues_total";

/// Two origins on one port of two loopback addresses, behind one name.
async fn pair(dns: &Dns) -> (Origin, Origin) {
    let one = Origin::start("one").await;
    let ip = Ipv4Addr::new(127, 0, 0, 2).into();
    let two = Origin::start_on("two", Protocol::Http1, ip, one.port()).await;
    let addresses = vec![one.address().ip(), two.address().ip()];
    dns.set("pair.test", Lookup::Addresses(addresses, 60));
    (one, two)
}

fn of_pair(port: u16, more: &str) -> String {
    format!(
        "
services: {{ search: {{ stable: 'http://pair.test:{port}', {more} }} }}
routes: [{{ path: /, service: search }}]
identity: {{ user_id: [{{ header: x-user-id, trust: anyone }}] }}
"
    )
}

async fn healthy(gateway: &Gateway, deployment: &str, count: f64) {
    let labels = [("service", "search"), ("deployment", deployment)];
    gateway
        .await_metric("serin_endpoint_healthy", &labels, count)
        .await;
}

/// The endpoints of a deployment, as the API shows them.
async fn endpoints(gateway: &Gateway, deployment: usize) -> Value {
    let service = gateway.admin("/api/v1/services/search").await.json();
    service["deployments"][deployment]["endpoints"].clone()
}

#[tokio::test]
async fn a_canary_that_is_down_is_asked_no_more_until_it_is_back() {
    let (stable, mut canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let gateway = Gateway::start(fill(CONFIG, [&stable, &canary])).await;
    gateway.get_as("u1", "/").await.assert_from("canary");
    canary.stop().await;
    // The first may find a connection that has just broken; that speaks against nobody.
    eventually("an ejection", || async {
        gateway.get_as("u1", "/down").await.assert_from("stable");
        let cause = gateway
            .metrics()
            .await
            .sum(RESCUES, &[("cause", "unhealthy")]);
        (cause > 0.0).then_some(())
    })
    .await;
    gateway.await_log("endpoint ejected").await;
    gateway.await_log("stable serves its users").await;
    let shown = &endpoints(&gateway, 1).await[0];
    assert!(
        ["ejected", "trial"].contains(&shown["health"].as_str().unwrap_or_default()),
        "{shown}"
    );
    let expected = json!({ "failure": "connect" });
    assert_has(&shown["ejection"], &expected);
    let line = gateway
        .await_access_log(|line| line["cause"] == "unhealthy")
        .await;
    let expected = json!({ "assigned": "search.ranker", "served": "stable", "status": 200 });
    assert_has(&line, &expected);

    canary.restart().await;
    gateway.await_log("a few requests try it").await;
    let call = || gateway.get_as("u1", "/back");
    eventually("the canary's return", || async {
        let served_by = call().await.origin().to_owned();
        let returned = gateway.log().contains("endpoint is back");
        (returned && served_by == "canary").then_some(())
    })
    .await;
    healthy(&gateway, "search.ranker", 1.0).await;
    gateway.await_log("the deployment is healthy again").await;
    call().await.assert_from("canary");
}

#[tokio::test]
async fn an_erring_endpoint_of_stable_is_left_alone_and_comes_back() {
    let dns = Dns::start().await;
    let (one, two) = pair(&dns).await;
    let config = of_pair(
        one.port(),
        "outlier: { consecutive_failures: 3, eject_for: 2s }",
    );
    let gateway = Setup::new(config).dns(&dns).start().await;
    healthy(&gateway, "stable", 2.0).await;
    two.answer(|_| Reply::status(503));
    let mut failed = 0;
    eventually("an ejection", || {
        let answer = gateway.send(get("/"));
        let log = || gateway.log().contains("endpoint ejected");
        async move { (answer.await.status == 503 || log()).then_some(()) }
    })
    .await;
    while !gateway.log().contains("endpoint ejected") {
        failed += usize::from(gateway.send(get("/")).await.status == 503);
    }
    assert!(failed <= 3, "{failed}");
    let shown = endpoints(&gateway, 0).await;
    let ejected = json!({ "cause": "consecutive_failures", "failure": "status", "times": 1 });
    assert_has(&shown[1]["ejection"], &ejected);
    assert_eq!(shown[0]["health"], "healthy");
    two.answer(|_| Reply::status(200));
    eventually("its return", || async {
        gateway
            .send(get("/"))
            .await
            .assert_from_any(&["one", "two"]);
        gateway.log().contains("endpoint is back").then_some(())
    })
    .await;
    healthy(&gateway, "stable", 2.0).await;
    eventually("a share of its own", || async {
        (gateway.send(get("/")).await.origin() == "two").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_client_that_goes_away_says_nothing_about_the_endpoint() {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let gateway = Gateway::start(fill(CONFIG, [&stable, &canary])).await;
    canary.hold();
    for count in 1..=8 {
        let mut raw = gateway.open_raw().await;
        raw.write(b"GET /gone HTTP/1.1\r\nhost: api.example.com\r\nx-user-id: u1\r\n\r\n")
            .await;
        canary.await_requests(count).await;
        // One that only ended its side would still be answered.
        raw.reset();
    }
    until("the records", || {
        let gone = gateway.access_log();
        (gone.iter().filter(|line| line["path"] == "/gone").count() == 8).then_some(())
    })
    .await;
    canary.release();
    gateway.get_as("u1", "/").await.assert_from("canary");
    assert_eq!(endpoints(&gateway, 1).await[0]["health"], "healthy");
}

fn checks(origin: &Origin, path: &str) -> usize {
    let requests = origin.requests();
    requests.iter().filter(|r| r.target == path).count()
}

#[tokio::test]
async fn a_canary_whose_checks_fail_gets_no_request_and_its_policy_follows_the_file() {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    canary.answer(|request| match request.target.as_str() {
        "/healthz" => Reply::status(503),
        _ => Reply::status(200),
    });
    let with = |health: &str| {
        let outlier = "outlier: { eject_for: 500ms }";
        fill(&CONFIG.replace(outlier, health), [&stable, &canary])
    };
    let fast = "interval: 50ms, timeout: 5s, unhealthy_after: 2, healthy_after: 2";
    let gateway = Gateway::start(with(&format!("health: {{ path: /healthz, {fast} }}"))).await;
    gateway.await_log("its checks fail").await;
    healthy(&gateway, "search.ranker", 0.0).await;
    gateway.get_as("u1", "/user").await.assert_from("stable");
    assert_eq!(checks(&canary, "/user"), 0);
    let line = gateway.await_access_log_of("/user").await;
    assert_has(
        &line,
        &json!({ "cause": "unhealthy", "assigned": "search.ranker" }),
    );
    let shown = endpoints(&gateway, 1).await;
    assert_has(&shown[0], &json!({ "health": "unhealthy" }));
    assert_has(
        &shown[0]["last_check"],
        &json!({ "passed": false, "said": "status 503" }),
    );
    let check = canary.requests()[0].clone();
    assert_eq!(check.host, canary.address().to_string());
    let agent = check.header("user-agent").unwrap_or_default();
    assert!(
        agent.starts_with("serin/") && agent.ends_with(" health"),
        "{agent}"
    );
    // Stable answers 200 at the same path.
    healthy(&gateway, "stable", 1.0).await;

    // Another path, which is well.
    gateway.rewrite_config(&with(&format!("health: {{ path: /ready, {fast} }}")));
    gateway.await_generation(2).await;
    healthy(&gateway, "search.ranker", 1.0).await;
    gateway.get_as("u1", "/").await.assert_from("canary");
    assert!(checks(&canary, "/ready") > 0);

    // 404 is asked for, and comes not; then nothing is asked any more.
    gateway.rewrite_config(&with(&format!(
        "health: {{ status: 404, path: /a, {fast} }}"
    )));
    gateway.await_generation(3).await;
    healthy(&gateway, "search.ranker", 0.0).await;
    gateway.rewrite_config(&with("preserve_host: true"));
    gateway.await_generation(4).await;
    healthy(&gateway, "search.ranker", 1.0).await;
    let asked = checks(&canary, "/a");
    assert_eq!(endpoints(&gateway, 1).await[0]["last_check"], Value::Null);
    for _ in 0..50 {
        gateway.get_as("u1", "/").await.assert_from("canary");
    }
    assert!(
        checks(&canary, "/a") <= asked + 1,
        "one may have been under way"
    );
}

#[tokio::test]
async fn a_user_stays_at_one_endpoint() {
    let dns = Dns::start().await;
    let (one, two) = pair(&dns).await;
    let config = of_pair(one.port(), "balance: hash_user");
    let gateway = Setup::new(config).dns(&dns).start().await;
    let mut homes: HashMap<String, String> = HashMap::new();
    for round in 0..3 {
        for user in (0..20).map(|user| format!("u{user}")) {
            let origin = gateway.get_as(&user, "/").await.origin().to_owned();
            let home = homes.entry(user.clone()).or_insert_with(|| origin.clone());
            assert_eq!(*home, origin, "{user} in round {round}");
        }
    }
    for origin in [&one, &two] {
        assert!(
            origin.count() >= 9,
            "{} has {}",
            origin.name(),
            origin.count()
        );
    }
    // Without a user the requests are spread.
    let mut connection = gateway.connect().await;
    let mut origins = Vec::new();
    for _ in 0..40 {
        origins.push(connection.send(get("/")).await.origin().to_owned());
    }
    assert!(origins.iter().any(|o| o == "one") && origins.iter().any(|o| o == "two"));
}

#[tokio::test]
async fn srv_records_name_ports_and_weights_and_change_without_cutting_anybody_off() {
    let dns = Dns::start().await;
    let (one, two) = (Origin::start("one").await, Origin::start("two").await);
    dns.set("local.test", Lookup::address(Ipv4Addr::LOCALHOST));
    let record = |weight, origin: &Origin| (0, weight, origin.port(), "local.test.".to_owned());
    let name = "_http._tcp.shop.test";
    dns.set(
        name,
        Lookup::Services(vec![record(10, &one), record(30, &two)]),
    );
    let config = format!(
        "
services: {{ search: {{ stable: 'srv+http://{name}', balance: round_robin, preserve_host: false }} }}
routes: [{{ path: /, service: search }}]
"
    );
    let gateway = Setup::new(config).dns(&dns).start().await;
    healthy(&gateway, "stable", 2.0).await;
    let mut connection = gateway.connect().await;
    for _ in 0..80 {
        connection
            .send(get("/"))
            .await
            .assert_from_any(&["one", "two"]);
    }
    assert!(one.count().abs_diff(20) <= 2, "{} of 80", one.count());
    assert_eq!(one.last().host, name);

    // A request is under way where nobody is sent any more.
    two.hold();
    let before = two.count();
    let held = async {
        let call = || async { gateway.send(get("/held")).await };
        futures_util::future::join_all((0..4).map(|_| call())).await
    };
    let change = async {
        two.await_requests(before + 2).await;
        dns.set(name, Lookup::Services(vec![record(1, &one)]));
        healthy(&gateway, "stable", 1.0).await;
        two.release();
    };
    let (answers, ()) = tokio::join!(held, change);
    assert!(
        answers.iter().all(|answer| answer.status == 200),
        "{answers:?}"
    );
    for _ in 0..10 {
        connection.send(get("/")).await.assert_from("one");
    }
}

#[tokio::test]
async fn grpc_and_tcp_are_checked_too() {
    let grpc = Origin::start_h2c("grpc").await;
    grpc.answer(|request| {
        assert_eq!(request.target, "/grpc.health.v1.Health/Check");
        let reply = Reply::status(200).header("content-type", "application/grpc");
        reply
            .body(&[0, 0, 0, 0, 2, 8, 2][..])
            .trailer("grpc-status", "0")
    });
    let mut tcp = Origin::start("tcp").await;
    let fast = "interval: 50ms, timeout: 5s, unhealthy_after: 1, healthy_after: 1";
    let config = format!(
        "
services:
  search: {{ stable: @grpc, health: {{ type: grpc, {fast} }} }}
  shop: {{ stable: @tcp, health: {{ type: tcp, {fast} }} }}
routes: [{{ path: /, service: search }}, {{ path: /shop, service: shop }}]
"
    );
    let gateway = Gateway::start(fill(&config, [&grpc, &tcp])).await;
    healthy(&gateway, "stable", 0.0).await;
    let shown = endpoints(&gateway, 0).await;
    assert_has(&shown[0]["last_check"], &json!({ "said": "NOT_SERVING" }));
    let shop = [("service", "shop"), ("deployment", "stable")];
    gateway
        .await_metric("serin_endpoint_healthy", &shop, 1.0)
        .await;
    tcp.stop().await;
    gateway
        .await_metric("serin_endpoint_healthy", &shop, 0.0)
        .await;
    tcp.restart().await;
    gateway
        .await_metric("serin_endpoint_healthy", &shop, 1.0)
        .await;
    // Stable is asked whatever its checks say.
    let call: Call = get("/shop");
    gateway.send(call).await.assert_from("tcp");
}
