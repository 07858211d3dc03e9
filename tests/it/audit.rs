//! Who did what to a gateway: every change leaves an entry, and none can be changed or removed without being noticed.

mod crashes;
mod events;
mod verify;

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::flag_server::{FlagServer, feature};
use crate::harness::{Answer, Call, Gateway, Origin, eventually, get, post};

/// The token of the pipeline of one service.
const PIPELINE: &str = "token-of-the-pipeline-of-search";
/// That of somebody who is on call.
const ONCALL: &str = "token-of-who-is-on-call";
/// That of the platform's people.
const PLATFORM: &str = "token-of-the-platform";

const CONFIG: &str = "
admin:
  address: 127.0.0.1:0
  tokens:
    - { name: ci-search, role: registrar, services: [search], token: token-of-the-pipeline-of-search }
    - { name: oncall, role: operator, token: token-of-who-is-on-call }
    - { name: platform, role: admin, token: token-of-the-platform }
services:
  search: { stable: @stable, canaries: ['search.*'] }
  shop: { stable: @stable, canaries: ['shop.*'] }
routes: [{ path: /shop, service: shop }, { path: /, service: search }]
identity: { user_id: [{ header: x-user-id, trust: anyone }] }
server: { threads: 1, shutdown_delay: 1ms, shutdown_grace: 8s, state_dir: ./state }
";

const RANKER: &str = "/api/v1/services/search/canaries/search.ranker";

fn config(stable: &Origin) -> String {
    CONFIG.replace("@stable", &stable.url())
}

fn with(token: &str, call: Call) -> Call {
    call.header("authorization", &format!("Bearer {token}"))
}

fn send(method: &str, path: &str, body: &Value) -> Call {
    let call = Call::new(method.parse().expect("a method"), path);
    match body {
        Value::Null => call,
        body => call.body(body.to_string()),
    }
}

async fn carried_out(gateway: &Gateway, token: &str, call: Call) -> Answer {
    let answer = gateway.admin_send(with(token, call)).await;
    assert!([200, 201].contains(&answer.status), "{answer:?}");
    answer
}

/// The entries that are asked for.
async fn entries(gateway: &Gateway, token: &str, query: &str) -> Vec<Value> {
    let call = with(token, get(&format!("/api/v1/audit{query}")));
    let answer = gateway.admin_send(call).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["entries"]
        .as_array()
        .expect("entries")
        .clone()
}

/// What was done, to what and by whom.
fn told(entries: &[Value]) -> Vec<(&str, &str, &str)> {
    entries.iter().map(told_of).collect()
}

fn told_of(entry: &Value) -> (&str, &str, &str) {
    let text = Value::as_str;
    let parts = (
        text(&entry["action"]),
        text(&entry["object"]),
        text(&entry["actor"]["name"]),
    );
    match parts {
        (Some(action), Some(object), Some(name)) => (action, object, name),
        _ => panic!("{entry}"),
    }
}

/// What people and pipelines do to a gateway: with which token, how, to what and how it is to be.
fn steps(url: &str) -> [(&'static str, &'static str, String, Value); 15] {
    let at_canary = json!({ "url": url, "ttl": "30m", "branch": "feature/ranker" });
    let longer = json!({ "url": url, "ttl": "40m", "branch": "feature/ranker" });
    let flag = json!({ "rings": [{ "name": "team", "segment": "Team" }] });
    let team = json!({ "userId": ["ann"] });
    let (renew, kill, restore) = (
        format!("{RANKER}/renew"),
        format!("{RANKER}/kill"),
        format!("{RANKER}/restore"),
    );
    [
        (PIPELINE, "PUT", RANKER.to_owned(), at_canary),
        (PIPELINE, "POST", renew, json!(null)),
        (PIPELINE, "PUT", RANKER.to_owned(), longer),
        (
            ONCALL,
            "POST",
            kill.clone(),
            json!({ "reason": "wrong prices" }),
        ),
        (ONCALL, "POST", kill.clone(), json!({ "reason": "again" })),
        (ONCALL, "POST", restore, json!(null)),
        (PLATFORM, "PUT", "/api/v1/segments/Team".to_owned(), team),
        (
            PLATFORM,
            "PUT",
            "/api/v1/flags/search.ranker".to_owned(),
            flag,
        ),
        (
            ONCALL,
            "PATCH",
            "/api/v1/flags/search.ranker/rings/team".to_owned(),
            json!({ "enabled": false }),
        ),
        (
            PLATFORM,
            "DELETE",
            "/api/v1/flags/search.ranker".to_owned(),
            json!(null),
        ),
        (
            PLATFORM,
            "DELETE",
            "/api/v1/segments/Team".to_owned(),
            json!(null),
        ),
        (PLATFORM, "POST", "/api/v1/reload".to_owned(), json!(null)),
        (
            PLATFORM,
            "PUT",
            "/api/v1/log".to_owned(),
            json!({ "filter": "info" }),
        ),
        (PLATFORM, "DELETE", "/api/v1/log".to_owned(), json!(null)),
        (PIPELINE, "DELETE", RANKER.to_owned(), json!(null)),
    ]
}

