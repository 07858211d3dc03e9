//! Writing the figures down: as OpenMetrics by prometheus-client's encoder, and from that as the classic format.

mod capacity;
mod client_api;
mod durations;

use std::collections::HashSet;
use std::fmt::Error;
use std::time::Instant;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeGaugeValue, EncodeLabelSet, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;

use super::Metrics;
use super::process::ProcessFigures;
use super::registry::Families;
use crate::canary::{Cause, ReasonKind};
use crate::clock;
use crate::meter::Counter;
use crate::registry::Registry;
use crate::snapshot::Snapshot;

/// Walks everything that is counted.
#[derive(Debug)]
pub(super) struct Exposition(pub(super) Metrics);

impl Collector for Exposition {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut page = Page(encoder);
        let metrics = &self.0;
        {
            let families = metrics.meters.lock();
            page.requests(&families)?;
            page.durations(&families)?;
            page.attempts(&families)?;
            page.rescues_and_retries(&families)?;
            page.decisions(&families)?;
            page.load(&families)?;
        }
        page.snapshot(&metrics.store.peek(), &metrics.kills)?;
        page.own(metrics)?;
        page.connections(metrics)?;
        page.client_api(&metrics.client_api)?;
        page.process(&ProcessFigures::read())
    }
}

/// The page that is written.
struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn requests(&mut self, families: &Families) -> Result<(), Error> {
        let mut family = self.counter(
            "serin_requests",
            "Requests, by what was assigned and what served",
        )?;
        for ((service, deployment), meter) in families.deployments.iter() {
            // Requests that no route took were served by nobody, and by no stable deployment either.
            let by_itself = meter
                .served
                .counts()
                .map(|count| (deployment.as_str(), count));
            let by_stable = meter
                .served_by_stable
                .counts()
                .map(|count| ("stable", count));
            let by_nobody = meter.unserved.counts().map(|count| ("-", count));
            for (served, (code, count)) in by_itself.chain(by_stable).chain(by_nobody) {
                let labels = [
                    ("service", service.as_str()),
                    ("assigned", deployment),
                    ("served", served),
                    ("code", &code.to_string()),
                ];
                write_count(&mut family, &labels, count)?;
            }
        }
        Ok(())
    }

    fn rescues_and_retries(&mut self, families: &Families) -> Result<(), Error> {
        let mut family = self.counter(
            "serin_rescues",
            "Requests that stable served in place of their assigned canary",
        )?;
        for ((service, from), meter) in families.deployments.iter() {
            for (cause, count) in Cause::ALL.iter().zip(&meter.rescues) {
                let labels = [
                    ("service", service.as_str()),
                    ("from", from),
                    ("cause", cause.as_str()),
                ];
                write_counter(&mut family, &labels, count)?;
            }
        }
        let mut family =
            self.counter("serin_retries", "Further attempts on the same deployment")?;
        for (service, meter) in families.services.iter() {
            for (cause, count) in Cause::ALL.iter().zip(&meter.retries) {
                let labels = [("service", service.as_str()), ("cause", cause.as_str())];
                write_counter(&mut family, &labels, count)?;
            }
        }
        let mut family = self.counter(
            "serin_retries_refused",
            "Retries that the service's budget did not allow",
        )?;
        for (service, meter) in families.services.iter() {
            write_counter(
                &mut family,
                &[("service", service.as_str())],
                &meter.retries_refused,
            )?;
        }
        let mut family = self.counter(
            "serin_broken_responses",
            "Responses that had begun, and broke on the upstream's side",
        )?;
        for ((service, served), meter) in families.deployments.iter() {
            let labels = [("service", service.as_str()), ("served", served)];
            write_counter(&mut family, &labels, &meter.broken)?;
        }
        Ok(())
    }

    fn decisions(&mut self, families: &Families) -> Result<(), Error> {
        let mut family =
            self.counter("serin_decisions", "Decisions, by flag, variant and reason")?;
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
                write_counter(&mut family, &labels, count)?;
            }
        }
        Ok(())
    }

    fn snapshot(&mut self, snapshot: &Snapshot, kills: &Registry) -> Result<(), Error> {
        let generation = snapshot.generation;
        self.gauge(
            "serin_snapshot_generation",
            "The number of the running snapshot",
            &generation,
        )?;
        let mut family = self.gauges(
            "serin_endpoint_healthy",
            "Endpoints of the deployment that are neither ejected nor found unhealthy",
        )?;
        let now = Instant::now();
        for service in &snapshot.services {
            for deployment in &service.deployments {
                let labels = [
                    ("service", &*service.name),
                    ("deployment", &*deployment.name),
                ];
                let healthy = deployment.cluster.usable(now) as u64;
                write_gauge(&mut family, &labels, &healthy)?;
            }
        }
        let mut family = self.gauges("serin_canary_killed", "Flags whose canaries are killed")?;
        for service in &snapshot.services {
            for (flag, _) in kills.of_service(&service.name) {
                let labels = [("service", &*service.name), ("flag", flag.as_str())];
                write_gauge(&mut family, &labels, &1_u64)?;
            }
        }
        let mut family = self.gauges(
            "serin_flag_expired",
            "Whether the day has passed by which the flag should be gone",
        )?;
        let now = clock::now().unix_ms;
        for flag in &snapshot.flags {
            if let Some(expires) = flag.about.expires {
                let labels = [("flag", &*flag.name)];
                write_gauge(&mut family, &labels, &u64::from(now > expires.unix_ms))?;
            }
        }
        Ok(())
    }

    fn own(&mut self, metrics: &Metrics) -> Result<(), Error> {
        let active = metrics.active.get();
        self.gauge(
            "serin_active_requests",
            "Requests that are being served",
            &active,
        )?;
        let mut family = self.gauges(
            "serin_snapshot_age_seconds",
            "Since the source last confirmed what runs",
        )?;
        let sources = metrics.sources.all();
        for source in &sources {
            let labels = [("source", &*source.name)];
            write_gauge(&mut family, &labels, &source.age().as_secs_f64())?;
        }
        let mut family = self.counter("serin_source_errors", "Failures of a source")?;
        for source in &sources {
            write_count(
                &mut family,
                &[("source", &*source.name)],
                source.errors.get(),
            )?;
        }
        let mut family = self.counter("serin_config_reloads", "Reloads of routes.yaml")?;
        let reloads = &metrics.reloads;
        for (result, count) in [("ok", &reloads.ok), ("invalid", &reloads.invalid)] {
            write_count(&mut family, &[("result", result)], count.get())?;
        }
        let mut metric = self.counter(
            "serin_access_log_dropped",
            "Access log lines that nobody could take in time",
        )?;
        let dropped = metrics.access_log.dropped().get();
        metric.encode_counter::<NoLabelSet, u64, u64>(&dropped, None)
    }

    fn process(&mut self, process: &ProcessFigures) -> Result<(), Error> {
        if let Some(seconds) = process.cpu_seconds {
            let mut metric = self.counter("process_cpu_seconds", "User and system time")?;
            metric.encode_counter::<NoLabelSet, f64, u64>(&seconds, None)?;
        }
        if let Some(seconds) = process.start_seconds {
            self.gauge(
                "process_start_time_seconds",
                "When the process began",
                &seconds,
            )?;
        }
        let figures = [
            (
                "process_resident_memory_bytes",
                "Memory in use",
                process.resident_bytes,
            ),
            (
                "process_virtual_memory_bytes",
                "Address space in use",
                process.virtual_bytes,
            ),
            ("process_threads", "Threads", process.threads),
            (
                "process_open_fds",
                "Open file descriptors",
                process.open_fds,
            ),
            (
                "process_max_fds",
                "The most file descriptors that may be open",
                process.max_fds,
            ),
        ];
        for (name, help, figure) in figures {
            if let Some(figure) = figure {
                self.gauge(name, help, &figure)?;
            }
        }
        Ok(())
    }

    /// The encoder adds `_total`.
    fn counter<'s>(&'s mut self, name: &'s str, help: &str) -> Result<MetricEncoder<'s>, Error> {
        self.0
            .encode_descriptor(name, help, None, MetricType::Counter)
    }

    fn gauges<'s>(&'s mut self, name: &'s str, help: &str) -> Result<MetricEncoder<'s>, Error> {
        self.0
            .encode_descriptor(name, help, None, MetricType::Gauge)
    }

    fn gauge(
        &mut self,
        name: &str,
        help: &str,
        value: &impl EncodeGaugeValue,
    ) -> Result<(), Error> {
        self.gauges(name, help)?.encode_gauge(value)
    }
}

