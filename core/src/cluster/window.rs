//! How many attempts ended of late, and how many of them badly: a sliding window that no thread locks.

use std::sync::atomic::{AtomicU64, Ordering};

/// A window slides in steps of a tenth of its length.
const BUCKETS: usize = 10;

/// One bucket in a word: failures in the lowest 20 bits, attempts in the next 20, above them the number of the
/// tenth that it counts, of which 24 bits tell it from every other that could still stand there.
const ATTEMPT: u64 = 1 << 20;
const TENTH: u64 = 1 << 40;
const COUNT: u64 = ATTEMPT - 1;
/// Well below what a count can hold, so that no number of threads at once carries it over into the next field. A
/// bucket that is full already knows the ratio well enough.
const FULL: u64 = ATTEMPT - (1 << 12);

/// Attempts and failures of a sliding while.
#[derive(Debug, Default)]
pub(super) struct Window {
    buckets: [AtomicU64; BUCKETS],
}

/// What a window holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) attempts: u64,
    pub(super) failures: u64,
}

impl Window {
    /// Counts one attempt in a window of `length` (milliseconds).
    pub(super) fn count(&self, millis: u64, length: u64, failed: bool) {
        let tenth = tenth(millis, length);
        let Some(bucket) = self.buckets.get((tenth % BUCKETS as u64) as usize) else {
            return;
        };
        let one = ATTEMPT + u64::from(failed);
        let word = bucket.load(Ordering::Relaxed);
        if word >> 40 != tag(tenth) {
            let first = tag(tenth) * TENTH + one;
            // Another thread may have begun the tenth meanwhile; then it is counted there.
            if bucket
                .compare_exchange(word, first, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
            {
                return;
            }
        }
        if word >> 20 & COUNT < FULL {
            bucket.fetch_add(one, Ordering::Relaxed);
        }
    }

    /// What the last `length` (milliseconds) saw.
    pub(super) fn tally(&self, millis: u64, length: u64) -> Tally {
        let now = tenth(millis, length);
        let mut tally = Tally::default();
        for back in 0..BUCKETS as u64 {
            let Some(tenth) = now.checked_sub(back) else {
                break;
            };
            let bucket = self.buckets.get((tenth % BUCKETS as u64) as usize);
            let word = bucket.map_or(0, |bucket| bucket.load(Ordering::Relaxed));
            if word >> 40 == tag(tenth) {
                tally.attempts += word >> 20 & COUNT;
                tally.failures += word & COUNT;
            }
        }
        tally
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        for bucket in &self.buckets {
            bucket.store(0, Ordering::Relaxed);
        }
    }
}

fn tenth(millis: u64, length: u64) -> u64 {
    millis / (length / BUCKETS as u64).max(1)
}

fn tag(tenth: u64) -> u64 {
    tenth & 0xff_ffff
}

#[cfg(test)]
mod tests {
    use super::{ATTEMPT, FULL, Tally, Window};

    const LENGTH: u64 = 10_000;

    fn tally(attempts: u64, failures: u64) -> Tally {
        Tally { attempts, failures }
    }

    #[test]
    fn what_is_older_than_the_window_is_forgotten() {
        let window = Window::default();
        window.count(500, LENGTH, true);
        window.count(1_500, LENGTH, false);
        window.count(1_999, LENGTH, true);
        assert_eq!(window.tally(2_000, LENGTH), tally(3, 2));
        assert_eq!(window.tally(9_999, LENGTH), tally(3, 2));
        assert_eq!(window.tally(10_000, LENGTH), tally(2, 1));
        assert_eq!(window.tally(11_000, LENGTH), tally(0, 0));
        // The tenth that comes round to the same bucket begins anew.
        window.count(11_000, LENGTH, false);
        assert_eq!(window.tally(11_000, LENGTH), tally(1, 0));
        window.clear();
        assert_eq!(window.tally(11_000, LENGTH), tally(0, 0));
    }

    #[test]
    fn a_window_may_be_shorter_than_its_buckets_are_many() {
        let window = Window::default();
        window.count(3, 5, true);
        assert_eq!(window.tally(3, 5), tally(1, 1));
        assert_eq!(window.tally(20, 5), tally(0, 0));
    }

    #[test]
    fn counts_never_run_over() {
        let window = Window::default();
        for _ in 0..2 * ATTEMPT {
            window.count(0, LENGTH, true);
        }
        assert_eq!(window.tally(0, LENGTH), tally(FULL, FULL));
    }

    #[test]
    fn threads_lose_nothing_within_a_tenth() {
        let window = Window::default();
        window.count(0, LENGTH, false);
        std::thread::scope(|scope| {
            for failed in [true, false, true, false] {
                let window = &window;
                scope.spawn(move || (0..10_000).for_each(|_| window.count(9, LENGTH, failed)));
            }
        });
        assert_eq!(window.tally(0, LENGTH), tally(40_001, 20_000));
    }
}
