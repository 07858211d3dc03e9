//! Which canary has a user: a flag that is created takes nobody from a canary that runs, and everybody can see why.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::flag_server::{FlagServer, feature};
use crate::harness::{Gateway, Origin, assert_has, eventually, fill, post, run_serin};
use crate::sources::await_origin;

const CONFIG: &str = "
services:
  search: { stable: @stable }
routes: [{ path: /, service: search }]
identity: { user_id: [{ header: x-user-id, trust: anyone }] }
";

struct Parts {
    stable: Origin,
    ranker: Origin,
    ab: Origin,
    server: FlagServer,
    state: TempDir,
}

impl Parts {
    /// With `search.ranker-v2` on for everybody, and another origin.
    async fn start() -> Self {
        let parts = Self {
            stable: Origin::start("stable").await,
            ranker: Origin::start("ranker").await,
            ab: Origin::start("ab").await,
            server: FlagServer::start().await,
            state: TempDir::new().expect("a folder"),
        };
        parts.ranker(true);
        parts
    }

    fn ranker(&self, on: bool) {
        let url = self.ranker.url();
        self.server.put([feature("search.ranker-v2", &url, on)]);
    }

    fn config(&self) -> String {
        let state = self.state.path().display();
        fill(CONFIG, [&self.stable])
            + &self.server.config("")
            + &format!("server: {{ threads: 2, shutdown_delay: 1ms, state_dir: '{state}' }}\n")
    }

    async fn gateway(&self) -> Gateway {
        let gateway = Gateway::start(self.config()).await;
        await_origin(&gateway, "ranker").await;
        gateway
    }

