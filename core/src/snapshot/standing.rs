//! Where a flag stands among a service's canaries: who claims it, what it lacks to be one, who is before it, and how many
//! users it could have. For people who wonder why a flag does nothing.

use std::fmt;
use std::sync::Arc;

use super::claims::{Claim, Claims};
use super::{Candidate, Service, Snapshot, recorded};
use crate::canary::Withdrawal;
use crate::context::Moment;
use crate::engine::reach::Reach;
use crate::engine::{CanaryUrl, Flag, STABLE, Variant};

/// Characters shown of a payload.
const SHOWN: usize = 60;

/// Where a flag stands.
#[derive(Debug)]
pub struct FlagStanding<'a> {
    /// The flag.
    pub flag: &'a Flag,
    /// The service that it belongs to, and the entry of its `canaries` that matches; an error says why nobody has it.
    pub claim: Result<(&'a Service, &'a str), String>,
    /// Its place among that service's canary flags; `None`: it is none of them.
    pub place: Option<Place<'a>>,
    /// What keeps it, or some of its variants, from leading anywhere.
    pub lacks: Vec<String>,
    /// How many users it could have, if nobody were before it.
    pub reach: Reach,
}

/// A flag's place among the canary flags of its service.
#[derive(Debug)]
pub struct Place<'a> {
    /// What assembly made of it.
    pub candidate: &'a Candidate,
    /// The flags before it, the first one asked at the front.
    pub before: Vec<&'a str>,
    /// How many canary flags the service has.
    pub of: usize,
    /// Why its canaries get no users at the moment that was asked for.
    pub withdrawal: Option<Withdrawal>,
}

impl Place<'_> {
    /// How many decisions were its since the process began.
    pub fn decisions(&self) -> u64 {
        let arms = self.candidate.arms();
        let mut meters: Vec<_> = arms.map(|arm| &arm.meter).collect();
        // Rings may share a variant, and so its meter.
        meters.sort_by_key(|meter| Arc::as_ptr(meter));
        meters.dedup_by_key(|meter| Arc::as_ptr(meter));
        let counters = meters.into_iter().flat_map(|meter| meter.iter());
        counters.map(crate::meter::Counter::get).sum()
    }
}

impl Snapshot {
    /// Where a flag stands at a moment; `None`: there is no such flag.
    pub fn standing(&self, flag: &str, at: Moment) -> Option<FlagStanding<'_>> {
        let flag = self.flag(flag)?;
        Some(self.stands(&self.claims(), flag, at))
    }

    /// Where every flag stands at a moment that looks like a canary: one that a service's `canaries` match, or that carries
    /// an upstream's URL, or nearly one.
    pub fn standings(&self, at: Moment) -> Vec<FlagStanding<'_>> {
        let claims = self.claims();
        let flags = self.flags.iter();
        let looks = flags.filter(|flag| {
            let is_claimed = !matches!(claims.of(flag), Ok(None));
            is_claimed || recorded::is_of_use(flag) || recorded::nearly(flag).next().is_some()
        });
        looks.map(|flag| self.stands(&claims, flag, at)).collect()
    }

    fn claims(&self) -> Claims<'_> {
        let services = self.services.iter();
        Claims::new(services.map(|service| (&*service.name, &*service.canaries)))
    }

    fn stands<'a>(
        &'a self,
        claims: &Claims<'a>,
        flag: &'a Arc<Flag>,
        at: Moment,
    ) -> FlagStanding<'a> {
        let claim = match claims.of(flag) {
            Ok(Some(claim)) => Ok((self.services.get(claim.service), claim.glob.as_str())),
            Ok(None) => Err(unclaimed(claims, &flag.name)),
            Err(why) => Err(format!("it {why}")),
        };
        let place = claim
            .as_ref()
            .ok()
            .and_then(|(service, _)| place(service, flag, at));
        FlagStanding {
            lacks: lacks(flag, place.is_some()),
            reach: Reach::of(flag),
            claim,
            place,
            flag,
        }
    }
}

fn unclaimed(claims: &Claims<'_>, flag: &str) -> String {
    let nobody = "no service's `canaries` match it";
    match claims.nearly(flag) {
        Some(Claim { service, glob, .. }) => {
            let service = claims.name(service);
            format!("{nobody}; the nearest is {:?} of {service}", glob.as_str())
        }
        None => nobody.to_owned(),
    }
}

