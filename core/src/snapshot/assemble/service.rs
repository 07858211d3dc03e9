//! One service of a snapshot: its deployments, and its canary flags in order of precedence.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::stable::StableUrl;
use crate::canary::WithdrawalFlag;
use crate::cluster::{DeploymentName, UpstreamUrl};
use crate::config::ServiceConfig;
use crate::engine::{
    CanaryUrl, Dependency, Flag, PerVariant, Ring, STABLE as STABLE_NAME, Variants,
};
use crate::flag::Share;
use crate::indexed::Indexed;
use crate::meter::Meters;
use crate::snapshot::mirror::Mirror;
use crate::snapshot::registration::FlagRegistrations;
use crate::snapshot::{
    Arm, Candidate, CandidateIndex, ClusterProvider, Deployment, DeploymentIndex, Deployments,
    NamedBy, STABLE, Service, Shutoff, recorded,
};

/// One service under assembly.
pub(super) struct Assembly<'a> {
    service: &'a ServiceConfig,
    clusters: &'a mut dyn ClusterProvider,
    meters: &'a mut dyn Meters,
    deployments: Deployments,
}

/// The canaries of one flag: what a variant's name and URL lead to.
type Canaries<'a> = Vec<(&'a str, &'a UpstreamUrl, DeploymentIndex)>;

/// The deployment that is called like its flag.
enum Place<'a> {
    /// There is none.
    Free,
    /// It is where the flag itself says, and nowhere else.
    Taken,
    /// It is registered, at this URL.
    Known((&'a UpstreamUrl, DeploymentIndex)),
}

/// What an earlier snapshot of the same configuration made of a service, to be taken over where a flag is the same.
pub(super) struct Earlier<'a> {
    service: &'a Service,
    by_flag: FxHashMap<*const Flag, CandidateIndex>,
}

impl<'a> Earlier<'a> {
    pub(super) fn new(service: &'a Service) -> Self {
        let candidates = service.candidates.entries();
        let by_flag = candidates.map(|(index, one)| (Arc::as_ptr(&one.flag), index));
        Self {
            by_flag: by_flag.collect(),
            service,
        }
    }

    /// The candidate of the same flag with the same registrations.
    fn candidate(&self, flag: &Arc<Flag>, registered: &FlagRegistrations) -> Option<&'a Candidate> {
        let index = self.by_flag.get(&Arc::as_ptr(flag))?;
        let candidate = self.service.candidates.get(*index)?;
        let is_same = candidate.until == registered.until
            && candidate.is_checking == registered.is_checking
            && candidate.registered == registered.urls;
        is_same.then_some(candidate)
    }
}

impl<'a> Assembly<'a> {
    pub(super) fn new(
        service: &'a ServiceConfig,
        stable: &StableUrl,
        clusters: &'a mut dyn ClusterProvider,
        meters: &'a mut dyn Meters,
    ) -> Self {
        let name = DeploymentName {
            service: &service.name,
            deployment: STABLE_NAME,
        };
        let cluster = clusters.cluster(name, &stable.url, stable.named_by);
        let meter = meters.deployment(name.service, name.deployment);
        Self {
            service,
            clusters,
            meters,
            deployments: Deployments::new(Deployment::new(name, cluster, meter)),
        }
    }

    /// Adds a canary flag, the next in order.
    pub(super) fn candidate(
        &mut self,
        rank: usize,
        flag: &Arc<Flag>,
        registered: &FlagRegistrations,
        earlier: Option<&Earlier<'_>>,
    ) -> Candidate {
        let same = earlier.and_then(|earlier| earlier.candidate(flag, registered));
        match (earlier, same) {
            (Some(earlier), Some(candidate)) => self.take_over(earlier.service, candidate),
            _ => self.compose(rank, flag, registered),
        }
    }

