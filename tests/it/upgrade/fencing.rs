//! Exactly one of two processes serves and writes in the end, whichever of them is late, is stuck or dies.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::UnixListener;

use super::failures::{Impostor, goes_on, replace};
use super::{CONFIG, KILL, RESTORE, audit, ordered, start};
use crate::harness::client::send;
use crate::harness::gateway::link_to_serin;
use crate::harness::successor::TAKEN_OVER;
use crate::harness::{Gateway, Origin, Setup, eventually_within, fill, get, in_time, post, until};

fn hello() -> Value {
    json!({ "hello": { "protocol": 1, "version": "0.0.0", "pid": 2 } })
}

/// Has the test found as the process that runs.
fn found_instead_of(gateway: &Gateway) -> UnixListener {
    let path = gateway.upgrade_socket();
    fs::remove_file(&path).expect("a socket");
    UnixListener::bind(path).expect("another one")
}

/// Leads a process that takes over to where it says that it is ready.
async fn led_to_ready(place: &UnixListener) -> Impostor {
    let mut running = Impostor::found_at(place).await;
    running.hears("hello").await;
    let secret = [7; 32];
    let sockets = json!({ "version": "0.0.0", "sockets": [], "secret": secret, "more": false });
    running.say(&json!({ "sockets": sockets })).await;
    running.hears("ready").await;
    running
}

#[tokio::test]
async fn one_that_is_refused_when_it_is_about_to_serve_ends() {
    let (_stable, _canary, mut gateway) = start().await;
    let place = found_instead_of(&gateway);
    gateway.sigkill();
    gateway.await_exit().await;
    let mut next = gateway.launch_successor();
    let mut running = led_to_ready(&place).await;
    running.say(&json!({ "yours": { "quarantine": [] } })).await;
    running
        .say(&json!({ "refused": { "why": "too late" } }))
        .await;
    // It has hung up before the other says that it serves.
    drop(running);
    assert_eq!(next.await_exit().await.code(), Some(69));
    assert!(next.log().contains("too late"), "{}", next.log());
    assert!(!next.log().contains(TAKEN_OVER), "{}", next.log());
}

#[tokio::test]
async fn clients_wait_in_the_queue_until_both_agree() {
    let (_stable, _canary, mut gateway) = start().await;
    let place = found_instead_of(&gateway);
    gateway.sigkill();
    gateway.await_exit().await;
    let next = gateway.launch_successor();
    let mut running = led_to_ready(&place).await;
    running.say(&json!({ "yours": { "quarantine": [] } })).await;
    running.hears("serving").await;
    next.await_log("\"kind\":\"listener\"").await;
    gateway.become_process(next);
    gateway.learn_sockets();
    let mut waiting = tokio::spawn(send(gateway.address(), get("/").user("c1")));
    // Too short to see every gateway that answers too early, and long enough for most.
    let early = tokio::time::timeout(Duration::from_millis(200), &mut waiting).await;
    assert!(early.is_err(), "{early:?}");
    running.say(&json!("agreed")).await;
    running.hears("settled").await;
    let answer = in_time("an answer", waiting).await.expect("an answer");
    answer.assert_from("canary");
}

#[tokio::test]
async fn one_that_hangs_up_has_not_ended_while_somebody_writes() {
    let (_stable, _canary, gateway) = start().await;
    let place = found_instead_of(&gateway);
    for says_yours in [false, true] {
        let mut next = gateway.launch_successor();
        let mut running = led_to_ready(&place).await;
        if says_yours {
            running.say(&json!({ "yours": { "quarantine": [] } })).await;
        }
        drop(running);
        assert_eq!(next.await_exit().await.code(), Some(69), "{}", next.log());
        assert!(!next.log().contains(TAKEN_OVER), "{}", next.log());
        assert!(
            next.log().contains("another process writes to"),
            "{}",
            next.log()
        );
    }
    // It has served all the time, and still does.
    gateway.get_as("c1", "/").await.assert_from("canary");
    ordered(&gateway, post(KILL, "")).await;
    gateway.get_as("c1", "/").await.assert_from("stable");
}

