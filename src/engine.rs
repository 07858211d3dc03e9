//! Flags, compiled: rules as data, and their evaluation. No I/O, no clock, no randomness.
//!
//! One form serves every source: a local flag's ring is a [`Ring`], and so is an Unleash strategy.

pub mod bucket;
pub mod compile_context;
pub mod condition;
pub mod evaluate;
pub mod origin;
pub mod reach;
pub mod source;
pub mod trace;
pub mod unleash;

use std::sync::Arc;

use crate::cluster::UpstreamUrl;
use crate::context::{Field, Moment};
use crate::flag::Share;
use condition::Condition;

pub use origin::{AudienceKind, Origin, UnleashDocument};

/// A flag, ready to be evaluated.
#[derive(Clone, Debug, PartialEq)]
pub struct Flag {
    /// Its name.
    pub name: Arc<str>,
    /// Who keeps it.
    pub origin: Origin,
    /// Whether it can be on at all.
    pub enabled: bool,
    /// Its rank among canary flags that the same entry of `canaries` matches: higher comes first.
    pub priority: i32,
    /// Other flags that must stand as is wanted; else this one is off.
    pub dependencies: Vec<Dependency>,
    /// Any that holds turns the flag on; the first that holds says how.
    pub rings: Vec<Ring>,
    /// What a user who is on gets, unless the ring has variants of its own.
    pub variants: Option<Variants>,
    /// Where the users of a flag that has no variants go.
    pub url: Option<CanaryUrl>,
    /// What people wrote about it.
    pub about: About,
    /// Whether client apps are asked to report that they looked at it (Unleash's impression data). Nothing here does.
    pub impression_data: bool,
}

impl Flag {
    /// A local flag that is on for nobody, to be filled in.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            origin: Origin::Local,
            enabled: true,
            priority: 0,
            dependencies: Vec::new(),
            rings: Vec::new(),
            variants: None,
            url: None,
            about: About::default(),
            impression_data: false,
        }
    }

    /// The service's stable deployment as the flag records it: the URL of the first variant called `stable` that has
    /// one, whatever the flag's state, with the service that it names.
    pub fn stable_url(&self) -> Option<(&CanaryUrl, Option<&Arc<str>>)> {
        let variants = self.every_variant();
        let mut stable = variants.filter(|variant| *variant.name == *STABLE);
        stable.find_map(|variant| Some((variant.url.as_ref()?, variant.service.as_ref())))
    }

    /// Whether anybody could find it on as it stands.
    pub fn can_be_on(&self) -> bool {
        let is_open = |ring: &Ring| ring.rollout.share != Share::NONE && !ring.condition.is_never();
        let mut dependencies = self.dependencies.iter();
        self.enabled
            && dependencies.all(|dependency| dependency.parent.is_ok())
            && self.rings.iter().any(is_open)
    }

    /// Every variant: the flag's own first, then those of its rings.
    pub fn every_variant(&self) -> impl Iterator<Item = &Variant> {
        let of_rings = self.rings.iter().filter_map(|ring| ring.variants.as_ref());
        let all = self.variants.iter().chain(of_rings);
        all.flat_map(|variants| variants.list())
    }
}

/// A variant of this name is the stable deployment, whatever URL it carries.
pub const STABLE: &str = "stable";

/// Another flag that must stand as is wanted for a flag to be on (Unleash's parent dependency).
#[derive(Clone, Debug, PartialEq)]
pub struct Dependency {
    /// The other flag's name.
    pub name: Arc<str>,
    /// The other flag, or why there is none to ask; then the dependency is never met.
    pub parent: Result<Arc<Flag>, &'static str>,
    /// Whether it must be on, or must be off.
    pub enabled: bool,
    /// Which of its variants will do; of none named: any. It is not asked of a flag without variants.
    pub variants: Vec<Arc<str>>,
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
#[derive(Clone, Debug, PartialEq)]
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
    /// Nothing that lasts (Unleash's `random`): there never is an ID.
    Nothing,
}

/// What a user who is on can get, in the order in which tickets are dealt out.
#[derive(Clone, Debug, PartialEq)]
pub struct Variants {
    list: Vec<Variant>,
    total_weight: u32,
    group: Arc<str>,
    stickiness: Stickiness,
    overrides: Vec<Override>,
}

/// Users who get a variant whatever their ticket.
#[derive(Clone, Debug, PartialEq)]
pub struct Override {
    /// The variant's position.
    pub variant: usize,
    /// Who they are.
    pub condition: Condition,
}

/// What a variant carries for those who read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// What it is said to be: `string`, `json`, `csv` or `number`.
    pub kind: Box<str>,
    /// The text itself.
    pub value: Box<str>,
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
    /// The service that the URL is for, where the payload names one.
    pub service: Option<Arc<str>>,
    /// What it carries.
    pub payload: Option<Payload>,
    /// Its payload is nearly one that says where users go; what keeps it from that, in words.
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

impl Variants {
    /// Lays variants out in name order. `None` when the list is empty, a name stands twice, or all weights are 0.
    pub fn new(mut list: Vec<Variant>, group: Arc<str>, stickiness: Stickiness) -> Option<Self> {
        list.sort_by(|a, b| a.name.cmp(&b.name));
        let distinct = list.windows(2).all(|pair| pair[0].name != pair[1].name);
        distinct.then(|| Self::as_served(list, group, stickiness, Vec::new()))?
    }

    /// Lays variants out in the order in which a flag server has them, which is what its SDKs do. `None` when the list
    /// is empty, all weights are 0, or their sum is beyond what can be drawn from.
    pub fn as_served(
        list: Vec<Variant>,
        group: Arc<str>,
        stickiness: Stickiness,
        overrides: Vec<Override>,
    ) -> Option<Self> {
        let total_weight = list
            .iter()
            .try_fold(0_u32, |sum, variant| sum.checked_add(variant.weight))?;
        (total_weight > 0).then_some(Self {
            list,
            total_weight,
            group,
            stickiness,
            overrides,
        })
    }

    /// The variants, in order.
    pub fn list(&self) -> &[Variant] {
        &self.list
    }

    /// Who gets a variant whatever their ticket; the first that holds counts.
    pub fn overrides(&self) -> &[Override] {
        &self.overrides
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
#[derive(Debug, PartialEq)]
pub struct Segment {
    /// Its name.
    pub name: Arc<str>,
    /// Who belongs to it.
    pub condition: Condition,
}

#[cfg(test)]
mod tests;
