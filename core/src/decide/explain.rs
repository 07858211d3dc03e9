//! A decision with every step to it: as data for the admin API's view, and as a text for the engineer on call.

mod overriding;
mod selection;

use std::fmt;

use super::lane::Lane;
use super::overriding::Overriding;
use super::{Decision, Reason};
use crate::canary::ReasonKind;
use crate::engine::condition::{Condition, FieldValue};
use crate::engine::evaluation::{Placement, RingVerdict};
use crate::engine::trace::{ConditionRecord, DependencyRecord, FlagRecord, Purpose, RingRecord};
use crate::engine::{CanaryUrl, Flag, ParentState, Rollout, VariantRef};
use crate::flag::Share;
use crate::snapshot::{CandidateIndex, DeploymentIndex, Service};
use overriding::write_overriding;
use selection::write_selection;

/// A decision with every step to it.
#[derive(Clone, Debug)]
pub struct Explanation<'a> {
    /// The service that was decided on.
    pub service: &'a Service,
    /// The decision: the same as without an explanation.
    pub decision: Decision,
    /// What the request's baggage says of the service.
    pub lane: Option<Lane<'a>>,
    /// What the overrides that the request shows come to.
    pub overriding: Overriding,
    /// The canary flags that were evaluated, in order; the last one decided, if any did.
    pub asked: Vec<FlagRecord<'a>>,
    /// The later canary flags that are on for the user as well.
    pub preempted: Vec<Preempted<'a>>,
}

/// A canary flag that is on for the user, but comes after the one that decided.
#[derive(Clone, Copy, Debug)]
pub struct Preempted<'a> {
    /// Its position in [`Service::candidates`].
    pub candidate: CandidateIndex,
    /// The flag.
    pub flag: &'a Flag,
    /// Where it would have sent the user.
    pub deployment: DeploymentIndex,
}

impl<'a> Explanation<'a> {
    /// The same for a request whose baggage says something of the service. A lane that is followed decides, and no flag is
    /// asked.
    pub fn with(mut self, lane: Option<Lane<'a>>) -> Self {
        if let Some(Ok(decision)) = lane.as_ref().map(|lane| lane.decision) {
            self.decided_by(decision);
        }
        self.lane = lane;
        self
    }

    /// The same for a request that shows overrides. One that can decide does, and neither flags nor a lane are asked.
    pub fn overridden(mut self, overriding: Overriding) -> Self {
        if let Some(decision) = overriding.decision {
            self.decided_by(decision);
            self.lane = None;
        }
        self.overriding = overriding;
        self
    }

    fn decided_by(&mut self, decision: Decision) {
        self.decision = decision;
        self.asked.clear();
        self.preempted.clear();
    }

    /// The name of the assigned deployment.
    pub fn assigned(&self) -> &str {
        self.deployment(self.decision.assigned)
    }

    fn deployment(&self, index: DeploymentIndex) -> &str {
        &self.service.deployments.get(index).name
    }

    /// The flag that decided, if it was asked.
    pub fn deciding_flag(&self) -> Option<&FlagRecord<'_>> {
        self.decision.candidate.and_then(|_| self.asked.last())
    }

    /// The flag that the decision stands under, asked or not.
    pub fn flag(&self) -> Option<&Flag> {
        let candidate = self.service.candidates.get(self.decision.candidate?)?;
        Some(&candidate.flag)
    }

    /// The variant of that flag.
    pub fn variant(&self) -> Option<&str> {
        let variant = self.flag()?.variant(self.decision.variant?)?;
        Some(&variant.name)
    }
}

impl fmt::Display for Explanation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} -> {}", self.service.name, self.assigned())?;
        writeln!(f, "reason: {}", ReasonInWords(self))?;
        let kind = if self.decision.randomised {
            "randomised: with another ID it could be otherwise"
        } else {
            "targeted: no percentage made the difference"
        };
        writeln!(f, "{kind}")?;
        write_overriding(f, &self.overriding)?;
        if let Some(lane) = self.lane.as_ref().filter(|lane| lane.decision.is_err()) {
            let (to, result) = (&lane.deployment, lane.result().as_str());
            writeln!(f, "lane {to:?}: {result}, so it is decided here")?;
        }
        if self.service.candidates.is_empty() {
            writeln!(f, "no canary flags")?;
        }
        for record in &self.asked {
            write_flag(f, record)?;
        }
        for later in &self.preempted {
            let by = self.deciding_flag().map_or("", |record| &record.flag.name);
            let to = self.deployment(later.deployment);
            writeln!(
                f,
                "flag {}: would be on ({to}), preempted by {by}",
                later.flag.name
            )?;
        }
        Ok(())
    }
}

