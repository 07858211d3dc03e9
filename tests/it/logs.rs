//! What is written down: requests, one line each and nothing that a client could forge; and what the gateway says
//! of itself.

use std::fmt::Write;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::harness::{
    Blunt, Gateway, Origin, Reply, Setup, assert_has, eventually, fill, get, run_serin, until,
};

const CONFIG: &str = "
services: { search: @origin }
routes: [{ path: /, service: search }]
identity:
  user_id: [{ header: x-user-id, trust: anyone }, { query: uid, trust: anyone }]
server: { threads: 2, shutdown_delay: 1ms, shutdown_grace: 8s, trusted_proxies: [127.0.0.1] }
";

fn logging(origin: &Origin, logging: &str) -> String {
    format!(
        "{}logging: {{ format: json, {logging} }}\n",
        fill(CONFIG, [origin])
    )
}

#[tokio::test]
async fn a_reader_who_stops_stops_nobody_else() {
    let origin = Origin::start("origin").await;
    let config = logging(&origin, "access: all, user_id: plain");
    let mut gateway = Setup::new(config).deaf().start().await;
    let dropped = async || {
        let metrics = gateway.metrics().await;
        metrics.sum("serin_access_log_dropped_total", &[])
    };
    // Long lines fill the pipe and the queue soon; one connection for all of them.
    let path = format!("/{}", "x".repeat(1_900));
    let mut connection = gateway.connect().await;
    let mut sent = 0;
    while sent % 500 != 0 || dropped().await < 100.0 {
        assert!(sent < 100_000, "nothing is ever dropped");
        // One that waited for the reader would never be answered.
        connection.send(get(&path)).await.assert_from("origin");
        sent += 1;
    }
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.sum("serin_requests_total", &[]), f64::from(sent));
    let lost = metrics.sum("serin_access_log_dropped_total", &[]);

    // What was kept is there when somebody reads again, whole, and so is what comes then.
    gateway.listen();
    let kept = f64::from(sent) - lost;
    until("what was kept", || {
        (gateway.access_log_lines() as f64 >= kept).then_some(())
    })
    .await;
    gateway.send(get("/after")).await.assert_from("origin");
    // Read line by line only once: there are thousands of long ones.
    let all = kept as usize + 1;
    until("the line after", || {
        (gateway.access_log_lines() >= all).then_some(())
    })
    .await;
    let last = gateway.access_log().pop();
    assert_eq!(last.expect("a line")["path"], "/after");
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.sum("serin_access_log_dropped_total", &[]), lost);
}

#[tokio::test]
async fn a_reader_who_never_reads_does_not_keep_the_gateway_alive() {
    let origin = Origin::start("origin").await;
    let config = logging(&origin, "access: all, user_id: plain");
    let mut gateway = Setup::new(config).deaf().start().await;
    let path = format!("/{}", "x".repeat(1_900));
    let mut connection = gateway.connect().await;
    for _ in 0..200 {
        connection.send(get(&path)).await.assert_from("origin");
    }
    // The reader never reads: a gateway that waited for it would not end.
    assert_eq!(gateway.terminate().await.code(), Some(0));
}

#[tokio::test]
async fn users_appear_as_the_file_says() {
    let origin = Origin::start("origin").await;
    let key = "a key of some length";
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("any key");
    mac.update("ümläut-1".as_bytes());
    let mut hash = String::new();
    for byte in mac.finalize().into_bytes() {
        write!(hash, "{byte:02x}").expect("a string");
    }
    for (policy, expected) in [
        ("user_id: plain".to_owned(), json!("ümläut-1")),
        (format!("user_id: hash, hash_key: {key}"), json!(hash)),
        ("user_id: omit".to_owned(), Value::Null),
    ] {
        let gateway = Gateway::start(logging(&origin, &format!("access: all, {policy}"))).await;
        gateway
            .send(get("/who?uid=%C3%BCml%C3%A4ut-1"))
            .await
            .assert_from("origin");
        let line = gateway.await_access_log_of("/who").await;
        assert_eq!(line["user_id"], expected, "{policy}: {line}");
        if expected != "ümläut-1" {
            let all = gateway.access_log();
            assert!(
                !format!("{all:?} {}", gateway.log()).contains("ümläut"),
                "{policy}"
            );
        }
    }
}

