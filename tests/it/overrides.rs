//! Overrides: a tester's signed token decides which deployment answers, and shows what that one does.

mod command;

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::client::HOST;
use crate::harness::{
    Answer, Call, Gateway, Origin, Reply, Setup, assert_has, eventually, fill, get, post, run_serin,
};

/// `ann` is on `search.a`; nobody is on `search.b`, nor on `search.ranker` once that is registered.
const CONFIG: &str = "
services:
  search: { stable: @stable, canaries: ['search.*'], rescue: { quarantine_after: 3, quarantine_for: 60s } }
  cart: { stable: @cart }
flags:
  search.a: { url: @canary-a, rings: [{ name: ann, when: { userId: [ann] } }] }
  search.b: { url: @canary-b, rings: [{ name: none, rollout: 0% }] }
routes: [{ path: /cart, service: cart, expose: true }, { path: /, service: search, expose: true }]
identity:
  user_id: [{ header: x-user-id, trust: anyone }]
  anonymous: sticky
  override: { key: '${SERIN_OVERRIDE_KEY}' }
client_api: { path: /.serin, rate_limit: { requests: 100000 } }
server: { threads: 2, shutdown_delay: 1ms, shutdown_grace: 8s, state_dir: ./state }
";

const KEY: &str = "0123456789abcdef0123456789abcdef";

/// A gateway before its deployments.
struct Parts {
    stable: Origin,
    a: Origin,
    b: Origin,
    cart: Origin,
    gateway: Gateway,
}

impl Parts {
    async fn start() -> Self {
        Self::with(|config| config).await
    }

    async fn with(change: impl FnOnce(String) -> String) -> Self {
        let (stable, cart) = (Origin::start("stable").await, Origin::start("cart").await);
        let (a, b) = (
            Origin::start("canary-a").await,
            Origin::start("canary-b").await,
        );
        let config = change(fill(CONFIG, [&stable, &cart, &a, &b]));
        let setup = Setup::new(config).env("SERIN_OVERRIDE_KEY", KEY);
        Self {
            gateway: setup.start().await,
            stable,
            a,
            b,
            cart,
        }
    }

    /// A token of this gateway's key for an hour.
    fn token(&self, service: &str, deployment: &str) -> String {
        self.mint(&["--service", service, "--deployment", deployment])
    }

    /// The same, for one user alone.
    fn token_of(&self, service: &str, deployment: &str, user: &str) -> String {
        let target = ["--service", service, "--deployment", deployment];
        self.mint(&[&target[..], &["--user", user]].concat())
    }

    fn mint(&self, more: &[&str]) -> String {
        let config = self.gateway.folder().join("routes.yaml");
        command::minted(&config, KEY, more)
    }

    /// Waits until so many requests had overrides of which this became.
    async fn await_overrides(&self, result: &str, count: f64) {
        let labels = [("result", result)];
        self.gateway
            .await_metric("serin_overrides_total", &labels, count)
            .await;
    }
}

/// A request that shows tokens in the header.
fn shows(path: &str, tokens: &str) -> Call {
    get(path).header("x-serin-override", tokens)
}

fn decision(answer: &Answer) -> &str {
    answer.header("x-serin-decision").expect("a decision")
}

