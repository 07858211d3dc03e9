//! Where a registered canary's name leads is judged at every connection, a health check's too; and no redirect is followed.

use std::net::{IpAddr, Ipv4Addr};

use serde_json::{Value, json};

use crate::harness::{Dns, Gateway, Lookup, Origin, Protocol, Reply, Setup, eventually, fill, get};
use crate::registrations::put;

const CONFIG: &str = "
services:
  search: { stable: @stable, canaries: ['search.*'], health: { path: /healthz, interval: 100ms, timeout: 100ms } }
routes: [{ path: /, service: search }]
identity: { user_id: [{ header: x-user-id, trust: anyone }] }
";
const ALLOWED: &str = "canary_urls: { allow: ['*.test', 127.0.0.2] }\n";
const NARROWER: &str = "canary_urls: { allow: ['*.test', 127.0.0.9] }\n";

const CANARY: &str = "/api/v1/services/search/canaries/search.moving";
const NAME: &str = "moving.test";

fn at(last: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, last).into()
}

/// A gateway, with a canary at one address and another server at the same port of another.
struct Stage {
    gateway: Gateway,
    canary: Origin,
    elsewhere: Origin,
    dns: Dns,
    config: String,
    _stable: Origin,
}

impl Stage {
    async fn start() -> Self {
        let stable = Origin::start("stable").await;
        let canary = Origin::start_on("canary", Protocol::Http1, at(2), 0).await;
        let elsewhere = Origin::start_on("elsewhere", Protocol::Http1, at(3), canary.port()).await;
        let dns = Dns::start().await;
        dns.set(NAME, Lookup::address(at(2)));
        let config = fill(CONFIG, [&stable]);
        let gateway = Setup::new(config.clone() + ALLOWED).dns(&dns).start().await;
        Self {
            gateway,
            canary,
            elsewhere,
            dns,
            config,
            _stable: stable,
        }
    }

    /// Registers the canary for everybody.
    async fn register(&self) {
        let body = json!({
            "url": format!("http://{NAME}:{}", self.canary.port()),
            "health": { "path": "/healthz" },
            "rings": [{ "name": "all" }],
        });
        let answer = self.gateway.admin_send(put(CANARY, &body)).await;
        assert_eq!(answer.status, 201, "{answer:?}");
    }

    async fn await_from(&self, origin: &str) {
        eventually(&format!("answers from {origin}"), || async {
            let answer = self.gateway.get_as("u1", "/").await;
            answer.assert_from_any(&["stable", "canary"]);
            (answer.origin() == origin).then_some(())
        })
        .await;
    }

    async fn shown(&self) -> Value {
        self.gateway.admin(CANARY).await.json()
    }
}

#[tokio::test]
async fn a_name_that_comes_to_lead_elsewhere_is_not_followed_by_users_nor_by_checks() {
    let stage = Stage::start().await;
    stage.register().await;
    stage.await_from("canary").await;
    stage.dns.set(NAME, Lookup::address(at(3)));
    stage.await_from("stable").await;
    // Many intervals of checks.
    stage.dns.await_asked(NAME, 3).await;
    stage.await_from("stable").await;
    let said = "127.0.0.3` is a loopback address that `allow` does not list";
    stage.gateway.await_log(said).await;
    assert_eq!(stage.elsewhere.connections(), 0);
    stage.dns.set(NAME, Lookup::address(at(2)));
    stage.await_from("canary").await;
    // What is allowed changes while the name stays.
    stage
        .gateway
        .rewrite_config(&(stage.config.clone() + NARROWER));
    stage.await_from("stable").await;
    stage.dns.await_asked(NAME, 1).await;
    let before = stage.canary.connections();
    stage.dns.await_asked(NAME, 3).await;
    stage.await_from("stable").await;
    assert_eq!(stage.canary.connections(), before);
    stage
        .gateway
        .rewrite_config(&(stage.config.clone() + ALLOWED));
    stage.await_from("canary").await;
    assert_eq!(stage.elsewhere.connections(), 0);
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_from_the_first_is_never_ready() {
    let stage = Stage::start().await;
    stage.dns.set(NAME, Lookup::address(at(3)));
    stage.register().await;
    let said = eventually("a check", || async {
        let said = stage.shown().await["check"]["said"].clone();
        let text = said.as_str().filter(|text| text.contains("127.0.0.3"));
        text.map(str::to_owned)
    })
    .await;
    let rule = "`127.0.0.3` is a loopback address that `allow` does not list";
    assert!(said.contains(rule), "{said}");
    assert_eq!(stage.shown().await["state"], "checking");
    stage.await_from("stable").await;
    assert_eq!(stage.elsewhere.connections(), 0);
    stage.dns.set(NAME, Lookup::address(at(2)));
    stage.await_from("canary").await;
}

#[tokio::test]
async fn a_redirect_is_passed_on_and_never_followed_by_a_check() {
    let stage = Stage::start().await;
    let target = format!("http://127.0.0.3:{}/there", stage.canary.port());
    let location = target.clone();
    stage
        .canary
        .answer(move |_| Reply::status(302).header("location", &location));
    stage.register().await;
    eventually("a check", || async {
        let said = stage.shown().await["check"]["said"].clone();
        said.as_str()?.contains("status 302").then_some(())
    })
    .await;
    assert_eq!(stage.shown().await["state"], "checking");
    let location = target.clone();
    stage.canary.answer(move |request| match &*request.target {
        "/healthz" => Reply::status(200),
        _ => Reply::status(302).header("location", &location),
    });
    let answer = eventually("the canary's answer", || async {
        let answer = stage.gateway.send(get("/").user("u1")).await;
        (answer.status == 302).then_some(answer)
    })
    .await;
    assert_eq!(answer.header("location"), Some(&*target));
    // Checks go on while it serves.
    let checked = stage.canary.count();
    stage.canary.await_requests(checked + 3).await;
    assert_eq!(stage.elsewhere.connections(), 0);
}
