//! What most of these tests stand on: a service with two deployments behind a gateway that asks a server for its flags.

use std::io::Write as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::client::HOST;
use crate::harness::unleash::TOKEN;
use crate::harness::{Gateway, Origin, Setup, get, post};

/// How long a gateway may need for what the contract gives it no less for: a server that says nothing is given up
/// after ten seconds, and asked again after ten more.
const PATIENCE: Duration = Duration::from_secs(40);

/// A service, its deployments, and what its gateways keep.
pub(super) struct Stage {
    /// The service's name, its path's, and the beginning of its flags'.
    pub(super) service: &'static str,
    pub(super) stable: Origin,
    pub(super) canary: Origin,
    /// Outlives every gateway.
    pub(super) state: TempDir,
}

impl Stage {
    pub(super) async fn new(service: &'static str) -> Self {
        Self {
            service,
            stable: Origin::start("stable").await,
            canary: Origin::start("canary").await,
            state: TempDir::new().expect("a folder"),
        }
    }

    /// The name of one of the service's flags.
    pub(super) fn flag(&self, name: &str) -> String {
        format!("{}.{name}", self.service)
    }

    /// A `routes.yaml` that names no flag at all; `unleash` is more of that section.
    pub(super) fn config(&self, api: &str, unleash: &str) -> String {
        let (service, stable) = (self.service, self.stable.url());
        let state = self.state.path().display();
        format!(
            "
services: {{ {service}: {{ stable: \"{stable}\" }} }}
routes: [{{ path: /{service}, service: {service} }}]
identity:
  user_id: [{{ header: x-user-id, trust: anyone }}]
  properties: {{ appVersion: {{ header: x-app-version }} }}
unleash: {{ url: \"{api}\", token: \"{TOKEN}\"{unleash} }}
server: {{ threads: 2, shutdown_delay: 1ms, shutdown_grace: 8s, state_dir: \"{state}\" }}
"
        )
    }

    /// A gateway that asks every second, not ready perhaps.
    pub(super) async fn launch(&self, api: &str) -> Gateway {
        Setup::new(self.config(api, ", poll: 1s")).launch().await
    }

    /// A gateway that asks every second.
    pub(super) async fn start(&self, api: &str) -> Gateway {
        Setup::new(self.config(api, ", poll: 1s")).start().await
    }

    /// Who serves this user.
    pub(super) async fn serves(&self, gateway: &Gateway, user: &str) -> String {
        let answer = gateway.get_as(user, &format!("/{}", self.service)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.origin().to_owned()
    }

    /// Who serves a user of this version of the app.
    pub(super) async fn serves_version(&self, gateway: &Gateway, version: &str) -> String {
        let call = get(&format!("/{}", self.service)).user("u1");
        let answer = gateway.send(call.header("x-app-version", version)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.origin().to_owned()
    }

    /// The gateway's decision for this user, with its steps.
    pub(super) async fn explain(&self, gateway: &Gateway, user: &str) -> Value {
        explain(gateway, self.service, user, &json!({})).await
    }

    /// Waits until this user is served by this origin; says how long that took.
    pub(super) async fn await_served(&self, gateway: &Gateway, user: &str, by: &str) -> Duration {
        let what = format!("{user} served by {by}");
        let begun = Instant::now();
        patiently(&what, || async {
            (self.serves(gateway, user).await == by).then_some(())
        })
        .await;
        begun.elapsed()
    }

    /// Waits until the gateway says what is wrong with its source, and says it; meanwhile these users must be served
    /// by these origins, without fail.
    pub(super) async fn await_trouble(&self, gateway: &Gateway, users: &[(&str, &str)]) -> String {
        patiently("trouble with the source", || async {
            for (user, origin) in users {
                assert_eq!(self.serves(gateway, user).await, *origin, "{user}");
            }
            let error = source(gateway).await["last_error"].clone();
            error.as_str().map(str::to_owned)
        })
        .await
    }

    /// Waits until nothing is wrong with its source any more.
    pub(super) async fn await_well(&self, gateway: &Gateway) {
        patiently("a source without trouble", || async {
            source(gateway).await["last_error"].is_null().then_some(())
        })
        .await;
    }
}

/// The decision for a user of a service whose path is its name.
pub(super) async fn explain(
    gateway: &Gateway,
    service: &str,
    user: &str,
    properties: &Value,
) -> Value {
    let path = format!("/{service}");
    let body = json!({ "user_id": user, "host": HOST, "path": path, "properties": properties });
    let call = post("/api/v1/explain", body.to_string());
    let answer = gateway
        .admin_send(call.header("content-type", "application/json"))
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["decision"].clone()
}

/// What `/status` says of the flag server.
pub(super) async fn source(gateway: &Gateway) -> Value {
    let status = gateway.status().await;
    let sources = status["sources"].as_array().expect("sources");
    let found = sources.iter().find(|source| source["name"] == "unleash");
    found.unwrap_or_else(|| panic!("{status:#}")).clone()
}

/// Whether a warning of `/status` has all of these words.
pub(super) async fn warns(gateway: &Gateway, words: &[&str]) -> Option<()> {
    let status = gateway.status().await;
    let mut warnings = status["warnings"].as_array().expect("warnings").iter();
    let told = |warning: &Value| {
        let text = warning.as_str().expect("a text");
        words.iter().all(|word| text.contains(word))
    };
    warnings.any(told).then_some(())
}

/// As `eventually`, for facts that the contract allows more time than tests usually give.
pub(super) async fn patiently<T, F: Future<Output = Option<T>>>(
    what: &str,
    fact: impl FnMut() -> F,
) -> T {
    crate::harness::eventually_within(PATIENCE, what, fact).await
}

/// Says a figure to whoever runs the tests, passed or not: only what goes through `print!` is kept from them.
pub(super) fn report(figure: &str) {
    let _ = writeln!(std::io::stderr(), "unleash: {figure}");
}
