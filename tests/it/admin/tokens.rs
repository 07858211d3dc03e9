//! Tokens of the admin API: who may ask for what, by the API's own document.

use std::fs;

use bytes::Bytes;
use http::HeaderValue;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use crate::harness::{
    Answer, Call, Connection, Gateway, Origin, Raw, assert_has, fill, get, in_time, post, run_serin,
};

/// Every role, the least first, with its token.
const ROLES: [(&str, &str); 4] = [
    ("viewer", "token-of-somebody-who-looks"),
    ("registrar", "token-of-the-pipeline-of-search"),
    ("operator", "token-of-who-is-on-call"),
    ("admin", "token-of-the-platform"),
];

const CONFIG: &str = "
services: { search: { stable: @stable }, shop: { stable: @stable } }
flags: { search.team: { url: @stable, rings: [{ name: all }] } }
routes: [{ path: /, service: search }, { path: /shop, service: shop }]
";

fn admin(more: &str) -> String {
    let entries =
        ROLES.map(|(role, token)| format!("{{ name: of-{role}, role: {role}, token: {token} }}"));
    format!(
        "admin: {{ address: 127.0.0.1:0, tokens: [{}{more}] }}\n",
        entries.join(", ")
    )
}

async fn start(more: &str) -> (Origin, Gateway) {
    let stable = Origin::start("stable").await;
    let config = fill(CONFIG, [&stable]) + &admin(more);
    (stable, Gateway::start(config).await)
}

fn with(token: &str, call: Call) -> Call {
    call.header("authorization", &format!("Bearer {token}"))
}

fn token_of(role: &str) -> &'static str {
    let found = ROLES.iter().find(|(name, _)| *name == role);
    found.expect("a role").1
}

/// Every operation of the API's document, with its least role; `None`: it needs no token.
async fn operations(gateway: &Gateway) -> Vec<(String, String, Option<String>)> {
    let document = with(token_of("viewer"), get("/api/v1/openapi.json"));
    let document = gateway.admin_send(document).await.json();
    let paths = document["paths"].as_object().expect("paths");
    let of_path = |(path, methods): (&String, &Value)| {
        let methods = methods.as_object().expect("methods").clone();
        let path = path.clone();
        methods.into_iter().map(move |(method, operation)| {
            let role = operation["x-serin-role"].as_str().map(str::to_owned);
            assert_eq!(
                role.is_some(),
                operation.get("security").is_some(),
                "{path}"
            );
            (method.to_uppercase(), path.clone(), role)
        })
    };
    paths.iter().flat_map(of_path).collect()
}

fn call(method: &str, path: &str) -> Call {
    let path = path
        .replace("{service}", "search")
        .replace("{name}", "search.nothing")
        .replace("{ring}", "nothing");
    Call::new(method.parse().expect("a method"), &path)
}

/// The answer, or its head alone: a stream of events never ends for those who may have it.
async fn answer(gateway: &Gateway, call: Call) -> Answer {
    let call = call.host("localhost").said_to_be_json();
    let mut connection = Connection::open(gateway.admin_address()).await;
    let response = connection.begin(call).await.expect("an answer");
    let (head, body) = response.into_parts();
    let is_stream = head.headers.get("content-type") == Some(&STREAM);
    let body = match is_stream {
        true => Bytes::new(),
        false => body.collect().await.expect("a body").to_bytes(),
    };
    Answer {
        status: head.status.as_u16(),
        headers: head.headers,
        body,
    }
}

const STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");

fn is_refused(answer: &Answer) -> bool {
    answer.status == 403 && answer.text().contains("this takes the role")
}

#[tokio::test]
async fn each_role_may_do_what_the_document_says_and_no_more() {
    let (_stable, gateway) = start("").await;
    let operations = operations(&gateway).await;
    assert!(operations.len() > 15, "{operations:?}");
    for (method, path, least) in &operations {
        let Some(least) = least else {
            assert_eq!(
                gateway.admin_send(call(method, path)).await.status,
                200,
                "{path}"
            );
            continue;
        };
        let without = gateway.admin_send(call(method, path)).await;
        assert_eq!(without.status, 401, "{method} {path}");
        assert_eq!(without.header("www-authenticate"), Some("Bearer"));
        let rank = |role: &str| ROLES.iter().position(|(name, _)| *name == role);
        for (role, token) in ROLES {
            let answer = answer(&gateway, with(token, call(method, path))).await;
            let may = rank(role) >= rank(least);
            assert_eq!(
                !is_refused(&answer),
                may,
                "{role} {method} {path} {answer:?}"
            );
            assert!(
                answer.status != 401 && answer.status < 500 || answer.status == 502,
                "{role} {method} {path} {answer:?}"
            );
        }
    }
    let page = gateway.metrics().await;
    let refused = [("role", "viewer"), ("code", "403")];
    assert!(page.sum("serin_admin_requests_total", &refused) > 0.0);
}

