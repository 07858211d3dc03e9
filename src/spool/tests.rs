//! A spool through power cuts, damage, bounds and erasure.

mod damage;
mod faults;

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use super::record::Record;
use super::{Cursor, Limits, Spool};
use crate::context::Moment;

fn at(unix_ms: i64) -> Moment {
    Moment { unix_ms }
}

/// Segments of about four records, and room on any disk.
fn limits() -> Limits {
    Limits {
        bytes: 1 << 20,
        age: Duration::from_secs(7 * 24 * 3600),
        taken: Duration::from_secs(24 * 3600),
        segment: 130,
        reserve: 0.0,
        reserve_bytes: 0,
    }
}

fn open(folder: &Path) -> Spool {
    Spool::open(folder, limits()).unwrap().0
}

fn append(spool: &Spool, texts: &[&str]) {
    let now = crate::clock::now();
    for text in texts {
        spool.append(text.as_bytes(), now).unwrap();
    }
}

/// Records' payloads as texts.
fn texts(records: &[Record]) -> Vec<String> {
    let text = |record: &Record| String::from_utf8(record.payload.clone()).unwrap();
    records.iter().map(text).collect()
}

fn all(cursor: &mut Cursor) -> Vec<String> {
    texts(&cursor.next_batch(1000, 1 << 20).unwrap().records)
}

/// How many segments there are on disk.
fn segments(folder: &Path) -> usize {
    let names = std::fs::read_dir(folder).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name());
    names
        .filter(|name| name.to_str().unwrap().ends_with(".segment"))
        .count()
}

const TEN: [&str; 10] = [
    "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
];

#[test]
fn each_sink_reads_everything_at_its_own_pace_and_goes_on_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(folder.path());
    append(&spool, &TEN);
    assert!(segments(folder.path()) > 1, "records fill several segments");
    let (mut quick, mut slow) = (
        spool.cursor("quick").unwrap(),
        spool.cursor("slow").unwrap(),
    );
    let batch = quick.next_batch(1000, 1 << 20).unwrap();
    assert_eq!(texts(&batch.records), TEN);
    quick
        .acknowledge(batch.records.last().unwrap().sequence)
        .unwrap();
    assert!(all(&mut quick).is_empty());
    // What is not acknowledged comes again; a part can be.
    let batch = slow.next_batch(3, 1 << 20).unwrap();
    assert_eq!(texts(&batch.records), TEN[..3]);
    slow.acknowledge(batch.records[1].sequence).unwrap();
    assert_eq!(all(&mut slow), TEN[2..]);
    drop((spool, quick, slow));
    let spool = open(folder.path());
    append(&spool, &["eleven"]);
    assert_eq!(all(&mut spool.cursor("quick").unwrap()), ["eleven"]);
    let slow = all(&mut spool.cursor("slow").unwrap());
    assert_eq!((slow.len(), &*slow[8]), (9, "eleven"));
    assert_eq!(all(&mut spool.cursor("new").unwrap()).len(), 11);
    assert_eq!(all(&mut spool.look()).len(), 11);
}

#[test]
fn a_batch_ends_at_its_bytes_but_has_one_record_at_least() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(folder.path());
    append(&spool, &["a long one", "b", "c"]);
    let mut cursor = spool.cursor("sink").unwrap();
    let first = cursor.next_batch(10, 1).unwrap().records;
    assert_eq!(texts(&first), ["a long one"]);
    cursor.acknowledge(first[0].sequence).unwrap();
    assert_eq!(
        texts(&cursor.next_batch(10, 2).unwrap().records),
        ["b", "c"]
    );
}

#[test]
fn what_a_sink_has_before_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(folder.path());
    let mut cursor = spool.cursor("sink").unwrap();
    let backlog = || spool.figures().sinks["sink"].clone();
    assert_eq!(backlog(), super::Backlog::default());
    spool.append(b"12345", at(1_000)).unwrap();
    spool.append(b"12345", at(2_000)).unwrap();
    let told = backlog();
    assert_eq!((told.bytes, told.oldest), (2 * 29, Some(at(1_000))));
    let batch = cursor.next_batch(9, 99).unwrap();
    cursor.acknowledge(batch.records[0].sequence).unwrap();
    let told = backlog();
    assert_eq!((told.bytes, told.oldest), (29, Some(at(2_000))));
    cursor.acknowledge(batch.records[1].sequence).unwrap();
    assert_eq!((backlog().bytes, backlog().oldest), (0, None));
    spool.append(b"12345", at(3_000)).unwrap();
    assert_eq!(backlog().oldest, Some(at(3_000)));
}

