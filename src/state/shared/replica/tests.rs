use serde_json::{Value, json};

use super::{Change, Condition, Merged, REMOVAL_IS_KEPT, REVISIONS, Replica};
use crate::state::error::StoreError;
use crate::state::shared::wire::{Owed, Stored};
use crate::state::table::{Expected, Table, Write};

/// A replica with these entries: key, revision, and record.
fn replica(entries: &[(&str, Option<u64>, Option<i64>)]) -> Replica {
    let mut table = Table::default();
    let mut revisions = json!({});
    for (key, revision, record) in entries {
        if let Some(record) = record {
            table.records.insert((*key).to_owned(), json!(record));
        }
        if let Some(revision) = revision {
            revisions[*key] = json!(revision);
        }
    }
    table.notes.insert(REVISIONS.to_owned(), revisions);
    Replica::of(&table)
}

fn record(key: &str, revision: u64, record: i64) -> (String, Stored) {
    (key.to_owned(), Stored::Record(revision, json!(record)))
}

fn removal(key: &str, revision: u64) -> (String, Stored) {
    (key.to_owned(), Stored::Removal(revision))
}

fn changed(key: &str, record: Option<i64>) -> (String, Option<Value>) {
    (key.to_owned(), record.map(Value::from))
}

fn owed(key: &str, revision: &str, record: &str) -> Owed {
    Owed {
        key: key.to_owned(),
        revision: revision.to_owned(),
        record: record.to_owned(),
    }
}

#[test]
fn of_each_key_the_higher_revision_holds() {
    let mut held = replica(&[
        ("newer-here", Some(9), Some(1)),
        ("older-here", Some(3), Some(1)),
        ("same", Some(5), Some(1)),
        ("lost-there", Some(5), Some(1)),
        ("removed-there", Some(5), Some(1)),
        ("removed-here", Some(9), None),
        ("back-there", Some(5), None),
        ("removed-and-lost", Some(5), None),
    ]);
    let stored = [
        record("newer-here", 8, 2),
        record("older-here", 4, 2),
        record("same", 5, 1),
        removal("removed-there", 6),
        record("removed-here", 8, 2),
        record("back-there", 6, 2),
        record("new-there", 7, 2),
        removal("unknown-here", 7),
        ("odd".to_owned(), Stored::Unreadable),
    ];
    let Merged {
        changed: news,
        owed: owes,
    } = held.merge(8, &stored);
    assert_eq!(
        news,
        [
            changed("older-here", Some(2)),
            changed("removed-there", None),
            changed("back-there", Some(2)),
            changed("new-there", Some(2)),
        ]
    );
    assert_eq!(
        owes,
        [
            owed("newer-here", "9", "1"),
            owed("removed-here", "9", ""),
            owed("lost-there", "5", "1"),
            owed("removed-and-lost", "5", ""),
        ]
    );
    assert_eq!((held.revision, held.highest), (8, 9));
    // When Redis has got that, nothing is left to be done.
    let stored = [
        record("newer-here", 9, 1),
        record("older-here", 4, 2),
        record("same", 5, 1),
        removal("removed-there", 6),
        removal("removed-here", 9),
        record("back-there", 6, 2),
        record("new-there", 7, 2),
        removal("unknown-here", 7),
        record("lost-there", 5, 1),
        removal("removed-and-lost", 5),
    ];
    assert_eq!(held.merge(10, &stored), Merged::default());
}

#[test]
fn what_redis_has_not_got_yet_beats_a_removal_and_no_record() {
    let pending = || replica(&[("a", None, Some(1))]);
    for (stored, news, owes) in [
        (vec![], vec![], vec![owed("a", "new", "1")]),
        (vec![removal("a", 7)], vec![], vec![owed("a", "new", "1")]),
        (vec![record("a", 7, 1)], vec![], vec![]),
        (vec![record("a", 7, 2)], vec![changed("a", Some(2))], vec![]),
    ] {
        let merged = pending().merge(7, &stored);
        assert_eq!((merged.changed, merged.owed), (news, owes), "{stored:?}");
    }
    let mut held = pending();
    assert!(held.is_pending("a"));
    assert_eq!(held.take("a", 8, None), None, "a removal that was told of");
    assert_eq!(
        held.take("a", 8, Some(json!(1))),
        None,
        "nothing new for readers"
    );
    assert!(!held.is_pending("a"));
    // A record that stands in Redis is not written again.
    assert_eq!(held.take_pending("a", json!(5)), None);
    assert!(!held.is_pending("a"));
    assert_eq!(held.take("a", 9, None), Some(changed("a", None)));
    assert_eq!(held.take("a", 7, Some(json!(1))), None, "it comes late");
    assert_eq!(
        held.take_pending("a", json!(5)),
        Some(changed("a", Some(5)))
    );
    assert!(held.is_pending("a"));
}

