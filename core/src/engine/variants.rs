//! Variants: what a flag gives the users for whom it is on, and how one is chosen for each of them.

use std::sync::Arc;

use super::bucketing::{Bucketing, HashedId};
use super::condition::Condition;
use crate::cluster::UpstreamUrl;
use crate::context::{Context, Field};
use crate::flag::Share;

/// A variant of this name is the stable deployment, whatever URL it carries.
pub const STABLE: &str = "stable";

/// The variants that a user can get, in the order in which bucket values are dealt out to them.
#[derive(Clone, Debug, PartialEq)]
pub struct Variants {
    list: Vec<Variant>,
    total_weight: u32,
    bucketing: Bucketing,
    stickiness: Stickiness,
    overrides: Vec<Override>,
}

/// The position of a variant in [`Variants::list`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VariantIndex(usize);

impl VariantIndex {
    /// The variant at this position, counted from 0.
    pub const fn new(position: usize) -> Self {
        Self(position)
    }

    /// The position, counted from 0.
    pub const fn position(self) -> usize {
        self.0
    }
}

/// Users who get a variant whatever their bucket value.
#[derive(Clone, Debug, PartialEq)]
pub struct Override {
    /// The variant.
    pub variant: VariantIndex,
    /// Who they are.
    pub condition: Condition,
}

/// What a variant carries for those who read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// Its type as the source states it: `string`, `json`, `csv` or `number`.
    pub kind: Box<str>,
    /// The text itself.
    pub value: Box<str>,
}

/// One of several things that a user can get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    /// Its name.
    pub name: Arc<str>,
    /// Its part of the total weight.
    pub weight: u32,
    /// Where its users go; `None`: to stable, under this flag.
    pub url: Option<CanaryUrl>,
    /// The service that the URL is for, where the payload names one.
    pub service: Option<Arc<str>>,
    /// What it carries.
    pub payload: Option<Payload>,
    /// Why its payload is not one that says where users go, although it nearly is; in words.
    pub nearly: Option<Box<str>>,
}

/// An upstream that a flag or a variant records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CanaryUrl {
    /// Users go there.
    Allowed(UpstreamUrl),
    /// `canary_urls` does not allow it, or it does not parse; why, in words. The variant is stable.
    Refused(Box<str>),
}

impl CanaryUrl {
    /// The URL, if users may be sent there.
    pub fn allowed(&self) -> Option<&UpstreamUrl> {
        match self {
            Self::Allowed(url) => Some(url),
            Self::Refused(_) => None,
        }
    }
}

/// Which ID is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stickiness {
    /// The user ID, else the session ID.
    Default,
    /// This field, and no other.
    Field(Field),
    /// Nothing that lasts (Unleash's `random`): there never is an ID.
    Nothing,
}

impl Stickiness {
    /// The ID that is hashed.
    pub fn id<'a>(self, context: &'a Context<'_>) -> Option<HashedId<'a>> {
        match self {
            Self::Default => context
                .text(Field::UserId)
                .or_else(|| context.text(Field::SessionId))
                .map(HashedId::Text),
            Self::Field(Field::RemoteAddress) => {
                let address = context.remote_address.to_canonical();
                (!address.is_unspecified()).then_some(HashedId::Address(address))
            }
            Self::Field(field) => context.text(field).map(HashedId::Text),
            Self::Nothing => None,
        }
    }

    /// Whether a session's ID could be what is hashed.
    pub fn may_use_session(self) -> bool {
        matches!(self, Self::Default | Self::Field(Field::SessionId))
    }
}

impl Variants {
    /// Lays variants out in name order. `None` when the list is empty, a name stands twice, or all weights are 0.
    pub fn new(
        mut list: Vec<Variant>,
        bucketing: Bucketing,
        stickiness: Stickiness,
    ) -> Option<Self> {
        list.sort_by(|a, b| a.name.cmp(&b.name));
        let distinct = list.is_sorted_by(|a, b| a.name < b.name);
        distinct.then(|| Self::as_served(list, bucketing, stickiness, Vec::new()))?
    }

