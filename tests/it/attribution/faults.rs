//! Sinks that are down, slow, refuse or half refuse hold back no other, and nothing is lost or sent as something else.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use tempfile::TempDir;

use super::{Kept, read_lines, sink};
use crate::harness::{
    Gateway, Origin, Posted, Setup, SinkReply, SinkServer, eventually, eventually_within, get,
    until,
};

/// Mixpanel at this server.
fn mixpanel(name: &str, server: &SinkServer) -> String {
    format!(
        "    - {{ name: {name}, users: plain, mixpanel: {{ project_id: 1, url: '{}', service_account: {{ user: me, secret: s }} }} }}\n",
        server.url()
    )
}

/// What tells events apart: user, ID and time.
fn keys(events: &[Value]) -> BTreeSet<String> {
    let key = |event: &Value| {
        let told = &event["properties"];
        let (user, id, time) = (&told["distinct_id"], &told["$insert_id"], &told["time"]);
        format!("{user} {id} {time}")
    };
    events.iter().map(key).collect()
}

#[tokio::test]
async fn every_fault_one_after_the_other_costs_nothing() {
    let server = SinkServer::start().await;
    let attempts = AtomicUsize::new(0);
    server.answer(
        move |posted| match attempts.fetch_add(1, Ordering::Relaxed) {
            0 => SinkReply::Status(500, json!({ "error": "of its own" })),
            1 => SinkReply::Cut,
            2 => SinkReply::Busy(1),
            _ if posted.events().len() > 4 => SinkReply::Status(413, Value::Null),
            _ => SinkReply::taken(posted),
        },
    );
    let kept = Kept::with(10);
    let sinks = format!("{}{}", mixpanel("mp", &server), kept.lake(""));
    let gateway = kept.start(&sinks).await;
    // The file has everything while Mixpanel has nothing yet.
    assert_eq!(kept.lines(10).await.len(), 10);
    // Three failures in a row: the waits between them double.
    let patience = Duration::from_secs(60);
    let taken = eventually_within(patience, "all events", || async {
        let taken = server.taken();
        (taken.len() >= 10).then_some(taken)
    })
    .await;
    assert_eq!((taken.len(), keys(&taken).len()), (10, 10));
    let first = server.posted().swap_remove(0);
    assert_eq!(
        keys(first.events()),
        keys(&taken),
        "retries are the same events"
    );
    let statuses: Vec<u16> = server
        .posted()
        .iter()
        .map(|posted| posted.answered)
        .collect();
    assert_eq!(statuses[..5], [500, 0, 429, 413, 413]);
    let shown = eventually("health", || async {
        let shown = sink(&gateway, "mp").await;
        (shown["up"] == true).then_some(shown)
    })
    .await;
    assert!(shown["last_error"].is_string(), "{shown}");
}

#[tokio::test]
async fn wrong_credentials_and_certificates_are_told_and_hold_back_nobody() {
    let (refuses, stranger) = (SinkServer::start().await, SinkServer::start_https().await);
    refuses.answer(|_| SinkReply::Status(401, json!({ "error": "Invalid service account" })));
    let kept = Kept::with(5);
    let sinks = [
        mixpanel("denied", &refuses),
        mixpanel("stranger", &stranger),
        kept.lake(""),
    ];
    let gateway = kept.start(&sinks.concat()).await;
    assert_eq!(kept.lines(5).await.len(), 5);
    for (name, words) in [
        ("denied", "Invalid service account"),
        ("stranger", "certificate"),
    ] {
        let shown = eventually("an error", || async {
            let shown = sink(&gateway, name).await;
            shown["last_error"].is_string().then_some(shown)
        })
        .await;
        let error = shown["last_error"].as_str().unwrap();
        assert!(error.contains(words), "{error}");
        assert_eq!(shown["up"], false);
        assert!(shown["backlog_bytes"].as_u64().unwrap() > 0, "{shown}");
    }
    let warnings = gateway.status().await["warnings"].to_string();
    assert!(warnings.contains("sink `denied`"), "{warnings}");
    assert!(stranger.posted().is_empty(), "no secret for a stranger");
    assert_eq!(refuses.posted().len(), 1, "it is not asked again at once");
}

#[tokio::test]
async fn one_bad_event_among_many_is_found_and_put_aside_alone() {
    let server = SinkServer::start().await;
    let is_bad = |posted: &Posted| {
        let events = posted.events().iter();
        let mut users = events.map(|event| &event["properties"]["distinct_id"]);
        users.any(|user| user == "u6")
    };
    server.answer(move |posted| match is_bad(posted) {
        true => SinkReply::Status(400, json!({ "code": 400, "error": "unreadable" })),
        false => SinkReply::taken(posted),
    });
    let kept = Kept::with(10);
    let gateway = kept.start(&mixpanel("mp", &server)).await;
    let labels = |result| [("sink", "mp"), ("result", result)];
    gateway
        .await_metric("serin_exposures_total", &labels("sent"), 9.0)
        .await;
    gateway
        .await_metric("serin_exposures_total", &labels("refused"), 1.0)
        .await;
    assert_eq!(keys(&server.taken()).len(), 9);
    let letters = read_lines(&kept.path("state/dead-letter/mp.ndjson"));
    let users: Vec<&Value> = letters
        .iter()
        .map(|letter| &letter["exposure"]["user"])
        .collect();
    assert_eq!(users, ["u6"]);
}