/// What the trail says of it.
const ENTERED: [(&str, &str, &str); 13] = [
    ("register", "search.ranker", "ci-search"),
    ("change_registration", "search.ranker", "ci-search"),
    ("kill", "search.ranker", "oncall"),
    ("restore", "search.ranker", "oncall"),
    ("put_segment", "Team", "platform"),
    ("put_flag", "search.ranker", "platform"),
    ("change_ring", "search.ranker/team", "oncall"),
    ("delete_flag", "search.ranker", "platform"),
    ("delete_segment", "Team", "platform"),
    ("reload", "routes.yaml", "platform"),
    ("set_log", "log", "platform"),
    ("reset_log", "log", "platform"),
    ("deregister", "search.ranker", "ci-search"),
];

#[tokio::test]
async fn every_change_leaves_an_entry_with_who_made_it() {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let gateway = Gateway::start(config(&stable)).await;
    for (token, method, path, body) in steps(&canary.url()) {
        carried_out(&gateway, token, send(method, &path, &body)).await;
    }
    let all = entries(&gateway, PLATFORM, "").await;
    // Its first check comes when it comes.
    let (ready, others): (Vec<Value>, Vec<Value>) = all
        .into_iter()
        .partition(|entry| entry["action"] == "ready");
    assert!(
        ready.iter().all(|entry| entry["actor"]["name"] == "serin"),
        "{ready:?}"
    );
    assert_eq!(told(&others)[1..], ENTERED);
    assert_eq!(told(&others)[0], ("start", "routes.yaml", "serin"));
    says_what_changed(&others);
    let text = fs::read_to_string(gateway.folder().join("state/audit.ndjson")).expect("a file");
    for secret in [PIPELINE, ONCALL, PLATFORM] {
        assert!(!text.contains(secret), "{text}");
    }
    let killed = [("action", "kill")];
    assert_eq!(
        gateway
            .metrics()
            .await
            .sum("serin_audit_entries_total", &killed),
        1.0
    );
}

/// Before and after, role and address, reason and scope.
fn says_what_changed(entries: &[Value]) {
    let of = |action: &str| {
        let found = entries.iter().find(|entry| entry["action"] == action);
        found.unwrap_or_else(|| panic!("{action}"))
    };
    let changed = of("change_registration");
    let ttl = |part: &str| changed[part]["ttl_ms"].as_u64();
    assert_eq!(
        (ttl("before"), ttl("after")),
        (Some(1_800_000), Some(2_400_000))
    );
    assert_eq!(of("register")["before"], json!(null));
    assert_eq!(of("deregister")["service"], "search");
    let kill = of("kill");
    let actor = json!({ "name": "oncall", "role": "operator", "address": "127.0.0.1" });
    assert_eq!(kill["actor"], actor);
    assert_eq!(
        (&kill["reason"], &kill["scope"]),
        (&json!("wrong prices"), &json!("this gateway"))
    );
    assert_eq!(kill["before"], json!({ "killed": false }));
    assert_eq!(kill["after"]["killed"], true);
    let ring = |part: &str| of("change_ring")[part]["rings"][0]["enabled"].clone();
    assert_eq!((ring("before"), ring("after")), (json!(null), json!(false)));
    assert_eq!(of("delete_flag")["after"], json!(null));
    let own = json!({ "name": "serin", "role": null, "address": null });
    assert_eq!(of("start")["actor"], own);
}

