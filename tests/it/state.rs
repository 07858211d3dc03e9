//! What people tell Serin is there after a crash, and what cannot be stored says so.

mod disk;

use std::collections::BTreeMap;
use std::fs;
use std::hint::spin_loop;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rand::RngExt as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{Gateway, Origin, Setup, assert_has, fill, post};

const CONFIG: &str = "
services:
  search: { stable: @stable }
flags:
  search.ranker: { url: @canary, rings: [{ name: all }] }
routes: [{ path: /, service: search, expose: true }]
identity: { user_id: [{ header: x-user-id, trust: anyone }] }
server: { threads: 1, shutdown_delay: 1ms, shutdown_grace: 8s, state_dir: '%state%' }
logging: { level: info, format: json, access: off, user_id: plain }
";

/// How often the gateway is killed.
const CRASHES: usize = 200;
/// How many orders are under way at a time.
const WRITERS: usize = 6;
/// How many flags each of them kills and restores.
const FLAGS: usize = 4;

async fn origins() -> [Origin; 2] {
    [Origin::start("stable").await, Origin::start("canary").await]
}

fn config(origins: &[Origin; 2], state: &Path) -> String {
    let config = fill(CONFIG, [&origins[0], &origins[1]]);
    config.replace("%state%", &state.display().to_string())
}

/// What is known of a flag: what the last answer said, and what an order without an answer wants.
#[derive(Clone, Copy, Default)]
struct Known {
    killed: bool,
    wanted: Option<bool>,
}

type Book = Mutex<BTreeMap<String, Known>>;

