//! When the sample canary dies and comes back: once by itself, and whenever the user presses the key.

use std::time::Duration;

/// When it dies by itself, and for how long.
const DIES_AT: Duration = Duration::from_secs(10);
const DEAD_FOR: Duration = Duration::from_secs(5);

/// What is to happen now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// The canary is killed.
    Kill,
    /// The canary comes back. Asked for again and again, until [`Story::restored`].
    Restore,
}

/// Where the story is. All times are since the demo's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Story {
    /// The canary will die by itself.
    Waiting {
        dies_at: Duration,
        dead_for: Duration,
    },
    /// The canary is dead, and will come back by itself.
    Dead { until: Duration },
    /// The canary is dead until the user presses the key.
    Killed,
    /// The canary lives on.
    Alive,
}

impl Story {
    /// For a demo that lasts so long, or until it is ended.
    pub(super) fn new(length: Option<Duration>) -> Self {
        // A short demo shows the same, sooner.
        let at_most = |share: u32| length.map_or(Duration::MAX, |length| length * share / 100);
        Self::Waiting {
            dies_at: DIES_AT.min(at_most(35)),
            dead_for: DEAD_FOR.min(at_most(30)),
        }
    }

    /// What is due.
    pub(super) fn tick(&mut self, elapsed: Duration) -> Option<Turn> {
        match *self {
            Self::Waiting { dies_at, dead_for } if elapsed >= dies_at => {
                *self = Self::Dead {
                    until: elapsed + dead_for,
                };
                Some(Turn::Kill)
            }
            Self::Dead { until } if elapsed >= until => Some(Turn::Restore),
            _ => None,
        }
    }

    /// The user has pressed the key: the other state is wanted.
    pub(super) fn switch(&mut self) -> Turn {
        match self {
            Self::Waiting { .. } | Self::Alive => {
                *self = Self::Killed;
                Turn::Kill
            }
            Self::Dead { .. } | Self::Killed => {
                *self = Self::Dead {
                    until: Duration::ZERO,
                };
                Turn::Restore
            }
        }
    }

    /// The canary is back.
    pub(super) fn restored(&mut self) {
        *self = Self::Alive;
    }

    /// Whether the canary is dead.
    pub(super) fn is_dead(self) -> bool {
        matches!(self, Self::Dead { .. } | Self::Killed)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Story, Turn};

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_canary_dies_once_by_itself_and_comes_back() {
        let mut story = Story::new(None);
        assert_eq!(story.tick(seconds(9)), None);
        assert_eq!(story.tick(seconds(10)), Some(Turn::Kill));
        assert_eq!(story.tick(seconds(14)), None);
        assert!(story.is_dead());
        // Its port was taken at first.
        assert_eq!(story.tick(seconds(15)), Some(Turn::Restore));
        assert_eq!(story.tick(seconds(16)), Some(Turn::Restore));
        story.restored();
        assert_eq!(story.tick(seconds(3600)), None);
        assert!(!story.is_dead());
    }

    #[test]
    fn a_short_demo_shows_it_all_the_same() {
        let mut story = Story::new(Some(seconds(6)));
        assert_eq!(story.tick(Duration::from_millis(2099)), None);
        assert_eq!(story.tick(Duration::from_millis(2100)), Some(Turn::Kill));
        assert_eq!(story.tick(Duration::from_millis(3900)), Some(Turn::Restore));
    }

    #[test]
    fn whoever_has_pressed_the_key_decides_from_then_on() {
        let mut story = Story::new(None);
        assert_eq!(story.switch(), Turn::Kill);
        assert_eq!(story.tick(seconds(3600)), None);
        assert_eq!(story.switch(), Turn::Restore);
        story.restored();
        assert_eq!(story.tick(seconds(7200)), None);
        assert_eq!(story.switch(), Turn::Kill);
    }
}
