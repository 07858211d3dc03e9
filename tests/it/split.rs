//! Real traffic, split between stable and canaries by the flags in `routes.yaml`.

use std::collections::BTreeMap;
use std::io::Cursor;

use serde_json::json;

use crate::harness::{Gateway, Origin, Recorded, assert_has, fill, get};

const RINGS: &str = "
services:
  search:
    stable: @stable
flags:
  search.ranker:
    url: @canary
    rings:
      - { name: team, segment: Team }
      - { name: pilot, when: { customerId: ['112233'] } }
      - { name: early, rollout: 10% }
segments:
  Team:
    any:
      - email: { ends_with: '@example.com' }
      - userId: [u1, u2]
routes:
  - { path: /, service: search }
identity:
  user_id: [{ header: x-user-id, trust: anyone }]
  properties:
    customerId: { header: x-customer-id }
    email: { header: x-email }
";

/// Unleash's normalised hash, by another implementation than the gateway's.
fn murmur(seed: u32, group: &str, id: &str) -> u32 {
    let text = format!("{group}:{id}");
    murmur3::murmur3_32(&mut Cursor::new(text), seed).expect("a hash")
}

/// Whether a user is in a whole percentage, as every Unleash SDK has it.
fn in_rollout(group: &str, id: &str, percent: u32) -> bool {
    murmur(0, group, id) % 100 < percent
}

/// A user outside of a percentage.
fn user_outside(group: &str, percent: u32) -> String {
    let mut users = (0..).map(|n| format!("out-{n}"));
    users
        .find(|user| !in_rollout(group, user, percent))
        .expect("a user")
}

/// A user within a percentage.
fn user_within(group: &str, percent: u32) -> String {
    let mut users = (0..).map(|n| format!("in-{n}"));
    users
        .find(|user| in_rollout(group, user, percent))
        .expect("a user")
}

#[tokio::test]
async fn a_ring_is_a_segment_a_property_or_a_percentage() {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let gateway = Gateway::start(fill(RINGS, [&stable, &canary])).await;
    let outsider = user_outside("search.ranker", 10);

    gateway.get_as(&outsider, "/o").await.assert_from("stable");
    gateway.get_as("u1", "/u1").await.assert_from("canary");
    let mail = get("/mail")
        .user(&outsider)
        .header("x-email", "a@example.com");
    gateway.send(mail).await.assert_from("canary");
    let pilot = get("/pilot")
        .user(&outsider)
        .header("x-customer-id", "112233");
    gateway.send(pilot).await.assert_from("canary");
    let other = get("/other")
        .user(&outsider)
        .header("x-customer-id", "112234");
    gateway.send(other).await.assert_from("stable");
    let insider = user_within("search.ranker", 10);
    gateway.get_as(&insider, "/in").await.assert_from("canary");
    // Nobody is on a canary by percentage without an ID.
    gateway.send(get("/anonymous")).await.assert_from("stable");

    let line = gateway.await_access_log_of("/pilot").await;
    // A user whom no percentage put there is not part of an experiment.
    let expected = json!({
        "service": "search", "route": "/", "flag": "search.ranker", "variant": null,
        "assigned": "search.ranker", "served": "search.ranker", "reason": "ring", "cause": null,
        "randomised": false, "method": "GET", "host": "api.example.com", "user_id": outsider,
        "status": 200, "generation": 1, "client": "127.0.0.1",
    });
    assert_has(&line, &expected);
    let line = gateway.await_access_log_of("/in").await;
    assert_has(
        &line,
        &json!({ "assigned": "search.ranker", "randomised": true }),
    );
    let line = gateway.await_access_log_of("/o").await;
    let expected = json!({ "assigned": "stable", "reason": "default", "randomised": true });
    assert_has(&line, &expected);
    let line = gateway.await_access_log_of("/anonymous").await;
    let expected = json!({ "assigned": "stable", "reason": "no_identity", "randomised": false, "user_id": null });
    assert_has(&line, &expected);
    let labels = [
        ("service", "search"),
        ("flag", "search.ranker"),
        ("reason", "ring"),
    ];
    gateway
        .await_metric("serin_decisions_total", &labels, 4.0)
        .await;
}