#[test]
fn the_oldest_segments_are_dropped_and_counted_for_those_who_had_not_taken_them() {
    let folder = tempfile::tempdir().unwrap();
    let small = Limits {
        bytes: 300,
        ..limits()
    };
    let (spool, _) = Spool::open(folder.path(), small).unwrap();
    let (mut quick, mut slow) = (
        spool.cursor("quick").unwrap(),
        spool.cursor("slow").unwrap(),
    );
    for index in 0..40_u32 {
        spool
            .append(&index.to_be_bytes(), at(i64::from(index)))
            .unwrap();
        let batch = quick.next_batch(10, 1000).unwrap().records;
        quick.acknowledge(batch.last().unwrap().sequence).unwrap();
    }
    let figures = spool.figures();
    assert!(figures.bytes <= 300 + 150, "{figures:?}");
    assert_eq!(figures.sinks["quick"].dropped, 0);
    let left = slow.next_batch(100, 10_000).unwrap().records.len() as u64;
    assert!(left < 40);
    assert_eq!(figures.sinks["slow"].dropped + left, 40);
}

#[test]
fn what_all_have_taken_goes_after_a_day_and_the_rest_when_it_is_too_old() {
    const HOUR: i64 = 3_600_000;
    let folder = tempfile::tempdir().unwrap();
    let spool = open(folder.path());
    let mut cursor = spool.cursor("quick").unwrap();
    spool.append(b"first", at(0)).unwrap();
    let batch = cursor.next_batch(9, 99).unwrap();
    cursor.acknowledge(batch.records[0].sequence).unwrap();
    spool.keep_bounds(at(23 * HOUR));
    assert_eq!(segments(folder.path()), 1);
    spool.keep_bounds(at(25 * HOUR));
    assert_eq!(segments(folder.path()), 0);
    spool.append(b"second", at(25 * HOUR)).unwrap();
    spool.keep_bounds(at((25 + 7 * 24 - 1) * HOUR));
    assert_eq!(all(&mut cursor), ["second"]);
    spool.keep_bounds(at((25 + 7 * 24 + 1) * HOUR));
    assert!(all(&mut cursor).is_empty());
    assert_eq!(spool.figures().sinks["quick"].dropped, 1);
}

#[test]
fn records_are_erased_wherever_they_are_and_readers_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(folder.path());
    append(&spool, &TEN);
    let mut cursor = spool.cursor("sink").unwrap();
    let batch = cursor.next_batch(4, 1000).unwrap().records;
    cursor.acknowledge(batch[1].sequence).unwrap();
    let has_e = |payload: &[u8]| payload.contains(&b'e');
    assert_eq!(spool.erase(&has_e).unwrap(), 7);
    assert_eq!(spool.erase(&has_e).unwrap(), 0);
    assert_eq!(all(&mut cursor), ["four", "six"]);
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        for gone in ["three", "seven", "ten"] {
            let gone = gone.as_bytes();
            assert!(!bytes.windows(gone.len()).any(|part| part == gone));
        }
    }
    append(&spool, &["eleven"]);
    assert_eq!(all(&mut cursor), ["four", "six", "eleven"]);
    drop((spool, cursor));
    let spool = open(folder.path());
    assert_eq!(all(&mut spool.look()), ["two", "four", "six", "eleven"]);
    assert_eq!(spool.erase(&|_| true).unwrap(), 4);
    assert_eq!(segments(folder.path()), 0);
    append(&spool, &["twelve"]);
    assert_eq!(all(&mut spool.cursor("sink").unwrap()), ["twelve"]);
}

#[test]
fn whoever_waits_hears_of_each_record() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(folder.path());
    let heard = spool.watch();
    append(&spool, &["one", "two"]);
    assert!(heard.has_changed().unwrap());
    assert_eq!(*heard.borrow(), 2);
}

#[test]
fn a_folder_that_is_none_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    File::create(&file).unwrap();
    assert!(Spool::open(file, limits()).is_err());
}