    /// Creates `search.ab` for everybody, with this payload; null: the URL of `ab`.
    fn create_ab(&self, payload: &Value) {
        let mut ab = feature("search.ab", &self.ab.url(), true);
        if !payload.is_null() {
            let value = match payload {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            ab["strategies"][0]["variants"][0]["payload"]["value"] = value.into();
        }
        self.server.put([ab]);
    }
}

/// Waits until the gateway has a flag.
async fn await_flag(gateway: &Gateway, flag: &str) -> Value {
    eventually(&format!("{flag} to be listed"), || async {
        standing(gateway, flag).await
    })
    .await
}

/// What the status says of a flag.
async fn standing(gateway: &Gateway, flag: &str) -> Option<Value> {
    let status = gateway.status().await;
    let flags = status["canary_flags"].as_array().expect("a list");
    flags.iter().find(|one| one["flag"] == flag).cloned()
}

async fn warnings(gateway: &Gateway) -> String {
    gateway.status().await["warnings"].to_string()
}

#[tokio::test]
async fn a_flag_that_is_created_takes_nobody_from_a_canary_that_runs() {
    let parts = Parts::start().await;
    let mut gateway = parts.gateway().await;
    parts.create_ab(&Value::Null);
    let ab = await_flag(&gateway, "search.ab").await;
    assert_has(
        &ab,
        &json!({ "canary": true, "place": 2, "before": ["search.ranker-v2"], "lacks": [] }),
    );
    for user in ["u1", "u2", "u3"] {
        gateway.get_as(user, "/").await.assert_from("ranker");
    }
    assert!(!warnings(&gateway).await.contains("takes users"));

    // Nor does a restart.
    assert!(gateway.terminate().await.success());
    let gateway = parts.gateway().await;
    await_flag(&gateway, "search.ab").await;
    gateway.get_as("u1", "/").await.assert_from("ranker");
    let digest = gateway.status().await["digest"].clone();

    // A gateway that has no record ranks by name, and is seen to differ.
    let other = TempDir::new().expect("a folder");
    let (own, others) = (parts.state.path(), other.path());
    let config = parts
        .config()
        .replace(&own.display().to_string(), &others.display().to_string());
    let fresh = Gateway::start(config).await;
    await_origin(&fresh, "ab").await;
    fresh
        .await_log("there is no record of which canary flags ran first")
        .await;
    assert_ne!(fresh.status().await["digest"], digest);

    // Off for a while, it keeps its place; deleted, it is new when it comes back.
    parts.ranker(false);
    await_origin(&gateway, "ab").await;
    parts.ranker(true);
    await_origin(&gateway, "ranker").await;
    assert!(
        warnings(&gateway)
            .await
            .contains("search.ranker-v2 takes users of search from search.ab")
    );
    parts.server.remove("search.ranker-v2");
    await_origin(&gateway, "ab").await;
    parts.ranker(true);
    let ranker = await_flag(&gateway, "search.ranker-v2").await;
    assert_has(&ranker, &json!({ "place": 2, "before": ["search.ab"] }));
    gateway.get_as("u1", "/").await.assert_from("ab");
}

#[tokio::test]
async fn a_flag_whose_url_is_refused_or_missing_is_no_canary() {
    let parts = Parts::start().await;
    let gateway = parts.gateway().await;
    for (payload, lacks) in [
        (json!("https://evil.example.com/path"), "refused"),
        (
            json!("http://203.0.113.9"),
            "`203.0.113.9` is a public address",
        ),
        (json!({ "uri": parts.ab.url() }), "is `url`, not \"uri\""),
        (json!("htp://127.0.0.1:1"), "was http:// meant"),
        (json!("a,b"), "neither a URL nor JSON"),
    ] {
        parts.create_ab(&payload);
        let what = format!("{payload} to be told of");
        let told = eventually(&what, || async {
            let ab = standing(&gateway, "search.ab").await?;
            ab["lacks"]
                .to_string()
                .replace("\\\"", "\"")
                .contains(lacks)
                .then_some(ab)
        })
        .await;
        assert_has(
            &told,
            &json!({ "canary": false, "service": "search", "entry": "search.*", "place": null }),
        );
        gateway.get_as("u1", "/").await.assert_from("ranker");
        let text = explained(&gateway, "search.ab");
        assert!(
            text.contains("claimed by the service search") && text.contains(lacks),
            "{text}"
        );
    }
    // The scheme is what is wrong, and not where it leads.
    parts.create_ab(&json!({ "url": "ftp://127.0.0.1:1" }));
    eventually("the true reason", || async {
        let ab = standing(&gateway, "search.ab").await?;
        let lacks = ab["lacks"].to_string();
        (lacks.contains("not ftp") && !lacks.contains("does not allow")).then_some(())
    })
    .await;
}

/// `serin explain --flag` of the running gateway.
fn explained(gateway: &Gateway, flag: &str) -> String {
    let admin = format!("http://{}", gateway.admin_address());
    let output = run_serin(["explain", "--flag", flag, "--admin", &admin]);
    String::from_utf8(output.stdout).expect("text") + &String::from_utf8_lossy(&output.stderr)
}

#[tokio::test]
async fn a_priority_puts_a_flag_first_and_that_is_told() {
    let parts = Parts::start().await;
    let gateway = parts.gateway().await;
    parts.create_ab(&json!({ "url": parts.ab.url(), "priority": 1 }));
    await_origin(&gateway, "ab").await;
    let told = "search.ab takes users of search from search.ranker-v2, which runs: it comes first and could take all users";
    gateway.await_log(told).await;
    assert!(warnings(&gateway).await.contains(told));
    let text = explained(&gateway, "search.ranker-v2");
    assert!(
        text.contains("asked as number 2 of 2") && text.contains("before it: search.ab"),
        "{text}"
    );
    assert!(
        text.contains("priority 0") && text.contains("it was number 1 to run"),
        "{text}"
    );
    let ab = await_flag(&gateway, "search.ab").await;
    assert_has(
        &ab,
        &json!({ "priority": 1, "place": 1, "could_have": "all users" }),
    );
    assert!(ab["decisions"].as_u64() > Some(0), "{ab}");
    // The order of `canaries` beats it.
    let stated = "{ stable: @stable, canaries: [\"search.r*\", \"search.*\"] }";
    let stated = stated.replace("@stable", &parts.stable.url());
    let plain = format!("{{ stable: {} }}", parts.stable.url());
    gateway.rewrite_config(&parts.config().replace(&plain, &stated));
    await_origin(&gateway, "ranker").await;
    assert!(
        warnings(&gateway)
            .await
            .contains("search.ranker-v2 takes users of search from search.ab")
    );
}

#[tokio::test]
async fn local_flags_are_ranked_as_others() {
    let parts = Parts::start().await;
    let local = |flags: &[(&str, &Origin, &str)]| {
        let flags = flags.iter().map(|(name, origin, more)| {
            let url = origin.url();
            format!("  {name}: {{ url: '{url}', rings: [{{ name: all }}]{more} }}\n")
        });
        let state = parts.state.path().display();
        let server =
            format!("server: {{ threads: 2, shutdown_delay: 1ms, state_dir: '{state}' }}\n");
        fill(CONFIG, [&parts.stable]) + &server + "flags:\n" + &flags.collect::<String>()
    };
    let ranker = ("search.ranker-v2", &parts.ranker, "");
    let gateway = Gateway::start(local(&[ranker])).await;
    gateway.get_as("u1", "/").await.assert_from("ranker");
    gateway.rewrite_config(&local(&[ranker, ("search.ab", &parts.ab, "")]));
    await_flag(&gateway, "search.ab").await;
    gateway.get_as("u1", "/").await.assert_from("ranker");
    gateway.rewrite_config(&local(&[ranker, ("search.ab", &parts.ab, ", priority: 2")]));
    await_origin(&gateway, "ab").await;
}

#[tokio::test]
async fn why_a_flag_does_nothing_is_said_of_every_flag() {
    let parts = Parts::start().await;
    let gateway = parts.gateway().await;
    let mut bare = feature("search.bare", "", true);
    bare["strategies"][0]["variants"] = json!([]);
    parts.server.put([
        bare,
        feature("search-dash", &parts.ab.url(), true),
        feature("shop.v2", &parts.ab.url(), true),
        feature("unrelated", "blue", true),
    ]);
    await_flag(&gateway, "shop.v2").await;
    for (flag, said) in [
        ("search.bare", "it has no variants"),
        (
            "search-dash",
            "no service's `canaries` match it; the nearest is \"search.*\" of search",
        ),
        ("shop.v2", "no service's `canaries` match it"),
        ("unrelated", "claimed by nobody"),
        ("search.ranker-v2", "could have: all users"),
        ("search.rankr-v2", "did you mean \"search.ranker-v2\"?"),
    ] {
        let text = explained(&gateway, flag);
        assert!(text.contains(said), "{flag}: {text}");
    }
    assert_eq!(standing(&gateway, "unrelated").await, None);
    let dash = standing(&gateway, "search-dash")
        .await
        .expect("it is listed");
    assert_has(
        &dash,
        &json!({ "canary": false, "service": null, "lacks": [] }),
    );
    let unknown = post("/api/v1/explain", json!({ "flag": "nobody" }).to_string());
    assert_eq!(gateway.admin_send(unknown).await.status, 404);
    // From a file, too.
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("routes.yaml");
    let flags =
        "flags: { search.a: { url: 'http://127.0.0.1:1', rings: [{ name: all, rollout: 5% }] } }\n";
    std::fs::write(&file, fill(CONFIG, [&parts.stable]) + flags).expect("a file");
    let file = file.display().to_string();
    let output = run_serin(["explain", "--flag", "search.a", "-c", &file]);
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(
        output.status.success() && text.contains("could have: 5% of all users"),
        "{text}"
    );
}