#[tokio::test]
async fn a_percentage_takes_the_users_that_unleash_takes() {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let gateway = Gateway::start(fill(RINGS, [&stable, &canary])).await;
    let mut connection = gateway.connect().await;
    let mut on = 0;
    for n in 0..2_000 {
        let user = format!("user-{n}");
        let expected = in_rollout("search.ranker", &user, 10);
        let answer = connection.send(get("/").user(&user)).await;
        answer.assert_from(if expected { "canary" } else { "stable" });
        on += usize::from(expected);
    }
    assert!((150..=250).contains(&on), "{on} of 2,000 users in 10 %");
    assert_eq!((canary.count(), stable.count()), (on, 2_000 - on));
}

#[tokio::test]
async fn a_raised_percentage_only_adds_users() {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let config = fill(RINGS, [&stable, &canary]);
    let gateway = Gateway::start(config.replace("10%", "0.5%")).await;
    let mut before = Vec::new();
    for (generation, share) in [(1, "0.5%"), (2, "1.25%"), (3, "30%")] {
        gateway.rewrite_config(&config.replace("10%", share));
        gateway.await_generation(generation).await;
        let mut connection = gateway.connect().await;
        let mut on = Vec::new();
        for n in 0..1_000 {
            let answer = connection.send(get("/").user(&format!("user-{n}"))).await;
            if answer.origin() == "canary" {
                on.push(n);
            }
        }
        assert!(
            before.iter().all(|user| on.contains(user)),
            "{share} lost a user"
        );
        assert!(on.len() > before.len(), "{share} added nobody");
        before = on;
    }
}

#[tokio::test]
async fn a_control_arm_is_stable_under_its_flag() {
    let origins = ["stable", "treatment", "other"];
    let [stable, treatment, other] = origins.map(Origin::start);
    let (stable, treatment, other) = (stable.await, treatment.await, other.await);
    let config = fill(
        "
services:
  search: { stable: @stable, canaries: [search.ab, search.other] }
flags:
  search.ab:
    variants:
      - { name: treatment, weight: 50%, url: @treatment }
      - { name: control, weight: 50% }
    rings: [{ name: half, rollout: 50% }]
  search.other: { url: @other, rings: [{ name: everybody }] }
routes: [{ path: /, service: search }]
identity: { user_id: [{ header: x-user-id, trust: anyone }] }
",
        [&stable, &treatment, &other],
    );
    let gateway = Gateway::start(config).await;
    let mut connection = gateway.connect().await;
    let mut seen = BTreeMap::from(origins.map(|name| (name, 0)));
    for n in 0..2_000 {
        let user = format!("user-{n}");
        // In name order, whatever the file's: control below one half, treatment above.
        let expected = match murmur(86_028_157, "search.ab", &user) % 1_000 {
            _ if !in_rollout("search.ab", &user, 50) => "other",
            0..500 => "stable",
            _ => "treatment",
        };
        let answer = connection.send(get(&format!("/{n}")).user(&user)).await;
        answer.assert_from(expected);
        *seen.entry(expected).or_insert(0) += 1;
    }
    assert!((400..=600).contains(&seen["stable"]), "{seen:?}");
    assert!((400..=600).contains(&seen["treatment"]), "{seen:?}");

    let control = stable.last();
    let path = control.target.clone();
    assert_eq!(
        control.header("x-serin-deployment").as_deref(),
        Some("stable")
    );
    let line = gateway.await_access_log_of(&path).await;
    let expected = json!({
        "flag": "search.ab", "variant": "control", "assigned": "stable", "served": "stable",
        "reason": "ring", "randomised": true,
    });
    assert_has(&line, &expected);
    let labels = [
        ("service", "search"),
        ("flag", "search.ab"),
        ("variant", "control"),
    ];
    let count = f64::from(seen["stable"]);
    gateway
        .await_metric("serin_decisions_total", &labels, count)
        .await;
}

