//! What an explanation says of flags that depend on others, and of those that a server broke.

use serde_json::json;

use crate::cluster::policy::UrlPolicy;
use crate::context::schema::ContextSchema;
use crate::context::{Context, Moment};
use crate::decide::explain;
use crate::engine::compile_context::CompileContext;
use crate::engine::unleash::{FeatureSet, compile};
use crate::snapshot::Snapshot;
use crate::snapshot::assemble::assemble;
use crate::snapshot::fixture::{config, service};
use crate::snapshot::offline::{NoopMeters, Offline};

/// The flags of an Unleash server, on a service that has them all as canaries.
fn snapshot(document: &serde_json::Value) -> Snapshot {
    let set = FeatureSet::parse(document.to_string().as_bytes()).expect("an answer");
    let policy = UrlPolicy {
        networks: vec!["127.0.0.0/8".parse().expect("a network")],
        ..UrlPolicy::nothing()
    };
    let surroundings = CompileContext {
        source: &"unleash".into(),
        vocabulary: &mut ContextSchema::new(&[]),
        canary_urls: &policy,
        app_name: "serin",
        environment: Some("production"),
        hostname: "gateway",
    };
    let mut config = config(vec![service("search", &["search.*"])], Vec::new());
    config.flags = compile(&set, surroundings, None).flags;
    assemble(&config, 1, &mut Offline::default(), &mut NoopMeters)
}

#[test]
fn every_step_of_unleashs_flags_is_told() {
    let payload = json!({ "type": "string", "value": "http://127.0.0.1:9002" });
    let canary = json!([{ "name": "canary", "weight": 1, "payload": payload }]);
    let rollout =
        |percent: &str| json!({ "rollout": percent, "stickiness": "userId", "groupId": "g" });
    let production =
        json!({ "contextName": "environment", "operator": "IN", "values": ["production"] });
    let bots = json!({ "contextName": "userId", "operator": "STR_STARTS_WITH", "values": ["bot"], "inverted": true });
    let snapshot = snapshot(&json!({
        "features": [
            { "name": "parent", "enabled": true, "strategies": [
                { "name": "flexibleRollout", "parameters": rollout("90"), "title": "Nearly all" } ] },
            { "name": "search.a", "enabled": true, "strategies": [{ "name": "theirs" }], "variants": canary },
            { "name": "search.b", "enabled": true, "strategies": [{ "name": "default", "segments": [7] }], "variants": canary },
            { "name": "search.c", "enabled": true, "strategies": [], "variants": canary,
              "dependencies": [{ "feature": "gone" }] },
            { "name": "search.d", "enabled": true, "variants": canary,
              "dependencies": [{ "feature": "parent", "variants": [] }],
              "strategies": [
                { "name": "userWithId", "parameters": { "userIds": "u7, u8" } },
                { "name": "flexibleRollout", "parameters": rollout("100"), "segments": [1],
                  "constraints": [production, bots] } ] },
        ],
        "segments": [{ "id": 1, "name": "beta", "constraints": [
            { "contextName": "remoteAddress", "operator": "IN_CIDR", "values": ["10.0.0.0/8"] } ] }],
    }));
    let context = Context {
        user_id: Some("u1".into()),
        remote_address: "10.1.2.3".parse().expect("an address"),
        ..Context::default()
    };
    let moment = Moment { unix_ms: 0 };
    let text = explain(&snapshot.services[0], &context, moment).to_string();
    let flags = text
        .find("flag search.a")
        .map_or("", |start| &text[start..]);
    insta::assert_snapshot!(flags);
}
