//! A compiled flag: whom it is on for, and what it gives them.

use std::sync::Arc;

use super::bucketing::Bucketing;
use super::condition::Condition;
use super::origin::Origin;
use super::variants::{CanaryUrl, STABLE, Stickiness, Variant, VariantIndex, Variants};
use crate::context::Moment;
use crate::flag::Share;

/// A flag, ready to be evaluated.
#[derive(Clone, Debug, PartialEq)]
pub struct Flag {
    /// Its name.
    pub name: Arc<str>,
    /// The source that keeps it.
    pub origin: Origin,
    /// Whether it can be on at all.
    pub enabled: bool,
    /// Its rank among canary flags that the same entry of `canaries` matches: higher comes first.
    pub priority: i32,
    /// Its prerequisites: the flag is off unless all of them are met.
    pub dependencies: Vec<Dependency>,
    /// Its audiences, in the order in which they are asked: the first that holds for the user decides.
    pub rings: Vec<Ring>,
    /// What a user gets whom a ring takes, unless the ring has variants of its own.
    pub variants: Option<Variants>,
    /// What a user gets for whom the flag is off: LaunchDarkly's off-variation; flags of other sources have none. A ring
    /// that gives a user the variant of this name leaves the flag off for them.
    pub off_variant: Option<Box<Variant>>,
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
            off_variant: None,
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

    /// Whether it could be on for any user as it stands.
    pub fn can_be_on(&self) -> bool {
        let mut dependencies = self.dependencies.iter();
        self.enabled
            && dependencies.all(|dependency| dependency.parent.is_ok())
            && self.open_rings().next().is_some()
    }

    /// The rings that could turn the flag on for any user, and for how large a part of those who meet their conditions.
    pub fn open_rings(&self) -> impl Iterator<Item = (&Ring, Share)> {
        let rings = self.rings.iter();
        let rings = rings.filter(|ring| ring.enabled && !ring.condition.is_never());
        let open = rings.map(|ring| (ring, self.share_of(ring)));
        open.filter(|(_, share)| *share != Share::NONE)
    }

    /// For how large a part of those who meet its conditions a ring turns the flag on.
    fn share_of(&self, ring: &Ring) -> Share {
        let variants = ring.variants.as_ref().or(self.variants.as_ref());
        match (&self.off_variant, variants) {
            (Some(off), Some(variants)) if ring.rollout.share != Share::NONE => {
                variants.share_of(|variant| variant.name != off.name)
            }
            _ => ring.rollout.share,
        }
    }

    /// Every variant that rings give users: the flag's own first, then those that rings have of their own.
    pub fn every_variant(&self) -> impl Iterator<Item = &Variant> {
        let of_rings = self.rings.iter().filter_map(|ring| ring.variants.as_ref());
        let all = self.variants.iter().chain(of_rings);
        all.flat_map(|variants| variants.list())
    }

    /// The ring at a position.
    pub fn ring(&self, index: RingIndex) -> Option<&Ring> {
        self.rings.get(index.0)
    }

    /// The rings with their positions, in the order in which they are asked.
    pub fn indexed_rings(&self) -> impl Iterator<Item = (RingIndex, &Ring)> {
        (0..).map(RingIndex::new).zip(&self.rings)
    }

    /// The variant that a reference points to.
    pub fn variant(&self, at: VariantRef) -> Option<&Variant> {
        match at {
            VariantRef::Flag(index) => self.variants.as_ref()?.get(index),
            VariantRef::Ring(ring, index) => self.ring(ring)?.variants.as_ref()?.get(index),
            VariantRef::Off => self.off_variant.as_deref(),
        }
    }

    /// What a user gets for whom the flag is off.
    pub fn off(&self) -> Option<VariantRef> {
        self.off_variant.as_ref().map(|_| VariantRef::Off)
    }

    /// Whether a user who gets this variant is one for whom the flag is off.
    pub fn is_off(&self, at: VariantRef) -> bool {
        let off = self.off_variant.as_ref();
        off.is_some_and(|off| {
            self.variant(at)
                .is_some_and(|variant| variant.name == off.name)
        })
    }
}

