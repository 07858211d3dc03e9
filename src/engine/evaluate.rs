//! Whether a flag is on for a user, by which ring, and with which variant. Pure, and without allocation.

use super::bucket::{rollout_position, variant_ticket};
use super::trace::{Bucket, Draw, Purpose, Trace, Verdict};
use super::{Flag, Ring, Rollout, Stickiness, Variants};
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
    /// The position in name order.
    pub index: usize,
}

impl Flag {
    /// Evaluates the flag for a user. The first ring that holds decides.
    pub fn evaluate<'a, T: Trace<'a>>(
        &'a self,
        context: &'a Context<'_>,
        moment: Moment,
        trace: &mut T,
    ) -> Evaluation {
        trace.flag(self);
        let evaluation = self.ask_rings(context, moment, trace);
        trace.settled(evaluation);
        evaluation
    }

    fn ask_rings<'a, T: Trace<'a>>(
        &'a self,
        context: &'a Context<'_>,
        moment: Moment,
        trace: &mut T,
    ) -> Evaluation {
        let mut evaluation = Evaluation::default();
        if !self.enabled {
            return evaluation;
        }
        for (index, ring) in self.rings.iter().enumerate() {
            trace.ring(index, ring, Purpose::Decide);
            let verdict = ring.ask(context, moment, trace);
            trace.verdict(verdict);
            match verdict {
                Verdict::Unmet | Verdict::Nobody => {}
                Verdict::NoId => evaluation.missing_id = true,
                Verdict::Missed(_) => evaluation.randomised = true,
                Verdict::Everybody => return self.on(index, ring, false, context, trace),
                Verdict::Hit(_) => {
                    let anyway = self.holds_anyway(index + 1, context, moment, trace);
                    return self.on(index, ring, !anyway, context, trace);
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

    /// The flag is on by `ring`: that ring's variants, or else the flag's, say what the user gets.
    fn on<'a, T: Trace<'a>>(
        &'a self,
        index: usize,
        ring: &'a Ring,
        by_percentage: bool,
        context: &'a Context<'_>,
        trace: &mut T,
    ) -> Evaluation {
        let mut evaluation = Evaluation {
            on: true,
            ring: Some(index),
            randomised: by_percentage,
            ..Evaluation::default()
        };
        let (owner, variants) = match (&ring.variants, &self.variants) {
            (Some(own), _) => (Some(index), own),
            (None, Some(shared)) => (None, shared),
            (None, None) => return evaluation,
        };
        let draw = variants.draw(context);
        trace.draw(variants, draw);
        evaluation.variant = draw
            .variant()
            .map(|index| VariantRef { ring: owner, index });
        evaluation.randomised |= matches!(draw, Draw::Ticket { .. });
        evaluation.missing_id = matches!(draw, Draw::NoId);
        evaluation
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
                let position = rollout_position(&self.group, id);
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
    fn draw<'a>(&self, context: &'a Context<'_>) -> Draw<'a> {
        if let Some(only) = self.only() {
            return Draw::Only(only);
        }
        let Some(id) = self.stickiness().id(context) else {
            return Draw::NoId;
        };
        let ticket = variant_ticket(self.group(), id, self.total_weight());
        match self.by_ticket(ticket) {
            Some(variant) => Draw::Ticket {
                id,
                ticket,
                variant,
            },
            // Tickets end with the total weight, so that every one belongs to a variant.
            None => Draw::NoId,
        }
    }
}

impl Stickiness {
    /// The ID that is hashed.
    pub fn id<'a>(self, context: &'a Context<'_>) -> Option<&'a str> {
        match self {
            Self::Default => context
                .text(Field::UserId)
                .or_else(|| context.text(Field::SessionId)),
            Self::Field(field) => context.text(field),
        }
    }

    /// Whether a session's ID could be what is hashed.
    pub fn may_use_session(self) -> bool {
        matches!(self, Self::Default | Self::Field(Field::SessionId))
    }
}

#[cfg(test)]
mod tests;
