//! What routes ask of tokens, where tokens are, and what flags see of them.

use serde_json::{Value, json};

use super::signer::{self, Signer};
use super::{CONFIG, Stage, bearing, claims, file_of, with};
use crate::harness::{Gateway, Origin, assert_has, fill, get, post, run_serin};

const SECRET: &str = "only-a-test-but-longer-than-32-characters";

#[tokio::test]
async fn a_verified_token_says_who_the_user_is() {
    let (folder, signer) = (tempfile::tempdir().unwrap(), Signer::new("one"));
    let stage = Stage::start(&file_of(&folder, &[&signer])).await;
    let token = |claims| signer.token(&claims);
    assert_eq!(
        stage.served(bearing("/", &token(claims("u1")))).await,
        "canary"
    );
    assert_eq!(
        stage.served(bearing("/", &token(claims("u2")))).await,
        "stable"
    );
    // By its claims.
    let pro = with("u2", &json!({ "app": { "plan": "pro" } }));
    assert_eq!(stage.served(bearing("/", &token(pro))).await, "canary");
    let staff = with("u2", &json!({ "groups": ["everybody", "staff"] }));
    assert_eq!(stage.served(bearing("/", &token(staff))).await, "canary");
    // It comes before the cookie; one that is not believed leaves the word to the cookie.
    let call = bearing("/", &token(claims("u2"))).header("cookie", "uid=u1");
    assert_eq!(stage.served(call).await, "stable");
    let over = with("u2", &json!({ "exp": 1_000_000_000 }));
    let call = bearing("/", &token(over)).header("cookie", "uid=u1");
    assert_eq!(stage.served(call).await, "canary");
    // Another scheme is no token.
    let call = get("/").header("authorization", "Basic dTE6cA==");
    assert_eq!(stage.served(call).await, "stable");
    assert_eq!(
        stage.stable.last().header("authorization").as_deref(),
        Some("Basic dTE6cA=="),
        "it passes as it came"
    );
    assert_eq!(stage.counted("verified").await, 5.0);
    assert_eq!(stage.counted("expired").await, 1.0);

    let call = bearing("/logged", &token(claims("u7")));
    stage.gateway.send(call).await.assert_from("stable");
    let line = stage.gateway.await_access_log_of("/logged").await;
    assert_has(&line, &json!({ "user_id": "u7" }));
}

#[tokio::test]
async fn two_tokens_in_one_request_are_refused() {
    let (folder, signer) = (tempfile::tempdir().unwrap(), Signer::new("one"));
    let stage = Stage::start(&file_of(&folder, &[&signer])).await;
    let token = signer.token(&claims("u1"));
    let call = bearing("/", &token).header("authorization", &format!("Bearer {token}"));
    assert_eq!(stage.served(call).await, "400");
}

#[tokio::test]
async fn routes_ask_for_a_token_or_look_at_none() {
    let (folder, signer) = (tempfile::tempdir().unwrap(), Signer::new("one"));
    let stage = Stage::start(&file_of(&folder, &[&signer])).await;
    let good = signer.token(&claims("u1"));
    let forged = Signer::new("one").token(&claims("u1"));
    let unsigned = signer::by_nobody(&claims("u1"));

    assert_eq!(stage.served(bearing("/account", &good)).await, "canary");
    let refused = stage.gateway.send(get("/account")).await;
    assert_eq!(refused.status, 401);
    assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
    assert_eq!(refused.header("cache-control"), Some("no-store"));
    for token in [&*forged, &*unsigned, "nonsense"] {
        let refused = stage.gateway.send(bearing("/account", token)).await;
        assert_eq!(refused.status, 401);
        assert_eq!(
            refused.header("www-authenticate"),
            Some("Bearer error=\"invalid_token\"")
        );
    }
    // A cookie that anybody can set is not enough, and does not decide who a user with a token is.
    let call = get("/account?by-cookie").header("cookie", "uid=u1");
    assert_eq!(stage.served(call).await, "401");
    let line = stage
        .gateway
        .await_access_log(|line| line["status"] == 401)
        .await;
    assert_eq!(line["user_id"], Value::Null, "{line}");
    let other = signer.token(&claims("u2"));
    let call = bearing("/account", &other).header("cookie", "uid=u1");
    assert_eq!(stage.served(call).await, "stable");
    // A call of gRPC is told so in its own way.
    let call = post("/account", "").header("content-type", "application/grpc");
    let refused = stage.gateway.connect_h2c().await.send(call).await;
    assert_eq!(refused.header("grpc-status"), Some("16"));

    // No token is looked at: who the user is, the cookie says.
    assert_eq!(stage.served(bearing("/open", &good)).await, "stable");
    let call = bearing("/open", &forged).header("cookie", "uid=u1");
    assert_eq!(stage.served(call).await, "canary");
    // What is not good is as good as nothing where nothing is needed.
    assert_eq!(stage.served(bearing("/", &forged)).await, "stable");
    assert_eq!(stage.counted("forged").await, 4.0);
    assert_eq!(stage.counted("verified").await, 2.0);
}

