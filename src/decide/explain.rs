//! A decision with every step to it: as data for whoever makes a view of it, and as a text for the engineer on call.

use std::fmt;

use super::{Decision, Reason};
use crate::canary::ReasonKind;
use crate::engine::condition::Condition;
use crate::engine::trace::{
    Bucket, DependencyRecord, FlagRecord, Purpose, RingRecord, Seen, Step, VariantSelection,
    Verdict,
};
use crate::engine::{CanaryUrl, Flag, Variants};
use crate::flag::Share;
use crate::snapshot::{DeploymentIndex, Service};

/// A decision with every step to it.
#[derive(Clone, Debug)]
pub struct Explanation<'a> {
    /// The service that was decided on.
    pub service: &'a Service,
    /// What was decided: the same as without an explanation.
    pub decision: Decision,
    /// The canary flags that were asked, in order; the last one decided, if one did.
    pub asked: Vec<FlagRecord<'a>>,
    /// The canary flags further down that would have had the user.
    pub preempted: Vec<Preempted<'a>>,
}

/// A canary flag that is on for the user, but comes after the one that decided.
#[derive(Clone, Copy, Debug)]
pub struct Preempted<'a> {
    /// Its position in [`Service::candidates`].
    pub candidate: usize,
    /// Which one.
    pub flag: &'a Flag,
    /// Where it would have sent the user.
    pub deployment: DeploymentIndex,
}

impl Explanation<'_> {
    /// The name of the assigned deployment.
    pub fn assigned(&self) -> &str {
        self.deployment(self.decision.assigned)
    }

    fn deployment(&self, index: DeploymentIndex) -> &str {
        self.service
            .deployments
            .get(index)
            .map_or("", |deployment| &deployment.name)
    }

    /// The flag that decided.
    pub fn deciding_flag(&self) -> Option<&FlagRecord<'_>> {
        self.decision.candidate.and_then(|_| self.asked.last())
    }
}

impl fmt::Display for Explanation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} -> {}", self.service.name, self.assigned())?;
        writeln!(f, "reason: {}", Because(self))?;
        let kind = if self.decision.randomised {
            "randomised: with another ID it could be otherwise"
        } else {
            "targeted: no percentage made the difference"
        };
        writeln!(f, "{kind}")?;
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
struct Because<'a>(&'a Explanation<'a>);

impl fmt::Display for Because<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(explanation) = self;
        match (explanation.decision.reason, explanation.deciding_flag()) {
            (Reason::Audience(kind, index), Some(record)) => {
                let ring = record.flag.rings.get(index).map_or("", |ring| &ring.name);
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
                kind @ (ReasonKind::Killed | ReasonKind::LeaseOver) => {
                    let flag = explanation.deciding_flag();
                    let flag = flag.map_or("", |record| &record.flag.name);
                    write!(f, "{kind} ({flag} is on, but its canaries are withdrawn)")
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
    if let Some((variants, draw)) = record.draw {
        write_draw(f, variants, draw)?;
    }
    if let (true, Some(CanaryUrl::Refused(why))) = (record.evaluation.on, leads_to(record)) {
        writeln!(f, "  its URL is refused, so stable: {why}")?;
    }
    Ok(())
}

/// The upstream that the flag records for this user.
fn leads_to<'a>(record: &FlagRecord<'a>) -> Option<&'a CanaryUrl> {
    let Some((variants, draw)) = record.draw else {
        return record.flag.url.as_ref();
    };
    let variant = draw.variant().and_then(|index| variants.list().get(index));
    variant.and_then(|variant| variant.url.as_ref())
}

