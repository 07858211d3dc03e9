//! What is reported to a server of its flags' use, counted from the decisions that were really made.
//!
//! Nothing is counted twice on the request path: the meters that snapshots point to are read, and what they have grown by
//! since the last reading is what happened. A flag said yes to whomever it decided about; it was asked and said no for
//! everybody who was decided by a flag behind it, or by none.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};

use crate::canary::ReasonKind;
use crate::context::Moment;
use crate::engine::Flag;
use crate::meter::view::durations;
use crate::meter::{BUCKETS, Counter, DecisionMeter, DeploymentMeter, Histogram, ServiceMeter};
use crate::snapshot::{Candidate, Service, Snapshot};

/// So many flags and deployments are remembered at most while the server cannot be reached.
const MOST: usize = 20_000;
/// How many buckets a histogram has, the one above all bounds among them.
const HEIGHTS: usize = BUCKETS.len() + 1;

/// What has happened since the last report (Unleash calls it a bucket).
#[derive(Clone, Debug, PartialEq)]
pub(super) struct MetricsBucket {
    /// Since when.
    pub(super) start: Moment,
    /// By flag.
    pub(super) flags: BTreeMap<Arc<str>, Uses>,
    /// By service and deployment.
    pub(super) deployments: BTreeMap<(Arc<str>, Arc<str>), Impact>,
}

/// How often a flag was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Uses {
    /// It was on.
    pub(super) yes: u64,
    /// It was not.
    pub(super) no: u64,
    /// What a user got who was on, by variant; empty for a flag that has none.
    pub(super) variants: BTreeMap<Arc<str>, u64>,
    /// Whether it has variants.
    pub(super) has_variants: bool,
    /// Answers to those who asked for no variant.
    pub(super) plain: u64,
}

impl Uses {
    /// Adds more of them.
    pub(super) fn add(&mut self, more: Self) {
        self.yes = self.yes.saturating_add(more.yes);
        self.no = self.no.saturating_add(more.no);
        self.plain = self.plain.saturating_add(more.plain);
        self.has_variants |= more.has_variants;
        for (variant, count) in more.variants {
            let sum = self.variants.entry(variant).or_default();
            *sum = sum.saturating_add(count);
        }
    }
}

/// What became of the requests that were meant for a deployment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Impact {
    /// All of them.
    pub(super) requests: u64,
    /// Those that ended for the user with a 5xx.
    pub(super) errors: u64,
    /// Those that stable had to serve in its place.
    pub(super) rescues: u64,
    /// How long those took that it served: by [`BUCKETS`], not cumulative.
    pub(super) durations: [u64; HEIGHTS],
    /// Their sum in seconds.
    pub(super) seconds: f64,
}

impl MetricsBucket {
    /// An empty one.
    pub(super) fn new(start: Moment) -> Self {
        Self {
            start,
            flags: BTreeMap::new(),
            deployments: BTreeMap::new(),
        }
    }

    /// Adds what could not be reported before, as far as there is room.
    pub(super) fn put_back(&mut self, earlier: Self) {
        self.start = self.start.min(earlier.start);
        for (name, uses) in earlier.flags {
            self.add_uses(&name, uses);
        }
        for ((service, deployment), impact) in earlier.deployments {
            self.add_impact(&service, &deployment, &impact);
        }
    }

    /// Adds uses of a flag, as far as there is room.
    pub(super) fn add_uses(&mut self, name: &Arc<str>, more: Uses) {
        if self.flags.len() >= MOST && !self.flags.contains_key(name) {
            return;
        }
        self.flags.entry(name.clone()).or_default().add(more);
    }

    fn add_impact(&mut self, service: &Arc<str>, deployment: &Arc<str>, more: &Impact) {
        let key = (service.clone(), deployment.clone());
        if self.deployments.len() >= MOST && !self.deployments.contains_key(&key) {
            return;
        }
        let impact = self.deployments.entry(key).or_default();
        impact.requests += more.requests;
        impact.errors += more.errors;
        impact.rescues += more.rescues;
        impact.seconds += more.seconds;
        for (sum, more) in impact.durations.iter_mut().zip(more.durations) {
            *sum += more;
        }
    }
}

/// Reads the meters of the running snapshot.
#[derive(Debug)]
pub(super) struct MeterReader {
    source: Arc<str>,
    services: Readings<ServiceMeter, u64>,
    decisions: Readings<DecisionMeter, u64>,
    deployments: Readings<DeploymentMeter, Impact>,
}

impl MeterReader {
    /// Counts from now on: what was counted before has been reported by an earlier reporter.
    pub(super) fn new(source: Arc<str>, snapshot: &Snapshot) -> Self {
        let mut reader = Self {
            source,
            services: Readings::default(),
            decisions: Readings::default(),
            deployments: Readings::default(),
        };
        reader.read(snapshot, &mut MetricsBucket::new(Moment { unix_ms: 0 }));
        reader
    }

