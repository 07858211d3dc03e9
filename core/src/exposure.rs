//! Exposures: that a user was served by a deployment under a flag. They are made of what became of a request, never of a decision
//! alone; first of all per user, flag, deployment and day, which their IDs say. Pure.

mod control;
mod id;

use std::borrow::Cow;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::canary::{Cause, ReasonKind};
use crate::config::attribution::{Control, ExposuresConfig};
use crate::context::{Context, Moment};
use crate::decide::{Decision, Reason};
use crate::engine::{CanaryUrl, Flag};
use crate::record::Outcome;
use crate::route::{RouteIndex, ServiceIndex};
use crate::snapshot::{Candidate, DeploymentIndex, STABLE, Service, Snapshot};
pub use id::{ExposureId, day, hashed_user};

/// A user whose ID is longer is left out: it is no ID that anybody could join by, and what waits has to be bounded.
const MAX_USER: usize = 512;
/// So is one whose properties are longer together: what waits in memory is bounded.
const MAX_PROPERTIES: usize = 8 * 1024;
/// The longest value of a property that is recorded, in bytes; the rest is cut off.
const MAX_PROPERTY: usize = 256;

/// Which side of a comparison a user is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ArmKind {
    /// Assigned to the canary, and served by it.
    Canary,
    /// Served by stable, as a percentage or the choice among variants would have it.
    Control,
    /// Assigned to the canary, and served by stable: rescued, quarantined, killed meanwhile.
    Other,
}

impl ArmKind {
    /// The name that records carry.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Canary => "canary",
            Self::Control => "control",
            Self::Other => "other",
        }
    }
}

/// That a user was served by a deployment under a flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exposure {
    /// The same for the same user, service, flag, deployment and day, whichever gateway says it.
    pub id: ExposureId,
    /// When the request came.
    pub time: Moment,
    /// The user's ID, as it is.
    pub user: Arc<str>,
    /// Whether that is the ID in an anonymous user's cookie.
    pub is_anonymous: bool,
    /// The service.
    pub service: Arc<str>,
    /// The flag.
    pub flag: Arc<str>,
    /// The variant that the flag gave.
    pub variant: Option<Arc<str>>,
    /// Which side of the comparison the user is on.
    pub arm: ArmKind,
    /// The deployment that the user was meant for.
    pub assigned: Arc<str>,
    /// The deployment that answered.
    pub served: Arc<str>,
    /// Why it is not the assigned one.
    pub cause: Option<Cause>,
    /// Why the user was assigned their deployment.
    pub reason: ReasonKind,
    /// The ring that took the user, or whose percentage did not choose them.
    pub ring: Option<Arc<str>>,
    /// Whether a percentage decided.
    pub randomised: bool,
    /// The route of the request.
    pub route: Arc<str>,
    /// The snapshot that it was decided on.
    pub generation: u64,
    /// The chosen properties that the request had.
    pub properties: Vec<(Arc<str>, Box<str>)>,
}

/// What exposures are made of: the facts of one outcome, on the snapshot that it was decided on.
#[derive(Clone, Debug)]
pub struct Sighting {
    snapshot: Arc<Snapshot>,
    route: RouteIndex,
    service: ServiceIndex,
    decision: Decision,
    served: DeploymentIndex,
    cause: Option<Cause>,
    moment: Moment,
    context: Context<'static>,
}

/// Whether an outcome could make an exposure: a deployment served it under a flag that chose the user, or whose percentage did
/// not.
pub fn concerns(outcome: &Outcome<'_>) -> Option<(ServiceIndex, Decision, DeploymentIndex)> {
    let (service, decision, served) = (outcome.service?, outcome.decision?, outcome.served?);
    let is_asked = decision.candidate.is_some() || decision.randomised;
    is_asked.then_some((service, decision, served))
}

