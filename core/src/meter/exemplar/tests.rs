use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::{DeploymentExemplars, Exemplar, RequestExemplars, Slot};
use crate::canary::Cause;
use crate::meter::view::ServedBy;
use crate::meter::{BUCKETS, DeploymentMeter};

const WRITERS: u64 = 3;
const READERS: usize = 2;
/// How often each reader wants to see another exemplar than before.
const CHANGES: usize = 2_000;

/// One whose every part follows from this number.
fn numbered(number: u64) -> Exemplar {
    Exemplar {
        trace: u128::from(!number) << 64 | u128::from(number),
        span: number ^ 0x5555,
        took: Duration::from_nanos(number * 3),
        status: (number % 600) as u16,
        unix_ms: number * 7,
    }
}

fn ended(millis: u64, status: u16) -> Exemplar {
    Exemplar {
        took: Duration::from_millis(millis),
        status,
        ..numbered(millis)
    }
}

#[test]
fn no_reader_sees_a_mix_of_two() {
    let slot = Slot::default();
    let readers_left = AtomicUsize::new(READERS);
    let write = |writer: u64| {
        let mut number = writer + 1;
        while readers_left.load(Ordering::Relaxed) > 0 {
            slot.put(numbered(number));
            number += WRITERS;
            // Or the slot is being written nearly all the time, and readers come to nothing.
            thread::yield_now();
        }
    };
    let read = || {
        let (mut changes, mut last) = (0, 0);
        while changes < CHANGES {
            let Some(found) = slot.get() else {
                continue;
            };
            let number = found.span ^ 0x5555;
            assert_eq!(found, numbered(number));
            if number == last {
                // A writer needs the processor for the next one.
                thread::yield_now();
            } else {
                changes += 1;
            }
            last = number;
        }
    };
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            scope.spawn({
                let write = &write;
                move || write(writer)
            });
        }
        for _ in 0..READERS {
            scope.spawn(|| {
                let read = std::panic::catch_unwind(AssertUnwindSafe(read));
                readers_left.fetch_sub(1, Ordering::Relaxed);
                assert!(read.is_ok());
            });
        }
    });
    let next = numbered(u64::from(u32::MAX));
    slot.put(next);
    assert_eq!(slot.get(), Some(next), "nobody holds the slot any more");
}

#[test]
fn who_comes_while_another_writes_leaves_its_own_out_and_a_reader_does_not_wait() {
    let slot = Slot::default();
    assert_eq!(slot.get(), None);
    slot.put(numbered(1));
    slot.version.fetch_add(1, Ordering::Relaxed);
    slot.put(numbered(2));
    assert_eq!(slot.get(), None);
    slot.version.fetch_add(1, Ordering::Relaxed);
    assert_eq!(slot.get(), Some(numbered(1)));
}

#[test]
fn each_bucket_has_the_latest_that_fell_into_it() {
    let all = DeploymentExemplars::default();
    for (millis, status) in [(1, 200), (2, 200), (2, 204), (20_000, 200)] {
        all.note(ServedBy::Itself, None, ended(millis, status));
    }
    let own = all.requests(ServedBy::Itself).unwrap();
    let buckets = own.buckets();
    assert_eq!(buckets[..2], [Some(ended(1, 200)), Some(ended(2, 204))]);
    assert_eq!(buckets[BUCKETS.len()], Some(ended(20_000, 200)));
    assert_eq!(buckets.iter().flatten().count(), 3);
    assert!(all.requests(ServedBy::Stable).is_none());
}

#[test]
fn a_code_has_the_latest_of_its_class_or_none() {
    let all = DeploymentExemplars::default();
    for status in [200, 502, 503, 0] {
        all.note(ServedBy::None, None, ended(4, status));
    }
    let own = all.requests(ServedBy::None).unwrap();
    let status_of = |code| own.with_code(code).map(|found| found.status);
    assert_eq!(status_of(200), Some(200));
    assert_eq!(status_of(204), None);
    assert_eq!(status_of(502), None, "503 came later");
    assert_eq!(status_of(503), Some(503));
    assert_eq!(status_of(499), Some(499), "the client went away");
    assert_eq!((status_of(0), status_of(900)), (None, None));
    // Nothing counts how long these took.
    assert_eq!(own.buckets(), [None; BUCKETS.len() + 1]);
}

#[test]
fn a_rescue_stands_beside_its_cause() {
    let all = DeploymentExemplars::default();
    all.note(ServedBy::Stable, Some(Cause::Connect), ended(4, 200));
    all.note(ServedBy::Stable, None, ended(5, 200));
    all.note(ServedBy::None, Some(Cause::Timeout), ended(6, 504));
    assert_eq!(all.rescue(Cause::Connect), Some(ended(4, 200)));
    assert_eq!(all.rescue(Cause::Timeout), None, "nobody rescued it");
    let own = all.requests(ServedBy::Stable).unwrap();
    assert_eq!(own.with_code(200), Some(ended(5, 200)));
}

#[test]
fn memory_is_taken_by_the_first_only() {
    let meter = DeploymentMeter::default();
    assert_eq!(size_of_val(&meter.exemplars), 16);
    assert!(meter.exemplars.get().is_none());
    assert_eq!(size_of::<RequestExemplars>(), 22 * 56);
}
