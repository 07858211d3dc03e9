//! How long requests and attempts took.

use std::fmt::Result;

use super::{Families, served_by};
use crate::meter::view::{self, ServedBy};
use crate::meter::{DeploymentMeter, Durations};
use crate::telemetry::metrics::Page;

/// Writes how long whole requests took, and the attempts that were answered.
pub(super) fn requests(families: &Families, page: &mut Page<'_>) -> Result {
    let mut family = page.histograms(
        "serin_request_duration_seconds",
        "From a request's head to its response's last byte",
    )?;
    for (meter, served, labels, durations) in all(families) {
        let exemplars = meter.exemplars.get();
        let exemplars = exemplars.and_then(|exemplars| exemplars.requests(served));
        family.write_with(labels, &durations.total, exemplars)?;
    }
    let mut family = page.histograms(
        "serin_upstream_duration_seconds",
        "From the start of the answering attempt to its response's head",
    )?;
    for (_, _, labels, durations) in all(families) {
        family.write(labels, &durations.upstream)?;
    }
    Ok(())
}

/// Durations with their meter, who served, and the labels that say so.
type Labelled<'f> = (
    &'f DeploymentMeter,
    ServedBy,
    [(&'f str, &'f str); 3],
    &'f Durations,
);

fn all(families: &Families) -> impl Iterator<Item = Labelled<'_>> {
    let meters = families.deployments.iter();
    meters.flat_map(|((service, deployment), meter)| {
        view::durations(meter).map(move |(served, durations)| {
            let labels = [
                ("service", service.as_str()),
                ("assigned", deployment),
                ("served", served_by(served, deployment)),
            ];
            (meter, served, labels, durations)
        })
    })
}

/// Writes how long every attempt took, by its outcome.
pub(super) fn attempts(families: &Families, page: &mut Page<'_>) -> Result {
    let mut family = page.histograms(
        "serin_attempt_duration_seconds",
        "From the start of an attempt at the deployment to the response's head, or to the failure",
    )?;
    for ((service, deployment), meter) in families.deployments.iter() {
        for (outcome, histogram) in meter.attempts.outcomes() {
            let labels = [
                ("service", service.as_str()),
                ("deployment", deployment),
                ("outcome", outcome.as_str()),
            ];
            family.write(labels, histogram)?;
        }
    }
    Ok(())
}
