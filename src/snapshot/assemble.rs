//! From a compiled configuration to a snapshot: deployments, candidates in order of precedence, and meters at hand.

mod ownership;

use std::sync::Arc;

use http::HeaderValue;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::{
    Candidate, Clusters, Deployment, DeploymentIndex, STABLE, Service, Shutoff, Snapshot, Target,
};
use crate::cluster::UpstreamUrl;
use crate::config::diagnostic::Diagnostic;
use crate::config::{Config, ServiceConfig};
use crate::engine::{CanaryUrl, Flag, Ring, Variants};
use crate::flag::Share;
use crate::meter::Meters;
use crate::route::router::Router;
use ownership::Ownership;

/// A variant of this name is the stable deployment, whatever URL it carries.
const STABLE_NAME: &str = "stable";

/// Assembles the snapshot of a configuration.
pub fn assemble(
    config: &Config,
    generation: u64,
    clusters: &mut dyn Clusters,
    meters: &mut dyn Meters,
) -> Snapshot {
    let flags: Vec<_> = config
        .flags
        .iter()
        .filter(|flag| records_an_upstream(flag))
        .collect();
    let Ownership { owned, ties } = Ownership::of(&config.services, &flags);
    let services = config
        .services
        .iter()
        .zip(owned)
        .map(|(service, owned)| {
            let mut assembly = Assembly::new(service, clusters, meters);
            let candidates = owned
                .into_iter()
                .map(|flag| assembly.candidate(flag))
                .collect();
            assembly.finish(candidates, &config.flags)
        })
        .collect();
    let warnings = config
        .warnings
        .iter()
        .map(Diagnostic::in_one_line)
        .chain(ties)
        .collect();
    Snapshot {
        generation,
        digest: config.digest,
        router: Router::new(&config.routes),
        routes: config.routes.clone(),
        services,
        flags: config.flags.clone(),
        identity: config.identity.clone(),
        logging: config.logging.clone(),
        traffic: config.traffic,
        unrouted: meters.deployment("-", "-"),
        warnings,
    }
}

/// Whether a flag is a canary flag: one of its variants, or the flag itself, says where its users go.
fn records_an_upstream(flag: &Flag) -> bool {
    flag.url.is_some() || recorded(flag).next().is_some()
}

/// The variants with a URL, by name and URL: the flag's own first, then those of its rings.
fn recorded(flag: &Flag) -> impl Iterator<Item = (&str, &CanaryUrl)> {
    let of_rings = flag.rings.iter().filter_map(|ring| ring.variants.as_ref());
    flag.variants
        .iter()
        .chain(of_rings)
        .flat_map(|variants| variants.list())
        .filter_map(|variant| Some((&*variant.name, variant.url.as_ref()?)))
}

/// One service under assembly.
struct Assembly<'a> {
    service: &'a ServiceConfig,
    clusters: &'a mut dyn Clusters,
    meters: &'a mut dyn Meters,
    deployments: Vec<Deployment>,
}

/// The canaries of one flag: what a variant's name and URL lead to.
type Canaries<'a> = Vec<(&'a str, &'a UpstreamUrl, DeploymentIndex)>;

impl<'a> Assembly<'a> {
    fn new(
        service: &'a ServiceConfig,
        clusters: &'a mut dyn Clusters,
        meters: &'a mut dyn Meters,
    ) -> Self {
        let mut assembly = Self {
            service,
            clusters,
            meters,
            deployments: Vec::new(),
        };
        assembly.deploy(STABLE_NAME, &service.stable);
        assembly
    }

    fn deploy(&mut self, name: &str, url: &UpstreamUrl) -> DeploymentIndex {
        let service = &*self.service.name;
        self.deployments.push(Deployment {
            name: name.into(),
            header: header(name),
            baggage: baggage(service, name),
            cluster: self.clusters.cluster(service, name, url),
            meter: self.meters.deployment(service, name),
        });
        self.deployments.len() - 1
    }

