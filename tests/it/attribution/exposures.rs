//! What is recorded is who was really served by what: whatever dies, and whenever.

use std::collections::BTreeSet;
use std::process::Stdio;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{
    Gateway, Lines, Origin, assert_has, eventually, fill, get, run_serin, serin, until,
};
use crate::readme;

pub(super) const CONFIG: &str = "
services:
  search: { stable: @stable, timeouts: { connect: 500ms } }
flags:
  search.ranker: { url: @canary, rings: [{ name: early, rollout: 50% }] }
routes: [{ path: /, service: search }]
identity:
  user_id: [{ header: x-user-id, trust: anyone }]
  properties: { region: { header: x-region } }
attribution:
  exposures: { users: plain, key: a-key-of-some-length, control: all, properties: [region] }
logging: { format: json, access: all, user_id: plain }
";

/// How many users ask.
const USERS: usize = 60;

/// A configuration that keeps its state in a folder that outlives the gateway.
pub(super) fn kept(config: &str, folder: &TempDir) -> String {
    let state = folder.path().display();
    format!(
        "{config}server: {{ threads: 2, shutdown_delay: 1ms, shutdown_grace: 8s, state_dir: '{state}' }}\n"
    )
}

/// What was recorded last, by the admin API.
pub(super) async fn recorded(gateway: &Gateway, query: &str) -> Vec<Value> {
    let path = format!("/api/v1/exposures?limit=1000{query}");
    let answer = gateway.admin(&path).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let exposures = answer.json()["exposures"].clone();
    exposures.as_array().expect("a list").clone()
}

/// What was recorded, once there is so much.
async fn await_recorded(gateway: &Gateway, count: usize) -> Vec<Value> {
    eventually("exposures", || async {
        let found = recorded(gateway, "").await;
        (found.len() >= count).then_some(found)
    })
    .await
}

pub(super) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// Every user's first to last deployments, as some ledger has them.
fn pairs<'a>(ledger: &'a [Value], user: &str) -> BTreeSet<(&'a str, &'a str)> {
    let of = |entry: &'a Value| (text(entry, user), text(entry, "served"));
    ledger.iter().map(of).collect()
}

/// Who came to an origin.
fn visitors(origin: &Origin) -> BTreeSet<String> {
    let requests = origin.requests();
    let users = requests.iter().filter_map(|seen| seen.header("x-user-id"));
    users.collect()
}

/// Half of the users come before the canary dies, and all after; some requests are under way meanwhile.
async fn die_under_load(gateway: &Gateway, canary: &mut Origin) {
    let ask = |user: usize, path: &'static str| {
        let call = get(path).user(&format!("u{user}")).header("x-region", "eu");
        gateway.send(call)
    };
    for answer in join_all((0..USERS / 2).map(|user| ask(user, "/before"))).await {
        assert_eq!(answer.status, 200);
    }
    let under_way = join_all((0..USERS).map(|user| ask(user, "/meanwhile")));
    let (answers, ()) = tokio::join!(under_way, canary.stop());
    for answer in answers {
        // One that had reached the canary is not sent again.
        assert!([200, 502].contains(&answer.status), "{answer:?}");
    }
    for answer in join_all((0..USERS).map(|user| ask(user, "/after"))).await {
        answer.assert_from("stable");
    }
}

/// What an exposure says follows from who was meant and who answered.
fn assert_arm(exposure: &Value) {
    let arm = match (text(exposure, "assigned"), text(exposure, "served")) {
        ("stable", "stable") => "control",
        ("search.ranker", "search.ranker") => "canary",
        _ => "other",
    };
    let expected = json!({
        "arm": arm, "randomised": true, "ring": "early",
        "flag": "search.ranker", "properties": { "region": "eu" },
    });
    assert_has(exposure, &expected);
    assert_eq!(exposure["cause"].is_null(), arm != "other", "{exposure}");
}