#[tokio::test]
async fn when_the_running_one_is_killed_the_new_one_serves() {
    let (_stable, _canary, mut gateway) = start().await;
    ordered(&gateway, post(KILL, "")).await;
    let next = gateway.launch_successor();
    // It has the sockets, and anything else or nothing else.
    next.await_log("snapshot published").await;
    let old = gateway.become_process(next);
    old.sigkill();
    gateway.await_log(TAKEN_OVER).await;
    gateway.get_as("c1", "/").await.assert_from("stable");
    ordered(&gateway, post(RESTORE, "")).await;
    goes_on(&mut gateway).await;
    gateway.terminate().await;
    audit(&gateway);
}

/// Takes over as far as to where it may write, and does nothing any more.
const STUCK: &str = r#"
import fcntl, json, socket, time
line = socket.socket(socket.AF_UNIX)
line.connect('state/upgrade.sock')
heard = line.makefile()
def say(word):
    line.sendall((json.dumps(word) + '\n').encode())
say({'hello': {'protocol': 1, 'version': '0.0.0', 'pid': 2}})
assert 'sockets' in heard.readline()
say('ready')
assert 'yours' in heard.readline()
lock = open('state/writer.lock', 'r+')
fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
time.sleep(600)
"#;

#[tokio::test]
async fn one_that_is_stuck_where_it_could_write_is_killed_before_the_running_one_writes_again() {
    let (_stable, _canary, mut gateway) = start().await;
    let mut python = Command::new("python3");
    python.args(["-c", STUCK]);
    let mut next = gateway.launch(python);
    let limit = Duration::from_secs(60);
    eventually_within(limit, "its end", || {
        let ended = next.has_ended();
        async move { ended.then_some(()) }
    })
    .await;
    let ended = next.await_exit().await;
    assert_eq!(ended.signal(), Some(9), "{ended} {}", next.log());
    gateway.await_log("does not end, and is killed").await;
    goes_on(&mut gateway).await;
    gateway.terminate().await;
    audit(&gateway);
}

#[tokio::test]
async fn the_service_manager_starts_again_what_was_left_to_one_that_died() {
    let (_stable, _canary, mut gateway) = start().await;
    let mut next = Impostor::come(&gateway).await;
    // Who comes when everything is handed over is sent away.
    let mut late = Impostor::come(&gateway).await;
    next.say(&hello()).await;
    next.hears("sockets").await;
    next.say(&json!("ready")).await;
    next.hears("yours").await;
    next.say(&json!({ "serving": { "sockets": [] } })).await;
    next.hears("agreed").await;
    drop(next);
    late.hears("another process has taken over meanwhile").await;
    assert_eq!(gateway.await_exit().await.code(), Some(69));
    let log = gateway.log();
    assert!(log.contains("does not say that it writes"), "{log}");
    assert!(gateway.upgrade_socket().exists(), "it is the other's");
}

#[tokio::test]
async fn a_second_signal_starts_no_second_process() {
    let (stable, canary) = (Origin::start("stable").await, Origin::start("canary").await);
    let folder = tempfile::TempDir::new().expect("a folder");
    let program = folder.path().join("serin");
    link_to_serin(&program);
    let setup = Setup::new(fill(CONFIG, [&stable, &canary]));
    let mut gateway = setup.program(&program).start().await;
    let wait = "echo started >> started; until [ -e go ]; do sleep 0.05; done; exit 3";
    replace(&program, wait);
    let started = || fs::read_to_string(gateway.folder().join("started")).unwrap_or_default();
    gateway.sigusr2();
    until("a process", || (!started().is_empty()).then_some(())).await;
    gateway.sigusr2();
    gateway.await_log("this SIGUSR2 starts no other").await;
    fs::write(gateway.folder().join("go"), "").expect("a file");
    gateway.await_log("exit status: 3").await;
    assert_eq!(started(), "started\n");
    fs::remove_file(&program).expect("a program");
    goes_on(&mut gateway).await;
}