/// The reason in words.
struct ReasonInWords<'a>(&'a Explanation<'a>);

impl fmt::Display for ReasonInWords<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(explanation) = self;
        match (explanation.decision.reason, explanation.deciding_flag()) {
            (Reason::Audience(kind, index), Some(record)) => {
                let ring = record.flag.ring(index).map_or("", |ring| &ring.name);
                write!(f, "{} {ring:?} of {}", kind.as_str(), record.flag.name)
            }
            (Reason::Plain(ReasonKind::NoIdentity), Some(record)) => write!(
                f,
                "no_identity ({} is on, but there is no ID to choose its variant by)",
                record.flag.name
            ),
            (reason, _) => match reason.kind() {
                ReasonKind::NoIdentity => {
                    f.write_str("no_identity (a percentage could decide, but there is no ID)")
                }
                ReasonKind::NoFlags => f.write_str(
                    "no_flags (a flag server has never answered, and nothing of it is stored)",
                ),
                ReasonKind::FlagOff => f.write_str("flag_off (every canary flag is disabled)"),
                ReasonKind::Default => f.write_str("default (no canary flag is on for this user)"),
                kind @ (ReasonKind::Killed | ReasonKind::LeaseOver | ReasonKind::NotReady) => {
                    let flag = explanation.deciding_flag();
                    let flag = flag.map_or("", |record| &record.flag.name);
                    write!(f, "{kind} ({flag} is on, but its canaries are withdrawn)")
                }
                ReasonKind::Lane => {
                    f.write_str("lane (the gateway before this one decided, its baggage says)")
                }
                ReasonKind::Override => {
                    f.write_str("override (a signed token asks for this deployment)")
                }
                kind => kind.fmt(f),
            },
        }
    }
}

fn write_flag(f: &mut fmt::Formatter<'_>, record: &FlagRecord<'_>) -> fmt::Result {
    let state = match (record.evaluation.on, record.flag.enabled) {
        (true, _) => "on",
        (false, true) => "off",
        (false, false) => "off, it is disabled",
    };
    writeln!(f, "flag {}: {state}", record.flag.name)?;
    for dependency in &record.dependencies {
        write_dependency(f, dependency)?;
    }
    for ring in &record.rings {
        write_ring(f, record.flag, ring)?;
    }
    if let Some((variants, selection)) = record.selection {
        write_selection(f, variants, selection)?;
    }
    if let (Some(VariantRef::Off), Some(off)) =
        (record.evaluation.variant, &record.flag.off_variant)
    {
        writeln!(
            f,
            "  off with its variation {:?}: no canary, and later flags are asked",
            off.name
        )?;
    }
    if let (true, Some(CanaryUrl::Refused(why))) = (record.evaluation.on, leads_to(record)) {
        writeln!(f, "  its URL is refused, so stable: {why}")?;
    }
    Ok(())
}

/// The upstream that the flag records for this user.
fn leads_to<'a>(record: &FlagRecord<'a>) -> Option<&'a CanaryUrl> {
    let Some((variants, selection)) = record.selection else {
        return record.flag.url.as_ref();
    };
    let variant = selection.variant().and_then(|index| variants.get(index));
    variant.and_then(|variant| variant.url.as_ref())
}

/// A dependency in one line, with the ring that turned the parent on.
fn write_dependency(f: &mut fmt::Formatter<'_>, record: &DependencyRecord<'_>) -> fmt::Result {
    let dependency = record.dependency;
    let wanted = match dependency.state {
        ParentState::On => "on",
        ParentState::Off => "off",
        ParentState::Taking => "switched on",
    };
    write!(f, "  depends on {} being {wanted}", dependency.name)?;
    for (index, variant) in dependency.variants.iter().enumerate() {
        let word = if index == 0 { "with" } else { "or" };
        write!(f, " {word} {variant:?}")?;
    }
    write!(f, ": {}", yes(record.met))?;
    let Some(parent) = &record.parent else {
        let why = dependency.parent.as_ref().err().copied();
        return writeln!(f, ", {}", why.unwrap_or_default());
    };
    let evaluation = parent.evaluation;
    f.write_str(if evaluation.on {
        ", it is on"
    } else {
        ", it is off"
    })?;
    if let Some(ring) = evaluation.ring.and_then(|ring| parent.flag.ring(ring)) {
        write!(
            f,
            " by {} {:?}",
            parent.flag.origin.audience().as_str(),
            ring.name
        )?;
    }
    if let Some(variant) = evaluation.variant.and_then(|at| parent.flag.variant(at)) {
        write!(f, " with {:?}", variant.name)?;
    }
    writeln!(f)
}

