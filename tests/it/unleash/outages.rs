//! Whatever the flag server says or does not say, users stay where they are; the gateway says what is wrong, and goes on
//! when it is over.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;

use super::stage::{Stage, patiently, source};
use crate::harness::unleash::{Unleash, canary, constraint};
use crate::harness::{Fault, FaultProxy, Gateway, Setup};

/// Who is served by whom while nothing is known that is newer.
const USERS: [(&str, &str); 2] = [("u1", "canary"), ("u2", "stable")];

/// A canary that is open to u1 alone, behind a proxy.
struct Play {
    stage: Stage,
    flag: String,
    unleash: &'static Unleash,
    proxy: FaultProxy,
    gateway: Gateway,
}

impl Play {
    async fn begin(service: &'static str) -> Self {
        let unleash = Unleash::shared().await;
        let proxy = FaultProxy::start(unleash.address()).await;
        let stage = Stage::new(service).await;
        let gateway = stage.start(&proxy.url()).await;
        let flag = stage.flag("new");
        let mut strategy = canary(&flag, 100, &stage.canary.url());
        strategy["constraints"] = json!([constraint("userId", "IN", &["u1"])]);
        unleash.open(&flag, strategy).await;
        stage.await_served(&gateway, "u1", "canary").await;
        Self {
            stage,
            flag,
            unleash,
            proxy,
            gateway,
        }
    }

    /// What must hold while the server is broken: users stay, whatever happens at the server meanwhile.
    async fn endure(&self) -> String {
        let said = self.stage.await_trouble(&self.gateway, &USERS).await;
        self.unleash.turn(&self.flag, false).await;
        patiently("staleness that shows", || async {
            for (user, origin) in USERS {
                assert_eq!(self.stage.serves(&self.gateway, user).await, origin);
            }
            let age = source(&self.gateway).await["age_seconds"].as_f64()?;
            (age > 3.0).then_some(())
        })
        .await;
        let age = self.gateway.metrics().await;
        assert!(age.sum("serin_snapshot_age_seconds", &[("source", "unleash")]) > 3.0);
        assert!(age.sum("serin_source_errors_total", &[("source", "unleash")]) > 0.0);
        assert_eq!(self.gateway.admin("/readyz").await.status, 200);
        said
    }

    /// What must hold when it is over: what was done at the server meanwhile is done here.
    async fn recover(&self) -> Duration {
        let took = self.stage.await_served(&self.gateway, "u1", "stable").await;
        self.stage.await_well(&self.gateway).await;
        took
    }
}

/// The whole of one fault. `says` is what its error must speak of.
async fn survive(service: &'static str, fault: Fault, says: &[&str]) {
    let play = Play::begin(service).await;
    play.proxy.set(fault);
    let said = play.endure().await.to_lowercase();
    let speaks = says.iter().any(|word| said.contains(word));
    assert!(speaks, "{service}: {said:?} speaks of none of {says:?}");
    play.proxy.set(Fault::None);
    let took = play.recover().await;
    // The longest that it may be giving up on one answer and then waiting, on a machine that is busy.
    assert!(took < Duration::from_secs(25), "{service}: {took:?}");
}

#[tokio::test]
async fn answers_that_are_none_change_nothing() {
    let _ = Unleash::shared().await;
    let array = json!([1, 2, 3]);
    let other = json!({ "hello": "world" });
    let broken = json!({ "version": 2, "features": [{ "name": 7 }] });
    join_all([
        survive_boxed("say-html", Fault::html(), &["web page"]),
        survive_boxed("say-nothing", Fault::empty(), &["the answer"]),
        survive_boxed("say-array", Fault::json(&array), &["the answer"]),
        survive_boxed("say-other", Fault::json(&other), &["the answer"]),
        survive_boxed("say-broken", Fault::json(&broken), &["the answer"]),
        survive_boxed("say-too-much", Fault::huge(), &["the answer"]),
    ])
    .await;
}

#[tokio::test]
async fn errors_change_nothing() {
    let _ = Unleash::shared().await;
    join_all([
        survive_boxed("fail-500", Fault::Status(500), &["500"]),
        survive_boxed("fail-503", Fault::Status(503), &["503"]),
        survive_boxed("fail-429", Fault::Status(429), &["429"]),
        survive_boxed("fail-404", Fault::Status(404), &["404"]),
        survive_boxed("fail-302", Fault::Status(302), &["302"]),
    ])
    .await;
}

#[tokio::test]
async fn connections_that_break_change_nothing() {
    let _ = Unleash::shared().await;
    join_all([
        survive_boxed("cut-closed", Fault::Close, &["connection", "closed", "end"]),
        survive_boxed(
            "cut-truncated",
            Fault::Truncate,
            &["connection", "closed", "end"],
        ),
        survive_boxed("cut-drip", Fault::Drip, &["within"]),
        survive_boxed("cut-frozen", Fault::Freeze, &["within"]),
    ])
    .await;
}

/// So that futures of one kind are joined.
fn survive_boxed<'a>(
    service: &'static str,
    fault: Fault,
    says: &'a [&'a str],
) -> std::pin::Pin<Box<dyn Future<Output = ()> + 'a>> {
    Box::pin(survive(service, fault, says))
}

#[tokio::test]
async fn a_port_that_refuses_changes_nothing() {
    let mut play = Play::begin("refused").await;
    play.proxy.refuse().await;
    let said = play.endure().await;
    assert!(said.to_lowercase().contains("connect"), "{said}");
    play.proxy.accept();
    play.recover().await;
}

#[tokio::test]
async fn a_token_that_is_refused_is_an_error_of_the_configuration() {
    let unleash = Unleash::shared().await;
    let stage = Stage::new("token").await;
    let config = stage.config(&unleash.url(), ", poll: 1s");
    let config = config.replace("production.backend", "production.wrong-secret");
    let gateway = Setup::new(config.clone()).launch().await;
    let users = [("u1", "stable")];
    let said = stage.await_trouble(&gateway, &users).await;
    assert!(said.contains("401") || said.contains("403"), "{said}");
    assert!(said.contains("token"), "{said}");
    assert_eq!(gateway.admin("/readyz").await.status, 503);
    for text in [&said, &gateway.log()] {
        assert!(!text.contains("wrong-secret"), "{text}");
    }

    // The right one, by a reload.
    gateway.rewrite_config(&config.replace("wrong-secret", "backend"));
    stage.await_well(&gateway).await;
    patiently("readiness", || async {
        (gateway.admin("/readyz").await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn its_requests_are_polite() {
    let unleash = Unleash::shared().await;
    let proxy = FaultProxy::start(unleash.address()).await;
    let stage = Stage::new("polite").await;
    let _gateway = stage.start(&proxy.url()).await;
    let path = "/api/client/features";
    proxy.await_passed(path, 2).await;
    let first = &proxy.passed(path)[0];
    for (name, value) in [
        ("authorization", "default:production.backend"),
        ("unleash-appname", "serin"),
        ("unleash-client-spec", "5.2.0"),
        ("unleash-interval", "1000"),
    ] {
        assert_eq!(first.header(name), Some(value), "{name}");
    }
    for name in [
        "unleash-instanceid",
        "unleash-connection-id",
        "unleash-sdk",
        "user-agent",
    ] {
        assert!(first.header(name).is_some(), "{name} of {}", first.head);
    }
    assert_eq!(first.header("if-none-match"), None);
    let again = proxy.passed(path).pop().expect("a request");
    assert!(again.header("if-none-match").is_some(), "{}", again.head);
}
