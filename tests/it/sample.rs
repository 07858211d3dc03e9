//! `make run`: the gateway with the repository's own routes.yaml, before two sample deployments.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::harness::client::send;
use crate::harness::terminal::Terminal;
use crate::harness::{Lines, get, until};

/// The running script; it, and with it all that it started, ends when this is dropped.
struct Script(Child);

impl Drop for Script {
    fn drop(&mut self) {
        // `env` and then `setsid` have become the script: a child that leads no process group needs no fork for it.
        let script = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw);
        if let (Some(script), Ok(None)) = (script, self.0.try_wait()) {
            let _ = kill_process(script, Signal::TERM);
        }
        let _ = self.0.wait();
    }
}

/// A port that is free now.
fn free_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address")
}

#[tokio::test]
async fn one_ctrl_c_ends_all_three_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let [stable, canary, listener, admin] = [(); 4].map(|()| free_port());
    let text = fs::read_to_string("routes.yaml").expect("the repository's file");
    let text = text
        .replace("127.0.0.1:9001", &stable.to_string())
        .replace("127.0.0.1:9002", &canary.to_string())
        .replace("127.0.0.1:8080", &listener.to_string())
        .replace("127.0.0.1:9900", &admin.to_string());
    let state = folder.path().join("state");
    let text = format!("{text}\nserver: {{ state_dir: {} }}\n", state.display());
    let routes = folder.path().join("routes.yaml");
    fs::write(&routes, text).expect("a file");

    // The terminal's foreground is the script alone, as when a person starts it.
    let terminal = Terminal::new();
    // And as such it heeds Ctrl-C, even where these tests were started by what does not.
    let script = Command::new("env")
        .args(["--default-signal=INT", "setsid", "--ctty", "--wait"])
        .arg("scripts/run-sample")
        .arg(&routes)
        .args([stable.port().to_string(), canary.port().to_string()])
        // The binary under test is built already.
        .env("CARGO", "true")
        .stdin(terminal.open())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the script starts");
    let mut script = Script(script);
    let hints = Lines::of(script.0.stdout.take().expect("a pipe"));
    let log = Lines::of(script.0.stderr.take().expect("a pipe"));
    until("the gateway", || {
        log.text().contains("\"listener\"").then_some(())
    })
    .await;
    for (user, deployment) in [("alice", "canary: GET"), ("bob", "stable: GET")] {
        let answer = send(listener, get("/search").header("x-user-id", user)).await;
        assert!(answer.text().contains(deployment), "{answer:?}");
    }

    terminal.press(3);
    let status = until("the script's end", || script.0.try_wait().expect("a child")).await;
    assert_eq!(status.code(), Some(130), "as a shell says of Ctrl-C");
    until("the end of what it said", || {
        (hints.ended() && log.ended()).then_some(())
    })
    .await;
    assert!(hints.text().starts_with("Try:"), "{}", hints.text());
    let log = log.text();
    let message = |line: &str| -> Value {
        let line: Value = serde_json::from_str(line).expect("a line of the gateway's log alone");
        line["message"].clone()
    };
    let messages: Vec<Value> = log.lines().map(message).collect();
    let [.., draining, stopped] = messages.as_slice() else {
        panic!("{log}");
    };
    assert_eq!((draining, stopped), (&"draining".into(), &"stopped".into()));
    for address in [stable, canary, listener, admin] {
        assert!(
            TcpListener::bind(address).is_ok(),
            "{address} is still taken"
        );
    }
}
