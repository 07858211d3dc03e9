//! How often something may happen: a token bucket, of which only the moment is remembered at which it will be full again (the
//! "theoretical arrival time" of ATM's generic cell rate algorithm).
//!
//! Moments are microseconds since a beginning that the caller chooses.

pub mod table;

use std::num::NonZeroU32;
use std::time::Duration;

/// How often something may happen: so often in a window, and so often at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    /// How often in a window.
    pub requests: NonZeroU32,
    /// The window.
    pub window: Duration,
    /// How often at once: the bucket's size.
    pub burst: u32,
}

/// What a bucket holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// How often it may happen now.
    pub left: u32,
    /// In how long it may happen once more than that.
    pub more_in: Duration,
}

impl Rate {
    /// After how many microseconds there is one more in the bucket.
    pub fn step(&self) -> u64 {
        (micros(self.window) / u64::from(self.requests.get())).max(1)
    }

    /// How long an empty bucket takes to fill.
    pub fn depth(&self) -> Duration {
        Duration::from_micros(self.depth_micros())
    }

    fn depth_micros(&self) -> u64 {
        self.step().saturating_mul(u64::from(self.burst))
    }

    /// Takes one from a bucket that is full at `full_at`: says when it is full again. `None`: it is empty.
    pub fn take(&self, full_at: u64, now: u64) -> Option<u64> {
        let next = full_at.max(now).saturating_add(self.step());
        (next <= now.saturating_add(self.depth_micros())).then_some(next)
    }

    /// What a bucket holds that is full at `full_at`.
    pub fn level(&self, full_at: u64, now: u64) -> Level {
        let (step, depth) = (self.step(), self.depth_micros());
        let owed = full_at.saturating_sub(now);
        let held = depth.saturating_sub(owed);
        // One that was filled by another rate may owe more than this one ever does.
        let more_in = owed.saturating_sub(depth) + step - held % step;
        Level {
            left: u32::try_from(held / step).unwrap_or(u32::MAX),
            more_in: Duration::from_micros(more_in),
        }
    }
}

impl Level {
    /// [`Self::more_in`] in whole seconds: whoever waits as long as that does not come too early.
    pub fn more_in_seconds(&self) -> u64 {
        let seconds = self.more_in.as_secs();
        match self.more_in.subsec_nanos() {
            0 => seconds.max(1),
            _ => seconds + 1,
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use super::{Level, Rate};

    pub(crate) fn rate(requests: u32, window_ms: u64, burst: u32) -> Rate {
        Rate {
            requests: NonZeroU32::new(requests).expect("not 0"),
            window: Duration::from_millis(window_ms),
            burst,
        }
    }

    /// How many pass at a moment, and the bucket afterwards.
    fn pass(rate: Rate, mut full_at: u64, now: u64) -> (u32, u64) {
        let mut passed = 0;
        while let Some(next) = rate.take(full_at, now) {
            (passed, full_at) = (passed + 1, next);
        }
        (passed, full_at)
    }

    #[test]
    fn a_burst_passes_then_the_rate() {
        let rate = rate(10, 1_000, 3);
        let (passed, full_at) = pass(rate, 0, 5_000_000);
        assert_eq!((passed, full_at), (3, 5_300_000));
        assert_eq!(rate.take(full_at, 5_099_999), None);
        assert_eq!(rate.take(full_at, 5_100_000), Some(5_400_000));
        // A long rest fills the bucket, and no more than that.
        assert_eq!(pass(rate, full_at, 60_000_000).0, 3);
    }

    #[test]
    fn a_minute_has_the_burst_and_what_comes_in_a_minute() {
        for (requests, burst) in [(1, 1), (7, 3), (100, 200), (1_000_000, 5)] {
            let rate = rate(requests, 60_000, burst);
            let (mut passed, mut full_at) = (0, 0);
            let step = (rate.step() / 3).max(1);
            let mut now = 1;
            while now <= 60_000_000 {
                let (more, next) = pass(rate, full_at, now);
                (passed, full_at) = (passed + more, next);
                now += step;
            }
            assert!(
                passed <= requests + burst && passed + 1 >= requests,
                "{passed} of {requests} with {burst}"
            );
        }
    }

    #[test]
    fn the_level_says_what_is_left_and_when_there_is_more() {
        let rate = rate(10, 1_000, 3);
        let level = |full_at, now| rate.level(full_at, now);
        let of = |left, millis| Level {
            left,
            more_in: Duration::from_millis(millis),
        };
        assert_eq!(level(1_100_000, 1_000_000), of(2, 100));
        assert_eq!(level(1_100_000, 1_040_000), of(2, 60));
        assert_eq!(level(1_300_000, 1_000_000), of(0, 100));
        // It is what `take` goes by.
        for owed in 0..310 {
            let full_at = 1_000_000 + owed * 1_000;
            let Level { left, more_in } = level(full_at, 1_000_000);
            assert_eq!(pass(rate, full_at, 1_000_000).0, left, "{owed}");
            let later = 1_000_000 + u64::try_from(more_in.as_micros()).expect("micros");
            if left < 2 {
                assert_eq!(pass(rate, full_at, later).0, left + 1, "{owed}");
                assert_eq!(pass(rate, full_at, later - 1).0, left, "{owed}");
            }
        }
    }

    #[test]
    fn seconds_are_never_too_few() {
        for (millis, seconds) in [(1, 1), (999, 1), (1_000, 1), (1_001, 2), (60_000, 60)] {
            let more_in = Duration::from_millis(millis);
            assert_eq!(Level { left: 0, more_in }.more_in_seconds(), seconds);
        }
    }
}
