//! What client apps and servers are answered by the gateway itself.

mod access;
mod answers;
mod audiences;
mod contexts;
mod sdks;

use serde_json::{Value, json};

use crate::harness::flag_server::FlagServer;
use crate::harness::{Call, Gateway, Origin, fill, get, post};

/// The token of an app.
pub(crate) const APP: &str = "*:development.app";
/// The token of a server.
pub(crate) const SERVER: &str = "*:development.server";

/// A service with local canaries, and flags that route nothing.
const CONFIG: &str = r#"
services:
  search: { stable: @stable }
routes: [{ path: /, service: search, expose: true }]
identity:
  user_id: [{ header: x-user-id, trust: anyone }]
  properties: { plan: { header: x-plan }, appVersion: { header: x-app-version } }
client_api:
  path: /.serin
  tokens: ["*:development.app"]
  backend_tokens: ["*:development.server"]
  cors: [https://app.example.com]
  rate_limit: { requests: 100000 }
segments:
  Insiders:
    any: [{ userId: [user-1, user-2] }, { plan: pro, appVersion: { semver_gte: 5.0.0 } }]
flags:
  search.v2:
    url: @canary
    rings: [{ name: insiders, segment: Insiders }, { name: half, rollout: 50% }]
  shop.colour:
    variants:
      - { name: blue, weight: 30%, url: @canary }
      - { name: red, weight: 70% }
    rings: [{ name: free, when: { plan: { in: [pro], not: true } } }]
  shop.tenth: { url: @canary, rings: [{ name: fine, rollout: 0.5% }] }
"#;

/// A gateway before a flag server, with their origins.
pub(crate) struct Parts {
    pub(crate) stable: Origin,
    pub(crate) canary: Origin,
    pub(crate) server: FlagServer,
    pub(crate) gateway: Gateway,
}

impl Parts {
    /// With these flags on the server.
    pub(crate) async fn start(features: impl IntoIterator<Item = Value>) -> Self {
        let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
        let server = FlagServer::start().await;
        server.put(features);
        let config = fill(CONFIG, [&stable, &canary]) + &server.config("");
        Self {
            gateway: Gateway::start(config).await,
            stable,
            canary,
            server,
        }
    }

    /// The file, changed.
    pub(crate) fn rewrite(&self, change: impl Fn(String) -> String) {
        let config = fill(CONFIG, [&self.stable, &self.canary]) + &self.server.config("");
        self.gateway.rewrite_config(&change(config));
    }

    /// Where the API is.
    pub(crate) fn base(&self) -> String {
        format!("http://{}/.serin", self.gateway.address())
    }

    /// Which variant of the service's flags a user's requests are decided by; `-`: none.
    pub(crate) async fn assigned(&self, user: &str) -> String {
        let answer = self.gateway.get_as(user, "/").await;
        let decision = answer.header("x-serin-decision").expect("a decision");
        let assigned = decision.split('"').nth(1).expect("a deployment");
        assigned.to_owned()
    }
}

/// A flag that is on for everybody, with a variant that carries a payload.
pub(crate) fn banner(name: &str, kind: &str, payload: &str) -> Value {
    json!({
        "name": name, "type": "release", "enabled": true, "impressionData": true, "variants": [],
        "strategies": [{
            "name": "flexibleRollout",
            "constraints": [],
            "parameters": { "rollout": "100", "stickiness": "default", "groupId": name },
            "variants": [{
                "name": "big", "weight": 1000, "weightType": "variable", "stickiness": "default",
                "payload": { "type": kind, "value": payload },
            }],
        }],
    })
}

/// GET, as an app.
pub(crate) fn app(path: &str) -> Call {
    get(&format!("/.serin{path}")).header("authorization", APP)
}

/// POST of JSON, as an app.
pub(crate) fn app_post(path: &str, body: &Value) -> Call {
    post(&format!("/.serin{path}"), body.to_string())
        .header("authorization", APP)
        .header("content-type", "application/json")
}