#[tokio::test]
async fn a_token_for_one_service_leaves_the_others_alone() {
    let more =
        ", { name: search-only, role: operator, services: [search], token: token-of-search-alone }";
    let (_stable, gateway) = start(more).await;
    let order = |service: &str| {
        let path = format!("/api/v1/services/{service}/canaries/search.team/kill");
        with("token-of-search-alone", post(&path, ""))
    };
    let killed = gateway.admin_send(order("search")).await;
    assert_eq!(killed.status, 200, "{killed:?}");
    assert_has(
        &killed.json(),
        &json!({ "killed": true, "by": "search-only at 127.0.0.1" }),
    );
    for foreign in ["shop", "nothing", "%73hop"] {
        let answer = gateway.admin_send(order(foreign)).await;
        assert_eq!(answer.status, 403, "{foreign} {answer:?}");
    }
    let all = with(
        "token-of-search-alone",
        post("/api/v1/canaries/unknown/restore", ""),
    );
    assert_eq!(gateway.admin_send(all).await.status, 403);
}

#[tokio::test]
async fn other_tokens_hold_after_a_reload_without_a_restart() {
    let (stable, gateway) = start("").await;
    let status = async |token: &str| {
        let call = with(token, get("/api/v1/status"));
        gateway.admin_send(call).await.status
    };
    assert_eq!(status("token-that-comes-later").await, 401);
    let more = ", { name: later, role: viewer, token: token-that-comes-later }";
    let config = fill(CONFIG, [&stable])
        + &admin(more).replace(token_of("viewer"), "another-token-of-who-looks");
    gateway.rewrite_config(&config);
    let reload = with(token_of("admin"), post("/api/v1/reload", ""));
    let reloaded = gateway.admin_send(reload).await;
    assert_eq!(reloaded.json()["restart_needed"], json!([]), "{reloaded:?}");
    assert_eq!(status("token-that-comes-later").await, 200);
    assert_eq!(status(token_of("viewer")).await, 401);
}

/// A stream of events that has begun.
async fn listen(gateway: &Gateway, token: &str) -> Raw {
    let mut stream = Raw::open(gateway.admin_address()).await;
    let request = format!(
        "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    );
    stream.write(request.as_bytes()).await;
    stream.read_until(b"event: connected").await;
    stream
}

#[tokio::test]
async fn a_token_that_a_reload_takes_away_ends_its_streams_at_once() {
    let more = ", { name: narrowed, role: viewer, token: token-that-is-narrowed }";
    let (stable, gateway) = start(more).await;
    let mut gone = listen(&gateway, token_of("viewer")).await;
    let mut narrowed = listen(&gateway, "token-that-is-narrowed").await;
    let mut stays = listen(&gateway, token_of("operator")).await;
    let config = fill(CONFIG, [&stable])
        + &admin(&more.replace("viewer,", "viewer, services: [shop],"))
            .replace(token_of("viewer"), "another-token-of-who-looks");
    gateway.rewrite_config(&config);
    let reload = with(token_of("admin"), post("/api/v1/reload", ""));
    assert_eq!(gateway.admin_send(reload).await.status, 200);
    for ended in [&mut gone, &mut narrowed] {
        let rest = in_time("the stream's end", ended.read_to_end()).await;
        assert!(rest.ends_with(b"0\r\n\r\n"), "{rest:?}");
    }
    // It goes on, and tells what happens afterwards.
    let kill = post("/api/v1/services/search/canaries/search.team/kill", "");
    let killed = gateway.admin_send(with(token_of("operator"), kill)).await;
    assert_eq!(killed.status, 200, "{killed:?}");
    stays.read_until(b"\"killed\"").await;
}

#[tokio::test]
async fn who_guesses_is_refused_and_probes_are_not() {
    let (_stable, gateway) = start("").await;
    for guess in 0..10 {
        let call = with(&format!("guess-{guess}"), get("/api/v1/status"));
        assert_eq!(gateway.admin_send(call).await.status, 401);
    }
    // Whoever guesses keeps nobody else at the same address from the kill switch.
    let kill = post("/api/v1/services/search/canaries/search.team/kill", "");
    let killed = gateway.admin_send(with(token_of("operator"), kill)).await;
    assert_eq!(killed.status, 200, "{killed:?}");
    let missing = gateway.admin("/api/v1/status").await;
    assert_eq!(missing.status, 429, "{missing:?}");
    let wrong = with("another-guess", get("/api/v1/status"));
    let refused = gateway.admin_send(wrong).await;
    assert_eq!(refused.status, 429, "{refused:?}");
    let wait: u64 = refused
        .header("retry-after")
        .expect("a time")
        .parse()
        .expect("seconds");
    assert!((1..=60).contains(&wait), "{wait}");
    for open in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(gateway.admin(open).await.status, 200, "{open}");
    }
}

