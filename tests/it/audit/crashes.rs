//! Nothing is answered as done that the trail does not have, whenever the gateway is killed.

use std::collections::BTreeSet;
use std::sync::Mutex;

use futures_util::future::join_all;

use super::{ONCALL, PLATFORM, carried_out, entries, kept, kill, told, with};
use crate::harness::{Connection, Gateway, Origin, run_serin};

/// How often the gateway is killed.
const CRASHES: usize = 15;
/// How many orders are under way at a time.
const WRITERS: usize = 6;

/// Kills canaries until the gateway is gone: the writer that gets the last answer kills it.
async fn write(gateway: &Gateway, prefix: &str, answered: &Mutex<BTreeSet<String>>, last: usize) {
    let host = gateway.admin_address().to_string();
    let mut connection = Connection::open(gateway.admin_address()).await;
    for turn in 0.. {
        let name = format!("{prefix}.{turn}");
        let call = with(ONCALL, kill(&name)).host(&host).said_to_be_json();
        match connection.try_send(call).await {
            Ok(answer) => assert_eq!(answer.status, 200, "{answer:?}"),
            Err(_) => return,
        }
        let mut answered = answered.lock().expect("no panic");
        answered.insert(name);
        if answered.len() == last {
            gateway.sigkill();
        }
    }
}

#[tokio::test]
async fn what_was_answered_is_in_the_trail_after_being_killed_at_any_moment() {
    let stable = Origin::start("stable").await;
    let (folder, config) = kept(&stable);
    let all: Mutex<BTreeSet<String>> = Mutex::default();
    for crash in 0..CRASHES {
        let mut gateway = Gateway::start(&*config).await;
        let last = all.lock().expect("no panic").len() + 5 + crash;
        let writers = (0..WRITERS).map(|writer| format!("search.x{crash}.{writer}"));
        let writers: Vec<String> = writers.collect();
        join_all(
            writers
                .iter()
                .map(|prefix| write(&gateway, prefix, &all, last)),
        )
        .await;
        gateway.await_exit().await;
    }
    let gateway = Gateway::start(&*config).await;
    carried_out(&gateway, ONCALL, kill("search.last")).await;
    let entered = entries(&gateway, PLATFORM, "?limit=1000").await;
    let entered: BTreeSet<&str> = told(&entered)
        .iter()
        .map(|(_, object, _)| *object)
        .collect();
    let answered = all.into_inner().expect("no panic");
    assert!(answered.len() > CRASHES, "{answered:?}");
    let missing: Vec<&String> = answered
        .iter()
        .filter(|name| !entered.contains(&***name))
        .collect();
    assert_eq!(missing, Vec::<&String>::new());
    let folder = folder.path().to_str().expect("a path");
    let output = run_serin(["audit", "verify", "--state-dir", folder]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}
