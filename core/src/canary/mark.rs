//! The mark of a canary that was taken out of service, read before each attempt.

use std::sync::atomic::{AtomicU8, Ordering};

use super::{Cause, ReasonKind};

/// Why a canary gets no requests, whatever its flag says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Withdrawal {
    /// Somebody pulled the kill switch.
    Killed,
    /// Its registration has run out.
    LeaseOver,
    /// What is stored about kills cannot all be read: it may be one of the killed ones, and counts as killed.
    Unknown,
    /// It was registered, and has not passed its first health check yet.
    NotReady,
}

impl Withdrawal {
    /// The name that the API carries.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::LeaseOver => "lease_over",
            Self::Unknown => "unknown",
            Self::NotReady => "not_ready",
        }
    }

    /// Why stable served a user who was assigned to it before.
    pub fn cause(self) -> Cause {
        match self {
            Self::Killed | Self::Unknown => Cause::Killed,
            Self::LeaseOver => Cause::LeaseOver,
            Self::NotReady => Cause::Unhealthy,
        }
    }

    /// Why its users are assigned to stable from then on.
    pub fn reason(self) -> ReasonKind {
        match self {
            Self::Killed | Self::Unknown => ReasonKind::Killed,
            Self::LeaseOver => ReasonKind::LeaseOver,
            Self::NotReady => ReasonKind::NotReady,
        }
    }
}

/// Whether a flag's canaries are withdrawn from a service. One mark stands for the flag in every snapshot that there
/// ever was or will be, so that setting it stops requests that were decided on long before, at their next attempt. Only
/// the registry sets and lifts marks: no publication can lift one.
#[derive(Debug, Default)]
pub struct WithdrawalFlag(AtomicU8);

impl WithdrawalFlag {
    /// One that is set, or not.
    pub fn new(withdrawal: Option<Withdrawal>) -> Self {
        let mark = Self::default();
        mark.set(withdrawal);
        mark
    }

    /// Why the canary gets no requests; `None`: it gets them.
    pub fn get(&self) -> Option<Withdrawal> {
        match self.0.load(Ordering::Acquire) {
            1 => Some(Withdrawal::Killed),
            2 => Some(Withdrawal::LeaseOver),
            3 => Some(Withdrawal::Unknown),
            4 => Some(Withdrawal::NotReady),
            _ => None,
        }
    }

    /// Sets or lifts the mark.
    pub fn set(&self, withdrawal: Option<Withdrawal>) {
        let value = match withdrawal {
            None => 0,
            Some(Withdrawal::Killed) => 1,
            Some(Withdrawal::LeaseOver) => 2,
            Some(Withdrawal::Unknown) => 3,
            Some(Withdrawal::NotReady) => 4,
        };
        self.0.store(value, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::{Withdrawal, WithdrawalFlag};

    #[test]
    fn a_mark_says_what_was_set_last() {
        let mark = WithdrawalFlag::default();
        assert_eq!(mark.get(), None);
        let all = [
            Withdrawal::Killed,
            Withdrawal::LeaseOver,
            Withdrawal::Unknown,
            Withdrawal::NotReady,
        ];
        for set in all.map(Some).into_iter().chain([None]) {
            mark.set(set);
            assert_eq!(mark.get(), set);
            assert_eq!(WithdrawalFlag::new(set).get(), set);
        }
    }
}
