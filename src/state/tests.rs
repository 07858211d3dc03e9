use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use super::{Expected, Kind, StateStore, StoreError, Write};
use crate::durable::tests::names;

fn put(key: &str, value: Value, expected: Expected) -> Write {
    Write::Put {
        key: key.to_owned(),
        value,
        expected,
    }
}

#[tokio::test]
async fn what_was_answered_is_there_after_a_restart_each_kind_in_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let store = StateStore::open(&state);
    for kind in Kind::ALL {
        let write = put("a/b", json!({ "kind": kind.name() }), Expected::Absent);
        let stored = store.write(kind, vec![write]).await.unwrap();
        assert_eq!(stored.recorded_in, ["state"]);
    }
    let note = Write::Note {
        name: "note".to_owned(),
        value: Some(json!(7)),
    };
    store.write(Kind::Flags, vec![note]).await.unwrap();
    assert_eq!(
        names(&state),
        [
            "flags.json",
            "kills.json",
            "recording.json",
            "registrations.json",
            "segments.json",
            "seniority.json"
        ]
    );
    let mode = fs::metadata(state.join("flags.json")).unwrap();
    assert_eq!(mode.permissions().mode() & 0o777, 0o600);
    let again = StateStore::open(&state);
    for kind in Kind::ALL {
        assert_eq!(again.records(kind)["a/b"]["kind"], kind.name());
        assert_eq!(again.read(kind), store.read(kind));
    }
    assert_eq!(again.read(Kind::Flags).table.notes["note"], 7);

    let memory = StateStore::in_memory();
    let write = || vec![put("a/b", json!(1), Expected::Absent)];
    let stored = memory.write(Kind::Flags, write()).await.unwrap();
    assert!(stored.recorded_in.is_empty());
    assert!(memory.write(Kind::Flags, write()).await.is_err());
    assert_eq!(memory.records(Kind::Flags)["a/b"], 1);
}

#[tokio::test]
async fn a_write_that_expects_something_else_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = StateStore::open(folder.path());
    let write = |writes| store.write(Kind::Flags, writes);
    write(vec![put("a", json!(1), Expected::Absent)])
        .await
        .unwrap();
    let remove = |expected| Write::Remove {
        key: "a".to_owned(),
        expected,
    };
    for refused in [
        put("a", json!(2), Expected::Absent),
        put("a", json!(2), Expected::Is(json!(3))),
        put("b", json!(2), Expected::Is(json!(null))),
        remove(Expected::Is(json!(2))),
        remove(Expected::Absent),
    ] {
        // What stands before it is taken back.
        let before = [
            put("a", json!(1), Expected::Any),
            put("c", json!(1), Expected::Any),
        ];
        let writes = [&before[..], std::slice::from_ref(&refused)].concat();
        let error = write(writes).await.unwrap_err();
        assert!(matches!(error, StoreError::Changed(_)), "{refused:?}");
    }
    for store in [&store, &StateStore::open(folder.path())] {
        assert_eq!(store.records(Kind::Flags), [("a".into(), json!(1))].into());
    }
    // Each write sees those before it.
    write(vec![
        put("a", json!(2), Expected::Is(json!(1))),
        remove(Expected::Is(json!(2))),
        put("a", json!(3), Expected::Absent),
    ])
    .await
    .unwrap();
    assert_eq!(StateStore::open(folder.path()).records(Kind::Flags)["a"], 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_racing_writers_one_wins_each_time_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let store = StateStore::open(folder.path());
    let count = async |writer: u64, store: StateStore| {
        let mut won = 0;
        while won < 25 {
            let seen = store.records(Kind::Flags).get("n").cloned();
            let next = seen.as_ref().and_then(Value::as_u64).unwrap_or_default() + 1;
            let expected = seen.map_or(Expected::Absent, Expected::Is);
            let own = put(&format!("{writer}/{won}"), json!(next), Expected::Absent);
            let writes = vec![put("n", json!(next), expected), own];
            match store.write(Kind::Flags, writes).await {
                Ok(_) => won += 1,
                Err(StoreError::Changed(key)) => assert_eq!(key, "n"),
                Err(error) => panic!("{error}"),
            }
        }
    };
    let writers = (0..8).map(|writer| tokio::spawn(count(writer, store.clone())));
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let records = StateStore::open(folder.path()).records(Kind::Flags);
    assert_eq!(records["n"], 200);
    let mut seen: Vec<u64> = records
        .iter()
        .filter(|(key, _)| *key != "n")
        .filter_map(|(_, value)| value.as_u64())
        .collect();
    seen.sort_unstable();
    assert_eq!(seen, (1..=200).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_damaged_file_is_told_and_kept_once_beside_what_replaces_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registrations.json");
    let damaged = r#"{"version":2,"records":{"a/b":{"url":"x"},"#;
    fs::write(&path, damaged).unwrap();
    let store = StateStore::open(folder.path());
    let told = store.damage(Kind::Registrations).join("\n");
    assert!(
        told.contains("registrations.json: it cannot all be read"),
        "{told}"
    );
    assert!(store.damage(Kind::Flags).is_empty());
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        damaged,
        "for people to look at"
    );

    // Half of it is in the way: it cannot be written.
    fs::create_dir_all(folder.path().join("registrations.json.tmp/x")).unwrap();
    let write = || vec![put("c/d", json!({}), Expected::Absent)];
    for _ in 0..3 {
        let error = store.write(Kind::Registrations, write()).await.unwrap_err();
        assert!(matches!(error, StoreError::Unwritable(_)), "{error}");
        assert_eq!(store.records(Kind::Registrations).len(), 1);
    }
    fs::remove_dir_all(folder.path().join("registrations.json.tmp")).unwrap();
    store.write(Kind::Registrations, write()).await.unwrap();
    assert_eq!(
        names(folder.path()),
        ["registrations.json", "registrations.json.damaged.1"]
    );
    let kept = fs::read_to_string(folder.path().join("registrations.json.damaged.1"));
    assert_eq!(kept.unwrap(), damaged);
    let again = StateStore::open(folder.path());
    assert!(again.damage(Kind::Registrations).is_empty());
    assert_eq!(again.records(Kind::Registrations).len(), 2);
}

