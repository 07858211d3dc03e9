//! Upgrades that come to nothing: the running process goes on as if nothing had happened, and the next upgrade works.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};

use super::{CONFIG, KILL, RESTORE, ordered, start};
use crate::harness::gateway::link_to_serin;
use crate::harness::{
    Gateway, Origin, Setup, eventually_within, fill, in_time, post, run_serin, until,
};

const GOES_ON: &str = "and this process goes on";

/// Fails unless the gateway serves, takes orders and can be upgraded.
pub(super) async fn goes_on(gateway: &mut Gateway) {
    gateway.get_as("c1", "/").await.assert_from("canary");
    ordered(gateway, post(KILL, "")).await;
    gateway.get_as("c1", "/").await.assert_from("stable");
    ordered(gateway, post(RESTORE, "")).await;
    gateway.upgrade().await.await_exit().await;
    gateway.get_as("c1", "/").await.assert_from("canary");
}

#[tokio::test]
async fn a_file_with_errors_and_a_busy_port_change_nothing() {
    let (stable, canary, mut gateway) = start().await;
    let good = fill(CONFIG, [&stable, &canary]);
    gateway.rewrite_config("services: [");
    let mut next = gateway.launch_successor();
    assert_eq!(next.await_exit().await.code(), Some(78));
    assert!(next.log().contains("routes.yaml:"), "{}", next.log());

    let busy = stable.address();
    gateway.rewrite_config(&format!("listeners: ['{busy}']\n{good}"));
    let mut next = gateway.launch_successor();
    assert_eq!(next.await_exit().await.code(), Some(69));
    assert!(next.log().contains("cannot listen on"), "{}", next.log());
    gateway.await_log(GOES_ON).await;
    let failed = [("result", "failed")];
    gateway
        .await_metric("serin_upgrades_total", &failed, 1.0)
        .await;
    gateway.rewrite_config(&good);
    goes_on(&mut gateway).await;
}

#[tokio::test]
async fn without_a_running_gateway_there_is_nothing_to_take_over() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let path = folder.path().join("routes.yaml");
    let state = folder.path().join("state");
    let text = format!(
        "server: {{ state_dir: '{}' }}\nservices: {{ a: 'http://127.0.0.1:9' }}\nroutes: [{{ service: a }}]\n",
        state.display()
    );
    fs::write(&path, text).expect("a file");
    let path = path.to_str().expect("a path");
    let output = run_serin(["run", "--upgrade", "-c", path]);
    assert_eq!(output.status.code(), Some(69));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("no gateway runs"), "{said}");
    assert!(said.contains("start this one without --upgrade"), "{said}");
    assert!(!state.exists(), "nothing was written");
}

/// Puts a program in place of another.
pub(super) fn replace(path: &Path, script: &str) {
    let next = path.with_extension("next");
    fs::write(&next, format!("#!/bin/sh\n{script}\n")).expect("a file");
    fs::set_permissions(&next, fs::Permissions::from_mode(0o755)).expect("a mode");
    fs::rename(next, path).expect("it is renamed");
}

#[tokio::test]
async fn a_binary_that_dies_at_once_changes_nothing() {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let folder = tempfile::TempDir::new().expect("a folder");
    let program = folder.path().join("serin");
    link_to_serin(&program);
    let setup = Setup::new(fill(CONFIG, [&stable, &canary]));
    let mut gateway = setup.program(&program).start().await;
    for script in ["exit 3", "kill -SEGV $$"] {
        replace(&program, script);
        gateway.sigusr2();
        gateway
            .await_log("the new process has not taken over")
            .await;
    }
    let wanted = |how: &str| gateway.log().contains(how);
    until("both ends", || {
        (wanted("exit status: 3") && wanted("signal: 11")).then_some(())
    })
    .await;
    fs::remove_file(&program).expect("a program");
    gateway.sigusr2();
    gateway.await_log("cannot be started").await;
    let failed = [("result", "failed")];
    gateway
        .await_metric("serin_upgrades_total", &failed, 3.0)
        .await;
    goes_on(&mut gateway).await;
}

#[tokio::test]
async fn one_that_never_becomes_ready_gives_up_by_itself() {
    let (stable, canary, mut gateway) = start().await;
    let good = fill(CONFIG, [&stable, &canary]);
    // A flag server that is not there, and without whose flags no traffic may come.
    let server = "unleash: { url: 'http://127.0.0.1:9/api', token: '*:production.token' }\n";
    gateway.rewrite_config(&format!("{good}{server}"));
    let mut next = gateway.launch_successor();
    next.await_log("starting").await;
    // Meanwhile everything is as always.
    gateway.get_as("c1", "/").await.assert_from("canary");
    ordered(&gateway, post(KILL, "")).await;
    ordered(&gateway, post(RESTORE, "")).await;
    let limit = Duration::from_secs(60);
    eventually_within(limit, "its end", || {
        let ended = next.has_ended();
        async move { ended.then_some(()) }
    })
    .await;
    assert_eq!(next.await_exit().await.code(), Some(69));
    assert!(
        next.log().contains("not ready after 30 s"),
        "{}",
        next.log()
    );
    gateway.await_log(GOES_ON).await;
    gateway.rewrite_config(&good);
    goes_on(&mut gateway).await;
}

