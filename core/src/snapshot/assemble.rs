//! From a compiled configuration and what flag servers said to a snapshot: flags by precedence, deployments, candidates
//! in order, and meters at hand.

mod ownership;
mod precedence;
mod registered;
mod service;
mod stable;

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::claims::Claims;
use super::registration::Registration;
use super::seniority::Seniority;
use super::{Candidate, ClusterProvider, FlagSource, Services, Snapshot, recorded};
use crate::config::diagnostic::Diagnostic;
use crate::config::kept::CompiledKept;
use crate::config::{Config, ServiceConfig};
use crate::context::schema::ContextSchema;
use crate::digest::Digest;
use crate::engine::{Flag, Origin};
use crate::meter::{Meters, RouteMeter};
use crate::route::Route;
use crate::route::router::Router;
use ownership::Ownership;
use precedence::Ranked;
use registered::{Ends, Registered};
use service::{Assembly, Earlier};
pub use stable::StableUrl;

/// How many warnings of one kind are kept.
const WARNINGS: usize = 100;

/// Assembles the snapshot of a configuration whose flag servers, if it names any, have never answered.
pub fn assemble(
    config: &Config,
    generation: u64,
    clusters: &mut dyn ClusterProvider,
    meters: &mut dyn Meters,
) -> Snapshot {
    let content = Content {
        config,
        kept: &CompiledKept::default(),
        router: Arc::new(Router::new(config.routes.clone())),
        sources: config
            .sources()
            .map(|source| CompiledSource::unheard(source.name()))
            .collect(),
        vocabulary: Arc::new(ContextSchema::new(&property_names(config))),
        last_known: &HashMap::new(),
        registrations: &[],
        fallbacks: &CompiledKept::default(),
        seniority: &Seniority::default(),
        earlier: None,
    };
    content.assemble(generation, clusters, meters)
}

/// What a snapshot is made of.
#[derive(Debug)]
pub struct Content<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// The flags that Serin keeps itself.
    pub kept: &'a CompiledKept,
    /// The configuration's routes.
    pub router: Arc<Router>,
    /// What its flag servers said, in order of precedence.
    pub sources: Vec<CompiledSource<'a>>,
    /// Which field a name means that flags look at.
    pub vocabulary: Arc<ContextSchema>,
    /// Where services' stable deployments were when something last said so.
    pub last_known: &'a HashMap<Arc<str>, StableUrl>,
    /// The upstreams that somebody registered; of two for one place the first counts.
    pub registrations: &'a [Registration],
    /// The flags that registrations bring along: each counts only where nothing else has a flag of its name.
    pub fallbacks: &'a CompiledKept,
    /// Which canary flags ran first.
    pub seniority: &'a Seniority,
    /// An earlier snapshot of the same configuration; what is the same in it is taken over as it is.
    pub earlier: Option<&'a Snapshot>,
}

/// What one flag server said, compiled.
#[derive(Debug)]
pub struct CompiledSource<'a> {
    /// As it came.
    pub source: FlagSource,
    /// The hash of what came and of what else it is compiled with; `None`: it has never answered.
    pub digest: Option<Digest>,
    /// Its flags, by name.
    pub flags: &'a [Arc<Flag>],
    /// What is wrong with them.
    pub warnings: &'a [String],
}

impl CompiledSource<'_> {
    /// That of a server that has never answered.
    fn unheard(name: &Arc<str>) -> Self {
        Self {
            source: FlagSource {
                name: name.clone(),
                set: None,
            },
            digest: None,
            flags: &[],
            warnings: &[],
        }
    }
}

/// The names of `identity.properties`, by slot.
pub fn property_names(config: &Config) -> Vec<Arc<str>> {
    let properties = config.identity.properties.iter();
    properties.map(|property| property.name.clone()).collect()
}

/// The figures of the routes that have a rate limit, in the order of all routes.
fn route_meters(routes: &[Route], meters: &mut dyn Meters) -> Vec<Option<Arc<RouteMeter>>> {
    let limited = |route: &Route| route.guard.rate_limit.is_some();
    if !routes.iter().any(limited) {
        return Vec::new();
    }
    let meter = |route: &Route| limited(route).then(|| meters.route(&route.name));
    routes.iter().map(meter).collect()
}

