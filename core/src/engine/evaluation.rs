//! What an evaluation comes to, and the steps on the way: an ID's place in a rollout, a ring's verdict, a variant.

use super::bucketing::HashedId;
use super::flag::{RingIndex, VariantRef};
use super::variants::VariantIndex;
use crate::flag::Position;

/// What a flag says of a user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evaluation {
    /// Whether the flag is on: a ring took the user, and gave them something else than the off-variation.
    pub on: bool,
    /// The ring that took the user.
    pub ring: Option<RingIndex>,
    /// What the user gets, be the flag on or off; `None` as well when there is no ID to choose among several variants by.
    pub variant: Option<VariantRef>,
    /// Whether a percentage, or the choice among variants, made the difference: another ID could have fared otherwise.
    pub randomised: bool,
    /// Whether an ID was needed somewhere and not there.
    pub missing_id: bool,
}

/// Where a user stands in a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement<'a> {
    /// What was hashed; `None`: there is no ID, and the flag's bucketing puts such users at the start.
    pub id: Option<HashedId<'a>>,
    /// The position, to be compared with the share.
    pub position: Position,
}

/// What a ring says of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingVerdict<'a> {
    /// It is switched off.
    Off,
    /// The condition does not hold.
    Unmet,
    /// The share is 0 %.
    Nobody,
    /// The share needs an ID to hash, and there is none.
    NoId,
    /// The user's position is not below the share.
    Missed(Placement<'a>),
    /// The user's position is below the share.
    Hit(Placement<'a>),
    /// The share is 100 %.
    Everybody,
}

impl RingVerdict<'_> {
    /// Whether the ring takes the user.
    pub fn holds(self) -> bool {
        matches!(self, Self::Hit(_) | Self::Everybody)
    }
}

/// How a variant was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VariantSelection<'a> {
    /// An override gives the user this one.
    Override(VariantIndex),
    /// Only this one can be had.
    Only(VariantIndex),
    /// The bucket value decided.
    Bucketed {
        /// What was hashed; `None`: there is no ID, and the variants' bucketing puts such users at the start.
        id: Option<HashedId<'a>>,
        /// The bucket value, on the scale of the variants' bucketing.
        value: u32,
        /// The variant that the value belongs to.
        variant: VariantIndex,
    },
    /// There is no ID to hash, and a random choice would not last.
    NoId,
}

impl VariantSelection<'_> {
    /// The variant chosen.
    pub fn variant(self) -> Option<VariantIndex> {
        match self {
            Self::Override(variant) | Self::Only(variant) | Self::Bucketed { variant, .. } => {
                Some(variant)
            }
            Self::NoId => None,
        }
    }
}