#[tokio::test]
async fn what_waits_outlives_kills_and_is_the_same_afterwards() {
    let server = SinkServer::start().await;
    server.answer(|_| SinkReply::Status(503, Value::Null));
    let kept = Kept::with(4);
    let mut gateway = kept.start(&mixpanel("mp", &server)).await;
    let first = until("an attempt", || server.posted().into_iter().next()).await;
    gateway.sigkill();
    gateway.await_exit().await;
    kept.spool(4..6);
    server.mend();
    let mut gateway = kept.start(&mixpanel("mp", &server)).await;
    let taken = until("all events", || {
        let taken = server.taken();
        (taken.len() >= 6).then_some(taken)
    })
    .await;
    assert_eq!(taken.len(), 6);
    assert!(keys(first.events()).is_subset(&keys(&taken)));
    gateway
        .await_metric("serin_spool_bytes", &[("sink", "mp")], 0.0)
        .await;
    gateway.sigkill();
    gateway.await_exit().await;
    // What was acknowledged does not come again.
    kept.spool(6..7);
    let _gateway = kept.start(&mixpanel("mp", &server)).await;
    until("one more", || (server.taken().len() >= 7).then_some(())).await;
    assert_eq!(server.taken().len(), 7);
}

#[tokio::test]
async fn a_full_disk_stops_the_file_and_nobody_else() {
    let server = SinkServer::start().await;
    let kept = Kept::with(100);
    let state = kept.path("state");
    let config = format!(
        "server: {{ threads: 1, state_dir: '{}' }}\n\
         services: {{ shop: 'http://127.0.0.1:9' }}\nroutes: [{{ path: /, service: shop }}]\n\
         attribution:\n  exposures: {{ key: a-key-of-sixteen-bytes }}\n  sinks:\n{}{}",
        state.display(),
        kept.lake(""),
        mixpanel("mp", &server)
    );
    // 16 KiB: less than a hundred exposures take.
    let gateway = Setup::new(config).file_size(32).start().await;
    until("all events", || (server.taken().len() >= 100).then_some(())).await;
    let shown = eventually("trouble", || async {
        let shown = sink(&gateway, "lake").await;
        (shown["up"] == false).then_some(shown)
    })
    .await;
    let error = shown["last_error"].as_str().unwrap();
    assert!(error.contains("cannot be written"), "{error}");
    let path = kept.path("lake/exposures.ndjson");
    assert_eq!(
        std::fs::metadata(path).unwrap().len(),
        0,
        "no half batch is left"
    );
}

#[tokio::test]
async fn a_sink_that_says_nothing_is_given_up_and_asked_again() {
    let server = SinkServer::start().await;
    server.answer(|_| SinkReply::Silence);
    let kept = Kept::with(5);
    let sinks = format!("{}{}", mixpanel("mp", &server), kept.lake(""));
    let gateway = kept.start(&sinks).await;
    assert_eq!(kept.lines(5).await.len(), 5);
    // It is given ten seconds for an answer.
    let patience = Duration::from_secs(30);
    let shown = eventually_within(patience, "trouble", || async {
        let shown = sink(&gateway, "mp").await;
        (shown["up"] == false).then_some(shown)
    })
    .await;
    let error = shown["last_error"].as_str().unwrap();
    assert!(error.contains("10s"), "{error}");
    server.mend();
    eventually_within(patience, "all events", || async {
        (server.taken().len() >= 5).then_some(())
    })
    .await;
    let labels = |result| [("sink", "mp"), ("result", result)];
    gateway
        .await_metric("serin_exposures_total", &labels("sent"), 5.0)
        .await;
    let metrics = gateway.metrics().await;
    let retried = metrics.sum("serin_exposures_total", &labels("retried"));
    assert!(retried >= 5.0, "{retried}");
}

/// Everybody's first request; how many exposures were recorded, were there already, and could not be written.
async fn ask_all(gateway: &Gateway, users: usize) -> [f64; 3] {
    let mut connection = gateway.connect().await;
    for user in 0..users {
        let call = get("/").user(&format!("u{user}"));
        let answer = connection.send(call).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let results = ["recorded", "repeated", "unwritten"];
    eventually("what became of all", || async {
        let metrics = gateway.metrics().await;
        let labels = |result| [("sink", ""), ("result", result)];
        let counts = results.map(|result| metrics.sum("serin_exposures_total", &labels(result)));
        (counts.iter().sum::<f64>() >= users as f64).then_some(counts)
    })
    .await
}

#[tokio::test]
async fn a_full_disk_costs_no_request_and_what_it_costs_is_counted_and_comes_later() {
    let stable = Origin::start("stable").await;
    let folder = TempDir::new().unwrap();
    let config = format!(
        "server: {{ threads: 1, shutdown_delay: 1ms, state_dir: '{}' }}\n\
         services: {{ search: '@stable' }}\nroutes: [{{ path: /, service: search }}]\n\
         identity: {{ user_id: [{{ header: x-user-id, trust: anyone }}] }}\n\
         flags: {{ search.ranker: {{ url: '@stable', rings: [{{ name: early, rollout: 50% }}] }} }}\n\
         attribution: {{ exposures: {{ users: plain, control: all }} }}\n",
        folder.path().display()
    );
    let config = config.replace("@stable", &stable.url());
    // 16 KiB a file: less than these take, whose segments are of a MiB and more.
    let setup = Setup::new(config.clone()).file_size(32);
    let mut gateway = setup.start().await;
    let [recorded, repeated, unwritten] = ask_all(&gateway, 200).await;
    assert!(recorded > 0.0 && unwritten > 0.0, "{recorded}, {unwritten}");
    assert_eq!(repeated, 0.0);
    gateway
        .await_log("exposures cannot be written: File too large")
        .await;
    gateway.sigkill();
    gateway.await_exit().await;
    let gateway = Setup::new(config).start().await;
    let again = ask_all(&gateway, 200).await;
    assert_eq!(again, [unwritten, recorded, 0.0], "each once in the end");
}
