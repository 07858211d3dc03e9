//! Flag servers: what is fetched decides, and what fails changes nothing.

mod oddities;
mod outages;
mod reports;
mod streams;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::flag_server::{FlagServer, TOKEN, feature};
use crate::harness::{Gateway, Origin, Setup, assert_has, eventually, fill, post};

/// A service whose canaries are a flag server's, to which the file adds what a test needs.
pub(crate) const CONFIG: &str = "
services:
  search: { stable: @stable }
routes: [{ path: /, service: search }]
identity: { user_id: [{ header: x-user-id, trust: anyone }] }
";

/// Stable, a canary, and a flag server that sends everybody to the canary.
pub(crate) struct Parts {
    pub(crate) stable: Origin,
    pub(crate) canary: Origin,
    pub(crate) server: FlagServer,
}

impl Parts {
    pub(crate) async fn start() -> Self {
        let parts = Self {
            stable: Origin::start("stable").await,
            canary: Origin::start("canary").await,
            server: FlagServer::start().await,
        };
        parts.switch(true);
        parts
    }

    /// Switches the canary's flag.
    pub(crate) fn switch(&self, on: bool) {
        self.server
            .put([feature("search.v2", &self.canary.url(), on)]);
    }

    /// A file that names the server, with more of its keys, and more keys beside it.
    pub(crate) fn config(&self, of_server: &str, more: &str) -> String {
        let config = fill(CONFIG, [&self.stable]);
        config + &self.server.config(of_server) + more
    }

    pub(crate) async fn gateway(&self) -> Gateway {
        Gateway::start(self.config("", "")).await
    }
}

/// The payload of a flag that comes before those that ran first.
pub(crate) fn first(origin: &Origin) -> String {
    json!({ "url": origin.url(), "priority": 1 }).to_string()
}

/// Waits until a user's requests are answered by this origin.
pub(crate) async fn await_origin(gateway: &Gateway, origin: &str) {
    let what = format!("requests to be answered by {origin}");
    eventually(&what, || async {
        let answer = gateway.get_as("u1", "/").await;
        (answer.origin() == origin).then_some(())
    })
    .await;
}

/// What `/api/v1/status` says of a source.
pub(crate) async fn source(gateway: &Gateway, name: &str) -> Value {
    let status = gateway.status().await;
    let sources = status["sources"].as_array().expect("sources");
    let source = sources.iter().find(|source| source["name"] == name);
    source.cloned().unwrap_or(Value::Null)
}

/// Waits until what is said of the source `unleash` has a last error with this in it; `""`: has none.
pub(crate) async fn await_error(gateway: &Gateway, text: &str) -> String {
    let what = format!("a last error with {text:?}");
    eventually(&what, || async {
        let source = source(gateway, "unleash").await;
        match source["last_error"].as_str() {
            Some(error) if !text.is_empty() && error.contains(text) => Some(error.to_owned()),
            None if text.is_empty() => Some(String::new()),
            _ => None,
        }
    })
    .await
}

#[tokio::test]
async fn a_flag_of_a_server_sends_users_to_its_canary_within_a_poll() {
    let parts = Parts::start().await;
    let gateway = parts.gateway().await;
    // Ready means that the flags are there.
    gateway.get_as("u1", "/").await.assert_from("canary");
    let facts = source(&gateway, "unleash").await;
    assert_has(
        &facts,
        &json!({ "mode": "polling", "revision": 1, "answered": true, "held": [], "last_error": null }),
    );
    parts.switch(false);
    await_origin(&gateway, "stable").await;
    parts.switch(true);
    await_origin(&gateway, "canary").await;
    assert_eq!(source(&gateway, "unleash").await["revision"], 3);
}

