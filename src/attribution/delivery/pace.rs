//! How much a sink is sent at once, and how long it is left alone after a failure.

use std::time::Duration;

/// The wait after a first failure, at most.
const FIRST: Duration = Duration::from_secs(2);
/// The longest wait that the sink did not ask for.
const LONGEST: Duration = Duration::from_secs(60);
/// The longest wait that a sink may ask for.
const MOST: Duration = Duration::from_secs(60 * 60);

/// After how many refusals in a row it is more likely that the sink refuses everything, since it is set up wrongly.
const SUSPICIOUS: u32 = 10;

/// The pace of one sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    /// How many exposures a batch may have when all is well.
    most: usize,
    /// How many it may have.
    batch: usize,
    failures: u32,
    /// How many exposures in a row were refused alone.
    refusals: u32,
}

impl Pace {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            batch: most,
            failures: 0,
            refusals: 0,
        }
    }

    /// How many exposures a batch may have.
    pub(super) fn batch(self) -> usize {
        self.batch
    }

    /// A batch was taken: the next may be larger again.
    pub(super) fn went_well(&mut self) {
        (self.failures, self.refusals) = (0, 0);
        self.batch = self.batch.saturating_mul(2).min(self.most);
    }

    /// A batch of this size was too much; `false`: it cannot be made smaller.
    pub(super) fn halve(&mut self, sent: usize) -> bool {
        self.batch = (sent / 2).max(1);
        sent > 1
    }

    /// It failed: the wait. It doubles from failure to failure; the second half of it is up to `chance` (0 to 1), so that gateways that
    /// failed together do not come back together. The sink is left alone for as long as it asked for.
    pub(super) fn wait(&mut self, asked: Option<Duration>, chance: f64) -> Duration {
        let doubled = FIRST.saturating_mul(1 << self.failures.min(10));
        self.failures = self.failures.saturating_add(1);
        let wait = doubled.min(LONGEST);
        let spread = (wait / 2).mul_f64(chance.clamp(0.0, 1.0));
        let asked = asked.unwrap_or_default().min(MOST);
        (wait / 2).max(asked) + spread
    }

    /// An exposure alone was refused, and put aside. The wait, once so many were in a row that people had better look before
    /// all that is spooled is put aside.
    pub(super) fn refused(&mut self, chance: f64) -> Option<Duration> {
        self.refusals = self.refusals.saturating_add(1);
        (self.refusals >= SUSPICIOUS).then(|| self.wait_for_people(chance))
    }

    /// A person has to mend something first: the wait.
    pub(super) fn wait_for_people(&mut self, chance: f64) -> Duration {
        self.failures = self.failures.saturating_add(1);
        LONGEST / 2 + (LONGEST / 2).mul_f64(chance.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Pace;

    #[test]
    fn waits_double_up_to_a_minute() {
        let mut pace = Pace::new(100);
        let waits: Vec<u64> = (0..7).map(|_| pace.wait(None, 1.0).as_secs()).collect();
        assert_eq!(waits, [2, 4, 8, 16, 32, 60, 60]);
        pace.went_well();
        assert_eq!(pace.wait(None, 0.0), Duration::from_secs(1));
    }

    #[test]
    fn a_sink_is_left_alone_for_as_long_as_it_asks() {
        let asked = Some(Duration::from_secs(300));
        assert!(Pace::new(100).wait(asked, 0.0) >= Duration::from_secs(300));
        let absurd = Some(Duration::MAX);
        assert!(Pace::new(100).wait(absurd, 1.0) <= Duration::from_secs(3602));
        assert!(Pace::new(100).wait_for_people(0.0) >= Duration::from_secs(30));
    }

    #[test]
    fn a_sink_that_refuses_everything_is_asked_ever_less() {
        let mut pace = Pace::new(100);
        let waits: Vec<bool> = (0..11).map(|_| pace.refused(0.5).is_some()).collect();
        assert_eq!(waits, [&[false; 9][..], &[true; 2]].concat());
        pace.went_well();
        assert_eq!(pace.refused(0.5), None);
    }

    #[test]
    fn batches_are_halved_down_to_one_and_grow_again() {
        let mut pace = Pace::new(5);
        assert!(pace.halve(5) && pace.batch() == 2);
        assert!(pace.halve(2) && pace.batch() == 1);
        assert!(!pace.halve(1) && pace.batch() == 1);
        let mut sizes = Vec::new();
        for _ in 0..4 {
            pace.went_well();
            sizes.push(pace.batch());
        }
        assert_eq!(sizes, [2, 4, 5, 5]);
    }
}
