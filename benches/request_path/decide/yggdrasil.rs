//! The same flags in Unleash's engine.

use std::collections::HashMap;

use serde_json::{Value, json};
use unleash_yggdrasil::{ClientFeatures, Context, EngineState};

use super::{CANARIES, User, names, team};

/// The published engine with all flags, and the users as it wants them.
pub(super) struct Engine {
    state: EngineState,
    users: Vec<Context>,
}

impl Engine {
    pub(super) fn new(users: &[User]) -> Self {
        Self {
            state: state(),
            users: users.iter().map(context).collect(),
        }
    }

    /// What a gateway would ask: the flags in order, until one is on.
    pub(super) fn first_on(&self, user: usize) -> Option<usize> {
        CANARIES.iter().position(|name| {
            let variant = self.state.get_variant(name, &self.users[user], &None);
            std::hint::black_box(&variant.name);
            variant.feature_enabled
        })
    }
}

fn context(user: &User) -> Context {
    let properties = HashMap::from([("appVersion".to_owned(), user.version.to_owned())]);
    Context {
        user_id: Some(user.id.clone()),
        properties: Some(properties),
        ..Context::default()
    }
}

fn state() -> EngineState {
    let mut features: Vec<_> = Vec::new();
    for (name, percent) in names() {
        features.push(match CANARIES.contains(&name.as_str()) {
            true => feature(&name, percent),
            false => json!({ "name": name, "enabled": true, "strategies": [{ "name": "flexibleRollout",
                "parameters": { "rollout": percent.to_string(), "stickiness": "userId", "groupId": name } }] }),
        });
    }
    let document = json!({ "version": 2, "features": features });
    let features: ClientFeatures = serde_json::from_value(document).expect("a feature document");
    let state = EngineState::default();
    assert!(state.apply_client_features(features).is_none());
    state
}

/// A canary flag in the words of an Unleash server.
fn feature(name: &str, percent: u16) -> Value {
    let strategy = |percent: u16, constraint: Value| {
        json!({
            "name": "flexibleRollout",
            "parameters": { "rollout": percent.to_string(), "stickiness": "userId", "groupId": name },
            "constraints": [constraint],
            "variants": [
                { "name": "canary", "weight": 500, "stickiness": "userId",
                  "payload": { "type": "string", "value": "http://127.0.0.1:9001" } },
                { "name": "control", "weight": 500, "stickiness": "userId" },
            ],
        })
    };
    json!({ "name": name, "enabled": true, "strategies": [
        strategy(100, json!({ "contextName": "userId", "operator": "IN", "values": team() })),
        strategy(percent, json!({ "contextName": "appVersion", "operator": "SEMVER_GTE", "value": "10.1.0" })),
    ]})
}
