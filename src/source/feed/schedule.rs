//! When a server is asked for all flags, and when for a stream of changes.

use std::time::Duration;

use tokio::time::Instant;

use super::backoff::{Backoff, LONGEST, REFUSED, jittered};
use super::flag_server::FetchError;
use crate::config::flag_server::Streaming;

/// How long a refresh that finds nothing new goes on asking, and the follower once more after its answer: a server may not
/// show a change yet when it calls a webhook about it (Unleash looks at its own database once a second).
pub(super) const EAGER: Duration = Duration::from_millis(2500);
/// How often the server is asked then.
pub(super) const EAGER_POLL: Duration = Duration::from_millis(250);
/// When a server that offers no streams is asked for one again.
const NOT_OFFERED: Duration = Duration::from_secs(3600);
/// The same where it says that it would rather stream, or where streaming is demanded.
const WANTED: Duration = Duration::from_secs(60);

/// When the server is asked for all flags.
#[derive(Debug)]
pub(super) struct PollSchedule {
    interval: Duration,
    next: Instant,
    backoff: Backoff,
    is_well: bool,
    eager_until: Option<Instant>,
}

impl PollSchedule {
    /// At once, and then at intervals.
    pub(super) fn new(interval: Duration) -> Self {
        Self {
            interval,
            next: Instant::now(),
            backoff: Backoff::default(),
            is_well: false,
            eager_until: None,
        }
    }

    /// The next time.
    pub(super) fn next(&self) -> Instant {
        self.next
    }

    /// Whether the last poll went well.
    pub(super) fn is_well(&self) -> bool {
        self.is_well
    }

    /// Polls at once: something may have been missed.
    pub(super) fn poll_at(&mut self, now: Instant) {
        self.next = now;
    }

    /// Polls often for a while, because a change is announced that does not show yet.
    pub(super) fn poll_eagerly(&mut self, now: Instant) {
        self.eager_until = Some(now + EAGER);
        self.next = self.next.min(now + EAGER_POLL);
    }

    /// Notes that a poll that began at `begun` went well. `chance` (0 to 1) spreads gateways out.
    pub(super) fn succeeded(&mut self, begun: Instant, is_new: bool, chance: f64) {
        self.backoff.reset();
        self.is_well = true;
        if is_new {
            self.eager_until = None;
        }
        let interval = jittered(self.interval, chance);
        let is_eager = self.eager_until.is_some_and(|until| until > begun);
        let wait = if is_eager {
            interval.min(EAGER_POLL)
        } else {
            interval
        };
        self.next = begun + wait;
    }

    /// Notes that a poll failed.
    pub(super) fn failed(&mut self, begun: Instant, error: &FetchError, chance: f64) {
        self.is_well = false;
        self.eager_until = None;
        let backoff = self.backoff.next(self.interval.min(LONGEST), chance);
        let wait = match error {
            FetchError::Misconfigured(_) => REFUSED.max(self.interval),
            FetchError::Unavailable {
                retry_after: Some(wait),
                ..
            } => (*wait).min(LONGEST).max(backoff),
            FetchError::Unavailable { .. } | FetchError::Unusable(_) => backoff,
        };
        self.next = begun + wait;
    }
}

/// When the server is asked for a stream.
#[derive(Debug)]
pub(super) struct StreamSchedule {
    streaming: Streaming,
    next: Option<Instant>,
    asked: Option<Instant>,
    backoff: Backoff,
}

impl StreamSchedule {
    /// At once, unless streams are not wanted.
    pub(super) fn new(streaming: Streaming) -> Self {
        let next = (streaming != Streaming::Never).then(Instant::now);
        Self {
            streaming,
            next,
            asked: None,
            backoff: Backoff::default(),
        }
    }