impl Sighting {
    /// Keeps what exposures need. `None`: there can be none.
    pub fn new(outcome: &Outcome<'_>, context: &Context<'_>) -> Option<Self> {
        let (service, decision, served) = concerns(outcome)?;
        let too_long = |id: &Option<Cow<'_, str>>| {
            let id = id.as_ref();
            id.is_some_and(|id| id.len() > MAX_USER)
        };
        let properties = context.properties.iter().flatten();
        let properties: usize = properties.map(|value| value.len()).sum();
        if too_long(&context.user_id)
            || too_long(&context.session_id)
            || properties > MAX_PROPERTIES
        {
            return None;
        }
        Some(Self {
            snapshot: outcome.snapshot.clone(),
            route: outcome.route?,
            service,
            decision,
            served,
            cause: outcome.cause,
            moment: outcome.moment,
            context: owned(context),
        })
    }

    /// The exposures: one for the flag that decided, and one for each whose percentage did not choose the user, if they are
    /// among those to compare with.
    pub fn exposures(&self, config: &ExposuresConfig) -> SmallVec<[Exposure; 1]> {
        let mut found = SmallVec::new();
        let Some((user, is_anonymous)) = self.user(config) else {
            return found;
        };
        let service = self.snapshot.services.get(self.service);
        let mut add = |side: Side<'_>| {
            found.push(self.exposure(config, (&user, is_anonymous), service, side));
        };
        let deciding = self.decision.candidate;
        if let Some(side) = self.of_deciding_flag(service) {
            add(side);
        }
        if self.served != STABLE || self.decision.assigned != STABLE {
            return found;
        }
        let asked = deciding.map_or(service.candidates.len(), |index| index.position());
        for candidate in service.candidates.iter().take(asked) {
            if let Some(side) = self.of_missed_flag(config.control, candidate, &user) {
                add(side);
            }
        }
        found
    }

    /// Who the user is, as far as exposures are concerned.
    fn user(&self, config: &ExposuresConfig) -> Option<(Arc<str>, bool)> {
        let present = |id: &Option<Cow<'static, str>>| {
            let id = id.as_deref().filter(|id| !id.is_empty());
            id.map(Arc::from)
        };
        match present(&self.context.user_id) {
            Some(user) => Some((user, false)),
            None if config.anonymous => Some((present(&self.context.session_id)?, true)),
            None => None,
        }
    }

    /// What the flag says that decided. Nothing, if its canaries had been withdrawn, if there was no ID to choose a variant by,
    /// if somebody asked for the deployment, or if the variant's URL is refused: the user is on no side then.
    fn of_deciding_flag<'s>(&'s self, service: &'s Service) -> Option<Side<'s>> {
        let Decision {
            assigned,
            candidate,
            variant,
            reason,
            randomised,
        } = self.decision;
        let flag = &*service.candidates.get(candidate?)?.flag;
        let Reason::Audience(_, ring) = reason else {
            return None;
        };
        let variant = variant.and_then(|at| flag.variant(at));
        let url = variant.and_then(|variant| variant.url.as_ref());
        let arm = if assigned == STABLE {
            let is_refused = matches!(url, Some(CanaryUrl::Refused(_)));
            (!is_refused).then_some(ArmKind::Control)?
        } else if self.served == assigned {
            ArmKind::Canary
        } else {
            ArmKind::Other
        };
        Some(Side {
            flag,
            variant: variant.map(|variant| variant.name.clone()),
            ring: flag.ring(ring).map(|ring| ring.name.clone()),
            arm,
            randomised,
        })
    }

    /// What a flag says whose percentage did not choose the user.
    fn of_missed_flag<'s>(
        &'s self,
        control: Control,
        candidate: &'s Candidate,
        user: &str,
    ) -> Option<Side<'s>> {
        if candidate.withdrawal_at(self.moment).is_some() {
            return None;
        }
        let flag = &*candidate.flag;
        let missed = control::missed(flag, &self.context, self.moment)?;
        let is_control = match control {
            Control::None => false,
            Control::All => true,
            Control::Matched => missed.is_matched(&flag.name, user),
        };
        is_control.then(|| Side {
            flag,
            variant: None,
            ring: Some(missed.ring.name.clone()),
            arm: ArmKind::Control,
            randomised: true,
        })
    }

    fn exposure(
        &self,
        config: &ExposuresConfig,
        (user, is_anonymous): (&Arc<str>, bool),
        service: &Service,
        side: Side<'_>,
    ) -> Exposure {
        let served = service.deployments.get(self.served).name.clone();
        let route = self.snapshot.router.route(self.route);
        let id = ExposureId::new(
            config.key.as_ref().map(|key| key.expose().as_bytes()),
            is_anonymous,
            [user, &service.name, &side.flag.name, &served],
            self.moment,
        );
        Exposure {
            id,
            time: self.moment,
            user: user.clone(),
            is_anonymous,
            service: service.name.clone(),
            flag: side.flag.name.clone(),
            variant: side.variant,
            arm: side.arm,
            assigned: service.deployments.get(self.decision.assigned).name.clone(),
            served,
            // One that served, and whose answer broke off, has a cause too.
            cause: self.cause.filter(|_| side.arm == ArmKind::Other),
            reason: self.decision.reason.kind(),
            ring: side.ring,
            randomised: side.randomised,
            route: route.map_or_else(|| "".into(), |route| route.name.clone()),
            generation: self.snapshot.generation,
            properties: self.properties(config),
        }
    }

    /// The chosen properties that the request had, in the order of the configuration.
    fn properties(&self, config: &ExposuresConfig) -> Vec<(Arc<str>, Box<str>)> {
        let known = &self.snapshot.identity.properties;
        let value = |name: &Arc<str>| {
            let slot = known.iter().position(|property| property.name == *name)?;
            let value = self.context.properties.get(slot)?.as_deref()?;
            let end = value.floor_char_boundary(MAX_PROPERTY);
            Some((name.clone(), value.get(..end).unwrap_or(value).into()))
        };
        config.properties.iter().filter_map(value).collect()
    }
}

/// What one flag says of the user.
struct Side<'a> {
    flag: &'a Flag,
    variant: Option<Arc<str>>,
    ring: Option<Arc<str>>,
    arm: ArmKind,
    randomised: bool,
}

/// The context with texts of its own.
fn owned(context: &Context<'_>) -> Context<'static> {
    let own = |text: &Option<Cow<'_, str>>| {
        let text = text.as_deref();
        text.map(|text| Cow::Owned(text.to_owned()))
    };
    Context {
        user_id: own(&context.user_id),
        session_id: own(&context.session_id),
        remote_address: context.remote_address,
        properties: context.properties.iter().map(own).collect(),
    }
}

#[cfg(test)]
mod tests;
