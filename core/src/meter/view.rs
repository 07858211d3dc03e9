//! What meters say: who served the requests of a deployment, what a deployment served, shares, means and quantiles.
//!
//! Everything that shows figures of deployments reads them here, so that `/metrics`, the API and `serin demo` cannot
//! disagree.

use super::{BUCKETS, DeploymentMeter, Durations, Histogram};

/// The first status code that counts as an error.
const ERRORS: u16 = 500;

/// Who served a request, seen from the deployment that it was assigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServedBy {
    /// The deployment itself.
    Itself,
    /// Stable, in place of a canary.
    Stable,
    /// No deployment: the gateway answered with an error, or the client went away.
    None,
}

/// What became of the requests that a deployment was assigned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AssignedRequests {
    /// Served by the deployment itself.
    pub by_itself: u64,
    /// Served by stable in its place.
    pub by_stable: u64,
    /// Served by no deployment.
    pub unanswered: u64,
}

/// What a deployment served: its own requests and, if it is stable, those that it served in place of canaries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServedRequests {
    /// All of them.
    pub requests: u64,
    /// Those with a status of 500 or more.
    pub errors: u64,
}

/// The requests that a deployment was assigned, by who served them and with which status code.
pub fn requests(meter: &DeploymentMeter) -> impl Iterator<Item = (ServedBy, u16, u64)> {
    [
        (ServedBy::Itself, &meter.served),
        (ServedBy::Stable, &meter.served_by_stable),
        (ServedBy::None, &meter.unserved),
    ]
    .into_iter()
    .flat_map(|(served, codes)| {
        codes
            .counts()
            .map(move |(code, count)| (served, code, count))
    })
}

/// How long the requests took that a deployment was assigned and that some deployment served, by who did.
pub fn durations(meter: &DeploymentMeter) -> impl Iterator<Item = (ServedBy, &Durations)> {
    let by_stable = meter.durations_by_stable.get();
    let by_stable = by_stable.map(|durations| (ServedBy::Stable, durations));
    std::iter::once((ServedBy::Itself, &meter.durations)).chain(by_stable)
}

impl AssignedRequests {
    /// The requests of one deployment.
    pub fn of(meter: &DeploymentMeter) -> Self {
        let mut assigned = Self::default();
        for (served, _, count) in requests(meter) {
            match served {
                ServedBy::Itself => assigned.by_itself += count,
                ServedBy::Stable => assigned.by_stable += count,
                ServedBy::None => assigned.unanswered += count,
            }
        }
        assigned
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.answered() + self.unanswered
    }

    /// Those that a deployment served, whichever.
    pub fn answered(&self) -> u64 {
        self.by_itself + self.by_stable
    }
}

impl ServedRequests {
    /// What stable served, given the canaries of its service.
    pub fn of_stable<'m>(
        stable: &DeploymentMeter,
        canaries: impl IntoIterator<Item = &'m DeploymentMeter>,
    ) -> Self {
        let own = Self::by(ServedBy::Itself, stable);
        let of_canaries = canaries.into_iter();
        of_canaries
            .map(|canary| Self::by(ServedBy::Stable, canary))
            .fold(own, Self::plus)
    }

    /// What a canary served.
    pub fn of_canary(meter: &DeploymentMeter) -> Self {
        Self::by(ServedBy::Itself, meter)
    }

    fn by(wanted: ServedBy, meter: &DeploymentMeter) -> Self {
        let mut sum = Self::default();
        for (_, code, count) in requests(meter).filter(|(served, ..)| *served == wanted) {
            sum.requests += count;
            sum.errors += if code >= ERRORS { count } else { 0 };
        }
        sum
    }

    fn plus(self, other: Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            errors: self.errors + other.errors,
        }
    }
}

/// The part of `all` that `part` is, from 0 to 1; `None` where there is nothing to have a part of.
pub fn share(part: u64, all: u64) -> Option<f64> {
    (all > 0).then(|| part as f64 / all as f64)
}

/// How long an observation took on average, in seconds; `None` without observations.
pub fn mean_seconds(histogram: &Histogram) -> Option<f64> {
    let count: u64 = histogram.counts().iter().sum();
    (count > 0).then(|| histogram.sum_seconds() / count as f64)
}

