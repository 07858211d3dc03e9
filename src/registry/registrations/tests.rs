use std::sync::Arc;

use serde_json::json;

use super::record::{Record, Recorded, Target};
use super::{ChangeError, Name, Registrations};
use crate::clock;
use crate::clock::Reading;
use crate::context::Moment;
use crate::state::StateStore;

fn name(canary: &str) -> Name {
    ("search".into(), canary.into())
}

fn record(url: &str) -> Record {
    let mut record = Record {
        url: url.to_owned(),
        ttl_ms: 60_000,
        ..Record::default()
    };
    record.renew(clock::now(), "ci");
    record
}

async fn put(registrations: &Registrations, name: &Name, record: Record) {
    let decide = |_: Option<&_>| Ok::<_, ()>((Some(record.clone()), ()));
    registrations.change(name, decide).await.unwrap();
}

#[tokio::test]
async fn what_was_registered_is_there_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let registrations = Registrations::open(StateStore::open(folder.path()));
    let mut first = record("http://127.0.0.1:9001");
    first.further.insert("later".to_owned(), json!({ "a": 1 }));
    put(&registrations, &name("search.a"), first.clone()).await;
    put(
        &registrations,
        &name("search.b"),
        record("http://127.0.0.1:9002"),
    )
    .await;
    let remove = |lease: Option<&super::Lease>| {
        assert!(lease.is_some());
        Ok::<_, ()>((None, ()))
    };
    registrations
        .change(&name("search.b"), remove)
        .await
        .unwrap();
    drop(registrations);

    let registrations = Registrations::open(StateStore::open(folder.path()));
    let all = registrations.all(Some("search"));
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].1.record, first);
    assert_eq!(registrations.all(Some("shop")).len(), 0);
}

#[tokio::test]
async fn a_refused_change_changes_nothing() {
    let registrations = Registrations::default();
    let refused = registrations
        .change(&name("search.a"), |_| Err::<(_, ()), _>("no"))
        .await;
    assert!(matches!(refused, Err(ChangeError::Refused("no"))));
    assert!(registrations.is_empty());
}

#[tokio::test]
async fn of_racing_changes_none_is_lost() {
    let registrations = Registrations::default();
    let racers = (0..50).map(|_| async {
        let decide = |lease: Option<&super::Lease>| {
            let mut next = lease.map_or_else(|| record("http://127.0.0.1:9"), |l| l.record.clone());
            next.note(Moment { unix_ms: 1 }, "changed", None, None);
            Ok::<_, ()>((Some(next), ()))
        };
        registrations
            .change(&name("search.a"), decide)
            .await
            .unwrap();
    });
    futures_util::future::join_all(racers).await;
    let lease = registrations.get(&name("search.a")).unwrap();
    assert_eq!(lease.record.history.len(), 50);
}

#[test]
fn of_a_long_history_the_last_hundred_are_kept() {
    let mut record = record("http://127.0.0.1:9");
    for number in 0..150 {
        record.note(Moment { unix_ms: number }, "changed", Some("ci"), None);
    }
    let times: Vec<i64> = record.history.iter().map(|one| one.at_unix_ms).collect();
    assert_eq!(times, (50..150).collect::<Vec<i64>>());
}

#[test]
fn a_canary_that_moves_stays_where_it_is_until_the_new_place_is_ready() {
    let mut record = record("http://127.0.0.1:9001");
    let at = |port: u16| Target {
        url: format!("http://127.0.0.1:{port}"),
        health_path: None,
    };
    let now = Moment { unix_ms: 5 };
    assert_eq!(record.unchecked(), Some(at(9001)));
    assert!(!record.pass(now, &at(9002)), "something else was checked");
    assert!(record.pass(now, &at(9001)));
    assert_eq!((record.ready, record.unchecked()), (true, None));

    record.next = Some(at(9002));
    assert_eq!(record.unchecked(), Some(at(9002)));
    assert_eq!(record.url, "http://127.0.0.1:9001");
    assert!(!record.pass(now, &at(9001)), "a check of before");
    assert!(record.pass(now, &at(9002)));
    assert_eq!(record.url, "http://127.0.0.1:9002");
    assert_eq!((record.ready, record.unchecked()), (true, None));

    record.end(now, "taken_back", Some("ci"));
    assert_eq!((record.ready, record.unchecked()), (false, None));
    assert!(!record.pass(now, &at(9002)), "it is over");
}

#[tokio::test]
async fn snapshots_are_told_ends_flags_and_readiness() {
    let registrations = Registrations::default();
    let mut ready = record("http://127.0.0.1:9001");
    ready.ready = true;
    ready.rings = Some(json!([{ "name": "all" }]));
    ready.stickiness = Some("sessionId".to_owned());
    let end = ready.expires_at_unix_ms;
    put(&registrations, &name("search.a"), ready).await;
    put(&registrations, &name("search.b"), record("no URL")).await;

    let now = clock::reading();
    let told = registrations.registered(now);
    let [one] = told.registrations.as_slice() else {
        panic!("{told:?}");
    };
    assert_eq!((&*one.flag, one.is_ready), ("search.a", true));
    assert_eq!(one.until, Some(Moment { unix_ms: end }));
    let flag: Vec<_> = told
        .fallbacks
        .values()
        .map(|one| one.json().clone())
        .collect();
    assert_eq!(
        flag,
        [json!({ "rings": [{ "name": "all" }], "stickiness": "sessionId" })]
    );

    // The clock is about to be moved: the next snapshot must hold for the time after.
    registrations.lead(1_000_000);
    let until = Some(Moment {
        unix_ms: end + 1_000_000,
    });
    assert_eq!(registrations.registered(now).registrations[0].until, until);
    registrations.lead(0);

    let later = Reading {
        moment: Moment { unix_ms: end },
        ..now
    };
    let told = registrations.registered(later);
    assert!(
        !told.registrations[0].is_ready,
        "so that its end makes another snapshot"
    );
    let name: Arc<str> = "search.a".into();
    assert!(told.fallbacks.contains_key(&name));
}

#[tokio::test]
async fn snapshots_are_told_where_else_a_flag_may_lead_because_serin_wrote_so() {
    let registrations = Registrations::default();
    let url = |port: u16| format!("http://127.0.0.1:{port}");
    let mut moved = record(&url(9000));
    for port in 9001..=9006 {
        moved.note_recorded(Some(Recorded {
            url: url(port),
            ..Recorded::default()
        }));
    }
    // Where it is counts no matter who wrote it; a canary that was withdrawn may be there for gateways that do not know yet.
    moved.url = url(9003);
    moved.note_recorded(None);
    assert!(!moved.is_recorded());
    put(&registrations, &name("search.a"), moved).await;
    let told = registrations.registered(clock::reading());
    let written = told.registrations[0].written.iter();
    let written: Vec<String> = written.map(ToString::to_string).collect();
    assert_eq!(written, [url(9004), url(9005), url(9006)]);
}