/// With nothing said, users are hashed under a key that the gateway makes and keeps.
#[tokio::test]
async fn a_user_has_one_hash_over_restarts_and_no_name() {
    let origin = Origin::start("origin").await;
    let state = tempfile::TempDir::new().expect("a folder");
    let config = logging(&origin, "access: all").replace(
        "server: {",
        &format!("server: {{ state_dir: '{}',", state.path().display()),
    );
    let mut hashes = Vec::new();
    for _ in 0..2 {
        let mut gateway = Gateway::start(config.clone()).await;
        gateway
            .get_as("somebody", "/who")
            .await
            .assert_from("origin");
        gateway
            .get_as("another", "/other")
            .await
            .assert_from("origin");
        let hash = |line: Value| line["user_id"].as_str().expect("a hash").to_owned();
        let who = hash(gateway.await_access_log_of("/who").await);
        assert_ne!(who, hash(gateway.await_access_log_of("/other").await));
        hashes.push(who);
        // A reload keeps the key.
        gateway.rewrite_config(&config.replace("access: all", "access: all, level: debug"));
        gateway.sighup();
        gateway.await_log("reloaded").await;
        gateway
            .get_as("somebody", "/again")
            .await
            .assert_from("origin");
        hashes.push(hash(gateway.await_access_log_of("/again").await));
        gateway.terminate().await;
        assert!(!format!("{:?}{}", gateway.access_log(), gateway.log()).contains("somebody"));
    }
    assert!(
        hashes
            .iter()
            .all(|hash| *hash == hashes[0] && hash.len() == 64),
        "{hashes:?}"
    );
    let key = std::fs::metadata(state.path().join("hash_key")).expect("the key");
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&key.permissions()) & 0o777,
        0o600
    );
}

#[tokio::test]
async fn a_line_proves_who_answered_and_what_was_decided_on() {
    let origin = Origin::start("origin").await;
    let gateway = Gateway::start(logging(&origin, "access: all")).await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let traced = get("/traced").header("traceparent", &format!("00-{trace}-00f067aa0ba902b7-01"));
    gateway.send(traced).await.assert_from("origin");
    gateway
        .send(get("/plain").header("traceparent", "nonsense"))
        .await
        .assert_from("origin");
    let digest = gateway.status().await["digest"].clone();
    let line = gateway.await_access_log_of("/traced").await;
    let expected = json!({
        "upstream": origin.address().to_string(), "trace_id": trace, "digest": digest,
    });
    assert_has(&line, &expected);
    let line = gateway.await_access_log_of("/plain").await;
    assert_has(&line, &json!({ "trace_id": null, "digest": digest }));
}

