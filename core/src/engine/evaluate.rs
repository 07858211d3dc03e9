//! Whether a flag is on for a user, by which ring, and with which variant. Pure, and without allocation.

use super::evaluation::{Evaluation, Placement, RingVerdict, VariantSelection};
use super::flag::{Dependency, Flag, ParentState, Ring, RingIndex, Rollout, VariantRef};
use super::trace::{Purpose, Silent, Trace};
use super::variants::Variants;
use crate::context::{Context, Moment};
use crate::flag::Share;

impl Flag {
    /// Evaluates the flag for a user. The first ring that holds decides.
    pub fn evaluate<'a, T: Trace<'a>>(
        &'a self,
        context: &'a Context<'_>,
        moment: Moment,
        trace: &mut T,
    ) -> Evaluation {
        trace.flag_begin(self);
        let evaluation = if self.enabled {
            self.ask(context, moment, trace)
        } else {
            self.off_for_all()
        };
        trace.flag_end(evaluation);
        evaluation
    }

    /// The flag is off, and no ring took the user.
    fn off_for_all(&self) -> Evaluation {
        Evaluation {
            variant: self.off(),
            ..Evaluation::default()
        }
    }

    /// Dependencies first, then the rings.
    fn ask<'a, T: Trace<'a>>(
        &'a self,
        context: &'a Context<'_>,
        moment: Moment,
        trace: &mut T,
    ) -> Evaluation {
        let mut randomised = false;
        for dependency in &self.dependencies {
            trace.dependency_begin(dependency);
            let (met, parent) = dependency.ask(context, moment, trace);
            trace.dependency_end(met);
            randomised |= parent.randomised;
            if !met {
                return Evaluation {
                    randomised,
                    missing_id: parent.missing_id,
                    ..self.off_for_all()
                };
            }
        }
        let mut evaluation = self.ask_rings(context, moment, trace);
        evaluation.randomised |= randomised;
        evaluation
    }

    fn ask_rings<'a, T: Trace<'a>>(
        &'a self,
        context: &'a Context<'_>,
        moment: Moment,
        trace: &mut T,
    ) -> Evaluation {
        let mut evaluation = self.off_for_all();
        let mut rings = self.indexed_rings();
        while let Some((index, ring)) = rings.next() {
            trace.ring_begin(index, ring, Purpose::Decide);
            let verdict = ring.ask(context, moment, trace);
            trace.ring_end(verdict);
            match verdict {
                RingVerdict::Off | RingVerdict::Unmet | RingVerdict::Nobody => {}
                RingVerdict::NoId => evaluation.missing_id = true,
                RingVerdict::Missed(placement) => evaluation.randomised |= placement.id.is_some(),
                RingVerdict::Everybody => {
                    return self.taken_by((index, ring), false, context, moment, trace);
                }
                RingVerdict::Hit(placement) => {
                    let by_percentage =
                        placement.id.is_some() && !holds_anyway(rings, context, moment, trace);
                    return self.taken_by((index, ring), by_percentage, context, moment, trace);
                }
            }
        }
        evaluation
    }