fn place<'a>(service: &'a Service, flag: &Flag, at: Moment) -> Option<Place<'a>> {
    let candidates = &service.candidates;
    let (index, candidate) = candidates
        .entries()
        .find(|(_, candidate)| candidate.flag.name == flag.name)?;
    let before = candidates.iter().take(index.position());
    Some(Place {
        candidate,
        before: before.map(|candidate| &*candidate.flag.name).collect(),
        of: candidates.len(),
        withdrawal: candidate.withdrawal_at(at),
    })
}

/// What a flag lacks. One that is a canary may have control arms; of them nothing is said.
fn lacks(flag: &Flag, is_canary: bool) -> Vec<String> {
    let mut lacks = Vec::new();
    if let Some(CanaryUrl::Refused(why)) = &flag.url {
        lacks.push(format!("its URL is refused: {why}"));
    }
    let mut variants = flag.every_variant().peekable();
    if variants.peek().is_none() && flag.url.is_none() && !is_canary {
        lacks.push(flag.origin.lacks_upstream().to_owned());
    }
    for variant in variants.filter(|variant| *variant.name != *STABLE) {
        let Some(why) = leads_nowhere(variant, is_canary) else {
            continue;
        };
        let why = format!("variant {:?} {why}", variant.name);
        if !lacks.contains(&why) {
            lacks.push(why);
        }
    }
    lacks
}

fn leads_nowhere(variant: &Variant, is_canary: bool) -> Option<String> {
    match (&variant.url, &variant.nearly, &variant.payload) {
        (Some(CanaryUrl::Allowed(_)), ..) => None,
        (Some(CanaryUrl::Refused(why)), ..) => Some(format!("has a URL that is refused: {why}")),
        (None, Some(why), _) => Some(format!("has a payload that nearly leads somewhere: {why}")),
        _ if is_canary => None,
        (None, None, None) => Some("has no payload".to_owned()),
        (None, None, Some(payload)) => {
            let mut shown: String = payload.value.chars().take(SHOWN).collect();
            if shown.len() < payload.value.len() {
                shown.push('…');
            }
            let kind = &payload.kind;
            Some(format!(
                "has a payload ({kind}) that is neither a URL nor JSON with a `url`: {shown:?}"
            ))
        }
    }
}

impl fmt::Display for FlagStanding<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flag = self.flag;
        let source = flag.origin.keeper();
        let state = match (flag.enabled, flag.can_be_on()) {
            (false, _) => "disabled",
            (true, false) => "on for nobody",
            (true, true) => "enabled",
        };
        writeln!(f, "flag {} of {source}: {state}", flag.name)?;
        match &self.claim {
            Ok((service, entry)) => {
                writeln!(
                    f,
                    "claimed by the service {}: {entry:?} of its canaries",
                    service.name
                )?;
            }
            Err(why) => writeln!(f, "claimed by nobody: {why}")?,
        }
        match &self.place {
            Some(place) => write!(f, "{place}")?,
            None => writeln!(
                f,
                "it is no canary: its users are wherever other flags send them"
            )?,
        }
        for lack in &self.lacks {
            writeln!(f, "lacks: {lack}")?;
        }
        writeln!(f, "could have: {}", self.reach)
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            before,
            of,
            withdrawal,
            ..
        } = self;
        writeln!(
            f,
            "asked as number {} of {of} canary flags",
            before.len() + 1
        )?;
        if !before.is_empty() {
            writeln!(f, "before it: {}", before.join(", "))?;
        }
        writeln!(f, "ranked by: {}", self.ranked_by())?;
        if let Some(withdrawal) = withdrawal {
            writeln!(
                f,
                "withdrawn ({}): its users are on stable",
                withdrawal.reason()
            )?;
        }
        writeln!(f, "holds: {} decisions since the start", self.decisions())
    }
}

impl Place<'_> {
    /// What its place follows from, the weightiest first.
    pub fn ranked_by(&self) -> String {
        let candidate = self.candidate;
        let ran = match candidate.seniority {
            Some(place) => format!("it was number {} to run", place + 1),
            None => "it has not run yet, so those that have come before it".to_owned(),
        };
        let (entry, priority) = (candidate.rank + 1, candidate.flag.priority);
        format!(
            "entry {entry} of `canaries`, then priority {priority}, then who ran first ({ran}), then the name"
        )
    }
}