#[tokio::test]
async fn clients_learn_their_requests_id() {
    let origin = Origin::start("origin").await;
    origin.answer(|_| Reply::status(200).header("x-request-id", "the origin's"));
    let more = "
  - { path: /old, redirect: { to: /new } }
  - { path: /ping, respond: { body: pong } }
  - { path: /quiet, service: search, response_headers: { remove: [x-request-id] } }
";
    let config = logging(&origin, "access: all").replace(
        "routes: [{ path: /, service: search }]",
        &format!("routes:\n  - {{ path: /a, service: search }}{more}"),
    );
    let gateway = Gateway::start(config.clone()).await;
    // What goes upstream, what is answered here, and what nobody takes.
    for path in ["/a", "/old", "/ping", "/nowhere"] {
        let answer = gateway.send(get(path)).await;
        let ids: Vec<_> = answer.headers.get_all("x-request-id").iter().collect();
        let line = gateway.await_access_log_of(path).await;
        assert_eq!(ids, [line["request_id"].as_str().expect("an ID")], "{path}");
    }
    let sent = origin.requests();
    let line = gateway.await_access_log_of("/a").await;
    assert_eq!(
        sent[0].header("x-request-id"),
        line["request_id"].as_str().map(str::to_owned)
    );
    let answer = gateway.send(get("/quiet")).await;
    assert_eq!(answer.header("x-request-id"), None, "a route may remove it");
    // A trusted proxy's is kept.
    let answer = gateway
        .send(get("/a").header("x-request-id", "edge-1"))
        .await;
    assert_eq!(answer.header("x-request-id"), Some("edge-1"));
    let mut h2 = gateway.connect_h2c().await;
    let answer = h2.send(get("/a")).await;
    assert_eq!(answer.header("x-request-id").map(str::len), Some(32));

    let quiet = config.replace("access: all", "access: all, expose_request_id: false");
    let gateway = Gateway::start(quiet).await;
    assert_eq!(
        gateway.send(get("/ping")).await.header("x-request-id"),
        None
    );
    let answer = gateway.send(get("/a")).await;
    assert_eq!(
        answer.header("x-request-id"),
        Some("the origin's"),
        "as it was sent"
    );
}

/// Heads that try to be more than one line, or no text: each is one request, whatever becomes of it.
fn forgeries() -> Vec<Vec<u8>> {
    let long = "y".repeat(6_000);
    let forged = "{\\\"status\\\":200}";
    [
        format!("GET /quote\"}}{forged} HTTP/1.1\r\nHost: a.example.com\r\n"),
        "GET /encoded%0A%7B%22status%22%3A200%7D%0D%0A HTTP/1.1\r\nHost: a.example.com\r\n".into(),
        "GET /query?uid=a%0A%7B%22status%22:200%7D%00%1b[31m HTTP/1.1\r\nHost: a.example.com\r\n".into(),
        format!("GET /long/{long} HTTP/1.1\r\nHost: a.example.com\r\n"),
        format!("GET /long-id HTTP/1.1\r\nHost: a.example.com\r\nx-user-id: {long}\r\nx-request-id: {long}\r\n"),
        "GET /tab HTTP/1.1\r\nHost: a.example.com\r\nx-user-id: a\tb\"c\\\r\n".into(),
        "GET /host HTTP/1.1\r\nHost: a\"b.example.com\r\n".into(),
        "GET /ütf8/\u{2028}\u{85} HTTP/1.1\r\nHost: a.example.com\r\n".into(),
        "M\"ETHOD /method HTTP/1.1\r\nHost: a.example.com\r\n".into(),
    ]
    .into_iter()
    .map(String::into_bytes)
    .chain([
        b"GET /invalid HTTP/1.1\r\nHost: a.example.com\r\nx-user-id: \xff\xfe\"\r\nx-request-id: \xff\r\n".to_vec(),
        b"GET /raw\xff\x01 HTTP/1.1\r\nHost: a.example.com\r\n".to_vec(),
        b"GET /bad-host HTTP/1.1\r\nHost: \xffexample.com\r\n".to_vec(),
    ])
    .collect()
}