fn write_ring(f: &mut fmt::Formatter<'_>, flag: &Flag, record: &RingRecord<'_>) -> fmt::Result {
    let (kind, name) = (flag.origin.audience().as_str(), &record.ring.name);
    let holds = match record.verdict {
        RingVerdict::Off => "no, it is switched off",
        verdict => yes(verdict.holds()),
    };
    match record.purpose {
        Purpose::Decide => writeln!(f, "  {kind} {name:?}: {holds}")?,
        Purpose::Compare => writeln!(
            f,
            "  {kind} {name:?}, asked whether it holds anyway: {holds}"
        )?,
    }
    if let Some(condition) = &record.condition {
        write_condition(f, condition, 2)?;
    }
    let Share::ALL = record.ring.rollout.share else {
        return write_rollout(f, record);
    };
    match record.verdict {
        RingVerdict::NoId => writeln!(f, "    rollout 100%: no ID, and it takes one"),
        _ => Ok(()),
    }
}

fn write_rollout(f: &mut fmt::Formatter<'_>, record: &RingRecord<'_>) -> fmt::Result {
    let rollout = &record.ring.rollout;
    let share = rollout.share;
    match record.verdict {
        RingVerdict::Off | RingVerdict::Unmet | RingVerdict::Everybody => Ok(()),
        RingVerdict::Nobody => writeln!(f, "    rollout 0%: nobody"),
        RingVerdict::NoId => writeln!(f, "    rollout {share}: there is no ID to hash"),
        RingVerdict::Missed(placement) => {
            write_placement(f, rollout, placement)?;
            writeln!(f, ", which is not below {share}")
        }
        RingVerdict::Hit(placement) => {
            write_placement(f, rollout, placement)?;
            writeln!(f, ", which is below {share}")
        }
    }
}

fn write_placement(
    f: &mut fmt::Formatter<'_>,
    rollout: &Rollout,
    placement: Placement<'_>,
) -> fmt::Result {
    let Rollout {
        share, bucketing, ..
    } = rollout;
    let position = placement.position;
    match placement.id {
        Some(id) => write!(
            f,
            "    rollout {share}: {id:?} {bucketing} is at {position}"
        ),
        None => write!(
            f,
            "    rollout {share}: there is no ID to hash, and without one a user is at {position}"
        ),
    }
}

fn write_condition(
    f: &mut fmt::Formatter<'_>,
    record: &ConditionRecord<'_>,
    depth: usize,
) -> fmt::Result {
    let indent = depth * 2;
    match record {
        ConditionRecord::Test {
            constraint,
            seen,
            held,
        } => {
            let verdict = yes(*held);
            writeln!(
                f,
                "{:indent$}{constraint}: {verdict}, it is {}",
                "",
                ValueInWords(*seen)
            )
        }
        ConditionRecord::Group {
            condition,
            parts,
            held,
        } => {
            // A list of one part is shown as that part.
            match (condition, parts.as_slice()) {
                (Condition::All(all), []) if all.is_empty() => return Ok(()),
                (Condition::All(all) | Condition::Any(all), [only]) if all.len() == 1 => {
                    return write_condition(f, only, depth);
                }
                _ => {}
            }
            let title = Title(condition);
            writeln!(f, "{:indent$}{title}: {}", "", yes(*held))?;
            parts
                .iter()
                .try_for_each(|part| write_condition(f, part, depth + 1))
        }
    }
}

/// The line above the parts of a condition.
struct Title<'a>(&'a Condition);

impl fmt::Display for Title<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Condition::All(_) => f.write_str("all of"),
            Condition::Any(_) => f.write_str("any of"),
            Condition::Not(_) => f.write_str("not"),
            other => other.fmt(f),
        }
    }
}

/// A field's value, in words.
struct ValueInWords<'a>(FieldValue<'a>);

impl fmt::Display for ValueInWords<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            FieldValue::Missing => f.write_str("missing"),
            FieldValue::Text(text) => write!(f, "{text:?}"),
            FieldValue::Address(address) => write!(f, "{address}"),
            FieldValue::Moment(moment) => write!(f, "{moment}"),
        }
    }
}

fn yes(held: bool) -> &'static str {
    if held { "yes" } else { "no" }
}

#[cfg(test)]
mod tests;