impl Content<'_> {
    /// Puts it together.
    pub fn assemble(
        self,
        generation: u64,
        clusters: &mut dyn ClusterProvider,
        meters: &mut dyn Meters,
    ) -> Snapshot {
        let (mut flags, shadowed) = precedence::merge(&self.ranked());
        precedence::fill_in(&mut flags, &self.fallbacks.flags);
        let mut warnings: Vec<String> = self
            .config
            .warnings
            .iter()
            .map(Diagnostic::in_one_line)
            .collect();
        extend(&mut warnings, &self.kept.warnings());
        for source in &self.sources {
            extend(&mut warnings, source.warnings);
        }
        extend(&mut warnings, &shadowed);
        let services = self.services(&flags, &mut warnings, clusters, meters);
        let shadows = services.iter().filter_map(|service| {
            let mirror = service.mirror.as_ref();
            mirror.and_then(|mirror| mirror.warning(&service.name))
        });
        extend(&mut warnings, &shadows.collect::<Vec<_>>());
        let route_meters = route_meters(self.router.routes(), meters);
        Snapshot {
            generation,
            // Gateways hear of a renewal at different times, and decide equally all the while.
            digest: ordered(self.digest_with(Ends::LeftOut), &services),
            router: self.router,
            services,
            flags,
            sources: self.sources.into_iter().map(|part| part.source).collect(),
            vocabulary: self.vocabulary,
            identity: self.config.identity.clone(),
            client_api: self.config.client_api.clone(),
            lanes: self.config.lanes,
            logging: self.config.logging.clone(),
            traffic: self.config.traffic,
            tracing: self.config.tracing.clone(),
            route_meters,
            unrouted: meters.deployment("-", "-"),
            warnings,
            rebucketed: Vec::new(),
            taking: Vec::new(),
        }
    }

    /// Every list of flags, the most important first.
    fn ranked(&self) -> Vec<Ranked<'_>> {
        let local = Ranked {
            source: Origin::Local.keeper(),
            flags: &self.config.flags,
        };
        let kept = Ranked {
            source: Origin::Serin.keeper(),
            flags: &self.kept.flags,
        };
        let servers = self.sources.iter().map(|part| Ranked {
            source: &part.source.name,
            flags: part.flags,
        });
        [local, kept].into_iter().chain(servers).collect()
    }

    /// Of a configuration without other sources of flags: its own; with them: everything that decides, in order. Which
    /// flags ran first is not part of it, nor who registered an upstream.
    pub fn digest(&self) -> Digest {
        self.digest_with(Ends::Counted)
    }

    fn digest_with(&self, ends: Ends) -> Digest {
        let content = registered::digest(self.digest_of_flags(), self.registrations, ends);
        match self.fallbacks.digest {
            Some(fallbacks) => {
                let mut hash = Sha256::new();
                hash.update(content.0);
                hash.update(fallbacks.0);
                Digest(hash.finalize().into())
            }
            None => content,
        }
    }

    fn digest_of_flags(&self) -> Digest {
        if self.sources.is_empty() && self.kept.digest.is_none() {
            return self.config.digest;
        }
        let mut hash = Sha256::new();
        hash.update(self.config.digest.0);
        for part in &self.sources {
            hash.update((part.source.name.len() as u64).to_be_bytes());
            hash.update(part.source.name.as_bytes());
            match part.digest {
                Some(digest) => {
                    hash.update([1]);
                    hash.update(digest.0);
                }
                None => hash.update([0]),
            }
        }
        // Nothing is added where nothing is kept: gateways that decide equally have equal digests.
        if let Some(digest) = self.kept.digest {
            hash.update([2]);
            hash.update(digest.0);
        }
        Digest(hash.finalize().into())
    }

    fn services(
        &self,
        all: &[Arc<Flag>],
        warnings: &mut Vec<String>,
        clusters: &mut dyn ClusterProvider,
        meters: &mut dyn Meters,
    ) -> Services {
        let configs = &self.config.services;
        let claims = Claims::new(
            configs
                .iter()
                .map(|config| (&*config.name, &*config.canaries)),
        );
        let policy = &self.config.canary_urls;
        let registered = Registered::of(self.registrations, all, &claims, policy);
        let Ownership { owned, disputes } =
            Ownership::of(&claims, self.seniority, all, &registered);
        extend(warnings, &disputes);
        extend(warnings, &registered.problems);
        let unanswered = self.sources.iter().any(|part| part.source.set.is_none());
        let services = configs.iter().zip(owned).map(|(config, owned)| {
            let last_known = self.last_known.get(&config.name);
            let flags: Vec<_> = owned.iter().map(|(_, flag)| *flag).collect();
            let stable = StableUrl::find(config, &flags, last_known, warnings);
            let earlier = self
                .earlier
                .and_then(|snapshot| snapshot.services.named(&config.name))
                .map(Earlier::new);
            let mut assembly = Assembly::new(config, &stable, clusters, meters);
            let candidates = owned
                .into_iter()
                .filter(|(_, flag)| recorded::is_canary(flag) || registered.gives(flag))
                .map(|(rank, flag)| {
                    assembly.candidate(rank, flag, registered.get(flag), earlier.as_ref())
                })
                .collect();
            let mut service =
                assembly.finish(candidates, all, unanswered && self.could_be_served(config));
            service.note_seniority(self.seniority);
            service
        });
        services.collect()
    }

    /// Whether a flag server could have canary flags of a service that nobody has who comes before it.
    fn could_be_served(&self, service: &ServiceConfig) -> bool {
        let has = |flags: &[Arc<Flag>], name: &str| {
            let found = flags.binary_search_by(|flag| (*flag.name).cmp(name));
            found.is_ok()
        };
        let local = |name: &str| has(&self.config.flags, name) || has(&self.kept.flags, name);
        let mut globs = service.canaries.iter().map(|glob| glob.as_str());
        globs.any(|glob| glob.contains('*') || !local(glob))
    }
}

/// The content's hash with the order of running flags, wherever that is not what their names and priorities alone make
/// it: equal on gateways that decide equally.
fn ordered(content: Digest, services: &Services) -> Digest {
    let mut hash = Sha256::new();
    let mut is_own = false;
    let by_name = |one: &Candidate| (one.rank, Reverse(one.flag.priority), one.flag.name.clone());
    for service in services {
        let running = service.candidates.iter().filter(|one| one.runs());
        let running: Vec<&Candidate> = running.collect();
        if running.is_sorted_by_key(|one| by_name(one)) {
            continue;
        }
        is_own = true;
        let names = running.iter().map(|one| &*one.flag.name);
        for part in std::iter::once(&*service.name).chain(names) {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
    }
    if !is_own {
        return content;
    }
    hash.update(content.0);
    Digest(hash.finalize().into())
}

/// Adds warnings of one kind; beyond a number that anybody would read they are only counted.
fn extend(warnings: &mut Vec<String>, more: &[String]) {
    warnings.extend(more.iter().take(WARNINGS).cloned());
    if let Some(unsaid) = more
        .len()
        .checked_sub(WARNINGS)
        .filter(|&unsaid| unsaid > 0)
    {
        warnings.push(format!("… and {unsaid} more of this kind"));
    }
}

#[cfg(test)]
mod tests;
