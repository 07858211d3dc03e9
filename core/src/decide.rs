//! THE product: which deployment a user is assigned, and why. Pure; one brain for the proxy, `explain` and the API.

pub mod explain;
pub mod lane;
mod named;
pub mod overriding;

use crate::canary::ReasonKind;
use crate::context::{Context, Moment};
use crate::engine::evaluation::Evaluation;
use crate::engine::trace::{Recorder, Silent, Trace};
use crate::engine::{AudienceKind, RingIndex};
use crate::snapshot::{Candidate, CandidateIndex, DeploymentIndex, STABLE, Service};
use explain::{Explanation, Preempted};
use overriding::Overriding;

pub use crate::engine::VariantRef;

/// Decides which deployment of a service a user is meant for. The first canary flag that is on decides, by its variant.
pub fn decide(service: &Service, context: &Context<'_>, moment: Moment) -> Decision {
    walk(service, context, moment, &mut Silent)
}

/// Decides as [`decide`] does, keeps every step to the decision, and finds the later flags that are on for the user as well.
pub fn explain<'a>(
    service: &'a Service,
    context: &'a Context<'_>,
    moment: Moment,
) -> Explanation<'a> {
    let mut recorder = Recorder::default();
    let decision = walk(service, context, moment, &mut recorder);
    let asked = decision
        .candidate
        .map_or(service.candidates.len(), |last| last.position() + 1);
    let later = service.candidates.entries().skip(asked);
    let preempted = later.filter_map(|(candidate, later)| {
        let evaluation = later.flag.evaluate(context, moment, &mut Silent);
        evaluation.on.then(|| Preempted {
            candidate,
            flag: &later.flag,
            deployment: later.arm(evaluation.variant).deployment,
        })
    });
    Explanation {
        service,
        decision,
        lane: None,
        overriding: Overriding::default(),
        preempted: preempted.collect(),
        asked: recorder.into_flags(),
    }
}

/// The one way to a decision, with or without a record of its steps.
fn walk<'a, T: Trace<'a>>(
    service: &'a Service,
    context: &'a Context<'_>,
    moment: Moment,
    trace: &mut T,
) -> Decision {
    let mut missing_id = false;
    let mut randomised = false;
    for (index, candidate) in service.candidates.entries() {
        let evaluation = candidate.flag.evaluate(context, moment, trace);
        if evaluation.on {
            return by_flag(index, candidate, evaluation, moment);
        }
        missing_id |= evaluation.missing_id;
        randomised |= evaluation.randomised;
    }
    let mut flags = service.candidates.iter().map(|candidate| &candidate.flag);
    let reason = if service.awaits_flags {
        ReasonKind::NoFlags
    } else if missing_id {
        ReasonKind::NoIdentity
    } else if flags.len() > 0 && flags.all(|flag| !flag.enabled) {
        ReasonKind::FlagOff
    } else {
        ReasonKind::Default
    };
    Decision {
        assigned: STABLE,
        candidate: None,
        variant: None,
        reason: Reason::Plain(reason),
        randomised,
    }
}

/// The decision of a flag that is on. Without an ID to choose a variant by, the user is on stable under this flag:
/// a choice by chance would be another one with every request.
fn by_flag(
    index: CandidateIndex,
    candidate: &Candidate,
    evaluation: Evaluation,
    moment: Moment,
) -> Decision {
    if let Some(withdrawal) = candidate.withdrawal_at(moment) {
        // Control arms as well: an experiment is over for all of its users at once. No later flag is asked.
        return Decision {
            assigned: STABLE,
            candidate: Some(index),
            variant: evaluation.variant,
            reason: Reason::Plain(withdrawal.reason()),
            randomised: evaluation.randomised,
        };
    }
    let origin = &candidate.flag.origin;
    let reason = match (evaluation.missing_id, evaluation.ring) {
        (false, Some(ring)) => Reason::Audience(origin.audience(), ring),
        (true, _) | (false, None) => Reason::Plain(ReasonKind::NoIdentity),
    };
    Decision {
        assigned: candidate.arm(evaluation.variant).deployment,
        candidate: Some(index),
        variant: evaluation.variant,
        reason,
        randomised: evaluation.randomised,
    }
}

/// What was decided for one request on one service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The deployment the user is meant for.
    pub assigned: DeploymentIndex,
    /// The deciding flag, of [`Service::candidates`].
    pub candidate: Option<CandidateIndex>,
    /// The variant that the flag gave.
    pub variant: Option<VariantRef>,
    /// Why.
    pub reason: Reason,
    /// Whether a percentage decided; only such assignments may be compared as an experiment.
    pub randomised: bool,
}

impl Decision {
    /// Counts it among the decisions of its service.
    pub fn count(&self, service: &Service) {
        let candidate = self
            .candidate
            .and_then(|index| service.candidates.get(index));
        let arm = candidate.map(|candidate| candidate.arm(self.variant));
        let meter = arm.map_or(&service.meter.decisions, |arm| &arm.meter);
        if let Some(counter) = meter.get(self.reason.kind().index()) {
            counter.inc();
        }
    }
}

/// Why a deployment was assigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The ring at this position of the deciding flag holds, in the words of the flag's source.
    Audience(AudienceKind, RingIndex),
    /// Any of the others, which need no particulars.
    Plain(ReasonKind),
}

impl Reason {
    /// Without the particulars.
    pub fn kind(self) -> ReasonKind {
        match self {
            Self::Audience(kind, _) => kind.reason(),
            Self::Plain(kind) => kind,
        }
    }
}

#[cfg(test)]
mod tests;
