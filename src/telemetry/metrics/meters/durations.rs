//! How long requests and attempts took.

use std::fmt::Result;

use super::{Families, served_by};
use crate::meter::{Durations, Histogram, view};
use crate::telemetry::metrics::Page;

/// Writes how long whole requests took, and the attempts that were answered.
pub(super) fn requests(families: &Families, page: &mut Page<'_>) -> Result {
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
        let mut family = page.histograms(name, help)?;
        for ((service, deployment), meter) in families.deployments.iter() {
            for (served, durations) in view::durations(meter) {
                let labels = [
                    ("service", service.as_str()),
                    ("assigned", deployment),
                    ("served", served_by(served, deployment)),
                ];
                family.write(labels, choose(durations))?;
            }
        }
    }
    Ok(())
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
