//! The official SDKs, unchanged.

use serde_json::{Value, json};

use super::{APP, Parts, SERVER, banner};
use crate::harness::flag_server::{FlagServer, feature};
use crate::harness::sdk::Sdk;

fn flags() -> [Value; 2] {
    [
        banner(
            "shop.banner",
            "json",
            r#"{"url":"http://127.0.0.1:9001","text":"hello"}"#,
        ),
        banner("team/price", "number", "7"),
    ]
}

/// Waits until the flag server was told that clients used a flag at least so often.
async fn await_use(server: &FlagServer, flag: &str, least: u64) {
    server
        .await_asked("/client/metrics", |asked| {
            let uses = &asked.body["bucket"]["toggles"][flag];
            uses["yes"].as_u64().is_some_and(|yes| yes >= least)
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unleash_for_browsers() {
    let parts = Parts::start(flags()).await;
    let sdk = Sdk::start("frontend.cjs", &[&parts.base(), APP, "user-1"]);
    let known = sdk.line().await;
    assert_eq!(parts.assigned("user-1").await, "search.v2");
    assert_eq!(known["search.v2"]["on"], true);
    let payload = json!({ "type": "json", "value": "{\"text\":\"hello\"}" });
    assert_eq!(known["shop.banner"]["variant"]["payload"], payload);
    assert_eq!(
        known["shop.colour"],
        Value::Null,
        "the SDK says that the plan is pro"
    );
    // It learns of changes by asking again, and reports what it used.
    parts.rewrite(|config| {
        config
            .replace("[user-1, user-2]", "[user-2]")
            .replace("50%", "0%")
    });
    let known = sdk
        .await_line(|known| known["search.v2"]["on"] != true && known["shop.banner"]["on"] == true)
        .await;
    assert_eq!(parts.assigned("user-1").await, "stable", "{known}");
    await_use(&parts.server, "shop.banner", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unleash_for_servers() {
    let parts = Parts::start([feature("search.v3", "http://127.0.0.1:9001", false)]).await;
    let names = ["search.v2", "shop.colour", "search.v3", "shop.tenth"];
    let args = [&parts.base()[..], SERVER, "200"];
    let node = Sdk::start("backend.cjs", &[&args[..], &names[..]].concat());
    let python = Sdk::start("backend.py", &[&args[..], &names[..2]].concat());
    // The one in Node says that it has flags a moment before it uses them.
    let node = node.await_line(|known| {
        let had = known["search.v2"].as_array();
        had.is_some_and(|had| had.iter().any(|variant| variant != "-"))
    });
    let (node, python) = (node.await, python.line().await);
    assert_eq!(node["search.v2"], python["search.v2"]);
    assert_eq!(node["shop.colour"], python["shop.colour"]);
    // Half a percent is no step of Unleash's.
    assert_eq!(node["shop.tenth"], Value::Null);
    let mut canary = 0;
    for user in 0..200 {
        let call = super::get("/")
            .user(&format!("user-{user}"))
            .header("x-plan", if user % 3 == 0 { "pro" } else { "free" })
            .header("x-app-version", &format!("{}.1.0", user % 12));
        let answer = parts.gateway.send(call).await;
        let assigned = answer.header("x-serin-decision").expect("a decision");
        let is_on = assigned.starts_with("search=\"search.v2\"");
        canary += u32::from(is_on);
        assert_eq!(
            node["search.v2"][user] != "-",
            is_on,
            "user-{user}: {assigned}"
        );
    }
    assert!((60..180).contains(&canary), "{canary}");
    let colours = node["shop.colour"].as_array().expect("a list");
    let of = |colour: &str| colours.iter().filter(|had| **had == colour).count();
    assert!(
        of("blue") > 20 && of("red") > 60 && of("-") == 67,
        "{colours:?}"
    );
    await_use(&parts.server, "search.v3", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn openfeature_for_servers() {
    let parts = Parts::start(flags()).await;
    let keys = [
        "search.v2",
        "shop.banner=object",
        "team/price=number",
        "nowhere",
        "shop.colour",
    ];
    for script in ["ofrep.cjs", "ofrep.py"] {
        let args = [&parts.base()[..], APP, "user-1"];
        let told = Sdk::start(script, &[&args[..], &keys[..]].concat());
        let told = told.line().await;
        assert_eq!(told["search.v2"]["value"], true, "{script}: {told}");
        assert_eq!(told["shop.banner"]["value"], json!({ "text": "hello" }));
        assert_eq!(told["shop.banner"]["variant"], "big");
        assert_eq!(told["team/price"]["value"], 7, "{script}: {told}");
        assert_eq!(told["nowhere"]["errorCode"], "FLAG_NOT_FOUND");
        assert_eq!(told["shop.colour"]["value"], false);
        let args = [&parts.base()[..], APP, "-", "search.v2"];
        let told = Sdk::start(script, &args).line().await;
        assert_eq!(told["search.v2"]["errorCode"], "TARGETING_KEY_MISSING");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn openfeature_for_browsers() {
    let parts = Parts::start(flags()).await;
    let sdk = Sdk::start("ofrep-web.cjs", &[&parts.base(), APP, "user-1"]);
    let known = sdk.line().await;
    assert_eq!(known["search.v2"]["value"], true, "{known}");
    // It is told that something has changed: it never asks by itself.
    let streams = [("", "")];
    let open = parts
        .gateway
        .await_metric("serin_client_api_streams", &streams[..0], 1.0);
    open.await;
    parts.rewrite(|config| {
        config
            .replace("[user-1, user-2]", "[user-2]")
            .replace("50%", "0%")
    });
    sdk.await_line(|known| known["search.v2"]["value"] == false)
        .await;
    parts
        .server
        .put([feature("shop.new", "http://127.0.0.1:9001", true)]);
    sdk.await_line(|known| known["shop.new"]["value"] == true)
        .await;
}