#[tokio::test]
async fn the_first_canary_in_order_that_is_on_decides() {
    let (stable, a, b) = (
        Origin::start("stable").await,
        Origin::start("canary-a").await,
        Origin::start("canary-b").await,
    );
    let config = fill(
        "
services:
  search: { stable: @stable, canaries: [search.b, 'search.*'] }
flags:
  search.a: { url: @canary-a, rings: [{ name: some, rollout: 40% }] }
  search.b: { url: @canary-b, rings: [{ name: some, rollout: 40% }] }
  search.off: { url: @canary-b, enabled: false, rings: [{ name: everybody }] }
  elsewhere.c: { url: @canary-b, rings: [{ name: everybody }] }
routes: [{ path: /, service: search }]
identity: { user_id: [{ header: x-user-id, trust: anyone }] }
",
        [&stable, &a, &b],
    );
    let gateway = Gateway::start(config).await;
    let mut connection = gateway.connect().await;
    let mut both = 0;
    for n in 0..300 {
        let user = format!("user-{n}");
        let (in_a, in_b) = (
            in_rollout("search.a", &user, 40),
            in_rollout("search.b", &user, 40),
        );
        let expected = match (in_a, in_b) {
            (_, true) => "canary-b",
            (true, false) => "canary-a",
            (false, false) => "stable",
        };
        connection
            .send(get("/").user(&user))
            .await
            .assert_from(expected);
        both += usize::from(in_a && in_b);
    }
    assert!(both > 0, "no user could tell the order");
}

#[tokio::test]
async fn users_stay_where_they_are_after_a_restart() {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let config = fill(RINGS, [&stable, &canary]).replace("10%", "50%");
    let mut runs = Vec::new();
    for _ in 0..2 {
        let mut gateway = Gateway::start(config.clone()).await;
        let mut connection = gateway.connect().await;
        let mut run = Vec::new();
        for n in 0..200 {
            let answer = connection.send(get("/").user(&format!("user-{n}"))).await;
            run.push(answer.origin().to_owned());
        }
        let digest = gateway.status().await["digest"].clone();
        assert!(digest.is_string(), "{digest}");
        runs.push((run, digest));
        drop(connection);
        assert_eq!(gateway.terminate().await.code(), Some(0));
    }
    assert!(runs[0].0.contains(&"canary".to_owned()));
    assert_eq!(runs[0], runs[1]);
}

#[tokio::test]
async fn a_group_of_its_own_moves_a_rollout() {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let config = fill(
        "
services: { search: @stable }
flags:
  search.ranker:
    url: @canary
    group: wave-7
    stickiness: customerId
    rings: [{ name: some, rollout: 50% }]
routes: [{ path: /, service: search }]
identity:
  user_id: [{ header: x-user-id, trust: anyone }]
  properties: { customerId: { header: x-customer-id } }
",
        [&stable, &canary],
    );
    let gateway = Gateway::start(config).await;
    let mut connection = gateway.connect().await;
    for n in 0..100 {
        let customer = format!("customer-{n}");
        let expected = match in_rollout("wave-7", &customer, 50) {
            true => "canary",
            false => "stable",
        };
        let call = get("/").user("one").header("x-customer-id", &customer);
        connection.send(call).await.assert_from(expected);
    }
    // Without the property there is nothing to hash.
    connection
        .send(get("/").user("one"))
        .await
        .assert_from("stable");
}

fn baggage(request: &Recorded) -> Vec<String> {
    let members = request.all("baggage").join(",");
    let members = members.split(',').map(|member| member.trim().to_owned());
    members.filter(|member| !member.is_empty()).collect()
}

