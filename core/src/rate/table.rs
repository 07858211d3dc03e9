//! The buckets of many: one table of fixed size and without locks.
//!
//! What has not been seen before takes the place of a bucket that is full, which loses nothing, else of one that lacks one
//! at most: whoever asks under ever new names wipes out what others asked once. Of a rate with a burst of two or more, that
//! is nobody who is being refused. With a burst of one it may be: an empty bucket lacks exactly one, and where it is given
//! away, its owner may ask once more before it is time. Where all places lack more than one, the newcomer passes and is not
//! remembered ([`RateTable::unnoted`]). A race between two threads loses a count, never more.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::{Level, Rate};
use crate::meter::Counter;

/// In how many places one bucket may be: a look-up reads no more.
const WAYS: usize = 8;

/// The places that one bucket may be in.
type Group = [Slot; WAYS];

/// Every bucket that is not full, and some that are.
pub struct RateTable {
    /// Time is counted from here.
    base: Instant,
    groups: usize,
    /// Takes memory from the first request on.
    table: OnceLock<Box<[Group]>>,
    unnoted: Counter,
}

/// One bucket.
#[derive(Default)]
struct Slot {
    /// Half of the key, and below it the step of its rate ([`packed`]); 0: the slot was never used.
    owner: AtomicU64,
    /// When the bucket is full again.
    full_at: AtomicU64,
}

impl RateTable {
    /// With every bucket full, and room for so many (at 16 bytes each). No later moment may be before `now`.
    pub fn new(now: Instant, slots: usize) -> Self {
        Self {
            base: now,
            groups: (slots / WAYS).max(1),
            table: OnceLock::new(),
            unnoted: Counter::default(),
        }
    }

    /// Takes one from the bucket of a key, and says what is left. A client must not be able to choose keys: they are
    /// hashes under a secret.
    ///
    /// # Errors
    /// The bucket is empty: when there is one again.
    pub fn take(&self, key: u64, rate: &Rate, now: Instant) -> Result<Level, Level> {
        let now = self.micros(now);
        let Some(slot) = self.slot(key, rate.step(), now) else {
            self.unnoted.inc();
            return Ok(rate.level(now.saturating_add(rate.step()), now));
        };
        let taken = slot
            .full_at
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |full_at| {
                rate.take(full_at, now)
            });
        match taken {
            Ok(before) => Ok(rate.level(before.max(now).saturating_add(rate.step()), now)),
            Err(full_at) => Err(rate.level(full_at, now)),
        }
    }

    /// How often there was no place for a newcomer.
    pub fn unnoted(&self) -> &Counter {
        &self.unnoted
    }

    /// The slot of a key: its own, or one that it may have.
    fn slot(&self, key: u64, step: u64, now: u64) -> Option<&Slot> {
        let table = self
            .table
            .get_or_init(|| (0..self.groups).map(|_| Group::default()).collect());
        let place = usize::try_from(key & u64::from(u32::MAX)).unwrap_or_default() % self.groups;
        let group = table.get(place)?;
        let owner = key & !u64::from(u32::MAX) | packed(step);
        let own = group
            .iter()
            .find(|slot| slot.owner.load(Ordering::Relaxed) == owner);
        own.or_else(|| {
            let spare = group.iter().min_by_key(|slot| slot.lacks(now))?;
            (spare.lacks(now) <= TENTHS && spare.give_to(owner)).then_some(spare)
        })
    }

    fn micros(&self, now: Instant) -> u64 {
        let since: Duration = now.saturating_duration_since(self.base);
        // 0 is before everything, so that a bucket never used is full.
        u64::try_from(since.as_micros())
            .unwrap_or(u64::MAX)
            .saturating_add(1)
    }
}

/// So many bits of a step are kept: one below 67 s is kept as it is.
const STEP_BITS: u32 = 26;

/// A step in 32 bits: its highest [`STEP_BITS`], and above them how many bits below these are left out. That is a step that is
/// too short by a part in 30 million at most, and never too long, so that no bucket passes for fuller than it is.
fn packed(step: u64) -> u64 {
    let left_out = (u64::BITS - step.leading_zeros()).saturating_sub(STEP_BITS);
    (u64::from(left_out) << STEP_BITS) | (step >> left_out)
}

/// The step that [`packed`] has kept, in the lower half of a slot's owner.
fn unpacked(owner: u64) -> u64 {
    let packed = owner & u64::from(u32::MAX);
    (packed & ((1 << STEP_BITS) - 1)) << (packed >> STEP_BITS)
}

/// [`Slot::lacks`] counts in tenths of what is taken at a time.
const TENTHS: u64 = 10;

impl Slot {
    /// How much the bucket lacks, in tenths of what one takes from it.
    fn lacks(&self, now: u64) -> u64 {
        let step = unpacked(self.owner.load(Ordering::Relaxed));
        let owed = self.full_at.load(Ordering::Relaxed).saturating_sub(now);
        owed.saturating_mul(TENTHS).div_ceil(step.max(1))
    }

    /// Gives it to another key, with a full bucket. Answers whether nobody else was given it meanwhile.
    fn give_to(&self, owner: u64) -> bool {
        let before = self.owner.load(Ordering::Relaxed);
        let given =
            self.owner
                .compare_exchange(before, owner, Ordering::Relaxed, Ordering::Relaxed);
        if given.is_ok() {
            self.full_at.store(0, Ordering::Relaxed);
        }
        given.is_ok()
    }
}

