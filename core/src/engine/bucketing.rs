//! How an ID becomes a position in a rollout, or a bucket value among variants: each vendor's published algorithm, so that
//! a user is in the same part here as in an app that asks the vendor's SDK.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use sha1::{Digest as _, Sha1};

use super::murmur3::murmur3_32;
use crate::context::ShortText;
use crate::flag::{Position, Share};

/// What is hashed for a user.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum HashedId<'a> {
    /// A text of the context.
    Text(&'a str),
    /// The client's address, as text.
    Address(IpAddr),
}

impl HashedId<'_> {
    /// Does something with the text that is hashed.
    pub fn with_text<R>(self, act: impl FnOnce(&str) -> R) -> R {
        match self {
            Self::Text(text) => act(text),
            Self::Address(address) => act(ShortText::of_address(address).as_str()),
        }
    }
}

impl fmt::Display for HashedId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_text(|text| f.write_str(text))
    }
}

/// The text in quotes.
impl fmt::Debug for HashedId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_text(|text| write!(f, "{text:?}"))
    }
}

/// How an ID becomes a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bucketing {
    /// Unleash's, and that of local flags: MurmurHash3 of `group:id`. Variants are dealt the values from 1 to their
    /// total weight.
    Unleash {
        /// What the ID is hashed together with.
        group: Arc<str>,
    },
    /// LaunchDarkly's: SHA-1. Variants are dealt hundred-thousandths of all users; the last one takes what the weights leave.
    LaunchDarkly(LaunchDarklySalt),
}

/// What LaunchDarkly hashes an ID together with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LaunchDarklySalt {
    /// A flag's or segment's key and its salt: `key.salt.id` is hashed.
    Keyed {
        /// The key.
        key: Arc<str>,
        /// The salt.
        salt: Arc<str>,
    },
    /// A rollout's seed: `seed.id` is hashed.
    Seed(i64),
}

impl Bucketing {
    /// Unleash's bucketing with a group.
    pub fn unleash(group: impl Into<Arc<str>>) -> Self {
        Self::Unleash {
            group: group.into(),
        }
    }

    /// The position of an ID in a rollout; `None`: the ID is missing, and the algorithm has no position for that.
    pub fn position(&self, id: Option<HashedId<'_>>) -> Option<Position> {
        match self {
            Self::Unleash { group } => {
                let hundredths = id?.with_text(|id| rollout_position(group, id));
                Some(Position::of_hundredths(hundredths))
            }
            // LaunchDarkly's SDKs put users who lack the attribute at the start, which the first variation takes.
            Self::LaunchDarkly(salt) => Some(id.map_or(Position::START, |id| {
                id.with_text(|id| launchdarkly_position(salt, id))
            })),
        }
    }

    /// The bucket value of an ID among variants, counted from 1; `None`: the ID is missing, and the algorithm has no value
    /// for that.
    pub fn variant_value(&self, id: Option<HashedId<'_>>, total_weight: u32) -> Option<u32> {
        match self {
            Self::Unleash { group } => {
                Some(id?.with_text(|id| variant_bucket_value(group, id, total_weight)))
            }
            Self::LaunchDarkly(_) => Some(self.position(id)?.hundred_thousandths() + 1),
        }
    }

    /// Whether the last variant takes the values that no weight covers.
    pub(super) fn fills_up(&self) -> bool {
        match self {
            Self::Unleash { .. } => false,
            Self::LaunchDarkly(_) => true,
        }
    }

    /// How many values no weight covers.
    pub(super) fn shortfall(&self, total_weight: u32) -> u32 {
        match self {
            Self::Unleash { .. } => 0,
            Self::LaunchDarkly(_) => Share::ALL
                .hundred_thousandths()
                .saturating_sub(total_weight),
        }
    }

