//! Where a flag stands, as JSON: for `explain` and for the status.

use schemars::JsonSchema;
use serde::Serialize;

use crate::context::Moment;
use crate::snapshot::Snapshot;
use crate::snapshot::standing::FlagStanding;
use crate::spelling::nearest;

/// Where one flag stands.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Standing")]
pub struct StandingView {
    flag: String,
    /// Who keeps it: `file`, `serin`, `registration`, or the flag server's name.
    source: String,
    enabled: bool,
    /// Whether it is a canary flag of the service.
    canary: bool,
    /// The service that claims it.
    service: Option<String>,
    /// The entry of that service's `canaries` that matches it.
    entry: Option<String>,
    /// Why nobody claims it.
    #[serde(skip_serializing_if = "Option::is_none")]
    unclaimed: Option<String>,
    /// 1 is asked first.
    place: Option<usize>,
    before: Vec<String>,
    priority: i32,
    ranked_by: Option<String>,
    lacks: Vec<String>,
    could_have: String,
    /// Decisions that were its since the process began.
    decisions: u64,
    withdrawn: Option<&'static str>,
}

/// The answer to a question about a flag.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "FlagExplanation")]
pub struct FlagExplanationView {
    generation: u64,
    digest: String,
    standing: StandingView,
    /// The same for people.
    text: String,
}

impl FlagExplanationView {
    /// Explains a flag on a snapshot, at a moment.
    ///
    /// # Errors
    /// When there is no such flag, with the nearest name.
    pub fn new(snapshot: &Snapshot, flag: &str, at: Moment) -> Result<Self, String> {
        let standing = snapshot.standing(flag, at).ok_or_else(|| {
            let names = snapshot.flags.iter().map(|flag| &*flag.name);
            match nearest(flag, names) {
                Some(name) => format!("there is no flag {flag:?}; did you mean {name:?}?"),
                None => format!("there is no flag {flag:?}"),
            }
        })?;
        Ok(Self {
            generation: snapshot.generation,
            digest: snapshot.digest.to_string(),
            text: standing.to_string(),
            standing: StandingView::from(&standing),
        })
    }
}

impl From<&FlagStanding<'_>> for StandingView {
    fn from(standing: &FlagStanding<'_>) -> Self {
        let flag = standing.flag;
        let (claim, place) = (standing.claim.as_ref(), standing.place.as_ref());
        let before = place.map_or(&[] as &[&str], |place| place.before.as_slice());
        Self {
            flag: flag.name.to_string(),
            source: flag.origin.source().to_owned(),
            enabled: flag.enabled,
            canary: place.is_some(),
            service: claim.ok().map(|(service, _)| service.name.to_string()),
            entry: claim.ok().map(|(_, entry)| (*entry).to_owned()),
            unclaimed: claim.err().cloned(),
            place: place.map(|place| place.before.len() + 1),
            before: before.iter().map(|name| (*name).to_owned()).collect(),
            priority: flag.priority,
            ranked_by: place.map(|place| place.ranked_by()),
            lacks: standing.lacks.clone(),
            could_have: standing.reach.to_string(),
            decisions: place.map_or(0, |place| place.decisions()),
            withdrawn: place
                .and_then(|place| place.withdrawal)
                .map(|withdrawal| withdrawal.reason().as_str()),
        }
    }
}