#[tokio::test]
async fn a_mended_file_holds_and_a_missing_one_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flags.json");
    fs::write(&path, "{").unwrap();
    let store = StateStore::open(folder.path());
    assert_eq!(store.reread(Kind::Flags).await, None);
    fs::remove_file(&path).unwrap();
    assert_eq!(store.reread(Kind::Flags).await, None);
    fs::write(&path, r#"{"version":2,"records":{"a":1}}"#).unwrap();
    let loaded = store.reread(Kind::Flags).await.unwrap();
    assert_eq!(loaded.table.records["a"], 1);
    assert_eq!(store.read(Kind::Flags), loaded);
    assert!(store.damage(Kind::Flags).is_empty());
    // It is written anew with its checksum, and nothing of it is kept beside.
    let write = vec![put("a", json!(1), Expected::Is(json!(1)))];
    store.write(Kind::Flags, write).await.unwrap();
    assert!(fs::read_to_string(&path).unwrap().contains("sha256"));
    assert_eq!(names(folder.path()), ["flags.json"]);
}

#[tokio::test]
async fn what_somebody_else_writes_meanwhile_is_kept_beside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flags.json");
    let store = StateStore::open(folder.path());
    let write = |key| vec![put(key, json!(1), Expected::Absent)];
    store.write(Kind::Flags, write("a")).await.unwrap();
    store.write(Kind::Flags, write("b")).await.unwrap();
    assert_eq!(names(folder.path()), ["flags.json"]);
    let edited = r#"{"version":2,"records":{"x":1}}"#;
    fs::write(&path, edited).unwrap();
    store.write(Kind::Flags, write("c")).await.unwrap();
    store.write(Kind::Flags, write("d")).await.unwrap();
    assert_eq!(names(folder.path()), ["flags.json", "flags.json.damaged.1"]);
    let kept = fs::read_to_string(folder.path().join("flags.json.damaged.1"));
    assert_eq!(kept.unwrap(), edited);
    let records = StateStore::open(folder.path()).records(Kind::Flags);
    assert_eq!(records.into_keys().collect::<String>(), "abcd");
    // A file that is gone is there again.
    fs::remove_file(&path).unwrap();
    store.write(Kind::Flags, write("e")).await.unwrap();
    assert_eq!(
        StateStore::open(folder.path()).records(Kind::Flags).len(),
        5
    );
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_told_and_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    // A file where the folder should be.
    fs::write(&state, "").unwrap();
    let store = StateStore::open(&state);
    let write = || vec![put("a", json!(1), Expected::Any)];
    let error = store.write(Kind::Kills, write()).await.unwrap_err();
    assert!(
        error.to_string().contains("state_dir cannot be written"),
        "{error}"
    );
    assert!(store.records(Kind::Kills).is_empty());
    fs::remove_file(&state).unwrap();
    store.write(Kind::Kills, write()).await.unwrap();
    assert_eq!(StateStore::open(&state).records(Kind::Kills)["a"], 1);
    let full = StoreError::from(std::io::Error::from_raw_os_error(28));
    assert!(matches!(full, StoreError::Full(_)), "{full}");
}

#[tokio::test]
async fn what_has_begun_is_carried_through_when_its_caller_goes_away() {
    let folder = tempfile::tempdir().unwrap();
    let store = StateStore::open(folder.path());
    for n in 0..20_u32 {
        let writes = vec![put(&format!("{n}"), json!(n), Expected::Any)];
        // Asked once, and then dropped.
        let mut write = Box::pin(store.write(Kind::Segments, writes));
        let _ = futures_util::poll!(&mut write);
    }
    let last = vec![put("last", json!(0), Expected::Any)];
    store.write(Kind::Segments, last).await.unwrap();
    assert_eq!(
        StateStore::open(folder.path())
            .records(Kind::Segments)
            .len(),
        21
    );
}

#[tokio::test]
async fn a_member_of_a_note_is_written_by_itself_and_with_its_batch_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let store = StateStore::open(folder.path());
    let member = |member: &str, value: Option<u64>| Write::NoteMember {
        name: "note".to_owned(),
        member: member.to_owned(),
        value: value.map(Value::from),
    };
    let write = |writes| store.write(Kind::Flags, writes);
    let noted = || store.read(Kind::Flags).table.notes.get("note").cloned();
    write(vec![member("a", Some(1)), member("b", Some(2))])
        .await
        .unwrap();
    assert_eq!(noted(), Some(json!({ "a": 1, "b": 2 })));
    let refused = put("x", json!(1), Expected::Is(json!(2)));
    let all = vec![
        member("a", Some(7)),
        member("c", Some(7)),
        member("b", None),
        refused,
    ];
    assert!(matches!(write(all).await, Err(StoreError::Changed(_))));
    assert_eq!(noted(), Some(json!({ "a": 1, "b": 2 })));
    write(vec![member("a", None), member("c", Some(3))])
        .await
        .unwrap();
    let again = StateStore::open(folder.path());
    assert_eq!(
        again.read(Kind::Flags).table.notes["note"],
        json!({ "b": 2, "c": 3 })
    );
    write(vec![member("b", None), member("c", None)])
        .await
        .unwrap();
    assert_eq!(noted(), None);
}