    /// Lays variants out in the order in which a flag server has them, which is what its SDKs do. `None` when no variant
    /// can be had, or the sum of the weights is too large to be hashed into.
    pub fn as_served(
        list: Vec<Variant>,
        bucketing: Bucketing,
        stickiness: Stickiness,
        overrides: Vec<Override>,
    ) -> Option<Self> {
        let total_weight = list
            .iter()
            .try_fold(0_u32, |sum, variant| sum.checked_add(variant.weight))?;
        let can_be_had = !list.is_empty() && (total_weight > 0 || bucketing.fills_up());
        can_be_had.then_some(Self {
            list,
            total_weight,
            bucketing,
            stickiness,
            overrides,
        })
    }

    /// The variants, in order.
    pub fn list(&self) -> &[Variant] {
        &self.list
    }

    /// The variant at a position.
    pub fn get(&self, index: VariantIndex) -> Option<&Variant> {
        self.list.get(index.0)
    }

    /// The users who get a variant whatever their bucket value; the first override that holds counts.
    pub fn overrides(&self) -> &[Override] {
        &self.overrides
    }

    /// The same, with one more override at the end.
    #[must_use]
    pub fn overridden(mut self, more: Override) -> Self {
        self.overrides.push(more);
        self
    }

    /// The sum of all weights.
    pub fn total_weight(&self) -> u32 {
        self.total_weight
    }

    /// How an ID becomes a bucket value.
    pub fn bucketing(&self) -> &Bucketing {
        &self.bucketing
    }

    /// Which ID is hashed.
    pub fn stickiness(&self) -> Stickiness {
        self.stickiness
    }

    /// The bucket value of an ID among these variants; `None`: the ID is missing, and the bucketing needs one.
    pub fn bucket_value(&self, id: Option<HashedId<'_>>) -> Option<u32> {
        self.bucketing.variant_value(id, self.total_weight)
    }

    /// The variant that a bucket value belongs to: values are dealt out in the order of the list, each variant taking
    /// its weight.
    pub fn by_bucket_value(&self, value: u32) -> Option<VariantIndex> {
        let mut dealt = 0_u32;
        let found = self.list.iter().position(|variant| {
            dealt = dealt.saturating_add(variant.weight);
            dealt >= value
        });
        found.map(VariantIndex).or_else(|| self.filling_up())
    }

    /// The variant that takes the values which no weight covers.
    fn filling_up(&self) -> Option<VariantIndex> {
        let last = self.list.len().checked_sub(1).map(VariantIndex);
        last.filter(|_| self.bucketing.fills_up())
    }

    /// The variants that some user could get, with the weights that count for them.
    pub fn possible(&self) -> impl Iterator<Item = (VariantIndex, &Variant)> {
        let all = (0..).map(VariantIndex).zip(&self.list);
        let filling = self.bucketing.shortfall(self.total_weight) > 0;
        let filling = if filling { self.filling_up() } else { None };
        all.filter(move |(index, variant)| variant.weight > 0 || Some(*index) == filling)
    }

    /// How large a part of all users gets variants of a kind; a part that is not none is not rounded to none.
    pub fn share_of(&self, is_meant: impl Fn(&Variant) -> bool) -> Share {
        let shortfall = self.bucketing.shortfall(self.total_weight);
        let filling = self.filling_up().and_then(|last| self.get(last));
        let meant = self.list.iter().filter(|variant| is_meant(variant));
        let mut weight: u64 = meant.map(|variant| u64::from(variant.weight)).sum();
        if filling.is_some_and(is_meant) {
            weight += u64::from(shortfall);
        }
        let all = u64::from(self.total_weight) + u64::from(shortfall);
        let parts = weight * u64::from(Share::ALL.hundred_thousandths());
        let parts = u32::try_from(parts.div_ceil(all.max(1))).ok();
        parts
            .and_then(Share::of_hundred_thousandths)
            .unwrap_or(Share::ALL)
    }

    /// The only variant that any user could get, if there is but one.
    pub fn only(&self) -> Option<VariantIndex> {
        let mut possible = self.possible();
        let (index, _) = possible.next()?;
        possible.next().is_none().then_some(index)
    }
}
