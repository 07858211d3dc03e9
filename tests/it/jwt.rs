//! Users by verified tokens (`jwt`): keys in a file, a secret, or behind a URL that is up, down, slow or strange; what routes ask of
//! tokens; claims that flags look at.

mod key_sets;
mod routes;
mod signer;

use serde_json::{Value, json};

use crate::harness::{Call, Gateway, Origin, fill, get};
use signer::Signer;

/// The canary is for users whose token says `pro`, and for u1.
const CONFIG: &str = "
services: { search: @stable }
flags:
  search.ranker:
    url: @canary
    rings:
      - { name: plan, when: { plan: [pro] } }
      - { name: staff, when: { groups: { contains: [staff] } } }
      - { name: one, when: { userId: [u1] } }
routes:
  - { path: /account, service: search, auth: required }
  - { path: /open, service: search, auth: none }
  - { path: /, service: search }
identity:
  user_id:
    - jwt: { KEYS, issuer: 'https://idp.example.com', audience: [api, app] }
    - { cookie: uid, trust: anyone }
  properties:
    plan: { claim: app.plan }
    groups: { claim: groups }
";

/// A gateway before two origins, which gets its keys like this.
struct Stage {
    gateway: Gateway,
    stable: Origin,
    _canary: Origin,
    config: String,
}

impl Stage {
    async fn start(keys: &str) -> Self {
        Self::with(&CONFIG.replace("KEYS", keys)).await
    }

    async fn with(config: &str) -> Self {
        let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
        let config = fill(config, [&stable, &canary]);
        Self {
            gateway: Gateway::start(config.clone()).await,
            stable,
            _canary: canary,
            config,
        }
    }

    /// The deployment that a request is served by, or the status of its refusal.
    async fn served(&self, call: Call) -> String {
        let answer = self.gateway.send(call).await;
        match answer.status {
            200 => answer.origin().to_owned(),
            status => status.to_string(),
        }
    }

    /// What the status says of the one issuer.
    async fn issuer(&self) -> Value {
        self.gateway.status().await["token_issuers"][0].clone()
    }

    /// How many tokens had this result.
    async fn counted(&self, result: &str) -> f64 {
        let labels = [("source", "jwt"), ("result", result)];
        self.gateway
            .metrics()
            .await
            .sum("serin_identity_total", &labels)
    }
}

/// Claims of a user that are believed.
fn claims(user: &str) -> Value {
    json!({
        "iss": "https://idp.example.com", "aud": "api", "sub": user,
        "exp": jiff::Timestamp::now().as_second() + 600,
    })
}

/// The same, with others beside them or in their place.
fn with(user: &str, others: &Value) -> Value {
    let mut claims = claims(user);
    for (name, value) in others.as_object().expect("a map") {
        claims[name] = value.clone();
    }
    claims
}

/// A request with a token in `Authorization`.
fn bearing(path: &str, token: &str) -> Call {
    get(path).header("authorization", &format!("Bearer {token}"))
}

/// The flow rule for a key set in a file beside `routes.yaml`.
fn file_of(folder: &tempfile::TempDir, signers: &[&Signer]) -> String {
    let path = folder.path().join("keys.json");
    std::fs::write(&path, Signer::set(signers)).expect("written");
    format!("jwks_file: {}", path.display())
}
