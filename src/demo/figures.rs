//! What the gateway's own meters say, read now and then.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::canary::Cause;
use crate::meter::view::{AssignedRequests, ServedRequests, durations, quantile_seconds};
use crate::meter::{BUCKETS, DeploymentMeter};
use crate::snapshot::store::SnapshotStore;
use crate::snapshot::{STABLE, Snapshot};

/// How far back a [`Window`] looks.
pub(super) const RECENT: Duration = Duration::from_secs(5);

/// Every deployment that has been there since the demo began: totals stay when a deployment goes.
#[derive(Debug)]
pub(super) struct Ledger {
    store: Arc<SnapshotStore>,
    known: Vec<Known>,
}

#[derive(Debug)]
struct Known {
    service: Arc<str>,
    deployment: Arc<str>,
    is_stable: bool,
    meter: Arc<DeploymentMeter>,
}

/// One deployment's figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) service: Arc<str>,
    pub(super) deployment: Arc<str>,
    pub(super) assigned: u64,
    pub(super) served: u64,
}

/// All figures at one moment, or what was added between two.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    at: Instant,
    /// How long it covers; zero for a moment.
    span: Duration,
    pub(super) rows: Vec<Row>,
    rescues: [u64; Cause::ALL.len()],
    times: [u64; BUCKETS.len() + 1],
    /// All requests' time together, and how much of it they waited for upstreams, in seconds.
    seconds: (f64, f64),
}

impl Ledger {
    pub(super) fn new(store: Arc<SnapshotStore>) -> Self {
        Self {
            store,
            known: Vec::new(),
        }
    }

    /// The generation in force.
    pub(super) fn generation(&self) -> u64 {
        self.store.peek().generation
    }

    /// The deployments that the kill switch keeps from all users.
    pub(super) fn killed(&self) -> Vec<Arc<str>> {
        let snapshot = self.store.load();
        let deployments = snapshot.services.iter().flat_map(|service| {
            let canaries = service.deployments.canaries().iter();
            canaries.filter(|canary| canary.withdrawal().is_some())
        });
        deployments
            .map(|deployment| deployment.name.clone())
            .collect()
    }

    /// The figures now.
    pub(super) fn read(&mut self, now: Instant) -> Reading {
        let snapshot = self.store.load();
        self.meet(&snapshot);
        let mut reading = Reading {
            at: now,
            span: Duration::ZERO,
            rows: Vec::new(),
            rescues: [0; Cause::ALL.len()],
            times: [0; BUCKETS.len() + 1],
            seconds: (0.0, 0.0),
        };
        for known in &self.known {
            let meter = &known.meter;
            let served = if known.is_stable {
                ServedRequests::of_stable(meter, self.canaries(&known.service))
            } else {
                ServedRequests::of_canary(meter)
            };
            reading.rows.push(Row {
                service: known.service.clone(),
                deployment: known.deployment.clone(),
                assigned: AssignedRequests::of(meter).total(),
                served: served.requests,
            });
            for (_, durations) in durations(meter) {
                add(&mut reading.times, &durations.total.counts());
                reading.seconds.0 += durations.total.sum_seconds();
                reading.seconds.1 += durations.upstream.sum_seconds();
            }
            let causes = std::array::from_fn(|index| {
                let counter = meter.rescues.get(index);
                counter.map_or(0, |counter| counter.get())
            });
            add(&mut reading.rescues, &causes);
        }
        reading
    }

    fn meet(&mut self, snapshot: &Snapshot) {
        for service in &snapshot.services {
            for (index, deployment) in service.deployments.entries() {
                let same = |known: &Known| Arc::ptr_eq(&known.meter, &deployment.meter);
                if !self.known.iter().any(same) {
                    self.known.push(Known {
                        service: service.name.clone(),
                        deployment: deployment.name.clone(),
                        is_stable: index == STABLE,
                        meter: deployment.meter.clone(),
                    });
                }
            }
        }
    }

    /// The meters of a service's canaries, those that have gone included.
    fn canaries(&self, service: &str) -> impl Iterator<Item = &DeploymentMeter> {
        let of_service = self
            .known
            .iter()
            .filter(move |known| *known.service == *service);
        let canaries = of_service.filter(|known| !known.is_stable);
        canaries.map(|known| &*known.meter)
    }
}

impl Reading {
    /// What was added since an earlier reading of the same ledger.
    pub(super) fn since(&self, earlier: &Self) -> Self {
        let mut difference = self.clone();
        difference.span = self.at.saturating_duration_since(earlier.at);
        // Rows are only ever added at the end.
        for (row, before) in difference.rows.iter_mut().zip(&earlier.rows) {
            row.assigned = row.assigned.saturating_sub(before.assigned);
            row.served = row.served.saturating_sub(before.served);
        }
        subtract(&mut difference.rescues, &earlier.rescues);
        subtract(&mut difference.times, &earlier.times);
        difference.seconds.0 -= earlier.seconds.0;
        difference.seconds.1 -= earlier.seconds.1;
        difference
    }

