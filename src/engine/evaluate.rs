//! Whether a flag is on for a user, by which ring, and with which variant. Pure, and without allocation.

use super::bucket::{rollout_position, variant_ticket};
use super::trace::{Bucket, Id, Purpose, Silent, Trace, VariantSelection, Verdict};
use super::{Dependency, Flag, Ring, Rollout, Stickiness, Variant, Variants};
use crate::context::{Context, Field, Moment};
use crate::flag::Share;

/// What a flag says of a user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evaluation {
    /// Whether the flag is on.
    pub on: bool,
    /// The ring that turned it on.
    pub ring: Option<usize>,
    /// What the user gets; `None` as well when there is no ID to choose among several variants by.
    pub variant: Option<VariantRef>,
    /// Whether a percentage, or a draw among variants, made the difference: another ID could have fared otherwise.
    pub randomised: bool,
    /// Whether an ID was needed somewhere and not there.
    pub missing_id: bool,
}

/// A variant of the deciding flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VariantRef {
    /// The ring whose own variants are meant; `None`: the flag's.
    pub ring: Option<usize>,
    /// The position in the list.
    pub index: usize,
}

impl Flag {
    /// The variant that a reference points to.
    pub fn variant(&self, at: VariantRef) -> Option<&Variant> {
        let variants = match at.ring {
            Some(ring) => self.rings.get(ring)?.variants.as_ref(),
            None => self.variants.as_ref(),
        };
        variants?.list().get(at.index)
    }

    /// Evaluates the flag for a user. The first ring that holds decides.
    pub fn evaluate<'a, T: Trace<'a>>(
        &'a self,
        context: &'a Context<'_>,
        moment: Moment,
        trace: &mut T,
    ) -> Evaluation {
        trace.flag(self);
        let evaluation = if self.enabled {
            self.ask(context, moment, trace)
        } else {
            Evaluation::default()
        };
        trace.settled(evaluation);
        evaluation
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
            trace.dependency(dependency);
            let (met, parent) = dependency.ask(context, moment, trace);
            trace.depended(met);
            randomised |= parent.randomised;
            if !met {
                return Evaluation {
                    randomised,
                    missing_id: parent.missing_id,
                    ..Evaluation::default()
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
        let mut evaluation = Evaluation::default();
        for (index, ring) in self.rings.iter().enumerate() {
            trace.ring(index, ring, Purpose::Decide);
            let verdict = ring.ask(context, moment, trace);
            trace.verdict(verdict);
            match verdict {
                Verdict::Unmet | Verdict::Nobody => {}
                Verdict::NoId => evaluation.missing_id = true,
                Verdict::Missed(_) => evaluation.randomised = true,
                Verdict::Everybody => return self.on(index, false, context, moment, trace),
                Verdict::Hit(_) => {
                    let anyway = self.holds_anyway(index + 1, context, moment, trace);
                    return self.on(index, !anyway, context, moment, trace);
                }
            }
        }
        evaluation
    }

    /// Whether a ring from `start` on takes the user without a percentage.
    fn holds_anyway<'a, T: Trace<'a>>(
        &'a self,
        start: usize,
        context: &'a Context<'_>,
        moment: Moment,
        trace: &mut T,
    ) -> bool {
        let mut later = self.rings.iter().enumerate().skip(start);
        later.any(|(index, ring)| {
            if ring.rollout.share != Share::ALL {
                return false;
            }
            trace.ring(index, ring, Purpose::Compare);
            let verdict = ring.ask(context, moment, trace);
            trace.verdict(verdict);
            verdict.holds()
        })
    }

    /// The flag is on by the ring at `index`: that ring's variants, or else the flag's, say what the user gets.
    fn on<'a, T: Trace<'a>>(
        &'a self,
        index: usize,
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
        let own = self
            .rings
            .get(index)
            .and_then(|ring| ring.variants.as_ref());
        let (owner, variants) = match (own, &self.variants) {
            (Some(own), _) => (Some(index), own),
            (None, Some(shared)) => (None, shared),
            (None, None) => return evaluation,
        };
        let draw = variants.draw(context, moment);
        trace.draw(variants, draw);
        evaluation.variant = draw
            .variant()
            .map(|index| VariantRef { ring: owner, index });
        evaluation.randomised |= matches!(draw, VariantSelection::Ticket { .. });
        evaluation.missing_id = matches!(draw, VariantSelection::NoId);
        evaluation
    }
}

impl Dependency {
    /// Whether the other flag stands as is wanted, and what it says of the user.
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
        let met = evaluation.on == self.enabled
            && (!evaluation.on || self.wants_variant(parent, evaluation));
        (met, evaluation)
    }

    /// As Unleash's engine has it: a flag that is on and has no variants meets every wish.
    fn wants_variant(&self, parent: &Flag, evaluation: Evaluation) -> bool {
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
    ) -> Verdict<'a> {
        if self.condition.holds(context, moment, trace) {
            self.rollout.admit(context)
        } else {
            Verdict::Unmet
        }
    }
}

impl Rollout {
    /// What the percentage says of a user who meets the conditions.
    fn admit<'a>(&self, context: &'a Context<'_>) -> Verdict<'a> {
        match (self.share, self.stickiness.id(context)) {
            (Share::NONE, _) => Verdict::Nobody,
            (Share::ALL, id) if id.is_some() || !self.needs_id => Verdict::Everybody,
            (_, None) => Verdict::NoId,
            (share, Some(id)) => {
                let position = id.with_text(|id| rollout_position(&self.group, id));
                let bucket = Bucket { id, position };
                if position < share.hundredths() {
                    Verdict::Hit(bucket)
                } else {
                    Verdict::Missed(bucket)
                }
            }
        }
    }
}

impl Variants {
    /// Chooses for a user: always the same, or not at all.
    fn draw<'a>(&'a self, context: &'a Context<'_>, moment: Moment) -> VariantSelection<'a> {
        let mut overrides = self.overrides().iter();
        if let Some(named) =
            overrides.find(|named| named.condition.holds(context, moment, &mut Silent))
        {
            return VariantSelection::Override(named.variant);
        }
        if let Some(only) = self.only() {
            return VariantSelection::Only(only);
        }
        let Some(id) = self.stickiness().id(context) else {
            return VariantSelection::NoId;
        };
        let ticket = id.with_text(|id| variant_ticket(self.group(), id, self.total_weight()));
        match self.by_ticket(ticket) {
            Some(variant) => VariantSelection::Ticket {
                id,
                ticket,
                variant,
            },
            // Tickets end with the total weight, so that every one belongs to a variant.
            None => VariantSelection::NoId,
        }
    }
}

impl Stickiness {
    /// The ID that is hashed.
    pub fn id<'a>(self, context: &'a Context<'_>) -> Option<Id<'a>> {
        match self {
            Self::Default => context
                .text(Field::UserId)
                .or_else(|| context.text(Field::SessionId))
                .map(Id::Text),
            Self::Field(Field::RemoteAddress) => {
                let address = context.remote_address.to_canonical();
                (!address.is_unspecified()).then_some(Id::Address(address))
            }
            Self::Field(field) => context.text(field).map(Id::Text),
            Self::Nothing => None,
        }
    }

    /// Whether a session's ID could be what is hashed.
    pub fn may_use_session(self) -> bool {
        matches!(self, Self::Default | Self::Field(Field::SessionId))
    }
}

#[cfg(test)]
mod tests;
