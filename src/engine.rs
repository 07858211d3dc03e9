//! Flags, compiled: rules as data, and their evaluation. No I/O, no clock, no randomness.
//!
//! One form serves every source: a local flag's ring is a [`Ring`], and so will be an Unleash strategy.

pub mod bucket;
pub mod condition;
pub mod evaluate;
pub mod trace;

use std::sync::Arc;

use crate::cluster::UpstreamUrl;
use crate::context::{Field, Moment};
use crate::flag::Share;
use condition::Condition;

/// A flag, ready to be evaluated.
#[derive(Debug)]
pub struct Flag {
    /// Its name.
    pub name: Arc<str>,
    /// Whether it can be on at all.
    pub enabled: bool,
    /// Any that holds turns the flag on; the first that holds says how.
    pub rings: Vec<Ring>,
    /// What a user who is on gets, unless the ring has variants of its own.
    pub variants: Option<Variants>,
    /// Where the users of a flag that has no variants go.
    pub url: Option<CanaryUrl>,
    /// What people wrote about it.
    pub about: About,
}

/// What people wrote about a flag. It never changes a decision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// What it is for.
    pub description: Option<Box<str>>,
    /// Who answers for it.
    pub owner: Option<Box<str>>,
    /// The end of the day on which it should be gone.
    pub expires: Option<Moment>,
}

/// One audience of a flag: everything stated must hold.
#[derive(Debug)]
pub struct Ring {
    /// Its name, for people.
    pub name: Arc<str>,
    /// Segments and conditions.
    pub condition: Condition,
    /// The percentage.
    pub rollout: Rollout,
    /// Variants of this ring's own (Unleash's strategy variants).
    pub variants: Option<Variants>,
}

/// A percentage of users, always the same ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollout {
    /// How many.
    pub share: Share,
    /// What the ID is hashed together with.
    pub group: Arc<str>,
    /// Which ID is hashed.
    pub stickiness: Stickiness,
    /// Whether even 100 % takes an ID, as with Unleash's strategies. Local flags mean everybody by it.
    pub needs_id: bool,
}

/// Which ID is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stickiness {
    /// The user ID, else the session ID.
    Default,
    /// This field, and no other.
    Field(Field),
}

/// What a user who is on can get, in name order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variants {
    list: Vec<Variant>,
    total_weight: u32,
    group: Arc<str>,
    stickiness: Stickiness,
}

/// One of several things a user who is on can get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    /// Its name.
    pub name: Arc<str>,
    /// Its part of the total weight.
    pub weight: u32,
    /// Where its users go; `None`: to stable, under this flag.
    pub url: Option<CanaryUrl>,
}

/// An upstream that a flag or a variant records. Both kinds make it a canary flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CanaryUrl {
    /// Users go there.
    Allowed(UpstreamUrl),
    /// `canary_urls` does not allow it: users are on stable, under the flag all the same, so that no other flag takes
    /// them until the URL or what is allowed has been put right.
    Refused,
}

impl CanaryUrl {
    /// The URL, if users may be sent there.
    pub fn allowed(&self) -> Option<&UpstreamUrl> {
        match self {
            Self::Allowed(url) => Some(url),
            Self::Refused => None,
        }
    }
}

impl Variants {
    /// Lays variants out in name order. `None` when the list is empty, a name stands twice, or all weights are 0.
    pub fn new(mut list: Vec<Variant>, group: Arc<str>, stickiness: Stickiness) -> Option<Self> {
        list.sort_by(|a, b| a.name.cmp(&b.name));
        let distinct = list.windows(2).all(|pair| pair[0].name != pair[1].name);
        let total_weight = list
            .iter()
            .try_fold(0_u32, |sum, variant| sum.checked_add(variant.weight))?;
        (distinct && total_weight > 0).then_some(Self {
            list,
            total_weight,
            group,
            stickiness,
        })
    }

    /// The variants, in name order.
    pub fn list(&self) -> &[Variant] {
        &self.list
    }

    /// The sum of all weights.
    pub fn total_weight(&self) -> u32 {
        self.total_weight
    }

    /// What the ID is hashed together with.
    pub fn group(&self) -> &str {
        &self.group
    }

    /// Which ID is hashed.
    pub fn stickiness(&self) -> Stickiness {
        self.stickiness
    }
}

/// A named audience that rings refer to.
#[derive(Debug)]
pub struct Segment {
    /// Its name.
    pub name: Arc<str>,
    /// Who belongs to it.
    pub condition: Condition,
}

#[cfg(test)]
mod tests;
