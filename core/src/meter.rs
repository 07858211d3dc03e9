//! What is counted on the request path: plain atomics that snapshots point to and that outlive them.
//!
//! Counting a request looks nothing up, formats and allocates nothing. What shows figures reads them through [`view`].

pub mod exemplar;
pub mod load;
pub mod mirror;
pub mod view;

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::canary::{Cause, LaneResult, ReasonKind};
use exemplar::DeploymentExemplars;
use load::Load;
use mirror::MirrorMeter;

/// A count that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Adds so many.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// The count now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// Adds one.
    pub fn inc(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes one away.
    pub fn dec(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// The number now.
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The upper bounds of [`Histogram`]'s buckets, in seconds (OpenTelemetry's for HTTP, and two finer ones).
pub const BUCKETS: [f64; 16] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];

/// How long things took, in buckets.
#[derive(Debug, Default)]
pub struct Histogram {
    /// One for each of [`BUCKETS`] and one for what is above them; not cumulative.
    buckets: [AtomicU64; BUCKETS.len() + 1],
    sum_nanos: AtomicU64,
}

impl Histogram {
    /// Counts one observation.
    pub fn observe(&self, took: Duration) {
        if let Some(count) = self.buckets.get(Self::bucket_of(took)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.sum_nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// The index of the bucket that an observation falls into.
    fn bucket_of(took: Duration) -> usize {
        let seconds = took.as_secs_f64();
        BUCKETS.partition_point(|bound| *bound < seconds)
    }

    /// The buckets' counts (not cumulative; the last is for what is above every bound).
    pub fn counts(&self) -> [u64; BUCKETS.len() + 1] {
        std::array::from_fn(|index| {
            self.buckets
                .get(index)
                .map_or(0, |count| count.load(Ordering::Relaxed))
        })
    }

    /// The sum of all observations, in seconds.
    pub fn sum_seconds(&self) -> f64 {
        Duration::from_nanos(self.sum_nanos.load(Ordering::Relaxed)).as_secs_f64()
    }
}

/// Counts by HTTP status code. A class of codes takes memory from its first response on: with ten thousand
/// services most classes never see one.
#[derive(Debug, Default)]
pub struct CodeCounters {
    /// Classes 1xx to 5xx.
    classes: [OnceLock<Box<[AtomicU64; 100]>>; 5],
}

impl CodeCounters {
    /// The code that a response is counted with. 0 (the client went away before a response) is counted as 499, like
    /// anything that is no status code.
    fn code_of(status: u16) -> u16 {
        if (100..600).contains(&status) {
            status
        } else {
            499
        }
    }

    /// Counts one response.
    pub fn inc(&self, status: u16) {
        let status = Self::code_of(status);
        let (class, code) = (usize::from(status / 100 - 1), usize::from(status % 100));
        if let Some(class) = self.classes.get(class) {
            let counts = class.get_or_init(|| Box::new(std::array::from_fn(|_| AtomicU64::new(0))));
            if let Some(count) = counts.get(code) {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// The codes that were counted, with their counts.
    pub fn counts(&self) -> impl Iterator<Item = (u16, u64)> {
        let of_class = |(class, counts): (u16, &OnceLock<Box<[AtomicU64; 100]>>)| {
            let counts = counts.get().map(|counts| counts.iter());
            (class * 100..).zip(
                counts
                    .into_iter()
                    .flatten()
                    .map(|count| count.load(Ordering::Relaxed))
                    .collect::<Vec<_>>(),
            )
        };
        (1..)
            .zip(&self.classes)
            .flat_map(of_class)
            .filter(|(_, count)| *count > 0)
    }
}

/// What takes memory from its first use on: with ten thousand services most figures of failures never are.
#[derive(Debug)]
pub struct Rare<T>(OnceLock<Box<T>>);

impl<T: Default> Rare<T> {
    /// The figure, to be counted in.
    pub fn used(&self) -> &T {
        self.0.get_or_init(Box::default)
    }

    /// The figure, if anything was ever counted in it.
    pub fn get(&self) -> Option<&T> {
        self.0.get().map(|figure| &**figure)
    }
}

impl<T> Default for Rare<T> {
    fn default() -> Self {
        Self(OnceLock::new())
    }
}

/// How long requests took that some deployment answered.
#[derive(Debug, Default)]
pub struct Durations {
    /// From the head's arrival to the response's last byte.
    pub total: Histogram,
    /// Upstream only: from the answering attempt's start to the response's head.
    pub upstream: Histogram,
}

impl Durations {
    /// Counts one request.
    pub fn observe(&self, total: Duration, upstream: Option<Duration>) {
        self.total.observe(total);
        if let Some(upstream) = upstream {
            self.upstream.observe(upstream);
        }
    }
}

/// How an attempt at a deployment came out, whatever came after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// With an answer whose status is below 500.
    Answered,
    /// With another answer, or one that `rescue.on` or `retries.on` names.
    Status,
    /// No connection could be made.
    Connect,
    /// The connection, or the stream, broke before an answer began.
    Reset,
    /// No answer began in time.
    Timeout,
    /// The client went away, or its request was refused, before an answer began.
    Abandoned,
}

impl AttemptOutcome {
    /// Every outcome, in the order of their indices.
    pub const ALL: [Self; 6] = [
        Self::Answered,
        Self::Status,
        Self::Connect,
        Self::Reset,
        Self::Timeout,
        Self::Abandoned,
    ];

    /// Of an answer that is passed on.
    pub fn of_status(status: u16) -> Self {
        if status < 500 {
            Self::Answered
        } else {
            Self::Status
        }
    }

    /// Of a failed attempt; what is no way for an attempt to fail counts as abandoned.
    pub fn of_failure(cause: Cause) -> Self {
        match cause {
            Cause::Status => Self::Status,
            Cause::Connect => Self::Connect,
            Cause::Reset => Self::Reset,
            Cause::Timeout => Self::Timeout,
            _ => Self::Abandoned,
        }
    }

    /// The name that metrics carry.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Status => "status",
            Self::Connect => "connect",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::Abandoned => "abandoned",
        }
    }
}

/// How long attempts took, by how they came out: to the response's head, or to the failure.
#[derive(Debug, Default)]
pub struct AttemptMeter([Rare<Histogram>; AttemptOutcome::ALL.len()]);

impl AttemptMeter {
    /// Counts one attempt.
    pub fn observe(&self, outcome: AttemptOutcome, took: Duration) {
        if let Some(histogram) = self.0.get(outcome as usize) {
            histogram.used().observe(took);
        }
    }

    /// The outcomes that occurred.
    pub fn outcomes(&self) -> impl Iterator<Item = (AttemptOutcome, &Histogram)> {
        let all = AttemptOutcome::ALL.into_iter().zip(&self.0);
        all.filter_map(|(outcome, histogram)| Some((outcome, histogram.get()?)))
    }
}

/// The figures of one deployment of one service.
#[derive(Debug, Default)]
pub struct DeploymentMeter {
    /// Requests assigned to it and served by it.
    pub served: CodeCounters,
    /// Requests assigned to it and served by stable in its place.
    pub served_by_stable: CodeCounters,
    /// Requests assigned to it that no deployment answered.
    pub unserved: CodeCounters,
    /// Requests assigned to it and served by it.
    pub durations: Durations,
    /// Requests assigned to it and served by stable in its place, waits for it included.
    pub durations_by_stable: Rare<Durations>,
    /// Attempts at it, whoever served in the end.
    pub attempts: AttemptMeter,
    /// Requests that stable served in its place, by [`Cause::index`].
    pub rescues: [Counter; Cause::ALL.len()],
    /// Answers of it that had begun and broke.
    pub broken: Counter,
    /// Requests that were ended at it, since their users left it.
    pub streams_closed: Counter,
    /// Requests assigned to it that are recorded as traces.
    pub exemplars: Rare<DeploymentExemplars>,
}

/// Decisions for one variant of one flag (or for none), by [`ReasonKind::index`].
pub type DecisionMeter = [Counter; ReasonKind::ALL.len()];

/// The figures of one service that belong to no deployment.
#[derive(Debug, Default)]
pub struct ServiceMeter {
    /// Decisions that no flag took.
    pub decisions: DecisionMeter,
    /// Further attempts on the same deployment, by [`Cause::index`].
    pub retries: [Counter; Cause::ALL.len()],
    /// Retries that the budget did not allow.
    pub retries_refused: Counter,
    /// Requests whose baggage named a deployment, by [`LaneResult::index`].
    pub lanes: Rare<[Counter; LaneResult::ALL.len()]>,
    /// What came of copies of its requests.
    pub mirror: Rare<MirrorMeter>,
    /// How much it has to do now.
    pub load: Load,
}

impl ServiceMeter {
    /// Counts a request whose baggage named a deployment.
    pub fn count_lane(&self, result: LaneResult) {
        if let Some(counter) = self.lanes.used().get(result.index()) {
            counter.inc();
        }
    }
}

/// The figures of one route.
#[derive(Debug, Default)]
pub struct RouteMeter {
    /// Requests that its rate limit refused.
    pub rate_limited: Counter,
}

/// Where meters come from when a snapshot is assembled: the same names get the same meter, whatever the snapshot.
pub trait Meters {
    /// A service's own.
    fn service(&mut self, service: &str) -> Arc<ServiceMeter>;
    /// One deployment's. Service and deployment `-` stand for requests that no route took.
    fn deployment(&mut self, service: &str, deployment: &str) -> Arc<DeploymentMeter>;
    /// One variant's of one flag; `variant` is empty when the flag has none.
    fn decision(&mut self, service: &str, flag: &str, variant: &str) -> Arc<DecisionMeter>;
    /// One route's, by its name in logs.
    fn route(&mut self, route: &str) -> Arc<RouteMeter>;
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{BUCKETS, CodeCounters, Histogram};

    #[test]
    fn an_observation_falls_into_the_first_bucket_that_holds_it() {
        let histogram = Histogram::default();
        for millis in [0, 1, 2, 5, 10_000, 10_001] {
            histogram.observe(Duration::from_millis(millis));
        }
        let counts = histogram.counts();
        assert_eq!(counts[..3], [2, 1, 1]);
        assert_eq!(counts[BUCKETS.len() - 1..], [1, 1]);
        assert!((histogram.sum_seconds() - 20.009).abs() < 1e-9);
    }

    #[test]
    fn codes_out_of_range_are_a_client_gone() {
        let codes = CodeCounters::default();
        for status in [200, 200, 599, 0, 600, 99] {
            codes.inc(status);
        }
        assert_eq!(
            codes.counts().collect::<Vec<_>>(),
            [(200, 2), (499, 3), (599, 1)]
        );
    }
}