    /// Adds what has happened on this snapshot since the last reading.
    pub(super) fn read(&mut self, snapshot: &Snapshot, bucket: &mut MetricsBucket) {
        for service in &snapshot.services {
            let mut flags = service.candidates.iter().map(|candidate| &candidate.flag);
            if flags.any(|flag| self.is_ours(flag)) {
                self.read_decisions(service, bucket);
                self.read_deployments(service, bucket);
            }
        }
        self.services.forget_the_gone();
        self.decisions.forget_the_gone();
        self.deployments.forget_the_gone();
    }

    fn is_ours(&self, flag: &Flag) -> bool {
        flag.origin.unleash_server() == Some(&self.source)
    }

    fn read_decisions(&mut self, service: &Service, bucket: &mut MetricsBucket) {
        let by_none = |meter: &ServiceMeter| asked(&meter.decisions);
        let mut past = self.services.growth(&service.meter, by_none);
        for candidate in service.candidates.iter().rev() {
            let mut uses = self.uses(candidate);
            uses.no = past;
            past += uses.yes;
            if self.is_ours(&candidate.flag) && uses.yes + uses.no > 0 {
                bucket.add_uses(&candidate.flag.name, uses);
            }
        }
    }

    /// How often the flag said yes.
    fn uses(&mut self, candidate: &Candidate) -> Uses {
        let mut uses = Uses {
            yes: self.decisions.growth(&candidate.default_arm.meter, asked),
            ..Uses::default()
        };
        let variants = candidate.flag.every_variant();
        for (variant, target) in variants.zip(candidate.variants.iter()) {
            uses.has_variants = true;
            let count = self.decisions.growth(&target.meter, asked);
            if count > 0 {
                uses.yes += count;
                *uses.variants.entry(variant.name.clone()).or_default() += count;
            }
        }
        uses
    }

    fn read_deployments(&mut self, service: &Service, bucket: &mut MetricsBucket) {
        for deployment in &service.deployments {
            let impact = self.deployments.growth(&deployment.meter, Impact::of);
            if impact != Impact::default() {
                bucket.add_impact(&service.name, &deployment.name, &impact);
            }
        }
    }
}

/// How many decisions a flag was really asked for: a forced one asks none, and of one that is followed the gateway before
/// this one tells.
fn asked(meter: &DecisionMeter) -> u64 {
    let unasked = [ReasonKind::Override, ReasonKind::Lane].map(ReasonKind::index);
    let counted = meter
        .iter()
        .enumerate()
        .filter(|(index, _)| !unasked.contains(index));
    counted.map(|(_, count)| count.get()).sum()
}

impl Impact {
    fn of(meter: &DeploymentMeter) -> Self {
        let [by_itself, by_stable, by_nobody] =
            [&meter.served, &meter.served_by_stable, &meter.unserved];
        let counts = || {
            by_itself
                .counts()
                .chain(by_stable.counts())
                .chain(by_nobody.counts())
        };
        // By what was meant for them: a canary that keeps its users waiting until stable serves is no fast one.
        let histograms = || durations(meter).map(|(_, durations)| &durations.total);
        Self {
            requests: counts().map(|(_, count)| count).sum(),
            errors: counts()
                .filter(|(code, _)| *code >= 500)
                .map(|(_, count)| count)
                .sum(),
            rescues: meter.rescues.iter().map(Counter::get).sum(),
            durations: std::array::from_fn(|bucket| {
                histograms()
                    .filter_map(|histogram| histogram.counts().get(bucket).copied())
                    .sum()
            }),
            seconds: histograms().map(Histogram::sum_seconds).sum(),
        }
    }
}

/// A figure that only grows.
trait Growing: Clone + Default {
    /// What it has grown by.
    fn since(&self, before: &Self) -> Self;
}

impl Growing for u64 {
    fn since(&self, before: &Self) -> Self {
        self.saturating_sub(*before)
    }
}

impl Growing for Impact {
    fn since(&self, before: &Self) -> Self {
        let mut durations = self.durations;
        for (now, before) in durations.iter_mut().zip(before.durations) {
            *now = now.saturating_sub(before);
        }
        Self {
            requests: self.requests.saturating_sub(before.requests),
            errors: self.errors.saturating_sub(before.errors),
            rescues: self.rescues.saturating_sub(before.rescues),
            durations,
            seconds: (self.seconds - before.seconds).max(0.0),
        }
    }
}

/// What meters said when they were last read. A meter is known by its address, which a weak reference keeps from being
/// another's; it keeps no meter alive.
#[derive(Debug)]
struct Readings<M, V>(HashMap<usize, (Weak<M>, V)>);

impl<M, V: Growing> Readings<M, V> {
    fn growth(&mut self, meter: &Arc<M>, figure: impl FnOnce(&M) -> V) -> V {
        let now = figure(meter);
        let address = Arc::as_ptr(meter).addr();
        let (_, before) = self
            .0
            .entry(address)
            .or_insert_with(|| (Arc::downgrade(meter), V::default()));
        let grown = now.since(before);
        *before = now;
        grown
    }

    fn forget_the_gone(&mut self) {
        self.0.retain(|_, (meter, _)| meter.strong_count() > 0);
    }
}

impl<M, V> Default for Readings<M, V> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

#[cfg(test)]
mod tests;