    /// A candidate as it was, with the deployments that it had, wherever they stand now.
    fn take_over(&mut self, service: &Service, earlier: &Candidate) -> Candidate {
        let mut candidate = earlier.clone();
        let mut moved: SmallVec<[(DeploymentIndex, DeploymentIndex); 2]> = SmallVec::new();
        candidate.deployments.clear();
        for &old in &earlier.deployments {
            let new = self.deployments.push(service.deployments.get(old).clone());
            moved.push((old, new));
            candidate.deployments.push(new);
        }
        let by_variant = candidate.variants.iter_mut();
        for arm in by_variant.chain([&mut candidate.default_arm]) {
            let place = moved.iter().find(|(old, _)| *old == arm.deployment);
            arm.deployment = place.map_or(STABLE, |(_, new)| *new);
        }
        candidate
    }

    fn compose(
        &mut self,
        rank: usize,
        flag: &Arc<Flag>,
        registered: &FlagRegistrations,
    ) -> Candidate {
        let mark = self.clusters.mark(&self.service.name, &flag.name);
        // Without variants the flag's URL is where its users go; with them it has none of its own.
        let own = flag.url.as_ref().filter(|_| flag.variants.is_none());
        let own = own.map(|url| (url, named_by(flag)));
        let of_registration = registered.url(None);
        let own = own.or(of_registration.map(|url| (url, NamedBy::Registration)));
        let allowed = own.and_then(|(url, named_by)| Some((url.allowed()?, named_by)));
        let default = allowed.map(|(url, named_by)| self.deploy(&flag.name, url, named_by, &mark));
        let of_registration = registered.url(None).and_then(CanaryUrl::allowed);
        let place = match (of_registration.zip(default), own) {
            (Some(known), _) => Place::Known(known),
            (None, Some(_)) => Place::Taken,
            (None, None) => Place::Free,
        };
        let canaries = self.canaries(flag, registered, &mark, &place);
        let of_variants = canaries.iter().map(|(_, _, deployment)| *deployment);
        let others = of_variants.filter(|deployment| Some(*deployment) != default);
        let deployments = default.into_iter().chain(others).collect();
        Candidate {
            flag: flag.clone(),
            rank,
            seniority: None,
            withdrawn: None,
            until: registered.until,
            is_checking: registered.is_checking,
            registered: registered.urls.clone(),
            default_arm: self.arm(flag, "", default.unwrap_or(STABLE)),
            variants: self.arms(flag, registered, &canaries),
            deployments,
        }
    }

    fn deploy(
        &mut self,
        name: &str,
        url: &UpstreamUrl,
        named_by: NamedBy,
        mark: &Arc<WithdrawalFlag>,
    ) -> DeploymentIndex {
        let name = DeploymentName {
            service: &self.service.name,
            deployment: name,
        };
        let cluster = self.clusters.cluster(name, url, named_by);
        let meter = self.meters.deployment(name.service, name.deployment);
        self.deployments.push(Deployment {
            mark: Some(mark.clone()),
            ..Deployment::new(name, cluster, meter)
        })
    }

