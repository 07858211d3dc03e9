//! Disks that are full or fail.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::sync::Arc;

use super::{all, append, at, limits, open, segments};
use crate::custody::Custody;
use crate::spool::record::MAX_PAYLOAD;
use crate::spool::{Limits, Spool};

#[test]
fn what_cannot_be_forced_to_the_disk_is_not_tried_again_and_a_new_segment_is_begun() {
    let folder = tempfile::tempdir().unwrap();
    let broken = |_: &File| Err(io::Error::from_raw_os_error(5));
    let (spool, _) =
        Spool::open_with(folder.path().into(), limits(), Custody::default(), broken).unwrap();
    append(&spool, &["one"]);
    spool.sync();
    let figures = spool.figures();
    assert_eq!(figures.unsynced, 1);
    let trouble = figures.trouble.unwrap();
    assert!(trouble.contains("forced to the disk"), "{trouble}");
    spool.sync();
    assert_eq!(
        spool.figures().unsynced,
        1,
        "there is nothing left to force"
    );
    append(&spool, &["two"]);
    assert_eq!(segments(folder.path()), 2);
    assert_eq!(all(&mut spool.look()), ["one", "two"]);
}

#[test]
fn nothing_is_written_to_a_disk_that_is_as_good_as_full() {
    let folder = tempfile::tempdir().unwrap();
    let greedy = Limits {
        reserve: 1.1,
        reserve_bytes: u64::MAX,
        ..limits()
    };
    let (spool, _) = Spool::open(folder.path(), greedy).unwrap();
    let refused = spool.append(b"one", at(0)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::StorageFull);
    let figures = spool.figures();
    assert_eq!((figures.unwritten, segments(folder.path())), (1, 0));
    assert!(figures.trouble.unwrap().contains("as good as full"));
}

#[test]
fn a_folder_that_is_gone_costs_records_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("spool");
    let spool = open(&place);
    fs::remove_dir_all(&place).unwrap();
    assert!(spool.append(b"one", at(0)).is_err());
    fs::create_dir(&place).unwrap();
    spool.append(b"two", at(0)).unwrap();
    assert_eq!(spool.figures().trouble, None);
    assert_eq!(all(&mut spool.look()), ["two"]);
}

#[test]
fn a_payload_that_is_too_long_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(folder.path());
    let long = vec![b'x'; MAX_PAYLOAD + 1];
    let refused = spool.append(&long, at(0)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    spool.append(&long[1..], at(0)).unwrap();
    assert_eq!(all(&mut spool.look())[0].len(), MAX_PAYLOAD);
}

#[test]
fn a_full_disk_costs_the_records_that_do_not_fit_and_the_segment() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(folder.path());
    append(&spool, &["one"]);
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    if let Some(active) = &mut spool.shared.state().active {
        active.file = Arc::new(full);
    }
    let refused = spool.append(b"two", at(0)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::StorageFull);
    let figures = spool.figures();
    assert_eq!(figures.unwritten, 1);
    assert!(figures.trouble.unwrap().contains("cannot be written"));
    append(&spool, &["three"]);
    assert_eq!(spool.figures().trouble, None);
    assert_eq!(segments(folder.path()), 2);
    let read = spool.look().next_batch(9, 99).unwrap();
    assert_eq!(super::texts(&read.records), ["one", "three"]);
    assert_eq!(read.unreadable, 0, "the lost record is no damage");
}
