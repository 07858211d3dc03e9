use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::{Exposures, QUEUE, Wanted};
use crate::config::attribution::{Control, ExposuresConfig, UserForm};
use crate::config::flag_server::Secret;
use crate::context::{Context, Moment};
use crate::decide::decide;
use crate::dispatch::user_key;
use crate::identity::Anonymous;
use crate::record::Outcome;
use crate::route::{RouteIndex, ServiceIndex};
use crate::snapshot::Snapshot;
use crate::snapshot::sample;
use crate::spool::{Limits, Spool};

/// 2026-11-22T12:00:00Z.
const NOON: i64 = 1_795_348_800_000;
const DAY: i64 = 24 * 60 * 60 * 1000;

fn config() -> ExposuresConfig {
    ExposuresConfig {
        users: UserForm::Hash,
        key: Some(Secret::new("a key of some length")),
        anonymous: false,
        control: Control::All,
        properties: Vec::new(),
    }
}

fn open(folder: &Path) -> Exposures {
    let limits = Limits {
        // A small disk is no matter here.
        reserve: 0.0,
        ..Limits::new(1 << 30, Duration::from_secs(7 * 24 * 60 * 60))
    };
    let (spool, _) = Spool::open(folder.join("spool"), limits).unwrap();
    Exposures::start(config(), spool, "gw-1").unwrap()
}

/// A user asks, and is served as decided, or by stable.
fn ask(exposures: &Exposures, snapshot: &Arc<Snapshot>, user: &str, at: i64) -> bool {
    let context = Context {
        user_id: Some(Cow::Borrowed(user)),
        ..Context::default()
    };
    let moment = Moment { unix_ms: at };
    let decision = decide(&snapshot.services[0], &context, moment);
    let outcome = Outcome {
        snapshot,
        route: Some(RouteIndex::new(0)),
        service: Some(ServiceIndex::new(0)),
        decision: Some(decision),
        served: Some(decision.assigned),
        cause: None,
        retries: &[],
        status: 200,
        request_bytes: 0,
        response_bytes: 0,
        upstream_time: None,
        total_time: Duration::ZERO,
        moment,
        method: "GET",
        host: "",
        path: "",
        user: user_key(&context),
        user_id: None,
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        request_id: "",
        upstream: None,
        trace_id: None,
    };
    let Some(first) = exposures.first_sight(&outcome) else {
        return false;
    };
    exposures.offer(&outcome, &context, first);
    true
}

/// As [`ask`], of a worker that has seen nobody.
fn ask_another(exposures: &Exposures, snapshot: &Arc<Snapshot>, user: &str, at: i64) -> bool {
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| ask(exposures, snapshot, user, at));
        worker.join().unwrap()
    })
}

/// Every ID in the spool, with its time.
fn spooled(exposures: &Exposures) -> Vec<(String, String)> {
    assert!(exposures.flush(Duration::from_secs(10)));
    let mut cursor = exposures.spool().look();
    let batch = cursor.next_batch(100_000, usize::MAX).unwrap();
    let records = batch.records.iter();
    records
        .map(|record| {
            let text: serde_json::Value = serde_json::from_slice(&record.payload).unwrap();
            let text = |name: &str| text[name].as_str().unwrap().to_owned();
            (text("id"), text("time"))
        })
        .collect()
}

#[test]
fn a_user_is_recorded_once_a_day_whichever_worker_saw_them() {
    let folder = tempfile::tempdir().unwrap();
    let exposures = open(folder.path());
    let snapshot = Arc::new(sample::snapshot(Anonymous::Stable));
    assert!(ask(&exposures, &snapshot, "ann", NOON));
    assert!(
        !ask(&exposures, &snapshot, "ann", NOON + 1),
        "this worker knows"
    );
    assert!(ask_another(&exposures, &snapshot, "ann", NOON + 2));
    assert_eq!(spooled(&exposures).len(), 1);
    assert_eq!(exposures.figures().repeated.get(), 1);
    assert!(ask(&exposures, &snapshot, "ann", NOON + DAY));
    // The clock is set back over midnight, and goes on.
    assert!(ask_another(&exposures, &snapshot, "ann", NOON + 3));
    assert!(ask_another(&exposures, &snapshot, "ann", NOON + DAY + 4));
    let spooled = spooled(&exposures);
    let times: Vec<&str> = spooled.iter().map(|(_, time)| &**time).collect();
    assert_eq!(
        times,
        ["2026-11-22T12:00:00.000Z", "2026-11-23T12:00:00.000Z"]
    );
}

#[test]
fn nothing_is_recorded_again_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let snapshot = Arc::new(sample::snapshot(Anonymous::Stable));
    let exposures = open(folder.path());
    for user in 0..200 {
        ask(&exposures, &snapshot, &format!("u{user}"), NOON);
    }
    let before = spooled(&exposures);
    assert_eq!(before.len(), 200);
    drop(exposures);
    // Other workers, which remember nothing; the recorder may still be reading the spool.
    let path = folder.path().to_owned();
    let after = std::thread::spawn(move || {
        let exposures = open(&path);
        for user in 0..300 {
            ask(&exposures, &snapshot, &format!("u{user}"), NOON + 60_000);
        }
        spooled(&exposures)
    });
    let after = after.join().unwrap();
    assert_eq!(after[..200], before);
    let ids: BTreeSet<&String> = after.iter().map(|(id, _)| id).collect();
    assert_eq!((ids.len(), after.len()), (300, 300));
}

#[test]
fn a_full_queue_loses_what_is_counted_and_the_next_request_makes_up_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let snapshot = Arc::new(sample::snapshot(Anonymous::Stable));
    let exposures = open(folder.path());
    // While this is held the recorder cannot go on.
    let held = exposures.ledger.latest();
    let users = QUEUE + 1_000;
    for user in 0..users {
        assert!(ask(&exposures, &snapshot, &format!("u{user}"), NOON));
    }
    let dropped = exposures.figures().dropped.get();
    // One may have left the queue.
    assert!((999..=1_000).contains(&dropped), "{dropped}");
    drop(held);
    assert!(exposures.flush(Duration::from_secs(10)));
    for user in 0..users {
        ask(&exposures, &snapshot, &format!("u{user}"), NOON + 1);
        if user % 1_000 == 0 {
            assert!(exposures.flush(Duration::from_secs(10)));
        }
    }
    assert_eq!(spooled(&exposures).len(), users);
}

#[test]
fn a_user_is_forgotten_and_others_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let snapshot = Arc::new(sample::snapshot(Anonymous::Stable));
    let exposures = open(folder.path());
    for user in ["ann", "bob", "eve"] {
        ask(&exposures, &snapshot, user, NOON);
    }
    assert_eq!(spooled(&exposures).len(), 3);
    assert_eq!(exposures.forget("ann").unwrap(), 1);
    assert_eq!(exposures.forget("ann").unwrap(), 0);
    assert_eq!(spooled(&exposures).len(), 2);
    let wanted = |user| Wanted {
        user: Some(user),
        limit: 10,
        ..Wanted::default()
    };
    assert_eq!(exposures.latest(&wanted("ann")), []);
    let bob = exposures.latest(&wanted("bob"));
    assert_eq!(bob.len(), 1);
    assert_eq!(exposures.users().shown("bob").len(), 32);
    let total: u64 = exposures.tallies().iter().map(|tally| tally.count).sum();
    assert_eq!(total, 3, "counts name nobody");
}