#[tokio::test]
async fn a_token_by_a_secret_may_be_in_a_cookie() {
    let keys = format!("secret: {SECRET}, from: {{ cookie: session }}, claim: user.id");
    let stage = Stage::start(&keys).await;
    let of = |user: &str| with("nobody", &json!({ "user": { "id": user } }));
    let carrying =
        |token: String| get("/account").header("cookie", &format!("a=b; session={token}"));
    let good = signer::by_secret(SECRET, &of("u1"));
    assert_eq!(stage.served(carrying(good.clone())).await, "canary");
    let other = signer::by_secret("another secret of more than 32 characters", &of("u1"));
    assert_eq!(stage.served(carrying(other)).await, "401");
    // Elsewhere it is none.
    assert_eq!(stage.served(bearing("/account", &good)).await, "401");
    let nameless = signer::by_secret(SECRET, &claims("u1"));
    assert_eq!(stage.served(carrying(nameless)).await, "401");
    assert_eq!(stage.counted("nameless").await, 1.0);
    let issuer = stage.issuer().await;
    assert_has(
        &issuer,
        &json!({ "keys_from": "secret", "keys": 1, "last_fetch": null }),
    );
    // A service need not read the cookie that is verified here.
    for (second, served) in [(&*good, "canary"), ("of somebody else", "401")] {
        for cookies in [[&*good, second], [second, &*good]] {
            let [one, two] = cookies;
            let call = get("/account").header("cookie", &format!("session={one}; session={two}"));
            assert_eq!(stage.served(call).await, served, "{second}");
        }
    }
    assert_eq!(stage.counted("ambiguous").await, 2.0);
}

