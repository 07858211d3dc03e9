//! How fast a body has to come.

use std::time::{Duration, Instant};

/// The least rate of a request's body (`server.timeouts.body_rate`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyRate {
    /// Bytes a second.
    pub bytes: u64,
    /// The time over which that is measured.
    pub over: Duration,
}

/// The pace of one body. It is measured from piece to piece; silence is the business of `server.timeouts.body_read`.
///
/// Of each stretch the longest pause is left out: a client may stop once for as long as `body_read` allows, and go on.
/// One that sends a byte now and then has many pauses, and only one of them does not count.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// When the stretch that is measured began.
    since: Instant,
    /// When the last piece came.
    last: Instant,
    pause: Duration,
    bytes: u64,
}

impl Pace {
    /// Of a body that is awaited from now on.
    pub fn begin(now: Instant) -> Self {
        Self {
            since: now,
            last: now,
            pause: Duration::ZERO,
            bytes: 0,
        }
    }

    /// Takes in that so many bytes have come. Whether the body is too slow.
    pub fn is_too_slow(&mut self, bytes: usize, rate: &BodyRate, now: Instant) -> bool {
        self.bytes += bytes as u64;
        let pause = now.saturating_duration_since(self.last);
        self.pause = self.pause.max(pause);
        self.last = now;
        let took = now.saturating_duration_since(self.since) - self.pause;
        if took < rate.over {
            return false;
        }
        let due = took.as_millis() * u128::from(rate.bytes) / 1000;
        if u128::from(self.bytes) < due {
            return true;
        }
        // What came quickly once is no credit for later.
        *self = Self::begin(now);
        false
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{BodyRate, Pace};

    const RATE: BodyRate = BodyRate {
        bytes: 1 << 10,
        over: Duration::from_secs(10),
    };

    /// After how many milliseconds a body is too slow of which `bytes` come every `every` milliseconds.
    fn cut_off(bytes: usize, every: u64) -> Option<u64> {
        let start = Instant::now();
        let mut pace = Pace::begin(start);
        (1..)
            .map(|n| n * every)
            .take_while(|after| *after < 3_600_000)
            .find(|after| {
                let now = start + Duration::from_millis(*after);
                pace.is_too_slow(bytes, &RATE, now)
            })
    }

    #[test]
    fn a_body_that_trickles_is_too_slow() {
        assert_eq!(cut_off(1, 1_000), Some(11_000));
        assert_eq!(cut_off(900, 1_000), Some(11_000));
        assert_eq!(cut_off(1, 9_000), Some(27_000));
        assert_eq!(cut_off(1, 29_000), Some(58_000));
        assert_eq!(cut_off(1_200, 1_000), None);
        assert_eq!(cut_off(40_000, 20_000), None);
    }

    #[test]
    fn one_pause_is_forgiven_and_what_came_quickly_is_no_credit() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let rate = RATE;
        let mut pace = Pace::begin(start);
        assert!(!pace.is_too_slow(5, &rate, at(1)));
        assert!(!pace.is_too_slow(5, &rate, at(29)));
        assert!(pace.is_too_slow(5, &rate, at(49)));
        let mut pace = Pace::begin(start);
        for second in 1..=20 {
            assert!(!pace.is_too_slow(1 << 20, &rate, at(second)));
        }
        let slow = (21..).find(|second| pace.is_too_slow(1, &rate, at(*second)));
        assert!(slow.is_some_and(|slow| slow < 35), "{slow:?}");
    }
}