#[tokio::test]
async fn a_token_that_the_command_makes_is_let_in_by_its_hash() {
    let new = || {
        let made = run_serin(["token", "new", "--json"]);
        let made: Value = serde_json::from_slice(&made.stdout).expect("JSON");
        let text = |key: &str| made[key].as_str().expect("a text").to_owned();
        (text("token"), text("token_sha256"))
    };
    let ((token, hash), (other, _)) = (new(), new());
    assert!(token != other && token.len() == 64, "{token}");
    let more = format!(", {{ name: new, role: viewer, token_sha256: {hash} }}");
    let (_stable, gateway) = start(&more).await;
    for (token, status) in [(&token, 200), (&other, 401), (&hash, 401)] {
        let call = with(token, get("/api/v1/status"));
        assert_eq!(gateway.admin_send(call).await.status, status);
    }
    let text = run_serin(["token", "new"]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(
        text.starts_with("token: ") && text.contains("\ntoken_sha256: "),
        "{text}"
    );
}

#[tokio::test]
async fn a_body_says_that_it_is_json() {
    let (_stable, gateway) = start("").await;
    let path = "/api/v1/services/search/canaries/search.team/kill";
    let body = r#"{ "reason": "slow" }"#;
    let ask = async |media: &str| {
        let call = with(token_of("operator"), post(path, body)).header("content-type", media);
        gateway.admin_send(call).await.status
    };
    for form in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonx",
        "text/json",
    ] {
        assert_eq!(ask(form).await, 415, "{form}");
    }
    assert_eq!(ask("Application/JSON; charset=utf-8").await, 200);
    let explained = with(token_of("operator"), get("/api/v1/services/search"));
    let service = gateway.admin_send(explained).await.json();
    assert_eq!(service["kills"][0]["reason"], "slow");
}

#[tokio::test]
async fn commands_show_their_token_and_nothing_shows_it() {
    let (_stable, gateway) = start("").await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    fs::write(&file, format!("{}\n", token_of("operator"))).expect("a file");
    let file = file.to_str().expect("a path");
    let kill = ["canary", "kill", "search", "search.team"];
    let output = gateway.ask(&[&kill[..], &["--token-file", file]].concat());
    assert!(output.status.success(), "{output:?}");
    let without = gateway.ask(&kill);
    let told = String::from_utf8_lossy(&without.stderr).into_owned();
    assert_eq!(without.status.code(), Some(1), "{told}");
    assert!(
        told.contains("--token-file") && told.contains("SERIN_TOKEN"),
        "{told}"
    );
    fs::write(file, "\n").expect("a file");
    let empty = gateway.ask(&[&kill[..], &["--token-file", file]].concat());
    assert!(String::from_utf8_lossy(&empty.stderr).contains("there is no token in it"));
    fs::write(file, token_of("viewer")).expect("a file");
    let viewer = gateway.ask(&[&kill[..], &["--token-file", file]].concat());
    let told = String::from_utf8_lossy(&viewer.stderr).into_owned();
    assert!(told.contains("this takes the role operator"), "{told}");

    let status = with(token_of("viewer"), get("/api/v1/status"));
    let shown = gateway.admin_send(status).await.text().to_owned() + &gateway.log();
    for (_, token) in ROLES {
        assert!(!shown.contains(token), "{shown}");
    }
}