#[tokio::test]
async fn upstreams_are_told_who_they_are_and_where_a_request_comes_from() {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let gateway = Gateway::start(fill(RINGS, [&stable, &canary])).await;
    let call = get("/a")
        .user("u1")
        .header("baggage", "tenant=a%20b;p=1,x=y")
        .header("baggage", "z=1");
    let answer = gateway.send(call).await;
    answer.assert_from("canary");
    let own = |name: &&http::HeaderName| name.as_str().starts_with("x-serin");
    assert_eq!(answer.headers.keys().find(own), None, "{answer:?}");

    let seen = canary.last();
    assert_eq!(
        seen.header("x-serin-deployment").as_deref(),
        Some("search.ranker")
    );
    assert_eq!(
        baggage(&seen),
        [
            "tenant=a%20b;p=1",
            "x=y",
            "z=1",
            "serin.search=search.ranker"
        ]
    );
    assert_eq!(seen.header("x-forwarded-for").as_deref(), Some("127.0.0.1"));
    assert_eq!(seen.header("x-forwarded-proto").as_deref(), Some("http"));
    assert_eq!(
        seen.header("x-forwarded-host").as_deref(),
        Some("api.example.com")
    );
    assert_eq!(seen.host, "api.example.com");
    let via = seen.header("via").expect("via");
    assert!(via.starts_with("1.1 ") && via.contains("serin"), "{via}");
    let id = seen.header("x-request-id").expect("x-request-id");
    assert!(id.len() >= 16, "{id}");
    let line = gateway.await_access_log_of("/a").await;
    assert_eq!(line["request_id"], id.as_str());

    let outsider = user_outside("search.ranker", 10);
    gateway.get_as(&outsider, "/b").await.assert_from("stable");
    let seen = stable.last();
    assert_eq!(seen.header("x-serin-deployment").as_deref(), Some("stable"));
    assert_eq!(baggage(&seen), ["serin.search=stable"]);
    assert_ne!(seen.header("x-request-id"), Some(id));
}

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[tokio::test]
async fn a_trace_goes_on() {
    let stable = Origin::start("stable").await;
    let config = fill(
        "
services: { search: @stable }
routes: [{ path: /, service: search }]
",
        [&stable],
    );
    let gateway = Gateway::start(config.clone()).await;
    let call = |trace: &str| {
        get("/")
            .header("traceparent", trace)
            .header("tracestate", "vendor=1")
    };
    gateway.send(call(TRACE)).await.assert_from("stable");
    let seen = stable.last();

    // The trace goes on; that it is to be recorded is not for anybody to say.
    let trace = seen.header("traceparent").expect("traceparent");
    assert!(
        trace.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"),
        "{trace}"
    );
    assert!(trace.len() == 55 && trace.ends_with("-00"), "{trace}");
    assert_eq!(seen.header("tracestate").as_deref(), Some("vendor=1"));

    // A broken one does not.
    let broken = TRACE.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32));
    gateway.send(call(&broken)).await.assert_from("stable");
    let seen = stable.last();
    assert_eq!(seen.header("tracestate"), None);
    let trace = seen.header("traceparent").unwrap_or_default();
    assert!(!trace.contains(&"0".repeat(32)), "{trace}");

    // A trusted proxy may ask for a recording.
    let trusting = "server: { trusted_proxies: [127.0.0.0/8], shutdown_delay: 1ms }";
    let gateway = Gateway::start(format!("{trusting}\n{config}")).await;
    gateway.send(call(TRACE)).await.assert_from("stable");
    let trace = stable.last().header("traceparent").expect("traceparent");
    assert!(
        trace.starts_with(&TRACE[..36]) && trace.ends_with("-01"),
        "{trace}"
    );
}

#[tokio::test]
async fn a_decision_is_told_to_clients_only_where_a_route_says_so() {
    let (stable, mut canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let config = fill(RINGS, [&stable, &canary]).replace(
        "{ path: /, service: search }",
        "{ path: /, service: search }\n  - { path: /told, service: search, expose: true }",
    );
    let gateway = Gateway::start(config).await;
    let decision = async |user: &str, path: &str| {
        let answer = gateway.get_as(user, path).await;
        answer.header("x-serin-decision").map(str::to_owned)
    };
    let outsider = user_outside("search.ranker", 10);
    assert_eq!(decision("u1", "/untold").await, None);
    assert_eq!(
        decision("u1", "/told").await.as_deref(),
        Some(r#"search="search.ranker";served="search.ranker";reason="ring""#)
    );
    assert_eq!(
        decision(&outsider, "/told/x").await.as_deref(),
        Some(r#"search="stable";served="stable";reason="default""#)
    );
    canary.stop().await;
    assert_eq!(
        decision("u1", "/told").await.as_deref(),
        Some(r#"search="search.ranker";served="stable";reason="ring";cause="connect""#)
    );
}

#[tokio::test]
async fn a_refused_url_takes_nobody_from_the_canaries_behind_it() {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let config = fill(
        "
services: { search: @stable }
flags:
  search.far: { url: 'http://169.254.169.254', rings: [{ name: one, when: { userId: [u1] } }] }
  search.near: { url: @canary, rings: [{ name: everybody }] }
routes: [{ path: /, service: search }]
identity: { user_id: [{ header: x-user-id, trust: anyone }] }
",
        [&stable, &canary],
    );
    let gateway = Gateway::start(config).await;
    gateway.get_as("u1", "/one").await.assert_from("canary");
    gateway.get_as("u2", "/two").await.assert_from("canary");
    let line = gateway.await_access_log_of("/one").await;
    assert_has(
        &line,
        &json!({ "flag": "search.near", "assigned": "search.near" }),
    );
    let warnings = gateway.status().await["warnings"].to_string();
    assert!(warnings.contains("169.254.169.254"), "{warnings}");
}
