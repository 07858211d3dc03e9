//! What was assigned and what served, how often a rescue or retry was needed, and why decisions fell as they did.

use std::fmt::Result;

use super::{Families, served_by};
use crate::canary::{Cause, LaneResult, ReasonKind};
use crate::meter::mirror::MirrorMeter;
use crate::meter::view;
use crate::telemetry::metrics::Page;

/// Writes how many requests each deployment was assigned, what served them, and with which status.
pub(super) fn requests(families: &Families, page: &mut Page<'_>) -> Result {
    let mut family = page.counters(
        "serin_requests",
        "Requests, by what was assigned and what served",
    )?;
    for ((service, deployment), meter) in families.deployments.iter() {
        for (served, code, count) in view::requests(meter) {
            let labels = [
                ("service", service.as_str()),
                ("assigned", deployment),
                ("served", served_by(served, deployment)),
                ("code", &code.to_string()),
            ];
            let exemplars = meter.exemplars.get();
            let exemplars = exemplars.and_then(|exemplars| exemplars.requests(served));
            let exemplar = exemplars.and_then(|exemplars| exemplars.with_code(code));
            family.write_with(labels, count, exemplar)?;
        }
    }
    Ok(())
}

/// Writes how often stable stood in for a canary, and how often an attempt was repeated.
pub(super) fn rescues_and_retries(families: &Families, page: &mut Page<'_>) -> Result {
    let mut family = page.counters(
        "serin_rescues",
        "Requests that stable served in place of their assigned canary",
    )?;
    for ((service, from), meter) in families.deployments.iter() {
        for (cause, count) in Cause::ALL.into_iter().zip(&meter.rescues) {
            let labels = [
                ("service", service.as_str()),
                ("from", from),
                ("cause", cause.as_str()),
            ];
            let exemplars = meter.exemplars.get();
            let exemplar = exemplars.and_then(|exemplars| exemplars.rescue(cause));
            family.write_nonzero_with(labels, count, exemplar)?;
        }
    }
    let mut family = page.counters("serin_retries", "Further attempts on the same deployment")?;
    for (service, meter) in families.services.iter() {
        for (cause, count) in Cause::ALL.iter().zip(&meter.retries) {
            let labels = [("service", service.as_str()), ("cause", cause.as_str())];
            family.write_nonzero(labels, count)?;
        }
    }
    let mut family = page.counters(
        "serin_retries_refused",
        "Retries that the service's budget did not allow",
    )?;
    for (service, meter) in families.services.iter() {
        family.write_nonzero([("service", service.as_str())], &meter.retries_refused)?;
    }
    let mut family = page.counters(
        "serin_broken_responses",
        "Responses that had begun, and broke on the upstream's side",
    )?;
    for ((service, served), meter) in families.deployments.iter() {
        let labels = [("service", service.as_str()), ("served", served)];
        family.write_nonzero(labels, &meter.broken)?;
    }
    let mut family = page.counters(
        "serin_streams_closed",
        "Requests that were ended since their users left the canary",
    )?;
    for ((service, deployment), meter) in families.deployments.iter() {
        let labels = [("service", service.as_str()), ("deployment", deployment)];
        family.write_nonzero(labels, &meter.streams_closed)?;
    }
    Ok(())
}

/// Writes how often each reason decided, by flag and variant.
pub(super) fn decisions(families: &Families, page: &mut Page<'_>) -> Result {
    let mut family = page.counters("serin_decisions", "Decisions, by flag, variant and reason")?;
    let of_flags = families.decisions.iter();
    let of_flags = of_flags.map(|((service, flag, variant), meter)| {
        (service.as_str(), flag.as_str(), variant.as_str(), meter)
    });
    let of_none = families.services.iter();
    let of_none = of_none.map(|(service, meter)| (service.as_str(), "", "", &meter.decisions));
    for (service, flag, variant, meter) in of_flags.chain(of_none) {
        for (reason, count) in ReasonKind::ALL.iter().zip(meter) {
            let labels = [
                ("service", service),
                ("flag", or_dash(flag)),
                ("variant", or_dash(variant)),
                ("reason", reason.as_str()),
            ];
            family.write_nonzero(labels, count)?;
        }
    }
    Ok(())
}

/// Writes what became of lanes.
pub(super) fn lanes(families: &Families, page: &mut Page<'_>) -> Result {
    let mut family = page.counters(
        "serin_lanes",
        "Requests whose baggage named a deployment, by what became of that",
    )?;
    for (service, meter) in families.services.iter() {
        let counts = meter.lanes.get().into_iter().flatten();
        for (result, count) in LaneResult::ALL.iter().zip(counts) {
            let labels = [("service", service.as_str()), ("result", result.as_str())];
            family.write_nonzero(labels, count)?;
        }
    }
    Ok(())
}

/// Writes what came of copies of requests.
pub(super) fn mirrors(families: &Families, page: &mut Page<'_>) -> Result {
    let mut family = page.counters(
        "serin_mirror",
        "Requests that the service's shadow was to get as well, by what came of that",
    )?;
    for (service, meter) in families.services.iter() {
        let results = meter.mirror.get().into_iter();
        for (result, count) in results.flat_map(MirrorMeter::results) {
            let labels = [("service", service.as_str()), ("result", result.as_str())];
            family.write_nonzero(labels, count)?;
        }
    }
    Ok(())
}

fn or_dash(name: &str) -> &str {
    if name.is_empty() { "-" } else { name }
}
