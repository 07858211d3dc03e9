//! What pipelines register is recorded in a real Unleash by itself, opened there by people, and withdrawn when it leaves.

use hyper::Method;
use serde_json::{Value, json};

use super::recording::{production, strategies, strategy};
use super::stage::{Stage, patiently, source};
use crate::harness::client::{Answer, Call};
use crate::harness::unleash::{ADMIN, Unleash, constraint};
use crate::harness::{Gateway, Origin, Setup, assert_has};
use crate::registrations::put;

/// Where the stage's canary is registered.
pub(super) fn path(stage: &Stage) -> String {
    let (service, flag) = (stage.service, stage.flag("new"));
    format!("/api/v1/services/{service}/canaries/{flag}")
}

pub(super) fn config(stage: &Stage, unleash: &Unleash, more: &str) -> String {
    let admin = format!(", poll: 1s, admin_token: \"{ADMIN}\"");
    format!("{}{more}", stage.config(&unleash.url(), &admin))
}

/// A gateway that records, with more of its file.
async fn start(stage: &Stage, unleash: &Unleash, more: &str) -> Gateway {
    Setup::new(config(stage, unleash, more)).start().await
}

pub(super) fn body(stage: &Stage) -> Value {
    json!({
        "url": stage.canary.url(), "ttl": "30m", "branch": "feature/ranker-v2", "commit": "4f1c2ab",
        "owner": "search-team@example.com",
    })
}

pub(super) async fn register(stage: &Stage, gateway: &Gateway, body: &Value) -> Value {
    let answer = gateway.admin_send(put(&path(stage), body)).await;
    assert!([200, 201].contains(&answer.status), "{answer:?}");
    answer.json()
}

