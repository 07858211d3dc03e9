//! Deployments that are asked for by name, whatever the flags say of the user.

use super::{Decision, Reason};
use crate::canary::{ReasonKind, Withdrawal};
use crate::context::Moment;
use crate::engine::VariantRef;
use crate::snapshot::{Candidate, CandidateIndex, Deployment, DeploymentIndex, STABLE, Service};

/// A deployment of a service, and the flag whose canary it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Named<'s> {
    index: DeploymentIndex,
    deployment: &'s Deployment,
    canary: Option<(CandidateIndex, &'s Candidate)>,
}

impl<'s> Named<'s> {
    /// The service's deployment of this name.
    pub(super) fn find(service: &'s Service, name: &[u8]) -> Option<Self> {
        let mut deployments = service.deployments.entries();
        let (index, deployment) =
            deployments.find(|(_, deployment)| deployment.name.as_bytes() == name)?;
        let mut candidates = service.candidates.entries();
        let canary = candidates
            .find(|(_, candidate)| index != STABLE && candidate.deployments.contains(&index));
        Some(Self {
            index,
            deployment,
            canary,
        })
    }

    /// Why it gets no users at a moment, as the snapshot says or, since then, its mark; `None`: it gets them. Of two
    /// reasons a kill comes first.
    pub(super) fn withdrawal_at(&self, moment: Moment) -> Option<Withdrawal> {
        let canary = self.canary;
        let decided = canary.and_then(|(_, candidate)| candidate.withdrawal_at(moment));
        let marked = self.deployment.withdrawal();
        decided.into_iter().chain(marked).min()
    }

    /// The decision for it, under its flag. Whatever the flag would have said, nothing was drawn by chance.
    pub(super) fn decision(&self, reason: ReasonKind) -> Decision {
        Decision {
            assigned: self.index,
            candidate: self.canary.map(|(index, _)| index),
            variant: self
                .canary
                .and_then(|(_, candidate)| variant(candidate, self.index)),
            reason: Reason::Plain(reason),
            randomised: false,
        }
    }
}

/// The variant of a flag that leads to a deployment.
fn variant(candidate: &Candidate, deployment: DeploymentIndex) -> Option<VariantRef> {
    let mut variants = candidate.variants.entries();
    let found = variants.find(|(_, arm)| arm.deployment == deployment);
    found.map(|(variant, _)| variant)
}