#[tokio::test]
async fn a_token_decides_in_header_and_cookie_with_an_id_and_without() {
    let parts = Parts::start().await;
    let b = parts.token("search", "search.b");
    let cookie = format!("theme=dark; serin_override={b}; lang=de");
    for call in [shows("/", &b), get("/").header("cookie", &cookie)] {
        for user in [None, Some("ann"), Some("bob")] {
            let call = match user {
                Some(user) => call.clone().user(user),
                None => call.clone(),
            };
            let answer = parts.gateway.send(call).await;
            answer.assert_from("canary-b");
            assert_eq!(
                decision(&answer),
                r#"search="search.b";served="search.b";reason="override""#
            );
            // Not even a stranger gets a session of it.
            assert_eq!(answer.header("set-cookie"), None);
        }
    }
    parts.await_overrides("applied", 6.0).await;
    let stranger = parts.gateway.send(get("/")).await;
    stranger.assert_from("stable");
    // Stable can be asked for as well.
    let stable = parts.token("search", "stable");
    let answer = parts.gateway.send(shows("/", &stable).user("ann")).await;
    answer.assert_from("stable");
    assert!(decision(&answer).ends_with(r#"reason="override""#));
    parts
        .gateway
        .get_as("ann", "/")
        .await
        .assert_from("canary-a");
}

#[tokio::test]
async fn no_upstream_gets_a_token_and_other_cookies_pass_as_they_are() {
    let proxies = "server: { trusted_proxies: [127.0.0.0/8],";
    let trusting = Parts::with(|config| config.replace("server: {", proxies)).await;
    for parts in [&Parts::start().await, &trusting] {
        let b = parts.token("search", "search.b");
        for token in [&*b, "forged", ""] {
            let cookie = format!("theme=\"dark; x\"; serin_override={token}; lang=de");
            let call = shows("/", token).header("cookie", &cookie);
            parts
                .gateway
                .send(call.header("x_serin_override", token))
                .await;
            let asked = match token == b {
                true => &parts.b,
                false => &parts.stable,
            };
            let got = asked.last();
            assert_eq!(got.header("x-serin-override"), None);
            assert_eq!(got.header("x_serin_override"), None);
            assert_eq!(
                got.header("cookie").as_deref(),
                Some("theme=\"dark; x\"; lang=de")
            );
        }
        let alone = format!("serin_override={b}");
        parts.gateway.send(get("/").header("cookie", &alone)).await;
        assert_eq!(parts.b.last().header("cookie"), None);
        // Over HTTP/2 a client may send its cookies in several lines.
        let mut h2 = parts.gateway.connect_h2c().await;
        let call = get("/").header("cookie", &alone).header("cookie", "a=1");
        h2.send(call).await.assert_from("canary-b");
        assert_eq!(parts.b.last().header("cookie").as_deref(), Some("a=1"));
    }
    // Nor where there are no overrides.
    let without = Parts::with(|config| {
        let lines = config.lines().filter(|line| !line.contains("override:"));
        let text: Vec<&str> = lines.collect();
        text.join("\n").replace("server: {", proxies) + "\n"
    })
    .await;
    without
        .gateway
        .send(shows("/", "token"))
        .await
        .assert_from("stable");
    assert_eq!(without.stable.last().header("x-serin-override"), None);
}

#[tokio::test]
async fn what_does_not_fit_is_ignored_and_counted_by_its_reason() {
    let parts = Parts::start().await;
    let strange = command::minted(
        &parts.gateway.folder().join("routes.yaml"),
        "another key of thirty-two characters",
        &["--service", "search", "--deployment", "search.b"],
    );
    let b = parts.token("search", "search.b");
    let of_bob = parts.token_of("search", "search.b", "bob");
    let of_cart = parts.token("cart", "stable");
    let unknown = parts.token("search", "search.c");
    let changed = format!("A{}", &b[1..]);
    for (token, result, count) in [
        (&*strange, "forged", 1.0),
        (&changed, "forged", 2.0),
        (&of_bob, "foreign", 1.0),
        (&of_cart, "foreign", 2.0),
        (&unknown, "unknown_deployment", 1.0),
        ("nonsense", "malformed", 1.0),
        (&"t".repeat(2000), "malformed", 2.0),
    ] {
        let answer = parts.gateway.send(shows("/", token).user("ann")).await;
        answer.assert_from("canary-a");
        assert!(
            decision(&answer).ends_with(r#"reason="ring""#),
            "{answer:?}"
        );
        parts.await_overrides(result, count).await;
    }
    parts.await_overrides("applied", 0.0).await;
    let own = parts.gateway.send(shows("/", &of_bob).user("bob")).await;
    own.assert_from("canary-b");
    // One list for several services: each gets its own, and the others' are no failures.
    let both = format!("{of_cart}, {b}");
    parts
        .gateway
        .send(shows("/", &both))
        .await
        .assert_from("canary-b");
    let cart = parts.gateway.send(shows("/cart", &both)).await;
    cart.assert_from("cart");
    assert!(decision(&cart).ends_with(r#"reason="override""#));
    assert_eq!(parts.cart.count(), 1);
    parts.await_overrides("applied", 3.0).await;
    parts.await_overrides("foreign", 2.0).await;
}

#[tokio::test]
async fn a_token_ends_at_its_second() {
    let parts = Parts::start().await;
    let target = ["--service", "search", "--deployment", "search.b"];
    let brief = parts.mint(&[&target[..], &["--for", "4s"]].concat());
    let answer = eventually("the token's end", || async {
        let answer = parts.gateway.send(shows("/", &brief).user("ann")).await;
        (answer.origin() == "canary-a").then_some(answer)
    })
    .await;
    assert!(decision(&answer).ends_with(r#"reason="ring""#));
    assert!(parts.b.count() > 0, "it held before");
    parts.await_overrides("expired", 1.0).await;
}

#[tokio::test]
async fn an_override_gets_the_canarys_own_answer_and_no_quarantine() {
    let mut parts = Parts::start().await;
    let a = parts.token("search", "search.a");
    parts.a.answer(|_| Reply::status(500));
    for n in 0..3 {
        let rescued = parts.gateway.get_as("ann", &format!("/{n}")).await;
        rescued.assert_from("stable");
    }
    let spared = parts.gateway.get_as("ann", "/spared").await;
    assert!(
        decision(&spared).ends_with(r#"cause="quarantined""#),
        "{spared:?}"
    );
    let asked = parts.stable.count();
    let own = parts.gateway.send(shows("/own", &a).user("ann")).await;
    assert_eq!((own.status, own.origin()), (500, "canary-a"));
    parts.a.stop().await;
    for call in [
        shows("/gone", &a),
        post("/gone", "x").header("x-serin-override", &a),
    ] {
        let gone = parts.gateway.send(call.user("ann")).await;
        assert!([502, 503].contains(&gone.status), "{gone:?}");
        let why = gone.text();
        let causes = ["connect", "unhealthy"];
        let told = causes.map(|cause| format!("asks for search.a, and the cause is {cause}\n"));
        assert!(told.iter().any(|told| why.ends_with(&**told)), "{why}");
    }
    assert_eq!(parts.stable.count(), asked, "nothing was rescued");
    let line = parts.gateway.await_access_log_of("/gone").await;
    let expected =
        json!({ "assigned": "search.a", "served": null, "reason": "override", "flag": "search.a" });
    assert_has(&line, &expected);
    // What others are told says nothing of the inside.
    parts.cart.stop().await;
    let other = parts.gateway.get_as("ann", "/cart").await;
    assert_eq!(
        other.text(),
        "502 Bad Gateway: the service could not be reached\n"
    );
}

#[tokio::test]
async fn an_override_beats_no_kill_and_no_lease_that_is_over() {
    let parts = Parts::start().await;
    let gateway = &parts.gateway;
    let b = parts.token("search", "search.b");
    let kill = "/api/v1/services/search/canaries/search.b";
    gateway.send(shows("/", &b)).await.assert_from("canary-b");
    let killed = gateway.admin_send(post(&format!("{kill}/kill"), "")).await;
    assert_eq!(killed.status, 200, "{killed:?}");
    // It is decided as if there were no token.
    gateway.send(shows("/", &b)).await.assert_from("stable");
    gateway
        .send(shows("/", &b).user("ann"))
        .await
        .assert_from("canary-a");
    parts.await_overrides("killed", 2.0).await;
    gateway
        .admin_send(post(&format!("{kill}/restore"), ""))
        .await;
    gateway.send(shows("/", &b)).await.assert_from("canary-b");

    // A canary that no file names, of which no ring is open.
    let ranker = "/api/v1/services/search/canaries/search.ranker";
    let token = parts.token("search", "search.ranker");
    gateway.send(shows("/", &token)).await.assert_from("stable");
    parts.await_overrides("unknown_deployment", 1.0).await;
    let body = json!({ "url": parts.b.url(), "ttl": "10m" }).to_string();
    let call = Call::new(http::Method::PUT, ranker);
    let call = call.header("content-type", "application/json").body(body);
    let registered = gateway.admin_send(call).await;
    assert_eq!(registered.status, 201, "{registered:?}");
    let answer = eventually("the canary to be ready", || async {
        let answer = gateway.send(shows("/", &token)).await;
        (answer.status == 200).then_some(answer)
    })
    .await;
    assert!(decision(&answer).starts_with(r#"search="search.ranker";served="search.ranker""#));
    let gone = gateway
        .admin_send(Call::new(http::Method::DELETE, ranker))
        .await;
    assert_eq!(gone.status, 200, "{gone:?}");
    gateway.send(shows("/", &token)).await.assert_from("stable");
    parts.await_overrides("lease_over", 1.0).await;
}

#[tokio::test]
async fn what_asks_for_decisions_is_told_of_overrides_and_nothing_is_exposed() {
    let exposures = "attribution: { exposures: { users: plain }, receipts: { key: a-secret-of-at-least-thirty-two-bytes, header: x-serin-receipt } }\n";
    let parts = Parts::with(|config| config + exposures).await;
    let gateway = &parts.gateway;
    let b = parts.token("search", "search.b");
    let call = shows("/.serin/decisions", &b).user("ann");
    let told = gateway.send(call).await.json();
    let of = |service: &str| {
        let list = told["decisions"].as_array().expect("decisions");
        let own = list.iter().find(|own| own["service"] == service);
        own.expect("the service").clone()
    };
    let expected = json!({ "assigned": "search.b", "flag": "search.b", "reason": "override", "randomised": false });
    assert_has(&of("search"), &expected);
    assert_has(&of("cart"), &json!({ "reason": "default" }));
    // A receipt says who answered, and that nothing but a token chose it.
    let answer = gateway.send(shows("/", &b).user("ann")).await;
    let receipt = answer.header("x-serin-receipt").expect("a receipt");
    let served = &crate::receipts::claims(receipt)["served"]["search"];
    assert_has(
        served,
        &json!({ "d": "search.b", "r": "override", "a": "search.b" }),
    );
    // Of ann's requests the one without a token is recorded, and no other.
    gateway.get_as("ann", "/").await.assert_from("canary-a");
    let labels = [("sink", ""), ("result", "recorded")];
    gateway
        .await_metric("serin_exposures_total", &labels, 1.0)
        .await;
    let list = gateway.admin("/api/v1/exposures?user=ann").await.json();
    let recorded = list["exposures"].as_array().expect("exposures");
    let flags: Vec<&Value> = recorded.iter().map(|own| &own["flag"]).collect();
    assert_eq!(flags, ["search.a"], "{list:#}");
}

#[tokio::test]
async fn a_new_key_takes_all_tokens_back() {
    let parts = Parts::start().await;
    let b = parts.token("search", "search.b");
    parts
        .gateway
        .send(shows("/", &b))
        .await
        .assert_from("canary-b");
    let config = fill(CONFIG, [&parts.stable, &parts.cart, &parts.a, &parts.b]);
    let other = "another key of thirty-two characters";
    parts
        .gateway
        .rewrite_config(&config.replace("${SERIN_OVERRIDE_KEY}", other));
    parts.gateway.await_generation(2).await;
    parts
        .gateway
        .send(shows("/", &b))
        .await
        .assert_from("stable");
    parts.await_overrides("forged", 1.0).await;
}

#[tokio::test]
async fn explain_says_what_an_override_would_do() {
    let parts = Parts::start().await;
    let admin = format!("http://{}", parts.gateway.admin_address());
    let explain = |more: &[&str]| {
        let command = [
            "explain", "--admin", &admin, "--host", HOST, "--user", "ann",
        ];
        let output = run_serin(command.iter().chain(more));
        String::from_utf8(output.stdout).expect("text") + &String::from_utf8_lossy(&output.stderr)
    };
    let b = parts.token("search", "search.b");
    let text = explain(&["--override", &b]);
    let expected =
        "search -> search.b\nreason: override (a signed token asks for this deployment)\n";
    assert!(text.contains(expected), "{text}");
    assert!(text.contains("override to \"search.b\" until "), "{text}");
    assert!(text.contains("now: search.b would serve\n"), "{text}");
    let of_bob = parts.token_of("search", "search.b", "bob");
    let text = explain(&["--header", &format!("x-serin-override={of_bob},x")]);
    assert!(text.contains("search -> search.a\nreason: ring"), "{text}");
    assert!(text.contains(", for \"bob\" alone: foreign\n"), "{text}");
    assert!(
        text.contains("an override is malformed, and ignored\n"),
        "{text}"
    );
    let json = explain(&["--override", &b, "--format", "json"]);
    let json: Value = serde_json::from_str(&json).expect("JSON");
    let told = &json["decision"]["override"];
    let expected = json!({ "results": ["applied"], "deployment": "search.b" });
    assert_has(told, &expected);
    let until: jiff::Timestamp = told["until"].as_str().expect("a time").parse().expect("it");
    let left = until.duration_since(jiff::Timestamp::now());
    assert!(
        left <= Duration::from_secs(3600).try_into().expect("an hour"),
        "{told}"
    );
}

#[tokio::test]
async fn a_file_says_the_same_to_whoever_has_its_key() {
    let parts = Parts::start().await;
    let b = parts.token("search", "search.b");
    let config = parts.gateway.folder().join("routes.yaml");
    let config = config.display().to_string();
    let command = [
        "explain",
        "--config",
        &config,
        "--override",
        &b,
        "--host",
        HOST,
    ];
    let unset = run_serin(command);
    assert_eq!(unset.status.code(), Some(1));
    let said = String::from_utf8_lossy(&unset.stderr).into_owned();
    assert!(
        said.contains("`identity.override`, or its key is not set"),
        "{said}"
    );
    let mut known = crate::harness::serin(command);
    let known = known
        .env("SERIN_OVERRIDE_KEY", KEY)
        .output()
        .expect("it runs");
    let told = String::from_utf8_lossy(&known.stdout).into_owned();
    assert!(
        told.contains("search -> search.b\nreason: override"),
        "{told}"
    );
}