pub(super) async fn shown(stage: &Stage, gateway: &Gateway) -> Value {
    let answer = gateway.admin(&path(stage)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

pub(super) async fn take_back(stage: &Stage, gateway: &Gateway) -> Answer {
    let answer = gateway
        .admin_send(Call::new(Method::DELETE, &path(stage)))
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

pub(super) fn places(canary: &Value) -> Vec<&str> {
    let places = canary["recorded_in"].as_array().expect("places").iter();
    places.filter_map(Value::as_str).collect()
}

/// Waits until the gateway says that it is recorded, or that it is not.
async fn await_recorded(stage: &Stage, gateway: &Gateway, is_recorded: bool) -> Value {
    let what = format!("recorded in Unleash: {is_recorded}");
    patiently(&what, || async {
        let canary = shown(stage, gateway).await;
        (places(&canary).contains(&"unleash") == is_recorded).then_some(canary)
    })
    .await
}

/// Opens the canary's strategy for one user, as product people do.
async fn open(stage: &Stage, unleash: &Unleash, user: &str) {
    let flag = stage.flag("new");
    let opened = json!([
        { "op": "replace", "path": "/disabled", "value": false },
        { "op": "replace", "path": "/constraints", "value": [constraint("userId", "IN", &[user])] },
    ]);
    unleash.patch_strategy(&flag, "Canary", opened).await;
    unleash.turn(&flag, true).await;
}

pub(super) async fn await_archived(unleash: &Unleash, flag: &str) {
    patiently("an archived flag", || async {
        unleash.flag(flag).await.is_none().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_registered_canary_is_opened_in_unleash_and_leaves_with_its_registration() {
    let unleash = Unleash::shared().await;
    let stage = Stage::new("enrolled").await;
    let flag = stage.flag("new");
    let mut gateway = start(&stage, unleash, "").await;
    let answer = gateway.admin_send(put(&path(&stage), &body(&stage))).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let canary = await_recorded(&stage, &gateway, true).await;
    assert_eq!(places(&canary), ["state", "unleash"]);
    let made = unleash.flag(&flag).await.expect("a flag");
    let url = stage.canary.url();
    assert_eq!(
        made["description"],
        format!(
            "Recorded by Serin: service enrolled, branch feature/ranker-v2, commit 4f1c2ab, \
             owner search-team@example.com, URL {url}"
        )
    );
    assert_eq!(production(&made)["enabled"], false);
    let payload = format!("{{\"url\":\"{url}\"}}");
    let closed = [
        strategy("Canary", false, "100", &payload),
        strategy("Nobody", true, "0", ""),
    ];
    assert_eq!(strategies(&made), closed);
    assert_eq!(stage.serves(&gateway, "u1").await, "stable");

    open(&stage, unleash, "u1").await;
    stage.await_served(&gateway, "u1", "canary").await;
    assert_eq!(stage.serves(&gateway, "u2").await, "stable");
    let canary = shown(&stage, &gateway).await;
    assert_has(
        &canary,
        &json!({ "flag": { "source": "unleash", "on_for": "some" }, "warnings": [] }),
    );
    // What says the same again changes nothing there, neither a renewal nor a restart.
    let events = unleash.events(&flag).await;
    register(&stage, &gateway, &body(&stage)).await;
    gateway.terminate().await;
    let gateway = start(&stage, unleash, "").await;
    stage.await_served(&gateway, "u1", "canary").await;
    assert_eq!(places(&shown(&stage, &gateway).await), ["state", "unleash"]);
    assert_eq!(unleash.events(&flag).await, events);

    take_back(&stage, &gateway).await;
    assert_eq!(stage.serves(&gateway, "u1").await, "stable");
    await_archived(unleash, &flag).await;
    let gone = await_recorded(&stage, &gateway, false).await;
    assert_eq!(places(&gone), ["state"]);
    assert_eq!(stage.serves(&gateway, "u1").await, "stable");
}

#[tokio::test]
async fn another_commit_is_recorded_and_another_url_serves_before_unleash_knows_it() {
    let unleash = &Unleash::start().await;
    let (stage, elsewhere) = (Stage::new("moved").await, Origin::start("newer").await);
    let flag = stage.flag("new");
    let gateway = start(&stage, unleash, "").await;
    register(&stage, &gateway, &body(&stage)).await;
    await_recorded(&stage, &gateway, true).await;
    open(&stage, unleash, "u1").await;
    stage.await_served(&gateway, "u1", "canary").await;

    let mut next = body(&stage);
    next["commit"] = json!("0b5d7ee");
    register(&stage, &gateway, &next).await;
    patiently("the other commit", || async {
        let flag = unleash.flag(&flag).await?;
        let text = flag["description"].as_str()?;
        text.contains("commit 0b5d7ee").then_some(())
    })
    .await;
    await_recorded(&stage, &gateway, true).await;

    // Its payload says another URL for as long as Unleash does not answer; users do not wait for that.
    unleash.freeze();
    next["url"] = json!(elsewhere.url());
    register(&stage, &gateway, &next).await;
    let moved = patiently("the other URL", || async {
        let canary = shown(&stage, &gateway).await;
        (canary["url"] == elsewhere.url()).then_some(canary)
    })
    .await;
    assert_has(&moved, &json!({ "recorded_in": ["state"] }));
    stage.await_served(&gateway, "u1", "newer").await;
    unleash.thaw();
    await_recorded(&stage, &gateway, true).await;
    let made = unleash.flag(&flag).await.expect("a flag");
    let payload = format!("{{\"url\":\"{}\"}}", elsewhere.url());
    assert_eq!(strategies(&made)[0].3, payload);
    let canary = shown(&stage, &gateway).await;
    assert_has(&canary, &json!({ "warnings": [] }));
    take_back(&stage, &gateway).await;
    await_archived(unleash, &flag).await;
}

#[tokio::test]
async fn a_canary_that_leaves_is_marked_stale_or_kept_where_that_is_wished_for() {
    let unleash = Unleash::shared().await;
    for (service, policy, stale) in [("faded", "stale", true), ("remained", "keep", false)] {
        let stage = Stage::new(service).await;
        let flag = stage.flag("new");
        let more = format!("registry: {{ unleash: {{ on_deregister: {policy} }} }}\n");
        let gateway = start(&stage, unleash, &more).await;
        register(&stage, &gateway, &body(&stage)).await;
        await_recorded(&stage, &gateway, true).await;
        open(&stage, unleash, "u1").await;
        stage.await_served(&gateway, "u1", "canary").await;
        take_back(&stage, &gateway).await;
        assert_eq!(stage.serves(&gateway, "u1").await, "stable");
        await_recorded(&stage, &gateway, false).await;
        let left = unleash.flag(&flag).await.expect("a flag");
        assert_eq!(left["stale"], stale, "{policy}");
        assert_eq!(
            strategies(&left)[0],
            strategy("Canary", true, "100", ""),
            "{policy}"
        );
        assert_eq!(stage.serves(&gateway, "u1").await, "stable");
    }
}

#[tokio::test]
async fn a_lease_that_ends_takes_its_flag_along() {
    let unleash = Unleash::shared().await;
    let stage = Stage::new("lapsed").await;
    let gateway = start(&stage, unleash, "").await;
    let mut short = body(&stage);
    short["ttl"] = json!("5s");
    register(&stage, &gateway, &short).await;
    let flag = stage.flag("new");
    patiently("a flag", || async { unleash.flag(&flag).await }).await;
    await_archived(unleash, &flag).await;
    let over = await_recorded(&stage, &gateway, false).await;
    assert_eq!(over["state"], "over");
}

#[tokio::test]
async fn a_registration_holds_while_unleash_is_down_and_is_recorded_when_it_is_back() {
    let mut unleash = Unleash::start().await;
    let stage = Stage::new("early").await;
    let flag = stage.flag("new");
    let gateway = start(&stage, &unleash, "").await;
    unleash.stop().await;
    let answer = register(&stage, &gateway, &body(&stage)).await;
    assert_eq!(places(&answer), ["state"]);
    let told = patiently("a warning", || async {
        let canary = shown(&stage, &gateway).await;
        let warning = canary["warnings"][0].as_str()?.to_owned();
        Some(warning)
    })
    .await;
    assert!(told.starts_with("not recorded in Unleash: "), "{told}");
    // Killed before it could record anything, it does so when it is back.
    gateway.sigkill();
    drop(gateway);
    let gateway = Setup::new(config(&stage, &unleash, "")).launch().await;
    assert_eq!(places(&shown(&stage, &gateway).await), ["state"]);
    unleash.restart().await;
    await_recorded(&stage, &gateway, true).await;
    let made = unleash.flag(&flag).await.expect("a flag");
    assert_eq!(strategies(&made).len(), 2);

    // It leaves while Unleash is down, and its users with it, whatever the flag that is stored says.
    open(&stage, &unleash, "u1").await;
    stage.await_served(&gateway, "u1", "canary").await;
    unleash.stop().await;
    take_back(&stage, &gateway).await;
    assert_eq!(stage.serves(&gateway, "u1").await, "stable");
    assert_eq!(places(&shown(&stage, &gateway).await), ["state", "unleash"]);
    gateway.sigkill();
    drop(gateway);
    let gateway = Setup::new(config(&stage, &unleash, "")).launch().await;
    assert_eq!(stage.serves(&gateway, "u1").await, "stable");
    unleash.restart().await;
    await_archived(&unleash, &flag).await;
    await_recorded(&stage, &gateway, false).await;
}

#[tokio::test]
async fn a_wrong_admin_token_is_told_and_costs_no_registration() {
    let unleash = Unleash::shared().await;
    let stage = Stage::new("tokenless").await;
    let good = config(&stage, unleash, "");
    let gateway = Setup::new(good.replace(ADMIN, "*:*.of-nobody"))
        .start()
        .await;
    let answer = register(&stage, &gateway, &body(&stage)).await;
    assert_eq!(places(&answer), ["state"]);
    let error = patiently("trouble", || async {
        source(&gateway).await["last_error"]
            .as_str()
            .map(str::to_owned)
    })
    .await;
    assert!(error.contains("does not know the token"), "{error}");
    gateway.await_log("does not know the token").await;
    let canary = shown(&stage, &gateway).await;
    let warning = canary["warnings"][0].as_str().expect("a warning");
    assert!(warning.contains("does not know the token"), "{canary}");
    assert!(!gateway.log().contains("of-nobody"));

    gateway.rewrite_config(&good);
    await_recorded(&stage, &gateway, true).await;
    patiently("no trouble", || async {
        source(&gateway).await["last_error"].is_null().then_some(())
    })
    .await;
    assert_has(&shown(&stage, &gateway).await, &json!({ "warnings": [] }));
    take_back(&stage, &gateway).await;
    await_archived(unleash, &stage.flag("new")).await;
}

#[tokio::test]
async fn a_flag_that_people_made_is_left_alone() {
    let unleash = Unleash::shared().await;
    let stage = Stage::new("theirs").await;
    let flag = stage.flag("new");
    unleash.create_flag(&flag).await;
    let before = unleash.flag(&flag).await;
    let gateway = start(&stage, unleash, "").await;
    register(&stage, &gateway, &body(&stage)).await;
    let warning = patiently("a warning", || async {
        let canary = shown(&stage, &gateway).await;
        assert_eq!(places(&canary), ["state"]);
        let mut warnings = canary["warnings"].as_array()?.iter();
        let found = warnings.find_map(|one| one.as_str().filter(|one| one.contains("Unleash")));
        found.map(str::to_owned)
    })
    .await;
    assert!(
        warning.contains("was made there, not by Serin"),
        "{warning}"
    );
    take_back(&stage, &gateway).await;
    patiently("nothing wrong any more", || async {
        source(&gateway).await["last_error"].is_null().then_some(())
    })
    .await;
    assert_eq!(unleash.flag(&flag).await, before);
}