#[tokio::test]
async fn one_issuer_may_be_believed_in_two_places() {
    let both = "
    - jwt: { secret: SECRET, issuer: 'https://idp.example.com', audience: api }
    - jwt: { secret: SECRET, issuer: 'https://idp.example.com', audience: api, from: { cookie: session } }
    - jwt: { KEYS,";
    let (folder, signer) = (tempfile::tempdir().unwrap(), Signer::new("one"));
    let config = CONFIG.replace("    - jwt: { KEYS,", both);
    let config = config.replace("SECRET", SECRET);
    let stage = Stage::with(&config.replace("KEYS", &file_of(&folder, &[&signer]))).await;
    let shared = signer::by_secret(SECRET, &claims("u1"));
    let signed = signer.token(&claims("u1"));
    assert_eq!(stage.served(bearing("/account", &shared)).await, "canary");
    assert_eq!(stage.served(bearing("/account", &signed)).await, "canary");
    let call = get("/account").header("cookie", &format!("session={shared}"));
    assert_eq!(stage.served(call).await, "canary");
    // Keys of one issuer and one origin are told once.
    let page = stage.gateway.admin("/metrics").await;
    let series = page
        .text()
        .lines()
        .filter(|line| line.starts_with("serin_token_keys{"));
    let series: Vec<&str> = series.collect();
    assert_eq!(series.len(), 2, "{series:#?}");
}

#[tokio::test]
async fn made_up_tokens_are_verified_no_more_often_than_their_address_may_ask() {
    let (folder, signer) = (tempfile::tempdir().unwrap(), Signer::new("one"));
    let limited = CONFIG.replace(
        "auth: required }",
        "auth: required, rate_limit: { per: address, requests: 3, window: 1h } }",
    );
    let stage = Stage::with(&limited.replace("KEYS", &file_of(&folder, &[&signer]))).await;
    let mut served = Vec::new();
    for number in 0..5 {
        let made_up = Signer::new("one").token(&claims(&format!("u{number}")));
        served.push(stage.served(bearing("/account", &made_up)).await);
    }
    assert_eq!(served, ["401", "401", "401", "429", "429"]);
    assert_eq!(
        stage.counted("forged").await,
        3.0,
        "the others were not looked at"
    );
}

#[tokio::test]
async fn explain_and_the_client_api_read_the_same_identity() {
    let (folder, signer) = (tempfile::tempdir().unwrap(), Signer::new("one"));
    let config = CONFIG.replace("KEYS", &file_of(&folder, &[&signer]));
    let stage = Stage::with(&format!(
        "{config}client_api: {{ path: /.serin, tokens: [app-token-of-a-test] }}\n"
    ))
    .await;
    let bearer = format!("Bearer {}", signer.token(&claims("u1")));

    let asked = json!({
        "host": "api.example.com", "path": "/", "headers": { "authorization": bearer },
    });
    let call = post("/api/v1/explain", asked.to_string()).said_to_be_json();
    let explained = stage.gateway.admin_send(call).await.json();
    assert_eq!(
        explained["decision"]["assigned"], "search.ranker",
        "{explained:#}"
    );

    // A route that takes nobody without one says so.
    let asked_for = async |headers: Value, user: Value| {
        let asked = json!({
            "host": "api.example.com", "path": "/account", "headers": headers, "user_id": user,
        });
        let call = post("/api/v1/explain", asked.to_string()).said_to_be_json();
        stage.gateway.admin_send(call).await.json()
    };
    let forged = format!("Bearer {}", Signer::new("one").token(&claims("u1")));
    for (headers, result) in [
        (json!({ "cookie": "uid=u1" }), "none"),
        (json!({ "authorization": forged }), "forged"),
    ] {
        let explained = asked_for(headers, Value::Null).await;
        let refused = json!({ "result": result, "answer": 401 });
        assert_has(&explained["token"], &refused);
        assert_eq!(explained["decision"], Value::Null, "{explained:#}");
    }
    let explained = asked_for(json!({}), json!("u1")).await;
    assert_eq!(
        explained["decision"]["assigned"], "search.ranker",
        "a user described"
    );

    let call = get("/.serin/decisions").header("authorization", &bearer);
    let told = stage.gateway.send(call).await.json();
    assert_eq!(
        told["decisions"][0]["assigned"], "search.ranker",
        "{told:#}"
    );
}

#[tokio::test]
async fn explain_reads_tokens_by_a_file_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (path, signer) = (folder.path().join("routes.yaml"), Signer::new("one"));
    let config = CONFIG.replace("KEYS", &file_of(&folder, &[&signer]));
    let config = config.replace("@stable", "http://127.0.0.1:1");
    std::fs::write(&path, config.replace("@canary", "http://127.0.0.1:2")).unwrap();
    let explained = |token: &str| {
        let header = format!("authorization=Bearer {token}");
        let path = path.to_str().unwrap();
        let told = run_serin([
            "explain", "-c", path, "--header", &header, "--format", "json",
        ]);
        serde_json::from_slice::<Value>(&told.stdout).expect("JSON")["decision"]["assigned"].clone()
    };
    let text = |path_asked: &str| {
        let path = path.to_str().unwrap();
        let told = run_serin(["explain", "-c", path, "--path", path_asked]);
        String::from_utf8(told.stdout).expect("text")
    };
    assert_eq!(
        text("/account"),
        "route /account\nanswered 401: the route takes a valid token\n"
    );
    assert_eq!(explained(&signer.token(&claims("u1"))), "search.ranker");
    assert_eq!(
        explained(&Signer::new("one").token(&claims("u1"))),
        "stable"
    );
}

#[tokio::test]
async fn test_users_are_routed_and_not_recorded() {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let config = "
services: { search: @stable }
flags: { search.ranker: { url: @canary, rings: [{ name: all }] } }
routes: [{ path: /, service: search }]
identity:
  user_id: [{ cookie: uid, trust: anyone }]
  test_users: ['qa-*', u-smoke-1]
attribution: { exposures: { users: plain, control: all } }
";
    let gateway = Gateway::start(fill(config, [&stable, &canary])).await;
    for user in ["qa-1", "u-smoke-1", "u-smoke-10", "someone"] {
        let call = get("/").header("cookie", &format!("uid={user}"));
        gateway.send(call).await.assert_from("canary");
    }
    gateway
        .await_metric("serin_exposures_total", &[("result", "recorded")], 2.0)
        .await;
    let shown = gateway.admin("/api/v1/exposures").await.json();
    let shown = shown["exposures"].as_array().expect("a list").iter();
    let users: Vec<&str> = shown.filter_map(|shown| shown["user"].as_str()).collect();
    assert_eq!(users, ["u-smoke-10", "someone"]);
}
