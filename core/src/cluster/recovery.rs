//! When a request is sent again: within its deployment (a retry), or from a canary to stable (a rescue).

use std::fmt;
use std::time::Duration;

use http::Method;

use crate::flag::Share;

/// What lets a request be sent again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Triggers {
    /// No connection could be made.
    pub connect: bool,
    /// The connection broke before an answer began.
    pub reset: bool,
    /// No answer began in time.
    pub timeout: bool,
    /// The answer has one of these statuses.
    pub statuses: Statuses,
}

/// A set of statuses from 400 to 599.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Statuses([u64; 4]);

/// `retries`: further attempts on the same deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How many, at most, for one request; 0: none.
    pub attempts: u32,
    /// What is retried. Requests that may have had effects are not, whatever stands here.
    pub on: Triggers,
    /// How many of the service's active requests may be retries at a time; [`RetryPolicy::FLOOR`] always may.
    pub budget: Share,
}

/// `rescue`: when stable takes over a canary's request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RescuePolicy {
    /// What is rescued.
    pub on: Triggers,
    /// Which methods may be sent to stable although the request had reached the canary.
    pub methods: Vec<Method>,
    /// How long a canary may take to begin its answer, where stable could still take over; `None`: as long as stable.
    pub after: Option<Duration>,
    /// When a user is spared the canary; `None`: never.
    pub quarantine: Option<QuarantinePolicy>,
}

/// `rescue.quarantine_after` and `rescue.quarantine_for`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuarantinePolicy {
    /// After how many rescues of one user.
    pub after: u16,
    /// Within this time, and for this long.
    pub period: Duration,
}

impl Triggers {
    /// Whether nothing is one.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Statuses {
    /// The least that can be in the set.
    pub const FIRST: u16 = 400;
    /// The greatest that can be in the set.
    pub const LAST: u16 = 599;

    /// All from 500 on.
    pub fn server_errors() -> Self {
        let mut statuses = Self::default();
        (500..=Self::LAST).for_each(|status| statuses.insert(status));
        statuses
    }

    /// Adds one; one that cannot be in the set is left out.
    pub fn insert(&mut self, status: u16) {
        if let Some((word, bit)) = place(status)
            && let Some(word) = self.0.get_mut(word)
        {
            *word |= bit;
        }
    }

    /// Whether a status is in the set.
    pub fn contains(&self, status: u16) -> bool {
        place(status)
            .and_then(|(word, bit)| Some(self.0.get(word)? & bit != 0))
            .unwrap_or(false)
    }
}

/// The word that stands for a status, and its bit there.
fn place(status: u16) -> Option<(usize, u64)> {
    let offset = (Statuses::FIRST..=Statuses::LAST)
        .contains(&status)
        .then(|| status - Statuses::FIRST)?;
    Some((usize::from(offset / 64), 1 << (offset % 64)))
}

impl fmt::Debug for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = Self::FIRST..=Self::LAST;
        f.debug_set()
            .entries(all.filter(|status| self.contains(*status)))
            .finish()
    }
}

impl RetryPolicy {
    /// How many retries of one service may always run at a time (Envoy's `min_retry_concurrency`): with few requests,
    /// a share of them would be none.
    pub const FLOOR: u32 = 3;

    /// How many retries may run at a time while this many requests do.
    pub fn allowed(&self, active: u32) -> u32 {
        let share = u64::from(active) * u64::from(self.budget.hundredths()) / 10_000;
        u32::try_from(share).unwrap_or(u32::MAX).max(Self::FLOOR)
    }
}

#[cfg(test)]
mod tests {
    use super::{RetryPolicy, Statuses};

    #[test]
    fn a_set_holds_what_was_put_in_and_nothing_else() {
        let mut statuses = Statuses::default();
        for status in [400, 429, 463, 464, 599, 399, 600, 0, u16::MAX] {
            statuses.insert(status);
        }
        assert_eq!(format!("{statuses:?}"), "{400, 429, 463, 464, 599}");
        let errors = Statuses::server_errors();
        assert!(errors.contains(500) && errors.contains(599));
        assert!(!errors.contains(499) && !errors.contains(600) && !errors.contains(200));
    }

    #[test]
    fn a_budget_is_a_share_of_what_runs_but_never_less_than_three() {
        let policy = RetryPolicy::default();
        for (active, allowed) in [(0, 3), (15, 3), (20, 4), (1_000, 200)] {
            assert_eq!(policy.allowed(active), allowed, "{active}");
        }
    }
}