    /// Makes a deployment of every distinct canary that the flag's variants name: called like the flag when that is
    /// not taken and there is but one, else `flag:variant`. Rings may give one variant several URLs; they are numbered.
    /// One that is where the flag's canary is registered is that deployment. A refused URL makes none, but the names of the others do not depend on what is refused.
    fn canaries<'f>(
        &mut self,
        flag: &'f Flag,
        registered: &'f FlagRegistrations,
        mark: &Arc<WithdrawalFlag>,
        place: &Place<'_>,
    ) -> Canaries<'f> {
        let carried =
            recorded::canaries(flag).map(|(name, url)| match registered.instead_of(url) {
                Some(url) => (name, url, NamedBy::Registration),
                None => (name, url, named_by(flag)),
            });
        let of_registrations = registered.urls.iter().filter_map(|one| {
            let name = one.variant.as_deref()?;
            Some((name, &one.url, NamedBy::Registration))
        });
        let mut distinct: Vec<(&str, &CanaryUrl, NamedBy)> = Vec::new();
        for upstream in carried.chain(of_registrations) {
            if !distinct.contains(&upstream) {
                distinct.push(upstream);
            }
        }
        let alone = matches!(place, Place::Free) && distinct.len() == 1;
        let mut canaries: Canaries<'f> = Vec::with_capacity(distinct.len());
        for (variant, url, named_by) in distinct {
            let Some(url) = url.allowed() else {
                continue;
            };
            if let Place::Known((known, deployment)) = place
                && *known == url
            {
                canaries.push((variant, url, *deployment));
                continue;
            }
            let namesakes = canaries.iter().filter(|(name, ..)| *name == variant);
            let name = match namesakes.count() {
                _ if alone => flag.name.to_string(),
                0 => format!("{}:{variant}", flag.name),
                earlier => format!("{}:{variant}.{}", flag.name, earlier + 1),
            };
            let deployment = self.deploy(&name, url, named_by, mark);
            canaries.push((variant, url, deployment));
        }
        canaries
    }

    fn arms(
        &mut self,
        flag: &Flag,
        registered: &FlagRegistrations,
        canaries: &Canaries<'_>,
    ) -> PerVariant<Arm> {
        PerVariant::of(flag, |variant| {
            let carried = variant.url.as_ref();
            let carried = carried.map(|url| registered.instead_of(url).unwrap_or(url));
            let url = carried.or_else(|| registered.url(Some(&variant.name)));
            let url = url.and_then(CanaryUrl::allowed);
            let mut canaries = canaries.iter();
            let canary =
                canaries.find(|(name, known, _)| *name == &*variant.name && url == Some(*known));
            let deployment = canary.map_or(STABLE, |(_, _, deployment)| *deployment);
            self.arm(flag, &variant.name, deployment)
        })
    }

    fn arm(&mut self, flag: &Flag, variant: &str, deployment: DeploymentIndex) -> Arm {
        Arm {
            deployment,
            meter: self
                .meters
                .decision(&self.service.name, &flag.name, variant),
        }
    }

    /// `flags` are all there are, by name.
    pub(super) fn finish(
        self,
        candidates: Indexed<CandidateIndex, Candidate>,
        flags: &[Arc<Flag>],
        awaits_flags: bool,
    ) -> Service {
        let shutoff = self.service.shutoff.as_ref().map(|shutoff| Shutoff {
            name: shutoff.flag.clone(),
            flag: flags
                .binary_search_by(|flag| flag.name.cmp(&shutoff.flag))
                .ok()
                .and_then(|index| flags.get(index).cloned()),
            respond: shutoff.respond.clone(),
        });
        let of_shutoff = shutoff.iter().filter_map(|shutoff| shutoff.flag.as_deref());
        let uses_session = candidates
            .iter()
            .map(|candidate| &*candidate.flag)
            .chain(of_shutoff)
            .any(may_hash_session);
        let mirror = self.service.mirror.as_ref();
        Service {
            name: self.service.name.clone(),
            mirror: mirror.map(|policy| Mirror::new(policy, &self.deployments)),
            deployments: self.deployments,
            canaries: self.service.canaries.as_slice().into(),
            candidates,
            awaits_flags,
            uses_session,
            shutoff,
            upstream: self.service.upstream.clone(),
            meter: self.meters.service(&self.service.name),
        }
    }
}

/// Who says where a flag's canaries are.
fn named_by(flag: &Flag) -> NamedBy {
    match flag.origin.is_of_the_platform() {
        true => NamedBy::Platform,
        false => NamedBy::Flag,
    }
}

/// Whether a session's ID could make a difference to the flag as it stands.
pub(super) fn may_hash_session(flag: &Flag) -> bool {
    let several =
        |variants: &Variants| variants.only().is_none() && variants.stickiness().may_use_session();
    let ring = |ring: &Ring| {
        if !ring.enabled {
            return false;
        }
        let rollout = &ring.rollout;
        let hashed = match rollout.share {
            Share::NONE => return false,
            Share::ALL => rollout.needs_id,
            _ => true,
        };
        let variants = ring.variants.as_ref().or(flag.variants.as_ref());
        hashed && rollout.stickiness.may_use_session() || variants.is_some_and(several)
    };
    let parent = |one: &Dependency| {
        let flag = one.parent.as_ref();
        flag.is_ok_and(|flag| may_hash_session(flag))
    };
    flag.enabled && (flag.rings.iter().any(ring) || flag.dependencies.iter().any(parent))
}
