//! One service of a snapshot: its deployments, and its canary flags in order of precedence.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::names::{baggage, header};
use super::stable::StableUrl;
use crate::canary::WithdrawalFlag;
use crate::cluster::UpstreamUrl;
use crate::config::ServiceConfig;
use crate::engine::{
    CanaryUrl, Dependency, Flag, PerVariant, Ring, STABLE as STABLE_NAME, Variants,
};
use crate::flag::Share;
use crate::meter::Meters;
use crate::snapshot::{
    Candidate, ClusterProvider, Deployment, DeploymentIndex, NamedBy, STABLE, Service, Shutoff,
    Target, recorded,
};

/// One service under assembly.
pub(super) struct Assembly<'a> {
    service: &'a ServiceConfig,
    clusters: &'a mut dyn ClusterProvider,
    meters: &'a mut dyn Meters,
    deployments: Vec<Deployment>,
}

/// The canaries of one flag: what a variant's name and URL lead to.
type Canaries<'a> = Vec<(&'a str, &'a UpstreamUrl, DeploymentIndex)>;

/// What an earlier snapshot of the same configuration made of a service, to be taken over where a flag is the same.
pub(super) struct Earlier<'a> {
    service: &'a Service,
    by_flag: FxHashMap<*const Flag, usize>,
}

impl<'a> Earlier<'a> {
    pub(super) fn new(service: &'a Service) -> Self {
        let flags = service.candidates.iter().map(|one| Arc::as_ptr(&one.flag));
        Self {
            by_flag: flags.zip(0..).collect(),
            service,
        }
    }

    fn candidate(&self, flag: &Arc<Flag>) -> Option<&'a Candidate> {
        let index = self.by_flag.get(&Arc::as_ptr(flag))?;
        self.service.candidates.get(*index)
    }
}

impl<'a> Assembly<'a> {
    pub(super) fn new(
        service: &'a ServiceConfig,
        stable: &StableUrl,
        clusters: &'a mut dyn ClusterProvider,
        meters: &'a mut dyn Meters,
    ) -> Self {
        let mut assembly = Self {
            service,
            clusters,
            meters,
            deployments: Vec::new(),
        };
        assembly.deploy(STABLE_NAME, &stable.url, stable.named_by, None);
        assembly
    }

    /// Adds a canary flag, the next in order.
    pub(super) fn candidate(
        &mut self,
        rank: usize,
        flag: &Arc<Flag>,
        earlier: Option<&Earlier<'_>>,
    ) -> Candidate {
        match earlier.and_then(|earlier| Some((earlier.service, earlier.candidate(flag)?))) {
            Some((service, candidate)) => self.take_over(service, candidate),
            None => self.compose(rank, flag),
        }
    }

    /// A candidate as it was, with the deployments that it had, wherever they stand now.
    fn take_over(&mut self, service: &Service, earlier: &Candidate) -> Candidate {
        let (old, new) = (earlier.deployments.start, self.deployments.len());
        let kept = service.deployments.get(earlier.deployments.clone());
        self.deployments.extend_from_slice(kept.unwrap_or_default());
        let mut candidate = earlier.clone();
        candidate.deployments = new..self.deployments.len();
        let targets = std::iter::once(&mut candidate.plain).chain(candidate.variants.iter_mut());
        for target in targets.filter(|target| target.deployment != STABLE) {
            target.deployment = target.deployment - old + new;
        }
        candidate
    }

    fn compose(&mut self, rank: usize, flag: &Arc<Flag>) -> Candidate {
        let start = self.deployments.len();
        let mark = self.clusters.mark(&self.service.name, &flag.name);
        // Without variants the flag's URL is where its users go; with them it has none of its own.
        let url = flag.url.as_ref().filter(|_| flag.variants.is_none());
        let plain = url.and_then(CanaryUrl::allowed).map_or(STABLE, |url| {
            self.deploy(&flag.name, url, named_by(flag), Some(&mark))
        });
        let canaries = self.canaries(flag, &mark, url.is_none());
        Candidate {
            flag: flag.clone(),
            rank,
            seniority: None,
            withdrawn: None,
            plain: self.target(flag, "", plain),
            variants: self.targets(flag, &canaries),
            deployments: start..self.deployments.len(),
        }
    }

    fn deploy(
        &mut self,
        name: &str,
        url: &UpstreamUrl,
        named_by: NamedBy,
        mark: Option<&Arc<WithdrawalFlag>>,
    ) -> DeploymentIndex {
        let service = &*self.service.name;
        self.deployments.push(Deployment {
            name: name.into(),
            header: header(name),
            baggage: baggage(service, name),
            cluster: self.clusters.cluster(service, name, url, named_by),
            mark: mark.cloned(),
            meter: self.meters.deployment(service, name),
        });
        self.deployments.len() - 1
    }

    /// Makes a deployment of every distinct canary that the flag's variants name: called like the flag when that is
    /// not taken and there is but one, else `flag:variant`. Rings may give one variant several URLs; they are numbered.
    /// A refused URL makes no deployment, but the names of the others do not depend on what is refused.
    fn canaries<'f>(
        &mut self,
        flag: &'f Flag,
        mark: &Arc<WithdrawalFlag>,
        name_is_free: bool,
    ) -> Canaries<'f> {
        let mut distinct: Vec<(&str, &CanaryUrl)> = Vec::new();
        for upstream in recorded::canaries(flag) {
            if !distinct.contains(&upstream) {
                distinct.push(upstream);
            }
        }
        let alone = name_is_free && distinct.len() == 1;
        let mut canaries: Canaries<'f> = Vec::with_capacity(distinct.len());
        for (variant, url) in distinct {
            let Some(url) = url.allowed() else {
                continue;
            };
            let namesakes = canaries.iter().filter(|(name, ..)| *name == variant);
            let name = match namesakes.count() {
                _ if alone => flag.name.to_string(),
                0 => format!("{}:{variant}", flag.name),
                earlier => format!("{}:{variant}.{}", flag.name, earlier + 1),
            };
            let deployment = self.deploy(&name, url, named_by(flag), Some(mark));
            canaries.push((variant, url, deployment));
        }
        canaries
    }

    fn targets(&mut self, flag: &Flag, canaries: &Canaries<'_>) -> PerVariant<Target> {
        PerVariant::of(flag, |variant| {
            let url = variant.url.as_ref().and_then(CanaryUrl::allowed);
            let mut canaries = canaries.iter();
            let canary =
                canaries.find(|(name, known, _)| *name == &*variant.name && url == Some(*known));
            let deployment = canary.map_or(STABLE, |(_, _, deployment)| *deployment);
            self.target(flag, &variant.name, deployment)
        })
    }

    fn target(&mut self, flag: &Flag, variant: &str, deployment: DeploymentIndex) -> Target {
        Target {
            deployment,
            meter: self
                .meters
                .decision(&self.service.name, &flag.name, variant),
        }
    }

    /// `flags` are all there are, by name.
    pub(super) fn finish(
        self,
        candidates: Vec<Candidate>,
        flags: &[Arc<Flag>],
        awaits_flags: bool,
    ) -> Service {
        let shutoff = self.service.shutoff.as_ref().map(|shutoff| Shutoff {
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
        Service {
            name: self.service.name.clone(),
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
    match flag.origin.server() {
        None => NamedBy::Platform,
        Some(_) => NamedBy::Flag,
    }
}

/// Whether a session's ID could make a difference to the flag as it stands.
pub(super) fn may_hash_session(flag: &Flag) -> bool {
    let several =
        |variants: &Variants| variants.only().is_none() && variants.stickiness().may_use_session();
    let ring = |ring: &Ring| {
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
