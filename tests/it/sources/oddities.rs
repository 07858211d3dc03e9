//! What is odd in a server's answer costs nobody else's flags.

use serde_json::{Value, json};

use super::{CONFIG, Parts, await_origin};
use crate::harness::flag_server::feature;
use crate::harness::{Gateway, eventually, fill};

/// Waits until the status warns of this.
async fn await_warning(gateway: &Gateway, text: &str) {
    let what = format!("a warning with {text:?}");
    eventually(&what, || async {
        let warnings = gateway.status().await["warnings"].to_string();
        warnings.contains(text).then_some(())
    })
    .await;
}

/// The canary's flag with these strategies before the one that takes everybody, or behind it.
fn beside(parts: &Parts, strategies: &[Value], behind: bool) -> Value {
    let mut feature = feature("search.v2", &parts.canary.url(), true);
    let all = feature["strategies"].as_array_mut().expect("strategies");
    let place = if behind { all.len() } else { 0 };
    all.splice(place..place, strategies.iter().cloned());
    feature
}

fn asking(constraint: &Value) -> Value {
    json!({ "name": "default", "parameters": {}, "constraints": [constraint] })
}

#[tokio::test]
async fn strategies_are_alternatives() {
    let parts = Parts::start().await;
    let gateway = parts.gateway().await;
    let off = async || {
        parts.switch(false);
        await_origin(&gateway, "stable").await;
    };
    let rollout = json!({ "name": "flexibleRollout", "parameters": { "rollout": "many" } });
    let regex = asking(&json!({ "contextName": "userId", "operator": "REGEX", "value": "a(b" }));
    for (strategy, told) in [
        (
            json!({ "name": "ours", "parameters": { "tenants": [1] } }),
            "no strategy \\\"ours\\\"",
        ),
        (rollout, "\\\"many\\\", no percentage"),
        (regex, "is not a regular expression"),
        (Value::Null, "it cannot be read"),
    ] {
        for behind in [false, true] {
            off().await;
            parts
                .server
                .put([beside(&parts, std::slice::from_ref(&strategy), behind)]);
            await_origin(&gateway, "canary").await;
            await_warning(&gateway, told).await;
        }
        // Alone it takes nobody.
        let mut alone = feature("search.v2", &parts.canary.url(), true);
        alone["strategies"] = json!([strategy]);
        parts.server.put([alone]);
        await_origin(&gateway, "stable").await;
    }
    for (strategy, told) in [
        (
            asking(&json!({ "contextName": "a", "operator": "LIKE" })),
            "operator \\\"LIKE\\\" is unknown",
        ),
        (
            json!({ "name": "default", "parameters": {}, "segments": [404] }),
            "there is no segment 404",
        ),
    ] {
        parts.switch(true);
        await_origin(&gateway, "canary").await;
        parts.server.put([beside(&parts, &[strategy], true)]);
        await_origin(&gateway, "stable").await;
        await_warning(&gateway, told).await;
    }
}

#[tokio::test]
async fn a_flag_without_a_name_is_told_and_the_others_are_taken() {
    let parts = Parts::start().await;
    parts.switch(false);
    let gateway = parts.gateway().await;
    await_origin(&gateway, "stable").await;
    for nameless in [
        Value::Null,
        json!({ "enabled": true }),
        json!({ "name": "" }),
    ] {
        parts.server.put_under("nameless", &nameless);
        parts.switch(true);
        await_origin(&gateway, "canary").await;
        await_warning(&gateway, "a flag in the answer has no name and is left out").await;
        parts.server.remove("nameless");
        parts.switch(false);
        await_origin(&gateway, "stable").await;
        let warnings = gateway.status().await["warnings"].to_string();
        assert!(!warnings.contains("has no name"), "{warnings}");
    }
}

/// The canary's flag, whose variant carries this.
fn carrying(kind: &str, payload: &str) -> Value {
    let mut feature = feature("search.v2", "", true);
    let variant = &mut feature["strategies"][0]["variants"][0];
    variant["payload"] = json!({ "type": kind, "value": payload });
    feature
}

#[tokio::test]
async fn payloads_are_read_as_they_are_meant_or_told_of() {
    let parts = Parts::start().await;
    let gateway = parts.gateway().await;
    let url = parts.canary.url();
    for (kind, payload) in [
        ("string", format!(" \r\n{url}/\n")),
        ("json", format!("{url:?}")),
        (
            "json",
            format!("{{\n  \"more\": [1, null],\r\n  \"url\": \"{url}\"\n}}\n"),
        ),
    ] {
        parts.server.put([carrying(kind, &payload)]);
        await_origin(&gateway, "canary").await;
        parts.switch(false);
        await_origin(&gateway, "stable").await;
    }
    for (payload, told) in [
        (
            format!("{{\"URL\":\"{url}\"}}"),
            "is `url`, not \\\"URL\\\"",
        ),
        (format!("\u{feff}{url}"), "byte order mark"),
        (url.replacen("http", "htp", 1), "was http:// meant"),
    ] {
        parts.switch(true);
        await_origin(&gateway, "canary").await;
        parts.server.put([carrying("json", &payload)]);
        await_origin(&gateway, "stable").await;
        await_warning(&gateway, "flag search.v2 looks like a canary of search").await;
        await_warning(&gateway, told).await;
    }
}

#[tokio::test]
async fn variants_of_no_weight_are_nobodys() {
    let parts = Parts::start().await;
    parts.switch(false);
    let config = fill(CONFIG, [&parts.stable]) + &parts.server.config("");
    let gateway = Gateway::start(config).await;
    let mut weighed = feature("search.v2", &parts.canary.url(), true);
    let variants = weighed["strategies"][0]["variants"]
        .as_array_mut()
        .expect("variants");
    variants[0]["weight"] = json!(0);
    let mut control = variants[0].clone();
    control["name"] = json!("control");
    control["weight"] = json!(1000);
    control
        .as_object_mut()
        .expect("a variant")
        .remove("payload");
    variants.push(control);
    parts.server.put([weighed.clone()]);
    parts.server.await_more("/client/features", 2).await;
    for user in 0..20 {
        gateway
            .get_as(&user.to_string(), "/")
            .await
            .assert_from("stable");
    }
    // Nobody can be given any of them; the flag is on all the same, and stable serves.
    weighed["strategies"][0]["variants"]
        .as_array_mut()
        .expect("variants")
        .truncate(1);
    parts.server.put([weighed]);
    await_warning(&gateway, "its variants have no weight").await;
    gateway.get_as("u1", "/").await.assert_from("stable");
}
