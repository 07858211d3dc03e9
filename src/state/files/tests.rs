use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::oneshot;

use super::{GATHERING, MAX_BATCH, Order, StateFile, Writer};
use crate::custody::Custody;
use crate::state::error::StoreError;
use crate::state::held::Held;
use crate::state::kind::{Kind, PerKind};
use crate::state::table::{Expected, Write};

fn put(key: usize) -> Vec<Write> {
    vec![Write::Put {
        key: key.to_string(),
        value: json!(key),
        expected: Expected::Absent,
    }]
}

/// What `count` writes are answered that all wait when the thread begins.
fn answers(state_dir: &Path, count: usize) -> Vec<Result<(), StoreError>> {
    let (orders, received) = channel();
    let wait = |key| {
        let (answer, answered) = oneshot::channel();
        orders
            .send(Order::Write(Kind::Flags, put(key), answer))
            .unwrap();
        answered
    };
    let waiting: Vec<_> = (0..count).map(wait).collect();
    drop(orders);
    let writer = Writer {
        custody: Custody::default(),
        files: PerKind::make(|kind| StateFile::open(state_dir, kind).0),
        held: Held::default(),
    };
    writer.run(&received);
    let answer = |mut answered: oneshot::Receiver<_>| answered.try_recv().unwrap();
    waiting.into_iter().map(answer).collect()
}

#[test]
fn what_waits_together_is_one_write_and_fails_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let in_the_way = folder.path().join("flags.json.tmp/x");
    fs::create_dir_all(&in_the_way).unwrap();
    let failed: Vec<_> = answers(folder.path(), 2 * MAX_BATCH)
        .into_iter()
        .map(|answer| match answer {
            Err(StoreError::Unwritable(error)) => error,
            other => panic!("{other:?}"),
        })
        .collect();
    let of_first = |error: &&Arc<_>| Arc::ptr_eq(error, &failed[0]);
    let first = failed.iter().filter(of_first).count();
    assert_eq!(
        first,
        MAX_BATCH + 1,
        "the first, and as many as it takes with it"
    );

    fs::remove_dir_all(in_the_way.parent().unwrap()).unwrap();
    let stored = answers(folder.path(), 100);
    assert!(stored.iter().all(Result::is_ok), "{stored:?}");
    let (_, loaded) = StateFile::open(folder.path(), Kind::Flags);
    assert_eq!(loaded.table.records.len(), 100);
    // One of a batch that expects something else fails alone.
    let again = answers(folder.path(), 101);
    assert!(
        again[..100]
            .iter()
            .all(|answer| matches!(answer, Err(StoreError::Changed(_))))
    );
    assert!(again[100].is_ok());
}

/// A write of a lease that ends at that time.
fn lease(key: &str, end: u64) -> Vec<Write> {
    vec![Write::Put {
        key: key.to_owned(),
        value: json!({ "url": "http://a", "expires_at_unix_ms": end }),
        expected: Expected::Any,
    }]
}

#[test]
fn renewals_wait_for_one_another_and_nothing_else_does() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer {
        custody: Custody::default(),
        files: PerKind::make(|kind| StateFile::open(folder.path(), kind).0),
        held: Held::default(),
    };
    let order = |writer: &mut Writer, writes| {
        let (answer, answered) = oneshot::channel();
        writer.take(Order::Write(Kind::Registrations, writes, answer));
        answered
    };
    let first = order(&mut writer, lease("a/b", 1));
    let now = Instant::now();
    assert!(writer.files.get(Kind::Registrations).is_due(now));
    writer.commit(Kind::Registrations);
    assert!(first.blocking_recv().unwrap().is_ok());
    assert_eq!(writer.until_due(), None, "nothing waits");

    let hour = Duration::from_secs(3600);
    writer.files.get_mut(Kind::Registrations).rests_until = now + hour;
    let mut renewal = order(&mut writer, lease("a/b", 2));
    assert!(!writer.files.get(Kind::Registrations).is_due(now));
    assert!(writer.until_due().is_some_and(|rest| rest > hour / 2));
    assert!(renewal.try_recv().is_err(), "it is not on the disk");
    let other = order(&mut writer, lease("a/c", 2));
    let soon = Instant::now() + GATHERING.1;
    assert!(writer.files.get(Kind::Registrations).is_due(soon));
    writer.commit(Kind::Registrations);
    for answered in [renewal, other] {
        assert!(answered.blocking_recv().unwrap().is_ok());
    }
    let (_, loaded) = StateFile::open(folder.path(), Kind::Registrations);
    assert_eq!(loaded.table.records["a/b"]["expires_at_unix_ms"], 2);
}

#[test]
fn renewals_that_wait_are_stored_when_the_gateway_ends() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Writer {
        custody: Custody::default(),
        files: PerKind::make(|kind| StateFile::open(folder.path(), kind).0),
        held: Held::default(),
    };
    let file = writer.files.get_mut(Kind::Registrations);
    file.table.carry_out(lease("a/b", 1));
    file.rests_until = Instant::now() + Duration::from_secs(3600);
    let (orders, received) = channel();
    let (answer, answered) = oneshot::channel();
    orders
        .send(Order::Write(Kind::Registrations, lease("a/b", 2), answer))
        .unwrap();
    drop(orders);
    writer.run(&received);
    assert!(answered.blocking_recv().unwrap().is_ok());
}
