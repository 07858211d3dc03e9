//! What a power cut, a bad sector or a killed process leaves behind.

use std::fs;
use std::path::{Path, PathBuf};

use super::{TEN, all, append, open, segments};
use crate::spool::Spool;
use crate::spool::tests::limits;

/// The segments on disk, from the oldest on.
fn paths(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "segment"));
    paths.sort();
    paths
}

/// A folder with one segment of three records.
fn three() -> (tempfile::TempDir, PathBuf, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    append(&open(folder.path()), &["one", "two", "three"]);
    let path = paths(folder.path()).remove(0);
    let bytes = fs::read(&path).unwrap();
    (folder, path, bytes)
}

/// After damage only a beginning of what was appended is there, and the spool goes on.
fn holds_a_beginning(folder: &Path, least: usize) {
    let (spool, _) = Spool::open(folder, limits()).unwrap();
    let before = all(&mut spool.look());
    assert!(before.len() >= least, "{before:?}");
    assert_eq!(before, ["one", "two", "three"][..before.len()]);
    append(&spool, &["next"]);
    drop(spool);
    let (spool, damage) = Spool::open(folder, limits()).unwrap();
    assert!(damage.is_none(), "what was mended is whole: {damage}");
    let after = all(&mut spool.look());
    assert_eq!(after.len(), before.len() + 1);
    assert_eq!(after.last().unwrap(), "next");
}

/// How many records are whole before a place of the three's segment.
fn whole_before(place: usize) -> usize {
    let ends = [28 + 27, 28 + 27 + 27, 28 + 27 + 27 + 29];
    ends.iter().filter(|&&end| end <= place).count()
}

#[test]
fn a_segment_may_end_at_any_byte() {
    let (_, _, bytes) = three();
    for length in 0..=bytes.len() {
        let (folder, path, bytes) = three();
        fs::write(&path, &bytes[..length]).unwrap();
        holds_a_beginning(folder.path(), whole_before(length));
    }
}

#[test]
fn a_segment_may_be_zeros_from_any_byte_on() {
    let (_, _, bytes) = three();
    for length in 0..bytes.len() {
        let (folder, path, mut bytes) = three();
        bytes[length..].fill(0);
        fs::write(&path, &bytes).unwrap();
        holds_a_beginning(folder.path(), whole_before(length));
    }
}

#[test]
fn any_bit_may_be_wrong() {
    let (_, _, bytes) = three();
    for place in 0..bytes.len() {
        let (folder, path, mut bytes) = three();
        bytes[place] ^= 1 << (place % 8);
        fs::write(&path, &bytes).unwrap();
        let least = if place < 28 { 0 } else { whole_before(place) };
        holds_a_beginning(folder.path(), least);
    }
}

#[test]
fn damage_inside_costs_the_rest_of_its_segment_and_is_counted_once() {
    let folder = tempfile::tempdir().unwrap();
    append(&open(folder.path()), &TEN);
    let all_paths = paths(folder.path());
    assert_eq!(all_paths.len(), 3, "four and four and two");
    let mut bytes = fs::read(&all_paths[1]).unwrap();
    let place = bytes.len() - 40;
    bytes[place] ^= 1;
    fs::write(&all_paths[1], bytes).unwrap();
    let spool = open(folder.path());
    let mut cursor = spool.cursor("sink").unwrap();
    let (mut read, mut unreadable) = (Vec::new(), 0);
    loop {
        let batch = cursor.next_batch(1000, 1 << 20).unwrap();
        unreadable += batch.unreadable;
        let Some(last) = batch.records.last() else {
            break;
        };
        read.extend(super::texts(&batch.records));
        cursor.acknowledge(last.sequence).unwrap();
    }
    assert_eq!(read.len() as u64 + unreadable, 10, "{read:?}");
    assert_eq!(unreadable, 2);
    assert_eq!(spool.figures().sinks["sink"].unreadable, 2);
    // Erasing takes what nobody can read with it.
    assert_eq!(spool.erase(&|_| false).unwrap(), 0);
    drop((cursor, spool));
    let spool = open(folder.path());
    assert_eq!(all(&mut spool.look()).len(), 8);
    assert_eq!(
        spool.look().next_batch(1000, 1 << 20).unwrap().unreadable,
        0
    );
}

#[test]
fn damage_in_the_segment_that_is_written_to_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(folder.path());
    append(&spool, &["one", "two"]);
    let path = paths(folder.path()).remove(0);
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&path, bytes).unwrap();
    let mut cursor = spool.cursor("sink").unwrap();
    let batch = cursor.next_batch(9, 99).unwrap();
    cursor.acknowledge(batch.records[0].sequence).unwrap();
    assert_eq!(cursor.next_batch(9, 99).unwrap().unreadable, 1);
    append(&spool, &["three"]);
    assert_eq!(all(&mut cursor), ["three"]);
    assert_eq!(segments(folder.path()), 2);
}

#[test]
fn a_damaged_cursor_begins_with_the_oldest_and_none_falls_behind_what_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(folder.path());
    append(&spool, &TEN);
    let mut cursor = spool.cursor("sink").unwrap();
    let batch = cursor.next_batch(1000, 1 << 20).unwrap();
    cursor.acknowledge(batch.records[9].sequence).unwrap();
    drop((spool, cursor));
    // A power cut took records that the sink has: their sequences are not given to others.
    for path in paths(folder.path()) {
        fs::remove_file(path).unwrap();
    }
    let spool = open(folder.path());
    append(&spool, &["eleven"]);
    assert_eq!(all(&mut spool.cursor("sink").unwrap()), ["eleven"]);
    let path = folder.path().join("sink.cursor");
    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        assert_eq!(all(&mut spool.cursor("sink").unwrap()), ["eleven"]);
    }
}

#[test]
fn what_was_half_written_beside_a_segment_is_cleared_away() {
    let folder = tempfile::tempdir().unwrap();
    append(&open(folder.path()), &["one"]);
    let half = folder.path().join("0000000000000001.segment.tmp");
    fs::write(&half, "half").unwrap();
    assert_eq!(all(&mut open(folder.path()).look()), ["one"]);
    assert!(!half.exists());
}