/// The flag that another depends on, in one line, with the strategy that turned it on.
fn write_dependency(f: &mut fmt::Formatter<'_>, record: &DependencyRecord<'_>) -> fmt::Result {
    let dependency = record.dependency;
    let wanted = if dependency.enabled { "on" } else { "off" };
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
    if let Some(ring) = evaluation.ring.and_then(|ring| parent.flag.rings.get(ring)) {
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
    let holds = yes(record.verdict.holds());
    match record.purpose {
        Purpose::Decide => writeln!(f, "  {kind} {name:?}: {holds}")?,
        Purpose::Compare => writeln!(
            f,
            "  {kind} {name:?}, asked whether it holds anyway: {holds}"
        )?,
    }
    if let Some(step) = &record.condition {
        write_step(f, step, 2)?;
    }
    let Share::ALL = record.ring.rollout.share else {
        return write_rollout(f, record);
    };
    match record.verdict {
        Verdict::NoId => writeln!(f, "    rollout 100%: no ID, and it takes one"),
        _ => Ok(()),
    }
}

fn write_rollout(f: &mut fmt::Formatter<'_>, record: &RingRecord<'_>) -> fmt::Result {
    let rollout = &record.ring.rollout;
    let (share, group) = (rollout.share, &rollout.group);
    match record.verdict {
        Verdict::Unmet | Verdict::Everybody => Ok(()),
        Verdict::Nobody => writeln!(f, "    rollout 0%: nobody"),
        Verdict::NoId => writeln!(f, "    rollout {share}: there is no ID to hash"),
        Verdict::Missed(bucket) => writeln!(
            f,
            "    rollout {share}: {:?} in group {group:?} is at {}, which is not below {share}",
            bucket.id,
            at(bucket)
        ),
        Verdict::Hit(bucket) => writeln!(
            f,
            "    rollout {share}: {:?} in group {group:?} is at {}, which is below {share}",
            bucket.id,
            at(bucket)
        ),
    }
}

fn at(bucket: Bucket<'_>) -> Share {
    Share::new(bucket.position).unwrap_or(Share::ALL)
}

fn write_step(f: &mut fmt::Formatter<'_>, step: &Step<'_>, depth: usize) -> fmt::Result {
    let indent = depth * 2;
    match step {
        Step::Test {
            constraint,
            seen,
            held,
        } => {
            let verdict = yes(*held);
            writeln!(
                f,
                "{:indent$}{constraint}: {verdict}, it is {}",
                "",
                Value(*seen)
            )
        }
        Step::Group {
            condition,
            steps,
            held,
        } => {
            // What a segment's name stands for is shown as a list in its own right.
            let steps = match (condition, steps.as_slice()) {
                (Condition::All(parts), []) if parts.is_empty() => return Ok(()),
                (Condition::All(parts) | Condition::Any(parts), [only]) if parts.len() == 1 => {
                    return write_step(f, only, depth);
                }
                (_, steps) => steps,
            };
            let title = Title(condition);
            writeln!(f, "{:indent$}{title}: {}", "", yes(*held))?;
            steps
                .iter()
                .try_for_each(|step| write_step(f, step, depth + 1))
        }
    }
}

/// What a condition with parts is called above them.
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

/// A value that was seen, in words.
struct Value<'a>(Seen<'a>);

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Seen::Missing => f.write_str("missing"),
            Seen::Text(text) => write!(f, "{text:?}"),
            Seen::Address(address) => write!(f, "{address}"),
            Seen::Moment(moment) => write!(f, "{moment}"),
        }
    }
}

fn write_draw(
    f: &mut fmt::Formatter<'_>,
    variants: &Variants,
    draw: VariantSelection<'_>,
) -> fmt::Result {
    let name = |variant: usize| {
        let variant = variants.list().get(variant);
        variant.map_or("", |variant| &*variant.name)
    };
    match draw {
        VariantSelection::Override(variant) => {
            writeln!(
                f,
                "  variant {:?}: an override names the user",
                name(variant)
            )
        }
        VariantSelection::Only(variant) => {
            writeln!(f, "  variant {:?}: the only one", name(variant))
        }
        VariantSelection::Ticket {
            id,
            ticket,
            variant,
        } => writeln!(
            f,
            "  variant {:?}: {id:?} in group {:?} drew {ticket} of {}",
            name(variant),
            variants.group(),
            variants.total_weight()
        ),
        VariantSelection::NoId => {
            writeln!(f, "  no variant: there is no ID to choose by, so stable")
        }
    }
}

fn yes(held: bool) -> &'static str {
    if held { "yes" } else { "no" }
}

#[cfg(test)]
mod tests;
