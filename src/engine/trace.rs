//! What an evaluation can be watched by. One code path serves both: deciding watches with [`Silent`], which compiles to
//! nothing, and explaining with [`Recorder`].

use std::fmt;
use std::net::IpAddr;

use super::condition::{Condition, Constraint};
use super::evaluate::Evaluation;
use super::{Dependency, Flag, Ring, Variants};
use crate::context::{Moment, ShortText};

/// Is told every step of an evaluation, in the order in which they are taken.
pub trait Trace<'a> {
    /// A flag is asked.
    fn flag(&mut self, _flag: &'a Flag) {}
    /// A flag that it depends on is asked: that one's steps follow, if there is such a flag.
    fn dependency(&mut self, _dependency: &'a Dependency) {}
    /// The dependency is settled.
    fn depended(&mut self, _met: bool) {}
    /// A ring of it is asked.
    fn ring(&mut self, _index: usize, _ring: &'a Ring, _purpose: Purpose) {}
    /// A condition with parts is looked into.
    fn enter(&mut self, _condition: &'a Condition) {}
    /// One test of one field was made.
    fn test(&mut self, _constraint: &'a Constraint, _seen: Seen<'a>, _held: bool) {}
    /// The condition entered last is settled.
    fn leave(&mut self, _held: bool) {}
    /// The ring is settled.
    fn verdict(&mut self, _verdict: Verdict<'a>) {}
    /// A variant was chosen among these, or could not be.
    fn draw(&mut self, _variants: &'a Variants, _draw: VariantSelection<'a>) {}
    /// The flag is settled.
    fn settled(&mut self, _evaluation: Evaluation) {}
}

/// Why a ring is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To find the one that decides.
    Decide,
    /// An earlier ring took the user by a percentage; whether this one would have taken them in any case tells a
    /// randomised assignment from a targeted one.
    Compare,
}

/// What a constraint saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen<'a> {
    /// No value.
    Missing,
    /// A text.
    Text(&'a str),
    /// The client's address.
    Address(IpAddr),
    /// The moment of the decision.
    Moment(Moment),
}

/// What a ring says of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// The condition does not hold.
    Unmet,
    /// The share is 0 %.
    Nobody,
    /// The share needs an ID to hash, and there is none.
    NoId,
    /// The ID's position is not below the share.
    Missed(Bucket<'a>),
    /// The ID's position is below the share.
    Hit(Bucket<'a>),
    /// The share is 100 %.
    Everybody,
}

/// What is hashed for a user.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Id<'a> {
    /// A text of the context.
    Text(&'a str),
    /// The client's address, as text.
    Address(IpAddr),
}

impl Id<'_> {
    /// Does something with the text that is hashed.
    pub fn with_text<R>(self, act: impl FnOnce(&str) -> R) -> R {
        match self {
            Self::Text(text) => act(text),
            Self::Address(address) => act(ShortText::of_address(address).as_str()),
        }
    }
}

impl fmt::Display for Id<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_text(|text| f.write_str(text))
    }
}

/// The text in quotes.
impl fmt::Debug for Id<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_text(|text| write!(f, "{text:?}"))
    }
}

/// Where an ID stands in a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket<'a> {
    /// What was hashed.
    pub id: Id<'a>,
    /// In hundredths of a percent, 0 to 9,999.
    pub position: u16,
}

/// How a variant was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VariantSelection<'a> {
    /// An override gives the user this one.
    Override(usize),
    /// Only this one can be had.
    Only(usize),
    /// The ID drew a ticket.
    Ticket {
        /// What was hashed.
        id: Id<'a>,
        /// 1 to the total weight.
        ticket: u32,
        /// The variant it belongs to.
        variant: usize,
    },
    /// There is no ID to hash, and a random choice would not last.
    NoId,
}

impl Verdict<'_> {
    /// Whether the ring takes the user.
    pub fn holds(self) -> bool {
        matches!(self, Self::Hit(_) | Self::Everybody)
    }
}

impl VariantSelection<'_> {
    /// The variant chosen.
    pub fn variant(self) -> Option<usize> {
        match self {
            Self::Override(variant) | Self::Only(variant) | Self::Ticket { variant, .. } => {
                Some(variant)
            }
            Self::NoId => None,
        }
    }
}

/// Watches nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Trace<'_> for Silent {}

/// Keeps every step.
#[derive(Debug, Default)]
pub struct Recorder<'a> {
    flags: Vec<FlagRecord<'a>>,
    /// Flags that are being asked: one, and the one that it depends on.
    asked: Vec<FlagRecord<'a>>,
    /// Conditions entered and not yet settled, the innermost last.
    open: Vec<(&'a Condition, Vec<Step<'a>>)>,
}