/// A prerequisite of a flag (Unleash's parent dependency): the parent flag must be in some state, optionally with one of
/// some variants.
#[derive(Clone, Debug, PartialEq)]
pub struct Dependency {
    /// The parent's name.
    pub name: Arc<str>,
    /// The parent, or why there is none; then the dependency is never met.
    pub parent: Result<Arc<Flag>, &'static str>,
    /// What the parent must be.
    pub state: ParentState,
    /// The parent's variants that meet the dependency; empty: all of them do. A parent without variants meets it as well.
    pub variants: Vec<Arc<str>>,
}

/// The state of a parent flag that a dependency asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParentState {
    /// It is on for the user.
    On,
    /// It is off for the user.
    Off,
    /// It is switched on and one of its rings takes the user, be it with the off-variation (LaunchDarkly's prerequisite).
    Taking,
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
    /// Whether it is switched on; one that is not takes nobody.
    pub enabled: bool,
    /// Segments and conditions.
    pub condition: Condition,
    /// The percentage.
    pub rollout: Rollout,
    /// Variants of this ring's own: those of an Unleash strategy, or a LaunchDarkly rule's weighted variations.
    pub variants: Option<Variants>,
}

/// The position of a ring in [`Flag::rings`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RingIndex(usize);

impl RingIndex {
    /// The ring at this position, counted from 0.
    pub const fn new(position: usize) -> Self {
        Self(position)
    }

    /// The position, counted from 0.
    pub const fn position(self) -> usize {
        self.0
    }
}

/// A percentage of users, always the same ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollout {
    /// How many.
    pub share: Share,
    /// How an ID becomes a position, which is in the rollout when it is below the share.
    pub bucketing: Bucketing,
    /// Which ID is hashed.
    pub stickiness: Stickiness,
    /// Whether even 100 % takes an ID, as with Unleash's strategies. Local flags mean everybody by it.
    pub needs_id: bool,
}

impl Rollout {
    /// All users, with or without an ID; the group says only what would be hashed if the share were less.
    pub fn everybody(group: &Arc<str>) -> Self {
        Self {
            share: Share::ALL,
            bucketing: Bucketing::unleash(group.clone()),
            stickiness: Stickiness::Default,
            needs_id: false,
        }
    }
}

/// One of a flag's variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VariantRef {
    /// One of the flag's own variants.
    Flag(VariantIndex),
    /// One of a ring's own variants.
    Ring(RingIndex, VariantIndex),
    /// The flag's off-variation.
    Off,
}

/// One value for each variant that rings give users: those of the flag's own variants, and those of its rings'.
#[derive(Clone, Debug)]
pub struct PerVariant<T> {
    of_flag: Vec<T>,
    of_rings: Vec<Vec<T>>,
}

impl<T> PerVariant<T> {
    /// Makes the value of each variant of a flag, in the order of [`Flag::every_variant`].
    pub fn of(flag: &Flag, mut make: impl FnMut(&Variant) -> T) -> Self {
        let mut all = |variants: Option<&Variants>| {
            let list = variants.map_or(&[][..], Variants::list);
            list.iter().map(&mut make).collect()
        };
        let of_flag = all(flag.variants.as_ref());
        let rings = flag.rings.iter();
        Self {
            of_flag,
            of_rings: rings.map(|ring| all(ring.variants.as_ref())).collect(),
        }
    }

    /// The value of the variant that a reference points to; the off-variation has none.
    pub fn get(&self, at: VariantRef) -> Option<&T> {
        match at {
            VariantRef::Flag(index) => self.of_flag.get(index.position()),
            VariantRef::Ring(ring, index) => self.of_rings.get(ring.0)?.get(index.position()),
            VariantRef::Off => None,
        }
    }

    /// The values, in the order of [`Flag::every_variant`].
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.of_flag.iter().chain(self.of_rings.iter().flatten())
    }

    /// The values with what refers to their variants.
    pub fn entries(&self) -> impl Iterator<Item = (VariantRef, &T)> {
        let of_flag = (0..).map(VariantIndex::new).zip(&self.of_flag);
        let of_flag = of_flag.map(|(index, value)| (VariantRef::Flag(index), value));
        let of_rings = (0..).map(RingIndex).zip(&self.of_rings);
        let of_rings = of_rings.flat_map(|(ring, values)| {
            let values = (0..).map(VariantIndex::new).zip(values);
            values.map(move |(index, value)| (VariantRef::Ring(ring, index), value))
        });
        of_flag.chain(of_rings)
    }

    /// The same, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        let of_rings = self.of_rings.iter_mut().flatten();
        self.of_flag.iter_mut().chain(of_rings)
    }
}
