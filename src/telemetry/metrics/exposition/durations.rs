//! How long things took.

use std::fmt::Error;

use prometheus_client::encoding::{EncodeLabelSet, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::Page;
use crate::meter::{BUCKETS, Durations, Histogram};
use crate::telemetry::metrics::registry::Families;

impl Page<'_> {
    /// Of whole requests, and of the attempt that was answered.
    pub(super) fn durations(&mut self, families: &Families) -> Result<(), Error> {
        type Choose = fn(&Durations) -> &Histogram;
        let histograms: [(&str, &str, Choose); 2] = [
            (
                "serin_request_duration_seconds",
                "From a request's head to its response's last byte",
                |durations| &durations.total,
            ),
            (
                "serin_upstream_duration_seconds",
                "From the start of the answering attempt to its response's head",
                |durations| &durations.upstream,
            ),
        ];
        for (name, help, choose) in histograms {
            let mut family = self
                .0
                .encode_descriptor(name, help, None, MetricType::Histogram)?;
            for ((service, deployment), meter) in families.deployments.iter() {
                let by_itself = Some((deployment.as_str(), &meter.durations));
                let by_stable = meter.durations_by_stable.get();
                let by_stable = by_stable.map(|durations| ("stable", durations));
                for (served, durations) in by_itself.into_iter().chain(by_stable) {
                    let labels = [
                        ("service", service.as_str()),
                        ("assigned", deployment),
                        ("served", served),
                    ];
                    write_histogram(&mut family, &labels, choose(durations))?;
                }
            }
        }
        Ok(())
    }

    /// Of every attempt, by what came of it.
    pub(super) fn attempts(&mut self, families: &Families) -> Result<(), Error> {
        let mut family = self.0.encode_descriptor(
            "serin_attempt_duration_seconds",
            "From the start of an attempt at the deployment to the response's head, or to the failure",
            None,
            MetricType::Histogram,
        )?;
        for ((service, deployment), meter) in families.deployments.iter() {
            for (outcome, histogram) in meter.attempts.outcomes() {
                let labels = [
                    ("service", service.as_str()),
                    ("deployment", deployment),
                    ("outcome", outcome.as_str()),
                ];
                write_histogram(&mut family, &labels, histogram)?;
            }
        }
        Ok(())
    }
}

fn write_histogram(
    family: &mut MetricEncoder<'_>,
    labels: &impl EncodeLabelSet,
    histogram: &Histogram,
) -> Result<(), Error> {
    let bounds = BUCKETS.into_iter().chain([f64::INFINITY]);
    let buckets: Vec<(f64, u64)> = bounds.zip(histogram.counts()).collect();
    let count = buckets.iter().map(|(_, count)| count).sum();
    family
        .encode_family(labels)?
        .encode_histogram::<NoLabelSet>(histogram.sum_seconds(), count, &buckets, None)
}