impl fmt::Debug for RateTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateTable")
            .field("groups", &self.groups)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;
    use std::time::{Duration, Instant};

    use super::{RateTable, packed, unpacked};
    use crate::rate::tests::rate;

    /// As a hash would have it.
    fn key(number: u64) -> u64 {
        let mut key = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
        key = (key ^ (key >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        key = (key ^ (key >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        key ^ (key >> 31)
    }

    #[test]
    fn each_key_has_a_bucket_of_its_own() {
        let start = Instant::now();
        let table = RateTable::new(start, 4_096);
        let rate = rate(10, 1_000, 3);
        for number in 0..1_000 {
            for left in [2, 1, 0] {
                let level = table.take(key(number), &rate, start).expect("not empty");
                assert_eq!(level.left, left, "{number}");
            }
        }
        for number in 0..1_000 {
            let level = table.take(key(number), &rate, start).expect_err("empty");
            assert_eq!(level.more_in, Duration::from_millis(100));
            let later = start + level.more_in;
            assert!(table.take(key(number), &rate, later).is_ok(), "{number}");
        }
        assert_eq!(table.unnoted().get(), 0);
    }

    #[test]
    fn new_names_without_end_reset_nobody_who_is_limited() {
        let start = Instant::now();
        let table = RateTable::new(start, 1_024);
        let rate = rate(60, 60_000, 5);
        let limited: Vec<u64> = (0..100).map(key).collect();
        for key in &limited {
            while table.take(*key, &rate, start).is_ok() {}
        }
        for number in 1_000..200_000 {
            // Each of them passes, whether it is remembered or not.
            assert!(table.take(key(number), &rate, start).is_ok());
        }
        for key in &limited {
            assert!(table.take(*key, &rate, start).is_err());
        }
    }

    #[test]
    fn a_place_that_lacks_less_is_given_away_first_whatever_its_rate() {
        let start = Instant::now();
        let table = RateTable::new(start, 8);
        let (slow, fast) = (rate(1, 3_600_000, 2), rate(100, 1_000, 200));
        // Limited for a second: little time, and much that was asked.
        while table.take(key(1), &fast, start).is_ok() {}
        for number in 2..9 {
            assert!(table.take(key(number), &slow, start).is_ok());
        }
        for number in 100..200 {
            assert!(table.take(key(number), &slow, start).is_ok());
        }
        assert!(table.take(key(1), &fast, start).is_err());
    }

    #[test]
    fn a_step_is_kept_in_32_bits_and_never_longer_than_it_is() {
        let key = 0xffff_ffff_u64 << 32;
        for step in (0..u64::BITS).flat_map(|bit| [u64::MAX >> bit, 1 << bit]) {
            assert!((1..=u64::from(u32::MAX)).contains(&packed(step)), "{step}");
            let kept = unpacked(key | packed(step));
            assert!(kept <= step && step - kept <= step >> 25, "{step}: {kept}");
        }
        // Those of short windows are kept exactly.
        assert_eq!(unpacked(key | packed(66_666_667)), 66_666_667);
    }

    #[test]
    fn who_has_asked_once_in_a_day_gives_way_and_who_is_limited_does_not() {
        let start = Instant::now();
        // One in 2.4 hours, in 3 days, and in 30 days.
        for (requests, days) in [(10, 1), (1, 3), (1, 30)] {
            let table = RateTable::new(start, 8);
            let rate = rate(requests, days * 86_400_000, 2);
            while table.take(key(1), &rate, start).is_ok() {}
            for number in 2..1_000 {
                // What is kept of the step is up to a 30-millionth too short: a bucket gives way as long after it was asked.
                let now = start + Duration::from_millis(number * 100);
                assert!(table.take(key(number), &rate, now).is_ok());
            }
            let now = start + Duration::from_millis(100_000);
            assert!(table.take(key(1), &rate, now).is_err(), "{days}");
            assert_eq!(table.unnoted().get(), 0, "{days}");
        }
    }

    #[test]
    fn an_empty_bucket_of_one_may_give_way_and_one_of_two_may_not() {
        let start = Instant::now();
        for (burst, given_away) in [(1, true), (2, false)] {
            let table = RateTable::new(start, 8);
            let rate = rate(1, 60_000, burst);
            while table.take(key(1), &rate, start).is_ok() {}
            for number in 2..1_000 {
                assert!(table.take(key(number), &rate, start).is_ok());
            }
            assert_eq!(table.take(key(1), &rate, start).is_ok(), given_away);
        }
    }

    #[test]
    fn where_all_are_limited_a_newcomer_passes_unnoted() {
        let start = Instant::now();
        let table = RateTable::new(start, 8);
        let rate = rate(1, 60_000, 3);
        for number in 0..8 {
            while table.take(key(number), &rate, start).is_ok() {}
        }
        for _ in 0..10 {
            assert_eq!(
                table.take(key(9), &rate, start).map(|level| level.left),
                Ok(2)
            );
        }
        assert_eq!(table.unnoted().get(), 10);
        for number in 0..8 {
            assert!(table.take(key(number), &rate, start).is_err());
        }
    }

    #[test]
    fn threads_together_get_no_more_than_one_would() {
        let start = Instant::now();
        let table = Arc::new(RateTable::new(start, 64));
        let passed = Arc::new(AtomicU32::new(0));
        let rate = rate(1, 60_000, 1_000);
        assert!(table.take(key(1), &rate, start).is_ok());
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let (table, passed) = (table.clone(), passed.clone());
                thread::spawn(move || {
                    for _ in 0..1_000 {
                        if table.take(key(1), &rate, start).is_ok() {
                            passed.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().expect("no panic");
        }
        assert_eq!(passed.load(Ordering::Relaxed), 999);
    }
}