#[tokio::test]
async fn every_ledger_names_the_same_deployment_when_a_canary_dies_under_load() {
    let (stable, mut canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let gateway = Gateway::start(fill(CONFIG, [&stable, &canary])).await;
    die_under_load(&gateway, &mut canary).await;
    let lines = until("every line", || {
        let lines = gateway.access_log();
        (lines.len() == USERS / 2 + 2 * USERS).then_some(lines)
    })
    .await;
    let served: Vec<Value> = lines
        .into_iter()
        .filter(|line| line["served"].is_string())
        .collect();
    let expected = pairs(&served, "user_id");
    let found = await_recorded(&gateway, expected.len()).await;
    assert_eq!(found.len(), expected.len(), "each once");
    assert_eq!(pairs(&found, "user"), expected);

    let by = |deployment: &str| -> BTreeSet<String> {
        let served = found.iter().filter(|one| text(one, "served") == deployment);
        served.map(|one| text(one, "user").to_owned()).collect()
    };
    assert_eq!(by("stable"), visitors(&stable));
    // What it took and did not answer was served by nobody.
    assert!(by("search.ranker").is_subset(&visitors(&canary)));
    assert!(!by("search.ranker").is_empty());
    found.iter().for_each(assert_arm);
    let seam: BTreeSet<&str> = served
        .iter()
        .filter(|line| line["served"] != line["assigned"])
        .map(|line| text(line, "user_id"))
        .collect();
    let others = found.iter().filter(|one| text(one, "arm") == "other");
    assert_eq!(
        others.map(|one| text(one, "user")).collect::<BTreeSet<_>>(),
        seam
    );
    let labels = [("assigned", "search.ranker"), ("served", "stable")];
    let rescued = served
        .iter()
        .filter(|line| line["served"] != line["assigned"]);
    gateway
        .await_metric("serin_requests_total", &labels, rescued.count() as f64)
        .await;
    let labels = [("sink", ""), ("result", "recorded")];
    gateway
        .await_metric("serin_exposures_total", &labels, found.len() as f64)
        .await;
}

#[tokio::test]
async fn what_was_recorded_is_not_recorded_again_after_being_killed() {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let folder = TempDir::new().expect("a folder");
    let config = kept(&fill(CONFIG, [&stable, &canary]), &folder);
    let mut before: Vec<Value> = Vec::new();
    for start in 0..4 {
        let mut gateway = Gateway::start(&*config).await;
        let all = before.len() + 20;
        let answers = (0..all).map(|user| gateway.send(get("/").user(&format!("u{user}"))));
        for answer in join_all(answers).await {
            assert_eq!(answer.status, 200);
        }
        let found = await_recorded(&gateway, all).await;
        assert_eq!(found[..before.len()], before, "start {start}");
        let ids: BTreeSet<&str> = found.iter().map(|one| text(one, "id")).collect();
        assert_eq!((ids.len(), found.len()), (all, all));
        before = found;
        gateway.sigkill();
        gateway.await_exit().await;
    }
}

#[tokio::test]
async fn a_user_is_forgotten_and_the_trail_names_nobody() {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let folder = TempDir::new().expect("a folder");
    let config = kept(&fill(CONFIG, [&stable, &canary]), &folder);
    let mut gateway = Gateway::start(&*config).await;
    for user in ["ann@example.com", "bob"] {
        gateway.get_as(user, "/").await;
    }
    await_recorded(&gateway, 2).await;
    let output = gateway.ask(&["exposures", "tail", "--user", "bob"]);
    let shown = String::from_utf8(output.stdout).expect("text");
    assert!(shown.contains(" bob search.ranker of search: "), "{shown}");
    assert_eq!(shown.lines().count(), 1, "{shown}");

    let output = gateway.ask(&["exposures", "forget", "--user", "ann@example.com"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stdout, b"1 records were removed\n");
    let answer = gateway.admin("/api/v1/audit").await.json();
    let entries = answer["entries"].as_array().expect("entries");
    let entry = entries.last().expect("an entry");
    assert_has(
        entry,
        &json!({ "action": "forget_user", "before": { "records": 1 } }),
    );
    assert!(!entry.to_string().contains("ann"), "{entry}");
    gateway.sigkill();
    gateway.await_exit().await;

    let gateway = Gateway::start(&*config).await;
    let left = await_recorded(&gateway, 1).await;
    assert_eq!(pairs(&left, "user").len(), 1);
    assert_eq!(text(&left[0], "user"), "bob");
    let output = gateway.ask(&["exposures", "stats"]);
    let shown = String::from_utf8(output.stdout).expect("text");
    assert!(
        shown.contains("since the start: 0 recorded, 0 repeated, 0 dropped"),
        "{shown}"
    );
}

#[tokio::test]
async fn tail_shows_what_comes_once_each_until_the_gateway_is_gone() {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let mut gateway = Gateway::start(fill(CONFIG, [&stable, &canary])).await;
    let admin = format!("http://127.0.0.1:{}", gateway.admin_address().port());
    let mut follow = ["exposures", "tail", "--follow", "--json", "-n", "2"].to_vec();
    follow.extend(["--admin", &admin]);
    let mut command = serin(&follow);
    let mut tail = command.stdout(Stdio::piped()).spawn().expect("it runs");
    let shown = Lines::of(tail.stdout.take().expect("a pipe"));
    let mut users = BTreeSet::new();
    // More at once than it asks for at once.
    for group in [0..1, 1..2, 2..9] {
        let names = group.map(|user| format!("u{user}"));
        users.extend(names.clone());
        for answer in join_all(names.map(|user| gateway.send(get("/").user(&user)))).await {
            assert_eq!(answer.status, 200);
        }
        let lines = until("a line for each", || {
            let lines = shown.since(0);
            (lines.len() >= users.len()).then_some(lines)
        })
        .await;
        let lines: Vec<Value> = lines
            .iter()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        assert_eq!(lines, recorded(&gateway, "").await);
        let found: BTreeSet<String> = lines.iter().map(|one| text(one, "user").into()).collect();
        assert_eq!(found, users);
    }
    gateway.terminate().await;
    let status = until("its end", || tail.try_wait().expect("a child")).await;
    assert_eq!(status.code(), Some(75), "it may come back");
    for wrong in ["0", "1001"] {
        let output = run_serin(["exposures", "tail", "-n", wrong]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
    }
}

#[tokio::test]
async fn where_nothing_is_recorded_it_is_said_so() {
    let stable = Origin::start("stable").await;
    let gateway = Gateway::start(fill(
        "services: { search: @stable }\nroutes: [{ path: /, service: search }]\n",
        [&stable],
    ))
    .await;
    for path in ["/api/v1/exposures", "/api/v1/exposures/stats"] {
        let answer = gateway.admin(path).await;
        assert_eq!(answer.status, 404);
        assert!(
            answer.text().contains("`attribution.exposures`"),
            "{answer:?}"
        );
    }
    assert_eq!(gateway.status().await["exposures"], Value::Null);
    let output = gateway.ask(&["exposures", "forget", "--user", "u1"]);
    assert!(!output.status.success());
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.sum("serin_exposures_total", &[]), 0.0);
}

#[tokio::test]
async fn users_are_hashed_and_the_anonymous_left_out_unless_asked_for() {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let config = CONFIG.replace("users: plain, ", "").replace("50%", "100%");
    let config = config.replace("  properties: {", "  anonymous: sticky\n  properties: {");
    for (anonymous, count) in [(false, 1), (true, 2)] {
        let text = fill(&config, [&stable, &canary]);
        let text = text.replace("control: all,", &format!("anonymous: {anonymous},"));
        let gateway = Gateway::start(text).await;
        let anonymous = get("/").header("cookie", "serin_id=0123456789abcdef");
        gateway.send(anonymous).await.assert_from("canary");
        gateway.get_as("ann", "/").await.assert_from("canary");
        let found = await_recorded(&gateway, count).await;
        assert_eq!(found.len(), count);
        let ann = recorded(&gateway, "&user=ann").await;
        // printf %s ann | openssl dgst -sha256 -hmac a-key-of-some-length
        assert_eq!(text_of(&ann), ["18d370dce8120a9b49b5ad0b56c54d13"]);
    }
}

fn text_of(found: &[Value]) -> Vec<&str> {
    found.iter().map(|one| text(one, "user")).collect()
}

#[tokio::test]
async fn parameters_that_mean_nothing_are_named() {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let gateway = Gateway::start(fill(CONFIG, [&stable, &canary])).await;
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("after=x", "after"),
        ("who=x", "who"),
    ] {
        let answer = gateway.admin(&format!("/api/v1/exposures?{query}")).await;
        assert_eq!(answer.status, 400, "{query}");
        assert!(
            answer.text().contains(&format!("`{field}`"))
                || answer.text().contains(&format!("\"{field}\"")),
            "{answer:?}"
        );
    }
    let answer = gateway.ask(&["exposures", "forget", "--user", ""]);
    assert!(!answer.status.success());
}

#[tokio::test]
async fn the_readme_s_question_is_answered_as_it_is_printed() {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let keys = readme::blocks("yml").swap_remove(0);
    assert!(keys.starts_with("attribution:"), "{keys}");
    let (before, _) = CONFIG
        .split_once("attribution:")
        .expect("what comes before");
    let config = format!("{before}{keys}").replace("search.ranker", "search.ranker-v2");
    let gateway = Gateway::start(fill(&config, [&stable, &canary])).await;
    let mut swipes = String::new();
    let mut users = [0, 0];
    for user in (0..40).map(|number| format!("u{number}")) {
        let answer = gateway.get_as(&user, "/").await;
        let is_canary = answer.origin() == "canary";
        users[usize::from(is_canary)] += 1;
        let swipe = json!({ "user": user, "time": "2099-01-01T00:00:00.000Z" });
        for _ in 0..if is_canary { 3 } else { 1 } {
            swipes.push_str(&format!("{swipe}\n"));
        }
    }
    let file = gateway.folder().join("exposures/exposures.ndjson");
    until("every exposure in the file", || {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        (text.lines().count() == 40).then_some(())
    })
    .await;
    std::fs::write(gateway.folder().join("swipes.ndjson"), swipes).expect("a file");
    std::fs::write(
        gateway.folder().join("question.sql"),
        readme::blocks("sql").swap_remove(0),
    )
    .expect("a file");
    let output = std::process::Command::new("sh")
        .args(["-c", "sqlite3 -bail :memory: < question.sql"])
        .current_dir(gateway.folder())
        .output()
        .expect("a shell");
    let answer = String::from_utf8(output.stdout).expect("text");
    let rows: Vec<Vec<&str>> = answer
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    let (canary, control) = (users[1].to_string(), users[0].to_string());
    let expected = [
        vec!["canary", &*canary, "3.0"],
        vec!["control", &*control, "1.0"],
    ];
    assert_eq!(
        rows.get(2..),
        Some(&expected[..]),
        "{answer}{:?}",
        output.stderr
    );
}
