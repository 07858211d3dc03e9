//! Watching an evaluation. One code path serves both deciding and explaining: the former watches with [`Silent`], the
//! latter with [`Recorder`].

use super::condition::{Condition, Constraint, FieldValue};
use super::evaluation::{Evaluation, RingVerdict, VariantSelection};
use super::flag::{Dependency, Flag, Ring, RingIndex};
use super::variants::Variants;

/// Watches every step of an evaluation, in the order in which they are taken.
pub trait Trace<'a> {
    /// The evaluation of a flag begins.
    fn flag_begin(&mut self, _flag: &'a Flag) {}
    /// The evaluation of a flag has ended.
    fn flag_end(&mut self, _evaluation: Evaluation) {}
    /// One of the flag's dependencies is looked at: the parent's own steps follow, if there is such a flag.
    fn dependency_begin(&mut self, _dependency: &'a Dependency) {}
    /// Whether the dependency is met.
    fn dependency_end(&mut self, _met: bool) {}
    /// One of the flag's rings is looked at: its condition's steps follow.
    fn ring_begin(&mut self, _index: RingIndex, _ring: &'a Ring, _purpose: Purpose) {}
    /// What the ring says of the user.
    fn ring_end(&mut self, _verdict: RingVerdict<'a>) {}
    /// A condition with parts is looked at: the steps of its parts follow.
    fn condition_begin(&mut self, _condition: &'a Condition) {}
    /// Whether the condition holds that began last and has not ended.
    fn condition_end(&mut self, _held: bool) {}
    /// One test of one field was made.
    fn constraint_tested(
        &mut self,
        _constraint: &'a Constraint,
        _seen: FieldValue<'a>,
        _held: bool,
    ) {
    }
    /// A variant was chosen among these, or could not be.
    fn variant_selected(&mut self, _variants: &'a Variants, _selection: VariantSelection<'a>) {}
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

/// Watches nothing, and compiles to nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Trace<'_> for Silent {}

/// Keeps every step.
#[derive(Debug, Default)]
pub struct Recorder<'a> {
    flags: Vec<FlagRecord<'a>>,
    /// Flags whose evaluation has begun and not ended: one, and the parent that it depends on.
    asked: Vec<FlagRecord<'a>>,
    /// Conditions that have begun and not ended, the innermost last.
    open: Vec<(&'a Condition, Vec<ConditionRecord<'a>>)>,
}

/// One flag that was asked.
#[derive(Clone, Debug)]
pub struct FlagRecord<'a> {
    /// The flag.
    pub flag: &'a Flag,
    /// The flags it depends on that were asked, up to the first that is not met.
    pub dependencies: Vec<DependencyRecord<'a>>,
    /// The rings that were asked, in order.
    pub rings: Vec<RingRecord<'a>>,
    /// How the variant was chosen, if the user is on and there are variants.
    pub selection: Option<(&'a Variants, VariantSelection<'a>)>,
    /// What the flag says of the user.
    pub evaluation: Evaluation,
}

/// One dependency that was asked.
#[derive(Clone, Debug)]
pub struct DependencyRecord<'a> {
    /// The dependency.
    pub dependency: &'a Dependency,
    /// What the parent said; `None`: there is no such flag.
    pub parent: Option<FlagRecord<'a>>,
    /// Whether it is met.
    pub met: bool,
}

/// One ring that was asked.
#[derive(Clone, Debug)]
pub struct RingRecord<'a> {
    /// Its position in the flag.
    pub index: RingIndex,
    /// The ring.
    pub ring: &'a Ring,
    /// Why it was asked.
    pub purpose: Purpose,
    /// The conditions that were looked at: none while the ring is being asked, and of one that is switched off.
    pub condition: Option<ConditionRecord<'a>>,
    /// What it says of the user.
    pub verdict: RingVerdict<'a>,
}

/// One condition that was looked at.
#[derive(Clone, Debug)]
pub enum ConditionRecord<'a> {
    /// One test of one field.
    Test {
        /// The constraint.
        constraint: &'a Constraint,
        /// The field's value.
        seen: FieldValue<'a>,
        /// Whether it passed.
        held: bool,
    },
    /// A condition with parts: all, any, not, or a segment.
    Group {
        /// The condition.
        condition: &'a Condition,
        /// The parts that were looked at, up to the one that decided it.
        parts: Vec<ConditionRecord<'a>>,
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

    fn condition_looked_at(&mut self, record: ConditionRecord<'a>) {
        if let Some((_, parts)) = self.open.last_mut() {
            parts.push(record);
        } else if let Some(ring) = self.ring_under_way() {
            ring.condition = Some(record);
        }
    }
}

impl<'a> Trace<'a> for Recorder<'a> {
    fn flag_begin(&mut self, flag: &'a Flag) {
        self.asked.push(FlagRecord {
            flag,
            dependencies: Vec::new(),
            rings: Vec::new(),
            selection: None,
            evaluation: Evaluation::default(),
        });
    }

    fn dependency_begin(&mut self, dependency: &'a Dependency) {
        if let Some(flag) = self.asked.last_mut() {
            flag.dependencies.push(DependencyRecord {
                dependency,
                parent: None,
                met: false,
            });
        }
    }

    fn dependency_end(&mut self, met: bool) {
        if let Some(record) = self.dependency_under_way() {
            record.met = met;
        }
    }

    fn ring_begin(&mut self, index: RingIndex, ring: &'a Ring, purpose: Purpose) {
        if let Some(flag) = self.asked.last_mut() {
            flag.rings.push(RingRecord {
                index,
                ring,
                purpose,
                condition: None,
                verdict: RingVerdict::Unmet,
            });
        }
    }

    fn condition_begin(&mut self, condition: &'a Condition) {
        self.open.push((condition, Vec::new()));
    }

    fn constraint_tested(&mut self, constraint: &'a Constraint, seen: FieldValue<'a>, held: bool) {
        self.condition_looked_at(ConditionRecord::Test {
            constraint,
            seen,
            held,
        });
    }

    fn condition_end(&mut self, held: bool) {
        if let Some((condition, parts)) = self.open.pop() {
            self.condition_looked_at(ConditionRecord::Group {
                condition,
                parts,
                held,
            });
        }
    }

    fn ring_end(&mut self, verdict: RingVerdict<'a>) {
        if let Some(ring) = self.ring_under_way() {
            ring.verdict = verdict;
        }
    }

    fn variant_selected(&mut self, variants: &'a Variants, selection: VariantSelection<'a>) {
        if let Some(flag) = self.asked.last_mut() {
            flag.selection = Some((variants, selection));
        }
    }

    fn flag_end(&mut self, evaluation: Evaluation) {
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