#[tokio::test]
async fn it_asks_politely_and_only_for_what_is_new() {
    let parts = Parts::start().await;
    let gateway = parts.gateway().await;
    parts.server.await_more("/client/features", 3).await;
    let asked = parts.server.asked("/client/features");
    let (first, second) = (&asked[0], &asked[1]);
    assert_eq!(first.header("if-none-match"), None);
    assert_eq!(second.header("if-none-match"), Some("\"tests:1\""));
    for (name, value) in [
        ("authorization", TOKEN),
        ("unleash-appname", "serin"),
        ("unleash-interval", "200"),
        ("unleash-client-spec", "5.2.0"),
    ] {
        assert_eq!(second.header(name), Some(value), "{name}");
    }
    let sdk = second.header("unleash-sdk").expect("a version");
    assert!(sdk.starts_with("serin:"), "{sdk}");
    assert_eq!(
        second.header("unleash-connection-id").map(str::len),
        Some(36)
    );
    assert_eq!(gateway.generation().await, 2);
    // A server without streams is asked for one once.
    assert_eq!(parts.server.asked("/client/streaming").len(), 1);
    assert!(!gateway.log().contains(TOKEN));
}

#[tokio::test]
async fn a_webhook_has_changes_fetched_at_once() {
    let parts = Parts::start().await;
    let config = parts.config("", "").replace("200ms", "1h");
    let gateway = Gateway::start(config).await;
    gateway.get_as("u1", "/").await.assert_from("canary");
    parts.switch(false);
    let call = || post("/api/v1/sources/unleash/refresh", "");
    let answer = gateway.admin_send(call()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let flags = json!({ "added": [], "changed": ["search.v2"], "removed": [] });
    assert_has(
        &answer.json(),
        &json!({ "source": "unleash", "generation": 3, "changed": true, "revision": 2, "flags": flags, "held": [] }),
    );
    // The answer comes when it is in force.
    gateway.get_as("u1", "/").await.assert_from("stable");
    let again = gateway.admin_send(call()).await.json();
    assert_has(&again, &json!({ "generation": 3, "changed": false }));
    // Whoever calls may not show the change yet: it is asked for again, and the answer says what came of it.
    let known = parts.server.asked("/client/features").len();
    let (answer, ()) = tokio::join!(gateway.admin_send(call()), async {
        eventually("the server to be asked", || async {
            (parts.server.asked("/client/features").len() > known).then_some(())
        })
        .await;
        parts.switch(true);
    });
    assert_has(&answer.json(), &json!({ "generation": 4, "changed": true }));
    gateway.get_as("u1", "/").await.assert_from("canary");
    // Even later than that.
    parts.switch(false);
    await_refreshed(&gateway, "stable").await;

    let unknown = post("/api/v1/sources/file/refresh", "");
    assert_eq!(gateway.admin_send(unknown).await.status, 404);
}

/// Refreshes until a user's requests are answered by this origin.
async fn await_refreshed(gateway: &Gateway, origin: &str) {
    gateway
        .admin_send(post("/api/v1/sources/unleash/refresh", ""))
        .await;
    await_origin(gateway, origin).await;
}

#[tokio::test]
async fn a_url_without_an_api_is_told_as_that() {
    let parts = Parts::start().await;
    let config = parts
        .config("", "")
        .replace("/api'", "'")
        .replace(TOKEN, "wrong");
    let gateway = Setup::new(config).launch().await;
    let error = await_error(&gateway, "does not end in /api").await;
    assert!(error.contains(&parts.server.url()), "{error}");
}

#[tokio::test]
async fn a_server_behind_https_must_show_a_certificate_that_is_known() {
    let (server, certificate) = FlagServer::start_https().await;
    let parts = Parts {
        stable: Origin::start("stable").await,
        canary: Origin::start("canary").await,
        server,
    };
    parts.switch(true);
    let folder = TempDir::new().expect("a folder");
    let known = folder.path().join("known.pem");
    std::fs::write(&known, certificate).expect("a file");
    let setup = || Setup::new(parts.config("", ""));
    let known = known.display().to_string();
    let gateway = setup().env("SSL_CERT_FILE", &known).start().await;
    gateway.get_as("u1", "/").await.assert_from("canary");

    // The system's certificates know nothing of it.
    let gateway = setup().launch().await;
    await_error(&gateway, "certificate").await;
    gateway.get_as("u1", "/").await.assert_from("stable");
}

#[tokio::test]
async fn several_servers_have_an_order() {
    let parts = Parts::start().await;
    let other = FlagServer::start().await;
    other.put([
        feature("search.v2", &parts.stable.url(), false),
        feature("search.v1", &parts.stable.url(), false),
    ]);
    let config = |first: &str, second: &str| {
        let entry = |name: &str| {
            let url = if name == "eu" {
                parts.server.url()
            } else {
                other.url()
            };
            format!("  - {{ name: {name}, url: '{url}', token: '{TOKEN}', poll: 200ms }}\n")
        };
        let servers = format!("unleash:\n{}{}", entry(first), entry(second));
        fill(CONFIG, [&parts.stable]) + &servers
    };
    let gateway = Gateway::start(config("eu", "us")).await;
    gateway.get_as("u1", "/").await.assert_from("canary");
    let warnings = gateway.status().await["warnings"].to_string();
    assert!(warnings.contains("search.v2"), "{warnings}");
    gateway.rewrite_config(&config("us", "eu"));
    await_origin(&gateway, "stable").await;
}

#[tokio::test]
async fn a_reload_adds_changes_and_removes_servers() {
    let parts = Parts::start().await;
    let without = fill(CONFIG, [&parts.stable]);
    let gateway = Gateway::start(without.clone()).await;
    gateway.get_as("u1", "/").await.assert_from("stable");
    gateway.rewrite_config(&parts.config("", ""));
    await_origin(&gateway, "canary").await;

    // Another token keeps the flags until the server answers to it.
    let wrong = parts.config("", "").replace(TOKEN, "wrong");
    gateway.rewrite_config(&wrong);
    let error = await_error(&gateway, "401").await;
    assert!(
        error.contains("token") && !error.contains("wrong"),
        "{error}"
    );
    gateway.get_as("u1", "/").await.assert_from("canary");
    let errors = gateway.metrics().await;
    let errors = errors.sum("serin_source_errors_total", &[("source", "unleash")]);
    assert_eq!(
        errors, 1.0,
        "a configuration error is no fault to retry fast"
    );
    gateway.rewrite_config(&parts.config("", ""));
    await_error(&gateway, "").await;

    gateway.rewrite_config(&without);
    await_origin(&gateway, "stable").await;
    assert_eq!(source(&gateway, "unleash").await, Value::Null);
    let call = post("/api/v1/sources/unleash/refresh", "");
    assert_eq!(gateway.admin_send(call).await.status, 404);
}

#[tokio::test]
async fn readiness_waits_for_every_server_unless_told_otherwise() {
    let mut parts = Parts::start().await;
    parts.server.stop().await;
    let gateway = Setup::new(parts.config("", "")).launch().await;
    await_error(&gateway, "refused").await;
    let answer = gateway.admin("/readyz").await;
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("unleash"), "{answer:?}");
    // Traffic is served all the same.
    gateway.get_as("u1", "/early").await.assert_from("stable");
    let line = gateway.await_access_log_of("/early").await;
    assert_has(&line, &json!({ "reason": "no_flags" }));

    parts.server.restart().await;
    eventually("readiness", || async {
        (gateway.admin("/readyz").await.status == 200).then_some(())
    })
    .await;
    gateway.get_as("u1", "/").await.assert_from("canary");
    parts.server.stop().await;
    await_error(&gateway, "refused").await;
    assert_eq!(gateway.admin("/readyz").await.status, 200);

    let patient = "server: { threads: 2, shutdown_delay: 1ms, ready_without_flags: 300ms }\n";
    let gateway = Setup::new(parts.config("", patient)).start().await;
    gateway.get_as("u1", "/").await.assert_from("stable");
    assert!(gateway.status().await["uptime_seconds"].as_f64() >= Some(0.3));
}