/// One order, by a connection of its own; an error: the gateway is gone.
async fn order(admin: SocketAddr, flag: &str, kill: bool) -> io::Result<()> {
    let (action, body) = if kill {
        ("kill", r#"{"ahead":true}"#)
    } else {
        ("restore", "")
    };
    let mut stream = TcpStream::connect(admin).await?;
    let head = format!(
        "POST /api/v1/services/search/canaries/{flag}/{action} HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    if answer.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let is_stored = answer.starts_with("HTTP/1.1 200") && answer.contains("\"stored\":true");
    // A head without its body is no answer.
    match (is_stored, answer.ends_with('}')) {
        (true, _) => Ok(()),
        (false, false) => Err(io::ErrorKind::UnexpectedEof.into()),
        (false, true) => panic!("{answer}"),
    }
}

/// Kills and restores flags of its own until the gateway is gone: the writer that gets the last answer kills it.
async fn write(gateway: &Gateway, writer: usize, book: &Book, answers: &AtomicUsize, last: usize) {
    for turn in 0.. {
        let flag = format!("search.x{writer}.{}", turn % FLAGS);
        let kill = {
            let mut book = book.lock().expect("no panic");
            let known = book.entry(flag.clone()).or_default();
            *known.wanted.insert(!known.killed)
        };
        if order(gateway.admin_address(), &flag, kill).await.is_err() {
            return;
        }
        let known = Known {
            killed: kill,
            wanted: None,
        };
        book.lock().expect("no panic").insert(flag, known);
        if answers.fetch_add(1, Ordering::Relaxed) + 1 == last {
            // Anywhere in the writes of the others.
            for _ in 0..rand::rng().random_range(0..200_000) {
                spin_loop();
            }
            gateway.sigkill();
            return;
        }
    }
}

/// The flags of which the gateway says that they are killed.
async fn killed(gateway: &Gateway) -> Vec<String> {
    let service = gateway.admin("/api/v1/services/search").await.json();
    let kills = service["kills"].as_array().expect("kills").iter();
    kills
        .map(|kill| kill["flag"].as_str().expect("a name").to_owned())
        .collect()
}

#[tokio::test]
async fn what_was_answered_is_there_after_being_killed_at_any_moment() {
    let state = TempDir::new().expect("a folder");
    let origins = origins().await;
    let config = config(&origins, state.path());
    let book: Arc<Book> = Arc::default();
    let mut answered = 0;
    for crash in 0..CRASHES {
        let mut gateway = Setup::new(&*config).launch().await;
        let told = gateway.status().await["warnings"].to_string();
        assert!(
            !told.contains("state_dir") && !told.contains(".json"),
            "{crash}: {told}"
        );
        let now = killed(&gateway).await;
        for (flag, known) in book.lock().expect("no panic").iter_mut() {
            let is_killed = now.contains(flag);
            assert!(
                is_killed == known.killed || Some(is_killed) == known.wanted,
                "crash {crash}: {flag} was {} and is {is_killed}",
                known.killed
            );
            *known = Known {
                killed: is_killed,
                wanted: None,
            };
        }
        let (answers, last) = (AtomicUsize::new(0), rand::rng().random_range(1..20));
        let write = |writer| write(&gateway, writer, &book, &answers, last);
        futures_util::future::join_all((0..WRITERS).map(write)).await;
        gateway.await_exit().await;
        answered += answers.into_inner();
    }
    assert!(answered > CRASHES, "{answered}");
}

async fn kill(gateway: &Gateway, flag: &str, reason: &str) -> Value {
    let body = json!({ "ahead": true, "reason": reason }).to_string();
    let path = format!("/api/v1/services/search/canaries/{flag}/kill");
    let answer = gateway.admin_send(post(&path, body)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// The kills that are stored.
fn stored(state: &Path) -> usize {
    let text = fs::read_to_string(state.join("kills.json")).expect("a file");
    let document: Value = serde_json::from_str(&text).expect("JSON");
    document["records"].as_object().expect("records").len()
}

#[tokio::test]
async fn a_kill_holds_on_a_full_disk_and_is_stored_when_there_is_room() {
    let state = TempDir::new().expect("a folder");
    // No file may have more than 8 KiB.
    let origins = origins().await;
    let setup = Setup::new(config(&origins, state.path())).file_size(16);
    let gateway = setup.start().await;
    let long = "x".repeat(500);
    let mut fit = 0;
    while kill(&gateway, &format!("search.x{fit}"), &long).await["stored"] == true {
        fit += 1;
    }
    assert!(fit > 5, "{fit}");
    assert_eq!(stored(state.path()), fit, "the file before is whole");
    let warnings = gateway.status().await["warnings"].to_string();
    assert!(
        warnings.contains("there is no room in state_dir"),
        "{warnings}"
    );
    // Everything goes on, and what cannot be stored holds.
    let ranker = kill(&gateway, "search.ranker", "").await;
    assert_has(&ranker, &json!({ "killed": true, "stored": false }));
    gateway.get_as("u1", "/").await.assert_from("stable");
    for flag in ["search.x0", "search.x1", "search.x2"] {
        let path = format!("/api/v1/services/search/canaries/{flag}/restore");
        let answer = gateway.admin_send(post(&path, "")).await.json();
        assert_eq!(answer["changed"], true);
    }
    let again = kill(&gateway, "search.ranker", "").await;
    assert_has(&again, &json!({ "changed": false, "stored": true }));
    assert_eq!(stored(state.path()), fit - 1);
    let warnings = gateway.status().await["warnings"].to_string();
    assert!(!warnings.contains("state_dir"), "{warnings}");
}

#[tokio::test]
async fn a_kill_holds_where_nothing_can_be_written_and_is_stored_when_it_can() {
    let folder = TempDir::new().expect("a folder");
    // A file where the folder should be: not even root can write there.
    let state = folder.path().join("state");
    fs::write(&state, "").expect("a file");
    let origins = origins().await;
    let gateway = Gateway::start(config(&origins, &state)).await;
    let killed = kill(&gateway, "search.ranker", "").await;
    assert_has(&killed, &json!({ "killed": true, "stored": false }));
    gateway.get_as("u1", "/").await.assert_from("stable");
    let warnings = gateway.status().await["warnings"].to_string();
    assert!(
        warnings.contains("kills and restores are not stored: state_dir cannot be written"),
        "{warnings}"
    );
    let store = gateway.status().await["stores"][0].clone();
    assert_has(&store, &json!({ "name": "state", "up": false }));
    assert!(
        store["last_error"].to_string().contains("kills: state_dir"),
        "{store}"
    );
    let of_state = [("store", "state")];
    assert_eq!(
        gateway.metrics().await.sum("serin_store_up", &of_state),
        0.0
    );
    // Without another order.
    fs::remove_file(&state).expect("a file");
    gateway
        .await_log("that could not be stored are stored")
        .await;
    assert_eq!(stored(&state), 1);
    gateway.await_metric("serin_store_up", &of_state, 1.0).await;
    assert_has(
        &gateway.status().await["stores"][0],
        &json!({ "name": "state", "up": true, "last_error": null }),
    );
    let again = kill(&gateway, "search.ranker", "").await;
    assert_has(&again, &json!({ "changed": false, "stored": true }));
}

#[tokio::test]
async fn an_edited_file_holds_without_its_checksum_and_is_doubted_with_it() {
    let state = TempDir::new().expect("a folder");
    let origins = origins().await;
    let config = config(&origins, state.path());
    let mut gateway = Gateway::start(config.clone()).await;
    kill(&gateway, "search.other", "").await;
    gateway.terminate().await;
    drop(gateway);
    let path = state.path().join("kills.json");
    let text = fs::read_to_string(&path).expect("a file");
    let edited = text.replace("search.other", "search.ranker");
    fs::write(&path, &edited).expect("a file");
    let mut gateway = Setup::new(&*config).launch().await;
    let readyz = gateway.admin("/readyz").await;
    assert_eq!(readyz.status, 503);
    assert!(
        readyz.json()["missing"].to_string().contains("checksum"),
        "{readyz:?}"
    );
    gateway.terminate().await;
    drop(gateway);
    let without: Vec<&str> = edited
        .lines()
        .filter(|line| !line.contains("sha256"))
        .collect();
    fs::write(&path, without.join("\n")).expect("a file");
    let gateway = Gateway::start(config).await;
    gateway.await_log("have no checksum").await;
    assert_eq!(killed(&gateway).await, ["search.ranker"]);
    gateway.get_as("u1", "/").await.assert_from("stable");
}