#[tokio::test]
async fn what_is_refused_is_no_change() {
    let stable = Origin::start("stable").await;
    let gateway = Gateway::start(config(&stable)).await;
    let before = entries(&gateway, PLATFORM, "").await;
    let elsewhere = "/api/v1/services/shop/canaries/shop.new";
    let at = json!({ "url": "http://127.0.0.1:9" });
    for (token, method, path, body, status) in [
        ("token-of-nobody-at-all", "PUT", RANKER, at.clone(), 401),
        (PIPELINE, "PUT", elsewhere, at, 403),
        (PIPELINE, "PUT", RANKER, json!({ "url": "no-url" }), 422),
        (ONCALL, "PUT", "/api/v1/flags/search.a", json!({}), 403),
        (
            PLATFORM,
            "DELETE",
            "/api/v1/flags/search.a",
            json!(null),
            404,
        ),
        (
            PLATFORM,
            "PUT",
            "/api/v1/flags/search.a?dry_run=true",
            json!({}),
            200,
        ),
        (PIPELINE, "DELETE", RANKER, json!(null), 404),
    ] {
        let answer = gateway
            .admin_send(with(token, send(method, path, &body)))
            .await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
    assert_eq!(entries(&gateway, PLATFORM, "").await, before);
}

#[tokio::test]
async fn entries_are_shown_by_pages_and_services() {
    let stable = Origin::start("stable").await;
    let gateway = Gateway::start(config(&stable)).await;
    for number in 0..4 {
        for service in ["search", "shop"] {
            let path = format!("/api/v1/services/{service}/canaries/{service}.{number}/kill");
            carried_out(&gateway, ONCALL, post(&path, r#"{"ahead":true}"#)).await;
        }
    }
    let all = entries(&gateway, PLATFORM, "").await;
    assert_eq!(all.len(), 9);
    assert_eq!(entries(&gateway, PLATFORM, "?limit=2").await, all[7..]);
    let since = format!("?since={}&limit=3", all[2]["id"].as_str().expect("an ID"));
    assert_eq!(entries(&gateway, PLATFORM, &since).await, all[3..6]);
    let since = format!("?since={}", all[4]["at"].as_str().expect("a moment"));
    let later = entries(&gateway, PLATFORM, &since).await;
    assert!(later.ends_with(&all[4..]), "{later:?}");
    // A token for one service sees what is about that.
    let own = entries(&gateway, PIPELINE, "").await;
    assert_eq!(own.len(), 4);
    assert!(
        own.iter().all(|entry| entry["service"] == "search"),
        "{own:?}"
    );
    assert_eq!(entries(&gateway, PLATFORM, "?service=search").await, own);
    let others = with(PIPELINE, get("/api/v1/audit?service=shop"));
    assert_eq!(gateway.admin_send(others).await.status, 403);
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=x", "limit"),
        ("since=yesterday", "since"),
        ("since=00000000-1", "since"),
        ("sicne=x", "sicne"),
    ] {
        let answer = gateway
            .admin_send(with(PLATFORM, get(&format!("/api/v1/audit?{query}"))))
            .await;
        let problem = answer.json();
        assert_eq!(
            (answer.status, &problem["errors"][0]["path"]),
            (400, &json!(field)),
            "{problem}"
        );
    }
}

/// The entries of an action, once there are any.
async fn await_entries(gateway: &Gateway, action: &str) -> Vec<Value> {
    eventually(action, || async {
        let all = entries(gateway, PLATFORM, "?limit=1000").await;
        let found: Vec<Value> = all
            .into_iter()
            .filter(|entry| entry["action"] == action)
            .collect();
        (!found.is_empty()).then_some(found)
    })
    .await
}

#[tokio::test]
async fn what_the_gateway_does_by_itself_is_entered_too() {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let mut server = FlagServer::start().await;
    let gateway = Gateway::start(config(&stable) + &server.config("")).await;
    server.put([feature("search.v2", &canary.url(), true)]);
    let refresh = || post("/api/v1/sources/unleash/refresh", "");
    carried_out(&gateway, ONCALL, refresh()).await;
    let short = json!({ "url": canary.url(), "ttl": "1s" });
    carried_out(&gateway, PIPELINE, send("PUT", RANKER, &short)).await;
    let over = await_entries(&gateway, "lease_over").await;
    assert_eq!(told(&over), [("lease_over", "search.ranker", "serin")]);
    assert_eq!(over[0]["service"], "search");

    server.remove("search.v2");
    carried_out(&gateway, ONCALL, refresh()).await;
    let held = await_entries(&gateway, "hold_removal").await;
    let flags = json!({ "count": 1, "flags": ["search.v2"] });
    assert_eq!(held[0]["after"]["held"], flags);
    carried_out(&gateway, ONCALL, post("/api/v1/sources/unleash/accept", "")).await;
    let accepted = await_entries(&gateway, "accept_removal").await;
    assert_eq!(told(&accepted), [("accept_removal", "unleash", "oncall")]);
    let ended = await_entries(&gateway, "end_hold").await;
    assert_eq!(ended[0]["after"]["removed"], flags);

    let broken = config(&stable) + "flagz: { password: hush-hush }\n";
    gateway.rewrite_config(&broken);
    let reloads = await_entries(&gateway, "reload").await;
    assert_eq!(told(&reloads), [("reload", "routes.yaml", "serin")]);
    assert_eq!(reloads[0]["after"]["result"], "invalid");
    assert_eq!(reloads[0]["reason"], "changed");
    assert!(!reloads[0].to_string().contains("hush"), "{reloads:?}");
    server.stop().await;
}

#[tokio::test]
async fn the_command_shows_entries() {
    let stable = Origin::start("stable").await;
    let gateway = Gateway::start(config(&stable)).await;
    let kill = post(
        &format!("{RANKER}/kill"),
        r#"{"ahead":true,"reason":"wrong prices"}"#,
    );
    carried_out(&gateway, ONCALL, kill).await;
    let token = gateway.folder().join("token");
    fs::write(&token, PLATFORM).expect("a file");
    let run = |args: &[&str]| {
        let of = ["--token-file", token.to_str().expect("a path")];
        let output = gateway.ask(&[&["audit"], args, &of].concat());
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).expect("text"))
    };
    let (code, said) = run(&["--service", "search", "--limit", "5"]);
    assert_eq!((code, said.lines().count()), (Some(0), 1), "{said}");
    let end = " kill search.ranker of search, by oncall at 127.0.0.1: wrong prices\n";
    assert!(said.ends_with(end), "{said}");
    let (code, said) = run(&["--json"]);
    let answer: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(
        (code, answer["entries"].as_array().map(Vec::len)),
        (Some(0), Some(2))
    );
    let (code, said) = run(&["--since", "yesterday"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("neither an entry's ID nor a moment"),
        "{said}"
    );
}

#[tokio::test]
async fn a_trail_that_cannot_be_written_keeps_nothing_from_being_done() {
    let stable = Origin::start("stable").await;
    let gateway = Gateway::start(config(&stable)).await;
    let state = gateway.folder().join("state");
    let (trail, away) = (state.join("audit.ndjson"), state.join("away"));
    carried_out(&gateway, ONCALL, kill("search.a")).await;
    fs::rename(&trail, &away).expect("it is renamed");
    fs::create_dir(&trail).expect("a folder");
    carried_out(&gateway, ONCALL, kill("search.b")).await;
    let status = carried_out(&gateway, PLATFORM, get("/api/v1/status"))
        .await
        .json();
    assert_eq!(
        (&status["audit"]["waiting"], &status["audit"]["lost"]),
        (&json!(1), &json!(0))
    );
    let warnings = status["warnings"].to_string();
    assert!(
        warnings.contains("the audit trail cannot be written"),
        "{warnings}"
    );
    gateway.await_log("the audit trail cannot be written").await;
    fs::remove_dir(&trail).expect("it is empty");
    fs::rename(&away, &trail).expect("it is renamed");
    eventually("the entry", || async {
        let all = entries(&gateway, PLATFORM, "").await;
        told(&all)
            .contains(&("kill", "search.b", "oncall"))
            .then_some(())
    })
    .await;
    let status = carried_out(&gateway, PLATFORM, get("/api/v1/status"))
        .await
        .json();
    let well = json!({ "stored": true, "written": 3, "waiting": 0, "lost": 0, "last_error": null, "not_shared": null });
    assert_eq!(status["audit"], well);
    let folder = state.to_str().expect("a path");
    let output = crate::harness::run_serin(["audit", "verify", "--state-dir", folder]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

/// A folder that outlives gateways, and their configuration.
fn kept(stable: &Origin) -> (TempDir, String) {
    let folder = TempDir::new().expect("a folder");
    let config = config(stable).replace("./state", &folder.path().display().to_string());
    (folder, config)
}

fn kill(name: &str) -> Call {
    let path = format!("/api/v1/services/search/canaries/{name}/kill");
    post(&path, r#"{"ahead":true}"#)
}