    /// What IDs are hashed together with, as one text: Unleash's group, LaunchDarkly's `key.salt` or seed.
    pub fn hashed_with(&self) -> Cow<'_, str> {
        match self {
            Self::Unleash { group } => Cow::Borrowed(group),
            Self::LaunchDarkly(LaunchDarklySalt::Keyed { key, salt }) => {
                Cow::Owned(format!("{key}.{salt}"))
            }
            Self::LaunchDarkly(LaunchDarklySalt::Seed(seed)) => Cow::Owned(seed.to_string()),
        }
    }

    /// The group that Unleash's SDKs would have to hash with to bucket alike; `None`: they cannot.
    pub fn unleash_group(&self) -> Option<&Arc<str>> {
        match self {
            Self::Unleash { group } => Some(group),
            Self::LaunchDarkly(_) => None,
        }
    }

    /// A bucket value among variants in words, behind "the ID …".
    pub fn value_in_words(&self, value: u32, total_weight: u32) -> String {
        match self {
            Self::Unleash { .. } => format!("drew {value} of {total_weight}"),
            Self::LaunchDarkly(_) => {
                let position = Position::of_hundred_thousandths(value.saturating_sub(1));
                format!("is at {position}")
            }
        }
    }
}

/// In words, behind an ID: as in `in group "search"`.
impl fmt::Display for Bucketing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unleash { group } => write!(f, "in group {group:?}"),
            Self::LaunchDarkly(LaunchDarklySalt::Keyed { key, salt }) => {
                write!(f, "of flag {key:?} with salt {salt:?}")
            }
            Self::LaunchDarkly(LaunchDarklySalt::Seed(seed)) => write!(f, "with seed {seed}"),
        }
    }
}

/// The seed that Unleash hashes variants with, so that they do not follow from the rollout's position.
const VARIANT_SEED: u32 = 86_028_157;

/// Where an ID stands in a group's rollout, in hundredths of a percent: 0 to 9,999. The user is in the rollout when
/// this is below its share.
///
/// The whole percent is Unleash's (`h % 100`), so `position < 100 * p` decides as every Unleash SDK does; the
/// hundredths come from the same hash, so raising a share in any step only ever adds users.
pub fn rollout_position(group: &str, id: &str) -> u16 {
    let hash = hash(0, group, id);
    let position = (hash % 100) * 100 + (hash / 100) % 100;
    // At most 9,999.
    position as u16
}

/// The bucket value of an ID among variants, as Unleash has it: 1 to `total_weight`.
pub fn variant_bucket_value(group: &str, id: &str, total_weight: u32) -> u32 {
    hash(VARIANT_SEED, group, id) % total_weight.max(1) + 1
}

/// The hash of `group:id`, without ever putting that text together.
fn hash(seed: u32, group: &str, id: &str) -> u32 {
    murmur3_32(seed, [group.as_bytes(), b":", id.as_bytes()])
}

/// Where an ID stands, as LaunchDarkly has it: the first 15 hexadecimal digits of the SHA-1 as a part of the largest such
/// number (docs.launchdarkly.com, "Percentage rollouts"). Computed in whole numbers: `position < weight` says the same as
/// `hash / 0xFFFFFFFFFFFFFFF < weight / 100000`.
fn launchdarkly_position(salt: &LaunchDarklySalt, id: &str) -> Position {
    let mut hash = Sha1::new();
    match salt {
        LaunchDarklySalt::Keyed { key, salt } => {
            hash.update(key.as_bytes());
            hash.update(b".");
            hash.update(salt.as_bytes());
        }
        LaunchDarklySalt::Seed(seed) => hash.update(ShortText::of_number(*seed).as_str()),
    }
    hash.update(b".");
    hash.update(id.as_bytes());
    let [a, b, c, d, e, f, g, h, ..]: [u8; 20] = hash.finalize().into();
    let first_15_digits = u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 4;
    let scale = u128::from(Share::ALL.hundred_thousandths());
    let position = u128::from(first_15_digits) * scale / u128::from(u64::MAX >> 4);
    // At most the scale.
    Position::of_hundred_thousandths(position as u32)
}

#[cfg(test)]
mod tests;