    /// The next time; `None`: never.
    pub(super) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Whether it is time.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.next.is_some_and(|next| next <= now)
    }

    /// Notes that the server is being asked.
    pub(super) fn begin(&mut self, now: Instant) {
        self.asked = Some(now);
    }

    /// The server would rather stream: asks soon.
    pub(super) fn ask_soon(&mut self, now: Instant) {
        let soonest = self.asked.map_or(now, |asked| now.max(asked + WANTED));
        self.next = self.next.map(|next| next.min(soonest));
    }

    /// The server, asked at `now`, offers no streams. Returns whether the configuration demands one.
    pub(super) fn not_offered(&mut self, now: Instant) -> bool {
        let is_demanded = self.streaming == Streaming::Always;
        let wait = if is_demanded { WANTED } else { NOT_OFFERED };
        self.next = Some(now + wait);
        is_demanded
    }

    /// A stream ended, or could not be opened. Returns whether that is news: it had said everything once (`was_live`), or
    /// it is the first failure.
    pub(super) fn ended(&mut self, now: Instant, was_live: bool, chance: f64) -> bool {
        if was_live {
            self.backoff.reset();
        }
        let is_news = self.backoff.is_fresh();
        self.next = Some(now + self.backoff.next(LONGEST, chance));
        is_news
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{EAGER, EAGER_POLL, NOT_OFFERED, PollSchedule, StreamSchedule, WANTED};
    use crate::config::flag_server::Streaming;
    use crate::source::feed::flag_server::FetchError;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_server_is_polled_at_intervals_and_eagerly_until_something_is_new() {
        let mut polls = PollSchedule::new(MINUTE);
        let now = polls.next();
        polls.succeeded(now, true, 0.0);
        assert_eq!(polls.next(), now + MINUTE);
        polls.poll_eagerly(now);
        assert_eq!(polls.next(), now + EAGER_POLL);
        polls.succeeded(now + EAGER_POLL, false, 0.0);
        assert_eq!(polls.next(), now + EAGER_POLL * 2);
        polls.succeeded(now + EAGER_POLL * 2, true, 0.0);
        assert_eq!(polls.next(), now + EAGER_POLL * 2 + MINUTE);
        polls.poll_eagerly(now);
        polls.succeeded(now + EAGER, false, 0.0);
        assert_eq!(polls.next(), now + EAGER + MINUTE);
    }

    #[test]
    fn what_the_error_says_decides_how_long_a_server_is_left_alone() {
        let second = Duration::from_secs(1);
        let after = |interval: Duration, error: FetchError| {
            let mut polls = PollSchedule::new(interval);
            let now = Instant::now();
            polls.failed(now, &error, 1.0);
            assert!(!polls.is_well());
            polls.next() - now
        };
        let unavailable = |retry_after| FetchError::Unavailable {
            message: "gone".to_owned(),
            retry_after,
        };
        let broken = |text: &str| text.to_owned();
        for (error, expected) in [
            (FetchError::Misconfigured(broken("token")), 60),
            (unavailable(None), 1),
            (unavailable(Some(second * 5)), 5),
            (unavailable(Some(second * 500)), 10),
            (FetchError::Unusable(broken("a page")), 1),
        ] {
            assert_eq!(after(MINUTE, error.clone()), second * expected, "{error}");
        }
        let refused = FetchError::Misconfigured(broken("token"));
        assert_eq!(after(second, refused), second * 30);
    }

    #[test]
    fn a_stream_is_asked_for_again_as_soon_as_that_makes_sense() {
        let now = Instant::now();
        assert!(StreamSchedule::new(Streaming::Never).next().is_none());
        for (streaming, demanded, wait) in [
            (Streaming::Auto, false, NOT_OFFERED),
            (Streaming::Always, true, WANTED),
        ] {
            let mut streams = StreamSchedule::new(streaming);
            streams.begin(now);
            assert_eq!(streams.not_offered(now), demanded);
            assert_eq!(streams.next(), Some(now + wait));
            streams.ask_soon(now + Duration::from_secs(1));
            assert_eq!(streams.next(), Some(now + WANTED));
        }
        let mut streams = StreamSchedule::new(Streaming::Auto);
        assert!(streams.ended(now, false, 1.0));
        assert!(!streams.ended(now, false, 1.0), "still none is no news");
        assert!(streams.ended(now, true, 1.0));
        assert_eq!(streams.next(), Some(now + Duration::from_secs(1)));
        assert!(streams.is_due(now + Duration::from_secs(1)));
    }
}