fn or_dash(name: &str) -> &str {
    if name.is_empty() { "-" } else { name }
}

/// Causes and reasons that never occurred are left out: with many services they would be most of the page.
fn write_counter(
    family: &mut MetricEncoder<'_>,
    labels: &impl EncodeLabelSet,
    count: &Counter,
) -> Result<(), Error> {
    match count.get() {
        0 => Ok(()),
        count => write_count(family, labels, count),
    }
}

fn write_count(
    family: &mut MetricEncoder<'_>,
    labels: &impl EncodeLabelSet,
    count: u64,
) -> Result<(), Error> {
    family
        .encode_family(labels)?
        .encode_counter::<NoLabelSet, u64, u64>(&count, None)
}

fn write_gauge(
    family: &mut MetricEncoder<'_>,
    labels: &impl EncodeLabelSet,
    value: &impl EncodeGaugeValue,
) -> Result<(), Error> {
    family.encode_family(labels)?.encode_gauge(value)
}

/// The classic text format: counters are declared under their full name, and there is no end mark.
pub(super) fn classic(open_metrics: &str) -> String {
    let declared = |line: &'_ str| {
        let (name, kind) = line.strip_prefix("# TYPE ")?.split_once(' ')?;
        (kind == "counter").then(|| name.to_owned())
    };
    let counters: HashSet<String> = open_metrics.lines().filter_map(declared).collect();
    let mut text = String::with_capacity(open_metrics.len());
    for line in open_metrics.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("EOF"), ..) => {}
            (Some("#"), Some(what), Some(name), Some(rest)) if counters.contains(name) => {
                text.extend(["# ", what, " ", name, "_total ", rest, "\n"]);
            }
            _ => text.extend([line, "\n"]),
        }
    }
    text
}