/// One flag that was asked.
#[derive(Clone, Debug)]
pub struct FlagRecord<'a> {
    /// Which one.
    pub flag: &'a Flag,
    /// The flags it depends on that were asked, up to the first that does not stand as is wanted.
    pub dependencies: Vec<DependencyRecord<'a>>,
    /// The rings that were asked, in order.
    pub rings: Vec<RingRecord<'a>>,
    /// How the variant was chosen, if the user is on and there are variants.
    pub draw: Option<(&'a Variants, VariantSelection<'a>)>,
    /// What came of it.
    pub evaluation: Evaluation,
}

/// One dependency that was asked.
#[derive(Clone, Debug)]
pub struct DependencyRecord<'a> {
    /// Which one.
    pub dependency: &'a Dependency,
    /// How the other flag answered; `None`: there is no such flag.
    pub parent: Option<FlagRecord<'a>>,
    /// Whether it stands as is wanted.
    pub met: bool,
}

/// One ring that was asked.
#[derive(Clone, Debug)]
pub struct RingRecord<'a> {
    /// Its position in the flag.
    pub index: usize,
    /// Which one.
    pub ring: &'a Ring,
    /// Why it was asked.
    pub purpose: Purpose,
    /// The conditions that were looked at: none only while the ring is being asked.
    pub condition: Option<Step<'a>>,
    /// What came of it.
    pub verdict: Verdict<'a>,
}

/// One condition that was looked at.
#[derive(Clone, Debug)]
pub enum Step<'a> {
    /// One test of one field.
    Test {
        /// What was asked.
        constraint: &'a Constraint,
        /// What was seen.
        seen: Seen<'a>,
        /// Whether it passed.
        held: bool,
    },
    /// A condition with parts: all, any, not, or a segment.
    Group {
        /// Which one.
        condition: &'a Condition,
        /// The parts that were looked at, up to the one that settled it.
        steps: Vec<Step<'a>>,
        /// Whether it held.
        held: bool,
    },
}

impl<'a> Recorder<'a> {
    /// The flags that were asked, in order.
    pub fn into_flags(self) -> Vec<FlagRecord<'a>> {
        self.flags
    }

    fn ring_under_way(&mut self) -> Option<&mut RingRecord<'a>> {
        self.asked.last_mut()?.rings.last_mut()
    }

    fn dependency_under_way(&mut self) -> Option<&mut DependencyRecord<'a>> {
        self.asked.last_mut()?.dependencies.last_mut()
    }

    fn step(&mut self, step: Step<'a>) {
        if let Some((_, steps)) = self.open.last_mut() {
            steps.push(step);
        } else if let Some(ring) = self.ring_under_way() {
            ring.condition = Some(step);
        }
    }
}

impl<'a> Trace<'a> for Recorder<'a> {
    fn flag(&mut self, flag: &'a Flag) {
        self.asked.push(FlagRecord {
            flag,
            dependencies: Vec::new(),
            rings: Vec::new(),
            draw: None,
            evaluation: Evaluation::default(),
        });
    }

    fn dependency(&mut self, dependency: &'a Dependency) {
        if let Some(flag) = self.asked.last_mut() {
            flag.dependencies.push(DependencyRecord {
                dependency,
                parent: None,
                met: false,
            });
        }
    }

    fn depended(&mut self, met: bool) {
        if let Some(record) = self.dependency_under_way() {
            record.met = met;
        }
    }

    fn ring(&mut self, index: usize, ring: &'a Ring, purpose: Purpose) {
        if let Some(flag) = self.asked.last_mut() {
            flag.rings.push(RingRecord {
                index,
                ring,
                purpose,
                condition: None,
                verdict: Verdict::Unmet,
            });
        }
    }

    fn enter(&mut self, condition: &'a Condition) {
        self.open.push((condition, Vec::new()));
    }

    fn test(&mut self, constraint: &'a Constraint, seen: Seen<'a>, held: bool) {
        self.step(Step::Test {
            constraint,
            seen,
            held,
        });
    }

    fn leave(&mut self, held: bool) {
        if let Some((condition, steps)) = self.open.pop() {
            self.step(Step::Group {
                condition,
                steps,
                held,
            });
        }
    }

    fn verdict(&mut self, verdict: Verdict<'a>) {
        if let Some(ring) = self.ring_under_way() {
            ring.verdict = verdict;
        }
    }

    fn draw(&mut self, variants: &'a Variants, draw: VariantSelection<'a>) {
        if let Some(flag) = self.asked.last_mut() {
            flag.draw = Some((variants, draw));
        }
    }

    fn settled(&mut self, evaluation: Evaluation) {
        let Some(mut flag) = self.asked.pop() else {
            return;
        };
        flag.evaluation = evaluation;
        match self.dependency_under_way() {
            Some(record) => record.parent = Some(flag),
            None => self.flags.push(flag),
        }
    }
}