/// How long, in seconds, this part of the observations took at most: linear within a bucket, so as good a guess as
/// [`BUCKETS`] allow. `None` without observations.
pub fn quantile_seconds(counts: &[u64; BUCKETS.len() + 1], part: f64) -> Option<f64> {
    let total: u64 = counts.iter().sum();
    if total == 0 {
        return None;
    }
    let wanted = part * total as f64;
    let (mut below, mut lower) = (0.0, 0.0);
    for (count, upper) in counts.iter().zip(BUCKETS) {
        let count = *count as f64;
        if count > 0.0 && below + count >= wanted {
            let within = (wanted - below) / count;
            return Some(lower + (upper - lower) * within);
        }
        (below, lower) = (below + count, upper);
    }
    Some(lower)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{
        AssignedRequests, BUCKETS, ServedBy, ServedRequests, durations, mean_seconds,
        quantile_seconds, requests, share,
    };
    use crate::meter::DeploymentMeter;

    /// Assigned 7: served 3 (one of them with 500), by stable 2 (one with 502), unanswered 2.
    fn canary() -> DeploymentMeter {
        let meter = DeploymentMeter::default();
        for status in [200, 204, 500] {
            meter.served.inc(status);
        }
        for status in [200, 502] {
            meter.served_by_stable.inc(status);
        }
        for status in [504, 499] {
            meter.unserved.inc(status);
        }
        meter
    }

    #[test]
    fn every_assigned_request_is_counted_once_by_who_served_it() {
        let assigned = AssignedRequests::of(&canary());
        let expected = AssignedRequests {
            by_itself: 3,
            by_stable: 2,
            unanswered: 2,
        };
        assert_eq!(assigned, expected);
        assert_eq!((assigned.total(), assigned.answered()), (7, 5));
        let all = canary();
        let of_stable = requests(&all).filter(|(served, ..)| *served == ServedBy::Stable);
        let codes: Vec<(u16, u64)> = of_stable.map(|(_, code, count)| (code, count)).collect();
        assert_eq!(codes, [(200, 1), (502, 1)]);
    }

    #[test]
    fn what_stable_served_in_place_of_canaries_is_stables() {
        let stable = DeploymentMeter::default();
        stable.served.inc(200);
        stable.served.inc(503);
        let canaries = [canary(), canary()];
        let of_stable = ServedRequests::of_stable(&stable, &canaries);
        assert_eq!((of_stable.requests, of_stable.errors), (6, 3));
        let own = ServedRequests::of_canary(&canaries[0]);
        assert_eq!((own.requests, own.errors), (3, 1));
        // Served by one or the other, and nothing twice.
        let answered: u64 = [&stable, &canaries[0], &canaries[1]]
            .map(|meter| AssignedRequests::of(meter).answered())
            .iter()
            .sum();
        assert_eq!(of_stable.requests + 2 * own.requests, answered);
    }

    #[test]
    fn durations_are_of_the_deployment_and_of_stable_once_it_stood_in() {
        let meter = DeploymentMeter::default();
        assert_eq!(durations(&meter).count(), 1);
        meter
            .durations_by_stable
            .used()
            .observe(Duration::from_secs(1), None);
        let served: Vec<ServedBy> = durations(&meter).map(|(served, _)| served).collect();
        assert_eq!(served, [ServedBy::Itself, ServedBy::Stable]);
    }

    #[test]
    fn nothing_has_no_share_no_mean_and_no_quantile() {
        let meter = DeploymentMeter::default();
        assert_eq!(share(0, 0), None);
        assert_eq!(share(1, 4), Some(0.25));
        assert_eq!(mean_seconds(&meter.durations.total), None);
        meter.durations.total.observe(Duration::from_millis(30));
        meter.durations.total.observe(Duration::from_millis(10));
        let mean = mean_seconds(&meter.durations.total).unwrap();
        assert!((mean - 0.02).abs() < 1e-9);
        assert_eq!(quantile_seconds(&[0; BUCKETS.len() + 1], 0.5), None);
    }

    #[test]
    fn a_quantile_is_a_guess_within_its_bucket() {
        let mut counts = [0; BUCKETS.len() + 1];
        // Ninety below 10 ms and above 5 ms, ten between 25 ms and 50 ms.
        counts[3] = 90;
        counts[5] = 10;
        let millis = |part| quantile_seconds(&counts, part).unwrap() * 1e3;
        assert!((millis(0.5) - 7.777).abs() < 0.01, "{}", millis(0.5));
        assert!((millis(0.99) - 47.5).abs() < 0.01, "{}", millis(0.99));
        let mut slow = [0; BUCKETS.len() + 1];
        slow[BUCKETS.len()] = 1;
        assert_eq!(quantile_seconds(&slow, 0.99), Some(10.0));
    }
}
