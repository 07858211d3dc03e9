//! How long to wait before a server is asked again.

use std::time::Duration;

/// The longest wait after a failure.
pub(in crate::source) const LONGEST: Duration = Duration::from_secs(10);
/// How long a server is left alone that refuses the token, or has no API at the URL: a person has to mend that first.
pub(in crate::source) const REFUSED: Duration = Duration::from_secs(30);
/// The wait after a first failure, at most.
const FIRST: Duration = Duration::from_secs(1);

/// Failures in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// It went well.
    pub(in crate::source) fn reset(&mut self) {
        self.failures = 0;
    }

    /// Whether nothing has failed since it last went well.
    pub(super) fn is_fresh(self) -> bool {
        self.failures == 0
    }

    /// It failed: the wait, which doubles from failure to failure up to `most`. Of each the second half is up to `chance`
    /// (0 to 1), so that gateways that failed together do not come back together.
    pub(crate) fn next(&mut self, most: Duration, chance: f64) -> Duration {
        let doubled = FIRST.saturating_mul(1 << self.failures.min(10));
        self.failures = self.failures.saturating_add(1);
        let wait = doubled.min(most);
        wait / 2 + (wait / 2).mul_f64(chance.clamp(0.0, 1.0))
    }
}

/// An interval, shortened by up to a tenth so that gateways do not all ask at the same moment; never prolonged, because
/// it is a promise.
pub(super) fn jittered(interval: Duration, chance: f64) -> Duration {
    interval.mul_f64(1.0 - 0.1 * chance.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Backoff, LONGEST, jittered};

    #[test]
    fn waits_double_up_to_ten_seconds() {
        let mut backoff = Backoff::default();
        let minute = Duration::from_secs(60);
        let waits: Vec<u64> = (0..6)
            .map(|_| backoff.next(minute.min(LONGEST), 1.0).as_secs())
            .collect();
        assert_eq!(waits, [1, 2, 4, 8, 10, 10]);
        for _ in 0..1000 {
            assert!(backoff.next(minute.min(LONGEST), 0.0) >= LONGEST / 2);
        }
        backoff.reset();
        assert_eq!(backoff.next(minute, 0.0), Duration::from_millis(500));
    }

    #[test]
    fn a_short_interval_is_never_exceeded() {
        let second = Duration::from_secs(1);
        let mut backoff = Backoff::default();
        assert!((0..9).all(|_| backoff.next(second, 1.0) <= second));
        assert_eq!(jittered(second, 0.0), second);
        assert_eq!(jittered(second, 1.0), Duration::from_millis(900));
    }
}
