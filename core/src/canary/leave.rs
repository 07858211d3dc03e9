//! Why users leave a canary while requests of theirs still run there.

use super::{Cause, Withdrawal};

/// Why users leave a canary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// Somebody pulled its kill switch.
    Killed,
    /// Its registration has run out.
    LeaseOver,
    /// The user of the request is meant for another deployment now.
    Moved,
}

impl Leave {
    /// Of a canary that was withdrawn; `None`: not for good, or only because nobody knows better. That ends no request.
    pub fn of(withdrawal: Withdrawal) -> Option<Self> {
        match withdrawal {
            Withdrawal::Killed => Some(Self::Killed),
            Withdrawal::LeaseOver => Some(Self::LeaseOver),
            Withdrawal::Unknown | Withdrawal::NotReady => None,
        }
    }

    /// What records say of a request that ended for this.
    pub fn cause(self) -> Cause {
        match self {
            Self::Killed => Cause::Killed,
            Self::LeaseOver => Cause::LeaseOver,
            Self::Moved => Cause::Moved,
        }
    }
}