#[tokio::test]
async fn nothing_that_a_client_sends_makes_a_second_line() {
    let origin = Origin::start("origin").await;
    let gateway = Gateway::start(logging(&origin, "access: all, user_id: plain")).await;
    let requests = forgeries();
    for request in &requests {
        let request = [request, &b"Connection: close\r\n\r\n"[..]].concat();
        let answer = gateway.raw(&request).await;
        assert!(matches!(answer.status(), 200 | 400), "{}", answer.text());
    }
    gateway.send(get("/last")).await.assert_from("origin");
    // Every line is one JSON object: `access_log` fails on any other. One more than requests would be forged.
    gateway.await_access_log_of("/last").await;
    let lines = gateway.access_log();
    assert!(lines.len() <= requests.len() + 1, "{lines:#?}");
    for line in &lines {
        let object = line.as_object().expect("an object");
        let text = line.to_string();
        assert!(text.len() < 10_000, "{} bytes", text.len());
        assert!(
            object
                .values()
                .all(|value| !value.is_object() && !value.is_array()),
            "{line}"
        );
    }
    let paths: Vec<&str> = lines
        .iter()
        .filter_map(|line| line["path"].as_str())
        .collect();
    let cut = paths
        .iter()
        .find(|path| path.starts_with("/long/"))
        .expect("a line");
    assert!(cut.len() < 2_100 && cut.ends_with('…'), "{}", cut.len());
    let of = |path: &str| lines.iter().find(|line| line["path"] == path);
    assert_has(
        of("/tab").expect("a line"),
        &json!({ "user_id": "a\tb\"c\\" }),
    );
    assert_has(of("/invalid").expect("a line"), &json!({ "user_id": null }));
    assert_has(
        of("/query").expect("a line"),
        &json!({ "user_id": "a\n{\"status\":200}\u{0}\u{1b}[31m" }),
    );
    // Nor does any of it appear in the gateway's own log.
    for text in ["status", "yyyy", "[31m", "METHOD"] {
        assert!(!gateway.log().contains(text), "{}", gateway.log());
    }
}