    fn candidate(&mut self, flag: &Arc<Flag>) -> Candidate {
        // Without variants the flag's URL is where its users go; with them it has none of its own.
        let own = flag.variants.as_ref();
        let url = flag.url.as_ref().filter(|_| own.is_none());
        let plain = url
            .and_then(CanaryUrl::allowed)
            .map_or(STABLE, |url| self.deploy(&flag.name, url));
        let canaries = self.canaries(flag, url.is_none());
        Candidate {
            flag: flag.clone(),
            withdrawn: None,
            plain: self.target(flag, "", plain),
            variants: own.map_or_else(Vec::new, |own| self.targets(flag, own, &canaries)),
            ring_variants: flag
                .rings
                .iter()
                .map(|ring| match &ring.variants {
                    Some(own) => self.targets(flag, own, &canaries),
                    None => Vec::new(),
                })
                .collect(),
        }
    }

    /// Makes a deployment of every distinct canary that the flag's variants name: called like the flag when that is
    /// not taken and there is but one, else `flag:variant`. Rings may give one variant several URLs; they are numbered.
    /// A refused URL makes no deployment, but the names of the others do not depend on what is refused.
    fn canaries<'f>(&mut self, flag: &'f Flag, name_is_free: bool) -> Canaries<'f> {
        let mut distinct: Vec<(&str, &CanaryUrl)> = Vec::new();
        for upstream in recorded(flag) {
            if upstream.0 != STABLE_NAME && !distinct.contains(&upstream) {
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
            let deployment = self.deploy(&name, url);
            canaries.push((variant, url, deployment));
        }
        canaries
    }

    fn targets(
        &mut self,
        flag: &Flag,
        variants: &Variants,
        canaries: &Canaries<'_>,
    ) -> Vec<Target> {
        let deployment = |name: &str, url: Option<&UpstreamUrl>| {
            canaries
                .iter()
                .find(|(variant, known, _)| *variant == name && url == Some(*known))
                .map_or(STABLE, |(_, _, deployment)| *deployment)
        };
        variants
            .list()
            .iter()
            .map(|variant| {
                let url = variant.url.as_ref().and_then(CanaryUrl::allowed);
                let deployment = deployment(&variant.name, url);
                self.target(flag, &variant.name, deployment)
            })
            .collect()
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
    fn finish(self, candidates: Vec<Candidate>, flags: &[Arc<Flag>]) -> Service {
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
            candidates,
            uses_session,
            shutoff,
            upstream: self.service.upstream.clone(),
            meter: self.meters.service(&self.service.name),
        }
    }
}

/// Whether a session's ID could make a difference to the flag as it stands.
fn may_hash_session(flag: &Flag) -> bool {
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
    flag.enabled && flag.rings.iter().any(ring)
}

/// What a header's value cannot carry as it is.
const HEADER: &AsciiSet = &CONTROLS.add(b'%');

/// What the value of a baggage member cannot carry as it is (W3C Baggage, section 3.3.1.1.3).
const BAGGAGE_VALUE: &AsciiSet = &HEADER.add(b' ').add(b'"').add(b',').add(b';').add(b'\\');

/// What its key cannot: anything but the characters of a token (RFC 9110, section 5.6.2).
const BAGGAGE_KEY: &AsciiSet = &BAGGAGE_VALUE
    .add(b'(')
    .add(b')')
    .add(b'/')
    .add(b':')
    .add(b'<')
    .add(b'=')
    .add(b'>')
    .add(b'?')
    .add(b'@')
    .add(b'[')
    .add(b']')
    .add(b'{')
    .add(b'}');

fn header(name: &str) -> HeaderValue {
    header_value(&utf8_percent_encode(name, HEADER).to_string())
}

fn baggage(service: &str, deployment: &str) -> HeaderValue {
    let key = utf8_percent_encode(service, BAGGAGE_KEY);
    let value = utf8_percent_encode(deployment, BAGGAGE_VALUE);
    header_value(&format!("serin.{key}={value}"))
}

/// What was percent-encoded is visible ASCII, so that the value given otherwise is never seen.
fn header_value(encoded: &str) -> HeaderValue {
    HeaderValue::from_str(encoded).unwrap_or_else(|_| HeaderValue::from_static("-"))
}

#[cfg(test)]
mod tests;