#[test]
fn removals_are_forgotten_in_the_end_on_both_sides() {
    let now = 3 * REMOVAL_IS_KEPT;
    let mut held = replica(&[
        ("old", Some(1), None),
        ("young", Some(now - 5), None),
        ("record", Some(1), Some(1)),
    ]);
    let stored = [
        removal("old", 1),
        removal("older", 2),
        removal("young", now - 5),
        record("record", 1, 1),
    ];
    let merged = held.merge(now, &stored);
    assert_eq!(merged.changed, []);
    assert_eq!(
        merged.owed,
        [owed("old", "forget", "1"), owed("older", "forget", "2")]
    );
    let mut table = Table::default();
    let noted = json!({ "old": 1, "record": 1, "young": now - 5 });
    table.notes.insert(REVISIONS.to_owned(), noted);
    table.carry_out(held.notes());
    let expected = json!({ "record": 1, "young": now - 5 });
    assert_eq!(table.notes.get(REVISIONS), Some(&expected));
    assert_eq!(held.notes(), [], "it is noted");
}

#[test]
fn what_is_noted_is_read_again() {
    let mut table = Table::default();
    table
        .records
        .extend([("a".to_owned(), json!(1)), ("b".to_owned(), json!(2))]);
    let mut held = Replica::of(&table);
    held.take("a", 1, Some(json!(1)));
    held.take("c", 3, None);
    table.carry_out(held.notes());
    assert_eq!(table.notes.get(REVISIONS), Some(&json!({ "a": 1, "c": 3 })));
    assert!(Replica::is_noted(&table));
    let again = Replica::of(&table);
    assert_eq!(again.entries, held.entries);
    table.carry_out(vec![Replica::no_note()]);
    assert!(!Replica::is_noted(&table));
    // By itself a record is news, and a removal that nobody knows of is nothing.
    let alone = Replica::of(&table);
    assert!(alone.is_pending("a") && alone.is_pending("b") && !alone.entries.contains_key("c"));
    // A note that somebody has broken says nothing, and loses nothing.
    table
        .notes
        .insert(REVISIONS.to_owned(), json!({ "a": "x", "z": -1 }));
    let mut broken = Replica::of(&table);
    assert!(broken.is_pending("a") && !broken.entries.contains_key("z"));
    broken.take("a", 4, Some(json!(1)));
    table.carry_out(broken.notes());
    assert_eq!(table.notes.get(REVISIONS), Some(&json!({ "a": 4 })));
    table.notes.insert(REVISIONS.to_owned(), json!([1]));
    assert!(Replica::of(&table).is_pending("a"));
}

#[test]
fn several_writes_of_a_key_are_one_change_with_the_first_ones_condition() {
    let held = replica(&[("a", Some(7), Some(1)), ("gone", Some(8), None)]);
    let put = |key: &str, value: i64, expected| Write::Put {
        key: key.to_owned(),
        value: json!(value),
        expected,
    };
    let remove = |key: &str, expected| Write::Remove {
        key: key.to_owned(),
        expected,
    };
    let note = Write::Note {
        name: "n".to_owned(),
        value: None,
    };
    let is = |value: i64| Expected::Is(json!(value));
    let changes = held.changes(&[
        put("a", 2, is(1)),
        note,
        put("b", 1, Expected::Absent),
        remove("a", is(2)),
        put("a", 3, Expected::Absent),
        remove("c", Expected::Any),
    ]);
    let change = |key: &str, record: Option<i64>, expected| Change {
        key: key.to_owned(),
        record: record.map(Value::from),
        expected,
    };
    assert_eq!(
        changes.unwrap(),
        [
            change("a", Some(3), Condition::Revision(7)),
            change("b", Some(1), Condition::Absent),
            change("c", None, Condition::Any),
        ]
    );
    for refused in [
        vec![put("a", 2, is(2))],
        vec![put("gone", 2, is(2))],
        vec![put("none", 2, is(2))],
        vec![put("a", 2, Expected::Any), put("a", 3, is(1))],
        vec![remove("b", Expected::Any), remove("b", is(1))],
        vec![put("b", 1, Expected::Any), put("b", 1, Expected::Absent)],
    ] {
        let error = held.changes(&refused).unwrap_err();
        assert!(matches!(error, StoreError::Changed(_)), "{refused:?}");
    }
}