    /// Requests for services.
    pub(super) fn assigned(&self) -> u64 {
        self.rows.iter().map(|row| row.assigned).sum()
    }

    /// Requests that a deployment answered.
    pub(super) fn served(&self) -> u64 {
        self.rows.iter().map(|row| row.served).sum()
    }

    /// Requests a second, over the time that it covers.
    pub(super) fn rate(&self) -> f64 {
        let seconds = self.span.as_secs_f64();
        if seconds > 0.0 {
            self.assigned() as f64 / seconds
        } else {
            0.0
        }
    }

    /// The causes for which stable served in a canary's place, and how often each did.
    pub(super) fn rescues(&self) -> impl Iterator<Item = (Cause, u64)> {
        let counts = Cause::ALL.into_iter().zip(self.rescues);
        counts.filter(|(_, count)| *count > 0)
    }

    /// How often stable served in a canary's place.
    pub(super) fn rescued(&self) -> u64 {
        self.rescues.iter().sum()
    }

    /// How much of a request's time was the gateway's own, on average; `None` without requests.
    pub(super) fn own_time(&self) -> Option<Duration> {
        let requests: u64 = self.times.iter().sum();
        let (total, upstream) = self.seconds;
        let own = Duration::try_from_secs_f64((total - upstream).max(0.0)).ok()?;
        own.checked_div(u32::try_from(requests).ok()?)
    }

    /// How long this part of the requests took at most: as good a guess as the histogram's buckets allow, and
    /// `None` without requests.
    pub(super) fn quantile(&self, part: f64) -> Option<Duration> {
        quantile_seconds(&self.times, part).map(Duration::from_secs_f64)
    }
}

/// The readings of the last seconds.
#[derive(Debug, Default)]
pub(super) struct Window(VecDeque<Reading>);

impl Window {
    /// Adds the latest and forgets what is too old.
    pub(super) fn push(&mut self, reading: Reading) {
        let horizon = reading.at;
        self.0.push_back(reading);
        // The oldest is kept for as long as the next one is younger than what is looked back to.
        while let Some(second) = self.0.get(1)
            && horizon.saturating_duration_since(second.at) >= RECENT
        {
            self.0.pop_front();
        }
    }

    /// What was added within `span` before the latest reading, as exactly as there are readings.
    pub(super) fn within(&self, span: Duration) -> Option<Reading> {
        let latest = self.0.back()?;
        let in_time = |reading: &&Reading| latest.at.saturating_duration_since(reading.at) <= span;
        Some(latest.since(self.0.iter().find(in_time)?))
    }

    /// The latest reading.
    pub(super) fn latest(&self) -> Option<&Reading> {
        self.0.back()
    }
}

fn add<const N: usize>(to: &mut [u64; N], more: &[u64; N]) {
    for (to, more) in to.iter_mut().zip(more) {
        *to += more;
    }
}

fn subtract<const N: usize>(from: &mut [u64; N], less: &[u64; N]) {
    for (from, less) in from.iter_mut().zip(less) {
        *from = from.saturating_sub(*less);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::{Duration, Instant};

    use super::{BUCKETS, Cause, Reading, Row, Window};

    /// A reading with these deployments: name, assigned, served.
    pub(in crate::demo) fn reading(
        at: Instant,
        span: Duration,
        rows: &[(&str, u64, u64)],
        rescued: u64,
    ) -> Reading {
        let row = |&(deployment, assigned, served): &(&str, u64, u64)| Row {
            service: "search".into(),
            deployment: deployment.into(),
            assigned,
            served,
        };
        let mut rescues = [0; Cause::ALL.len()];
        rescues[Cause::Connect.index()] = rescued;
        let mut times = [0; BUCKETS.len() + 1];
        times[4] = 10;
        Reading {
            at,
            span,
            rows: rows.iter().map(row).collect(),
            rescues,
            times,
            seconds: (0.204, 0.2),
        }
    }

    #[test]
    fn the_gateways_own_time_is_what_upstreams_did_not_take() {
        let mut figures = reading(Instant::now(), Duration::ZERO, &[], 0);
        let own = figures.own_time().unwrap();
        assert!(own.abs_diff(Duration::from_micros(400)) < Duration::from_micros(1));
        figures.times = [0; BUCKETS.len() + 1];
        assert_eq!(figures.own_time(), None);
    }

    #[test]
    fn a_window_counts_what_was_added() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut window = Window::default();
        assert!(window.within(Duration::from_secs(1)).is_none());
        for second in 0..20 {
            let rows = [("stable", second * 10, second * 12)];
            window.push(reading(at(second), Duration::ZERO, &rows, second));
        }
        let recent = window.within(super::RECENT).unwrap();
        assert_eq!((recent.assigned(), recent.served()), (50, 60));
        assert_eq!(recent.rescues().collect::<Vec<_>>(), [(Cause::Connect, 5)]);
        assert!((recent.rate() - 10.0).abs() < 1e-9);
        let last = window.within(Duration::from_secs(1)).unwrap();
        assert_eq!((last.assigned(), last.rescued()), (10, 1));
        assert_eq!(window.0.len(), 6, "what is too old is forgotten");
    }
}