#[tokio::test]
async fn rescues_are_written_down_however_small_the_sample() {
    let origin = Origin::start("origin").await;
    let broken = Blunt::start(b"").await;
    let mut gone = Origin::start("gone").await;
    gone.stop().await;
    let config = format!(
        "{}flags:
  search.gone: {{ url: {}, rings: [{{ name: all, when: {{ userId: [gone] }} }}] }}
  search.broken: {{ url: {}, rings: [{{ name: all, when: {{ userId: [broken] }} }}] }}
",
        logging(&origin, "access: sampled, sample: 0%, user_id: plain"),
        gone.url(),
        broken.url(),
    );
    let mut gateway = Gateway::start(config).await;
    for user in ["fine", "gone", "broken"] {
        gateway.get_as(user, &format!("/{user}")).await;
    }
    gateway.terminate().await;
    let lines = gateway.access_log();
    let told: Vec<_> = lines
        .iter()
        .map(|line| {
            (
                line["path"].as_str(),
                line["cause"].as_str(),
                &line["status"],
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (Some("/gone"), Some("connect"), &json!(200)),
            (Some("/broken"), Some("reset"), &json!(200)),
        ]
    );
}

#[tokio::test]
async fn the_gateway_says_what_matters_of_itself() {
    let origin = Origin::start("origin").await;
    let file = |more: &str| {
        format!(
            "{}logging: {{ format: text, level: info, access: off }}\n\
            listeners: [127.0.0.1:0]\nadmin: 127.0.0.1:0\n{more}",
            fill(CONFIG, [&origin])
        )
    };
    let mut gateway = Gateway::start(file("")).await;
    let flag = "flags: { search.x: { url: 'http://127.0.0.1:9', expires: 2020-01-31, rings: [{ name: all, rollout: 1% }] } }\n";
    gateway.rewrite_config(&file(flag));
    gateway.await_log("generation=2 changed=true").await;
    gateway.rewrite_config(&file("flags: { search.x: { url: nonsense, rigns: [] } }\n"));
    gateway.await_log("rigns").await;
    // Whoever asks again is answered, but not told it all again.
    gateway.sighup();
    gateway.await_log("still has the same errors").await;
    gateway.rewrite_config(&file("").replace("threads: 2", "threads: 3"));
    gateway.await_log("generation=3 changed=true").await;
    std::fs::remove_file(gateway.folder().join("routes.yaml")).expect("it is removed");
    gateway.await_log("the file is gone").await;
    gateway.rewrite_config(&file(""));
    eventually("a last reload", || async {
        let last = &gateway.status().await["last_reload"];
        (last["result"] == "ok").then_some(())
    })
    .await;
    gateway.terminate().await;
    let settings = insta::Settings::clone_current();
    let filters = [
        (r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME"),
        (r"127\.0\.0\.1:\d{4,5}", "127.0.0.1:PORT"),
        (r#"version="[^"]+""#, "version=VERSION"),
        (r#"digest="[0-9a-f]{12}""#, "digest=DIGEST"),
        // How many files there may be is the machine's, and a task of its own says so.
        (r"(?m)^.*open files.*\n", ""),
    ];
    let mut settings = settings;
    for (from, to) in filters {
        settings.add_filter(from, to);
    }
    settings.bind(|| insta::assert_snapshot!("log_text", gateway.log()));
}

#[tokio::test]
async fn the_steps_of_a_request_that_is_debugged_are_logged_and_of_no_other() {
    let origin = Origin::start("origin").await;
    let config = logging(&origin, "level: info");
    let gateway = Setup::new(config)
        .env("SERIN_DEBUG_REQUEST", "X-Debug: 0123456789abcdef")
        .start()
        .await;
    let send = async |path: &str, secret: &str| {
        let call = get(path).header("x-debug", secret);
        gateway.send(call).await.assert_from("origin");
    };
    send("/other", "0123456789abcdeF").await;
    send("/debugged", "0123456789abcdef").await;
    gateway.await_log("request ends").await;
    let lines = gateway.log_lines();
    let steps = |wanted: &str| {
        let mut of_step = lines.iter().filter(|line| line["message"] == wanted);
        let line = of_step.next().unwrap_or_else(|| panic!("no {wanted:?}"));
        assert!(of_step.next().is_none(), "{wanted:?} twice");
        line.clone()
    };
    let head = steps("head read");
    assert_eq!(
        (&head["path"], &head["level"]),
        (&json!("/debugged"), &json!("DEBUG"))
    );
    for step in [
        "dispatched",
        "attempt begins",
        "connected",
        "response head",
        "request ends",
    ] {
        assert_eq!(steps(step)["request_id"], head["request_id"], "{step}");
    }
    assert!(
        !gateway.log().contains("0123456789"),
        "the secret is logged"
    );
    // It is for this gateway alone.
    let seen = origin.requests();
    assert!(
        seen.iter()
            .all(|request| request.header("x-debug").is_none())
    );
}

#[tokio::test]
async fn a_filter_shows_more_for_a_while_whatever_is_reloaded() {
    let origin = Origin::start("origin").await;
    let gateway = Gateway::start(logging(&origin, "access: off")).await;
    let admin = format!("http://{}", gateway.admin_address());
    let change = |args: &[&str]| {
        let output = run_serin(["log", "--admin", &admin].iter().chain(args));
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let answered = "an admin request was answered";
    assert_eq!(
        change(&[]),
        "logging.level is info\nno filter is on top of it\n"
    );
    let set = change(&["--filter", "serin::admin=debug", "--for", "1h"]);
    assert!(set.contains("serin::admin=debug") && set.contains("set by 127.0.0.1"));
    gateway.await_log("the log's filter was changed").await;
    gateway.admin("/before").await;
    gateway.await_log(answered).await;
    // A reload changes the level below.
    gateway.rewrite_config(&logging(&origin, "access: off, level: warn"));
    eventually("the level", || async {
        let log = gateway.admin("/api/v1/log").await.json();
        (log["level"] == "warn" && log["filter"] == "serin::admin=debug").then_some(())
    })
    .await;
    gateway.admin("/reloaded").await;
    gateway.await_log("/reloaded").await;
    // And its time is over by itself.
    change(&["--filter", "serin::admin=debug", "--for", "1s"]);
    gateway.await_log("its time is over").await;
    gateway.admin("/over").await;
    change(&["--filter", "serin::admin=debug"]);
    gateway.admin("/again").await;
    gateway.await_log("/again").await;
    let reset = change(&["--reset"]);
    assert_eq!(reset, "logging.level is warn\nno filter is on top of it\n");
    assert!(!gateway.log().contains("/over"), "{}", gateway.log());
    let refused = run_serin(["log", "--admin", &admin, "--filter", "serin::admin"]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("`serin::admin` is neither"), "{said}");
    assert_eq!(refused.status.code(), Some(1));
}
