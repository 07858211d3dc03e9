//! The time that gateways share: that of Redis. Leases are written and judged by it, so that a gateway whose machine has another
//! calendar ends nobody's lease, and gives none more time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock;
use crate::context::Moment;

/// A difference that is worth a line in the log.
const LARGE_MS: u64 = 1_000;

/// What is known of it; clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct SharedTime(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// The last answer, which what has passed since is added to.
    last: Option<Heard>,
    /// By how much the first answer has moved the clock, until somebody asks.
    correction_ms: Option<i64>,
}

/// What time it was when the process had been running for so long.
#[derive(Clone, Copy, Debug)]
struct Heard {
    unix_ms: i64,
    uptime_ms: i64,
}

/// What an answer says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measured {
    /// How far it is ahead of this process's clock.
    pub(super) ahead_ms: i64,
    heard: Heard,
}

impl SharedTime {
    /// How far it is ahead of this process's clock; `None`: it was never heard.
    pub(super) fn ahead_ms(&self) -> Option<i64> {
        let last = self.known().last?;
        let passed = clock::uptime_ms().saturating_sub(last.uptime_ms);
        let time = last.unix_ms.saturating_add(passed);
        Some(time.saturating_sub(clock::now().unix_ms))
    }

    /// Whether it was ever heard.
    pub(super) fn is_known(&self) -> bool {
        self.known().last.is_some()
    }

    /// How far it is ahead of this process's clock by an answer to a question that was asked when the process had been running
    /// for so long.
    pub(super) fn measure(asked_ms: i64, heard: Moment) -> Measured {
        let (after, uptime_ms) = (clock::now(), clock::uptime_ms());
        let before = Moment {
            unix_ms: after.unix_ms - (uptime_ms - asked_ms),
        };
        let ahead_ms = ahead(before, heard, after);
        let heard = Heard {
            unix_ms: after.unix_ms.saturating_add(ahead_ms),
            uptime_ms,
        };
        Measured { ahead_ms, heard }
    }

    /// Takes note of it. From the first one on the clock goes by it: what is stored was written by it, and ends at its moment.
    pub(super) fn note(&self, measured: Measured) {
        let Measured { ahead_ms, heard } = measured;
        let mut known = self.known();
        if known.last.replace(heard).is_some() {
            return;
        }
        if ahead_ms.unsigned_abs() >= LARGE_MS {
            tracing::warn!(
                ahead_ms,
                "Redis has another time than this machine; leases, and all else that has a date, go by that of Redis"
            );
        }
        clock::adjust(ahead_ms);
        known.correction_ms = Some(ahead_ms);
    }

    /// By how much the first answer has moved the clock, for the first who asks.
    pub(super) fn take_correction_ms(&self) -> Option<i64> {
        self.known().correction_ms.take()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// By how much a clock is ahead that showed `heard` at some moment between two; as little as that can be.
fn ahead(before: Moment, heard: Moment, after: Moment) -> i64 {
    let earliest = heard.unix_ms.saturating_sub(after.unix_ms);
    let latest = heard.unix_ms.saturating_sub(before.unix_ms);
    earliest.max(0).saturating_add(latest.min(0))
}

#[cfg(test)]
mod tests {
    use super::ahead;
    use crate::context::Moment;

    #[test]
    fn a_clock_differs_that_shows_what_no_moment_of_the_question_was() {
        let at = |unix_ms| Moment { unix_ms };
        for (heard, expected) in [(100, 0), (105, 0), (110, 0), (90, -10), (130, 20)] {
            assert_eq!(ahead(at(100), at(heard), at(110)), expected, "{heard}");
        }
    }
}
