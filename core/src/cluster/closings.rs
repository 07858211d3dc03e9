//! Whether an endpoint closes connections that rest without a word.
//!
//! A server may close a connection behind an answer without having said so in it. What is sent at that moment is lost,
//! and nobody can tell whether it was read: what must not be sent twice has failed then. An endpoint that was seen to do
//! so gets such requests over fresh connections for a while.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// For how long it is remembered.
const MEMORY: Duration = Duration::from_secs(60);
/// After this long it is worth looking whether the endpoint still does so, so that it is not found out by a failure.
const DOUBT: Duration = Duration::from_secs(20);
/// Between two such looks.
const PAUSE: Duration = Duration::from_secs(5);

/// What is known of one endpoint's closing.
#[derive(Debug, Default)]
pub(super) struct Closings {
    /// The first moment that anything was seen at; times are counted from it.
    epoch: OnceLock<Instant>,
    /// The milliseconds at which it was last seen, and one; 0: never.
    last: AtomicU64,
    /// The milliseconds at which the next look is worth it.
    next_look: AtomicU64,
}

impl Closings {
    /// Notes that it closed a connection without a word.
    pub(super) fn note(&self, now: Instant) {
        self.epoch.get_or_init(|| now);
        let millis = self.millis(now);
        self.last.store(millis + 1, Ordering::Relaxed);
        let next = millis + millis_of(DOUBT);
        self.next_look.store(next, Ordering::Relaxed);
    }

    /// Whether it did so of late.
    pub(super) fn were_seen(&self, now: Instant) -> bool {
        match self.last.load(Ordering::Relaxed) {
            0 => false,
            last => self.millis(now) < last + millis_of(MEMORY),
        }
    }

    /// Whether a connection is to be kept only to see what becomes of it. Of all that ask at a time, one is told so.
    pub(super) fn are_worth_a_look(&self, now: Instant) -> bool {
        let (next, millis) = (self.next_look.load(Ordering::Relaxed), self.millis(now));
        let after = millis + millis_of(PAUSE);
        millis >= next
            && self
                .next_look
                .compare_exchange(next, after, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    fn millis(&self, now: Instant) -> u64 {
        let epoch = self.epoch.get().copied().unwrap_or(now);
        millis_of(now.saturating_duration_since(epoch))
    }
}

fn millis_of(time: Duration) -> u64 {
    time.as_secs() * 1000 + u64::from(time.subsec_millis())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Closings;

    #[test]
    fn what_was_seen_is_remembered_for_a_while() {
        let (closings, start) = (Closings::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(!closings.were_seen(start));
        closings.note(at(1));
        assert!(closings.were_seen(at(1)) && closings.were_seen(at(60)));
        assert!(!closings.were_seen(at(62)));
        // Seen again, it is remembered anew.
        closings.note(at(50));
        assert!(closings.were_seen(at(109)) && !closings.were_seen(at(111)));
    }

    #[test]
    fn one_at_a_time_looks_whether_it_still_happens() {
        let (closings, start) = (Closings::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        closings.note(start);
        assert!(!closings.are_worth_a_look(at(19)));
        assert!(closings.are_worth_a_look(at(20)));
        assert!(!closings.are_worth_a_look(at(20)) && !closings.are_worth_a_look(at(24)));
        assert!(closings.are_worth_a_look(at(25)));
        // What a look has found needs none for a while.
        closings.note(at(26));
        assert!(!closings.are_worth_a_look(at(45)) && closings.are_worth_a_look(at(46)));
    }
}