/// The test as one of the two processes.
pub(super) struct Impostor(BufReader<UnixStream>);

impl Impostor {
    /// The one that takes over.
    pub(super) async fn come(gateway: &Gateway) -> Self {
        let stream = UnixStream::connect(gateway.upgrade_socket()).await;
        Self(BufReader::new(stream.expect("a gateway")))
    }

    /// The one that runs, as which the next process that comes to `place` finds it.
    pub(super) async fn found_at(place: &UnixListener) -> Self {
        let accepted = in_time("a process", place.accept()).await;
        Self(BufReader::new(accepted.expect("a process").0))
    }

    pub(super) async fn say(&mut self, word: &Value) {
        let line = format!("{word}\n");
        let said = self.0.get_mut().write_all(line.as_bytes()).await;
        said.expect("somebody who listens");
    }

    pub(super) async fn hears(&mut self, wanted: &str) {
        let mut line = String::new();
        let read = in_time("a word", self.0.read_line(&mut line)).await;
        assert!(read.expect("a line") > 0 && line.contains(wanted), "{line}");
    }
}

#[tokio::test]
async fn one_that_is_killed_at_any_step_changes_nothing() {
    let (_stable, _canary, mut gateway) = start().await;
    let hello = json!({ "hello": { "protocol": 1, "version": "0.0.0", "pid": 1 } });
    let steps = [
        (json!("GET / HTTP/1.1"), ""),
        (hello, "sockets"),
        (json!("ready"), "yours"),
    ];
    for count in 0..=steps.len() {
        let mut next = Impostor::come(&gateway).await;
        // The first is no word of the conversation, and ends it.
        for (word, answer) in steps.iter().take(count).skip(usize::from(count > 1)) {
            next.say(word).await;
            if !answer.is_empty() {
                next.hears(answer).await;
            }
        }
        drop(next);
        gateway.get_as("c1", "/").await.assert_from("canary");
        ordered(&gateway, post(KILL, "")).await;
        gateway.get_as("c1", "/").await.assert_from("stable");
        ordered(&gateway, post(RESTORE, "")).await;
    }
    gateway.await_log("nobody takes over").await;
    gateway.await_log(GOES_ON).await;
    goes_on(&mut gateway).await;
}

#[tokio::test]
async fn orders_wait_while_a_process_takes_over_and_hold_when_it_does_not() {
    let (_stable, _canary, mut gateway) = start().await;
    let mut next = Impostor::come(&gateway).await;
    let mut kept = crate::harness::Connection::open(gateway.admin_address()).await;
    let host = gateway.admin_address().to_string();
    let order = || post(KILL, "").host(&host);
    next.say(&json!({ "hello": { "protocol": 1, "version": "0.0.0", "pid": 1 } }))
        .await;
    next.hears("sockets").await;
    next.say(&json!("ready")).await;
    next.hears("yours").await;
    let answer = kept.send(order()).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert!(answer.text().contains("takes over"), "{answer:?}");
    // One on a new connection waits for its process.
    let address = gateway.admin_address();
    let waiting = tokio::spawn(crate::harness::client::send(address, order()));
    gateway.get_as("c1", "/").await.assert_from("canary");
    drop(next);
    let answer = in_time("an order", waiting).await.expect("an answer");
    assert_eq!(answer.status, 200, "{answer:?}");
    gateway.get_as("c1", "/").await.assert_from("stable");
    ordered(&gateway, post(RESTORE, "")).await;
    goes_on(&mut gateway).await;
}

#[tokio::test]
async fn what_could_not_be_stored_is_not_left_behind() {
    let (_stable, _canary, mut gateway) = start().await;
    // A folder stands where the file is to be written before it takes its place.
    let kills = gateway.folder().join("state/kills.json.tmp");
    fs::create_dir_all(kills.join("in the way")).expect("a folder");
    let killed = gateway.admin_send(post(KILL, "")).await;
    assert_eq!(killed.json()["stored"], false, "{killed:?}");
    let mut next = gateway.launch_successor();
    assert_eq!(next.await_exit().await.code(), Some(69));
    let log = next.log();
    assert!(log.contains("kills and restores are not stored"), "{log}");
    gateway.get_as("c1", "/").await.assert_from("stable");
    fs::remove_dir_all(&kills).expect("a folder");
    ordered(&gateway, post(RESTORE, "")).await;
    goes_on(&mut gateway).await;
}

#[tokio::test]
async fn a_process_that_is_killed_while_it_starts_changes_nothing() {
    let (_stable, _canary, mut gateway) = start().await;
    // Later ones may have taken over already when they are killed.
    for step in ["starting", "snapshot published"] {
        let mut next = gateway.launch_successor();
        next.await_log(step).await;
        next.sigkill();
        next.await_exit().await;
        gateway.get_as("c1", "/").await.assert_from("canary");
    }
    goes_on(&mut gateway).await;
}