    /// A ring takes the user: that ring's variants, or else the flag's, say what the user gets. The flag is on, unless that
    /// is the off-variation.
    fn taken_by<'a, T: Trace<'a>>(
        &'a self,
        (index, ring): (RingIndex, &'a Ring),
        by_percentage: bool,
        context: &'a Context<'_>,
        moment: Moment,
        trace: &mut T,
    ) -> Evaluation {
        let mut evaluation = Evaluation {
            on: true,
            ring: Some(index),
            randomised: by_percentage,
            ..Evaluation::default()
        };
        let Some(variants) = ring.variants.as_ref().or(self.variants.as_ref()) else {
            return evaluation;
        };
        let selection = variants.select(context, moment);
        trace.variant_selected(variants, selection);
        evaluation.variant = selection.variant().map(|variant| match &ring.variants {
            Some(_) => VariantRef::Ring(index, variant),
            None => VariantRef::Flag(variant),
        });
        evaluation.randomised |=
            matches!(selection, VariantSelection::Bucketed { id: Some(_), .. });
        evaluation.missing_id = matches!(selection, VariantSelection::NoId);
        if evaluation.variant.is_some_and(|at| self.is_off(at)) {
            evaluation.on = false;
            evaluation.variant = Some(VariantRef::Off);
        }
        evaluation
    }
}

/// Whether one of these rings takes the user without a percentage.
fn holds_anyway<'a, T: Trace<'a>>(
    mut later: impl Iterator<Item = (RingIndex, &'a Ring)>,
    context: &'a Context<'_>,
    moment: Moment,
    trace: &mut T,
) -> bool {
    later.any(|(index, ring)| {
        if ring.rollout.share != Share::ALL {
            return false;
        }
        trace.ring_begin(index, ring, Purpose::Compare);
        let verdict = ring.ask(context, moment, trace);
        trace.ring_end(verdict);
        verdict.holds()
    })
}

impl Dependency {
    /// Whether the dependency is met, and what the parent says of the user.
    fn ask<'a, T: Trace<'a>>(
        &'a self,
        context: &'a Context<'_>,
        moment: Moment,
        trace: &mut T,
    ) -> (bool, Evaluation) {
        let Ok(parent) = &self.parent else {
            return (false, Evaluation::default());
        };
        let evaluation = parent.evaluate(context, moment, trace);
        let met = match self.state {
            ParentState::On => evaluation.on && self.is_met_by_variant(parent, evaluation),
            ParentState::Off => !evaluation.on,
            ParentState::Taking => {
                evaluation.ring.is_some() && self.is_met_by_variant(parent, evaluation)
            }
        };
        (met, evaluation)
    }

    /// As in Unleash's engine, a parent that has no variants meets the dependency whatever variants it names.
    fn is_met_by_variant(&self, parent: &Flag, evaluation: Evaluation) -> bool {
        if self.variants.is_empty() {
            return true;
        }
        match evaluation.variant.and_then(|at| parent.variant(at)) {
            Some(variant) => self.variants.contains(&variant.name),
            None => !evaluation.missing_id,
        }
    }
}

impl Ring {
    fn ask<'a, T: Trace<'a>>(
        &'a self,
        context: &'a Context<'_>,
        moment: Moment,
        trace: &mut T,
    ) -> RingVerdict<'a> {
        if !self.enabled {
            RingVerdict::Off
        } else if self.condition.holds(context, moment, trace) {
            self.rollout.admit(context)
        } else {
            RingVerdict::Unmet
        }
    }
}

impl Rollout {
    /// What the percentage says of a user who meets the conditions.
    fn admit<'a>(&self, context: &'a Context<'_>) -> RingVerdict<'a> {
        match (self.share, self.stickiness.id(context)) {
            (Share::NONE, _) => RingVerdict::Nobody,
            (Share::ALL, id) if id.is_some() || !self.needs_id => RingVerdict::Everybody,
            (share, id) => {
                let Some(position) = self.bucketing.position(id) else {
                    return RingVerdict::NoId;
                };
                let placement = Placement { id, position };
                if position.is_below(share) {
                    RingVerdict::Hit(placement)
                } else {
                    RingVerdict::Missed(placement)
                }
            }
        }
    }
}

impl Variants {
    /// Chooses for a user: always the same, or not at all.
    fn select<'a>(&'a self, context: &'a Context<'_>, moment: Moment) -> VariantSelection<'a> {
        let mut overrides = self.overrides().iter();
        if let Some(named) =
            overrides.find(|named| named.condition.holds(context, moment, &mut Silent))
        {
            return VariantSelection::Override(named.variant);
        }
        if let Some(only) = self.only() {
            return VariantSelection::Only(only);
        }
        let id = self.stickiness().id(context);
        let Some(value) = self.bucket_value(id) else {
            return VariantSelection::NoId;
        };
        match self.by_bucket_value(value) {
            Some(variant) => VariantSelection::Bucketed { id, value, variant },
            // Bucket values end with the total weight, so that every one belongs to a variant.
            None => VariantSelection::NoId,
        }
    }
}

#[cfg(test)]
mod tests;
