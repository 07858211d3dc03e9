//! The words for what was assigned, what was served, and why they may differ.

mod leave;
pub mod mark;

use std::fmt;

pub use leave::Leave;
pub use mark::{Withdrawal, WithdrawalFlag};

/// Why a user was assigned their deployment, without the particulars (which ring, which bucket).
///
/// The order is that of [`ReasonKind::ALL`]; metrics index by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReasonKind {
    /// A signed override asked for the deployment.
    Override,
    /// A gateway before this one decided, and a trusted proxy's baggage says so.
    Lane,
    /// A ring of a local flag holds for the user.
    Ring,
    /// A strategy of an Unleash flag holds for the user.
    Strategy,
    /// A rule of a LaunchDarkly flag holds for the user.
    Rule,
    /// The flag puts the user on a canary that has been killed.
    Killed,
    /// The flag puts the user on a canary whose registration has run out.
    LeaseOver,
    /// The flag puts the user on a canary that has not passed its first health check since it was registered.
    NotReady,
    /// A percentage could have put the user on a canary, but there is no ID to hash.
    NoIdentity,
    /// No flags have been loaded yet.
    NoFlags,
    /// The service has canary flags, and every one of them is switched off.
    FlagOff,
    /// No flag puts the user on a canary.
    Default,
}

impl ReasonKind {
    /// Every reason, in index order.
    pub const ALL: [Self; 12] = [
        Self::Override,
        Self::Lane,
        Self::Ring,
        Self::Strategy,
        Self::Rule,
        Self::Killed,
        Self::LeaseOver,
        Self::NotReady,
        Self::NoIdentity,
        Self::NoFlags,
        Self::FlagOff,
        Self::Default,
    ];

    /// The name that logs, metrics and headers carry.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Override => "override",
            Self::Lane => "lane",
            Self::Ring => "ring",
            Self::Strategy => "strategy",
            Self::Rule => "rule",
            Self::Killed => "killed",
            Self::LeaseOver => "lease_over",
            Self::NotReady => "not_ready",
            Self::NoIdentity => "no_identity",
            Self::NoFlags => "no_flags",
            Self::FlagOff => "flag_off",
            Self::Default => "default",
        }
    }

    /// The position in [`ReasonKind::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for ReasonKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why the deployment that answered is not the assigned one, or why its answer ended before its time.
///
/// The order is that of [`Cause::ALL`]; metrics index by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// No connection could be made.
    Connect,
    /// A connection broke before the response began.
    Reset,
    /// No response began in time.
    Timeout,
    /// The response's status asked for a rescue.
    Status,
    /// The canary has no healthy endpoint, or no address at all.
    Unhealthy,
    /// The canary is at its `max_in_flight`, or the service has as many requests or connections as it may have.
    Overload,
    /// The user was rescued too often of late.
    Quarantined,
    /// The canary was killed after the decision. Of an answer that had begun: it was ended for that.
    Killed,
    /// The canary's lease ran out after the decision, or during the answer.
    LeaseOver,
    /// Nobody served: the service is shut off for this user.
    Shutoff,
    /// The canary's answer was ended, since its user is meant for another deployment by now.
    Moved,
}

impl Cause {
    /// Every cause, in index order.
    pub const ALL: [Self; 11] = [
        Self::Connect,
        Self::Reset,
        Self::Timeout,
        Self::Status,
        Self::Unhealthy,
        Self::Overload,
        Self::Quarantined,
        Self::Killed,
        Self::LeaseOver,
        Self::Shutoff,
        Self::Moved,
    ];

    /// The name that logs, metrics and headers carry.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::Status => "status",
            Self::Unhealthy => "unhealthy",
            Self::Overload => "overload",
            Self::Quarantined => "quarantined",
            Self::Killed => "killed",
            Self::LeaseOver => "lease_over",
            Self::Shutoff => "shutoff",
            Self::Moved => "moved",
        }
    }

    /// The position in [`Cause::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What became of a lane that a request's baggage names.
///
/// The order is that of [`LaneResult::ALL`]; metrics index by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LaneResult {
    /// The request is meant for the deployment that it names.
    Followed,
    /// The service has no such deployment.
    Unknown,
    /// The deployment gets no users now.
    Withdrawn,
    /// `lanes: ignore`, or the sender is no trusted proxy.
    Ignored,
}

impl LaneResult {
    /// Every result, in index order.
    pub const ALL: [Self; 4] = [
        Self::Followed,
        Self::Unknown,
        Self::Withdrawn,
        Self::Ignored,
    ];

    /// The name that metrics and explanations carry.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Followed => "followed",
            Self::Unknown => "unknown",
            Self::Withdrawn => "withdrawn",
            Self::Ignored => "ignored",
        }
    }

    /// The position in [`LaneResult::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::{Cause, LaneResult, ReasonKind};

    #[test]
    fn an_index_is_a_position_in_all() {
        for (index, reason) in ReasonKind::ALL.into_iter().enumerate() {
            assert_eq!(reason.index(), index, "{reason}");
        }
        for (index, cause) in Cause::ALL.into_iter().enumerate() {
            assert_eq!(cause.index(), index, "{cause}");
        }
        for (index, result) in LaneResult::ALL.into_iter().enumerate() {
            assert_eq!(result.index(), index, "{result:?}");
        }
    }
}
