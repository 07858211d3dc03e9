//! Renewals where state is shared: Redis holds the lease, and nobody waits for a disk.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::Command;

use rustix::fs::OFlags;
use serde_json::{Value, json};
use serin::state::{Expected, Kind, StateStore, Write};

use super::{folder, put, shared_store};
use crate::harness::redis::Redis;
use crate::harness::{eventually, in_time, until};

/// A registration that is there, and so late.
fn lease(url: &str, end: u64) -> Write {
    let record = json!({ "url": url, "renewed_at_unix_ms": end - 9, "expires_at_unix_ms": end });
    put("search/search.a", record, Expected::Any)
}

/// What a store has of it.
fn held(store: &StateStore) -> Value {
    let record = store.record(Kind::Registrations, "search/search.a");
    record.expect("a registration")
}

#[tokio::test]
async fn a_renewal_is_answered_when_redis_has_it_and_the_file_follows() {
    let redis = Redis::start().await;
    let (state, elsewhere) = (folder(), folder());
    let store = shared_store(&redis, &state).await;
    let other = shared_store(&redis, &elsewhere).await;
    let write = |write| {
        let store = store.clone();
        tokio::spawn(async move { store.write(Kind::Registrations, vec![write]).await })
    };
    let first = in_time("an answer", write(lease("http://a", 10))).await;
    let everywhere = ["state", "redis"];
    assert_eq!(first.unwrap().unwrap().recorded_in, everywhere);

    // The thread that writes files is asked to read from a pipe, which does not end.
    let pipe = state.path().join("kills.json");
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("mkfifo runs").success());
    let reading = tokio::spawn({
        let store = store.clone();
        async move { store.reread(Kind::Kills).await }
    });
    let mut options = OpenOptions::new();
    let no_wait = OFlags::NONBLOCK.bits().cast_signed();
    options.write(true).custom_flags(no_wait);
    let end = until("somebody who reads", || options.open(&pipe).ok()).await;

    let moved = write(lease("http://b", 10));
    eventually("the other URL", || async {
        (held(&other)["url"] == "http://b").then_some(())
    })
    .await;
    for end in 11..=20 {
        let renewed = in_time("a renewal", write(lease("http://b", end))).await;
        assert_eq!(renewed.unwrap().unwrap().recorded_in, everywhere);
        assert_eq!(held(&store)["expires_at_unix_ms"], end);
    }
    eventually("the renewal elsewhere", || async {
        (held(&other)["expires_at_unix_ms"] == 20).then_some(())
    })
    .await;
    assert!(
        !moved.is_finished(),
        "another URL is answered before it is on the disk"
    );
    let file = state.path().join("registrations.json");
    let stored = || {
        let text = fs::read(&file).expect("a file");
        let document: Value = serde_json::from_slice(&text).expect("a document");
        document["records"]["search/search.a"].clone()
    };
    assert_eq!(stored()["expires_at_unix_ms"], 10);

    drop(end);
    assert_eq!(in_time("the end of the pipe", reading).await.unwrap(), None);
    let moved = in_time("an answer", moved).await.unwrap().unwrap();
    assert_eq!(moved.recorded_in, everywhere);
    until("the file", || {
        (stored()["expires_at_unix_ms"] == 20).then_some(())
    })
    .await;
    assert_eq!(stored()["url"], "http://b");
}
