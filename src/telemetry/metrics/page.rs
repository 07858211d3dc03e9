//! The page that Prometheus reads: written as OpenMetrics by prometheus-client's encoder, and turned into the classic
//! format where that is asked for.

use std::collections::HashSet;
use std::fmt::Error;

use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;

use crate::meter::{BUCKETS, Counter, Histogram};

/// The page while it is being written. Every figure is declared once, with its name, type and help, and then has its
/// samples.
pub struct Page<'a>(pub(super) DescriptorEncoder<'a>);

/// The samples of a counter that has labels.
pub struct Counters<'a>(MetricEncoder<'a>);

/// The samples of a gauge that has labels.
pub struct Gauges<'a>(MetricEncoder<'a>);

/// The samples of a histogram that has labels.
pub struct Histograms<'a>(MetricEncoder<'a>);

impl Page<'_> {
    /// Writes a counter that has no labels. The encoder adds `_total` to its name.
    pub fn counter(
        &mut self,
        name: &str,
        help: &str,
        count: &impl EncodeCounterValue,
    ) -> Result<(), Error> {
        self.declare(name, help, MetricType::Counter)?
            .encode_counter::<NoLabelSet, _, u64>(count, None)
    }

    /// Declares a counter that has labels. The encoder adds `_total` to its name.
    pub fn counters<'s>(&'s mut self, name: &'s str, help: &str) -> Result<Counters<'s>, Error> {
        Ok(Counters(self.declare(name, help, MetricType::Counter)?))
    }

    /// Writes a gauge that has no labels.
    pub fn gauge(
        &mut self,
        name: &str,
        help: &str,
        value: &impl EncodeGaugeValue,
    ) -> Result<(), Error> {
        self.declare(name, help, MetricType::Gauge)?
            .encode_gauge(value)
    }

    /// Declares a gauge that has labels.
    pub fn gauges<'s>(&'s mut self, name: &'s str, help: &str) -> Result<Gauges<'s>, Error> {
        Ok(Gauges(self.declare(name, help, MetricType::Gauge)?))
    }

    /// Declares a histogram that has labels.
    pub fn histograms<'s>(
        &'s mut self,
        name: &'s str,
        help: &str,
    ) -> Result<Histograms<'s>, Error> {
        Ok(Histograms(self.declare(
            name,
            help,
            MetricType::Histogram,
        )?))
    }

    fn declare<'s>(
        &'s mut self,
        name: &'s str,
        help: &str,
        kind: MetricType,
    ) -> Result<MetricEncoder<'s>, Error> {
        self.0.encode_descriptor(name, help, None, kind)
    }
}

impl Counters<'_> {
    /// Writes one sample.
    pub fn write<const N: usize>(
        &mut self,
        labels: [(&str, &str); N],
        count: u64,
    ) -> Result<(), Error> {
        self.0
            .encode_family(&labels)?
            .encode_counter::<NoLabelSet, _, u64>(&count, None)
    }

    /// Writes one sample unless it is 0: with many services, causes and reasons that never occurred would be most of
    /// the page.
    pub fn write_nonzero<const N: usize>(
        &mut self,
        labels: [(&str, &str); N],
        counter: &Counter,
    ) -> Result<(), Error> {
        match counter.get() {
            0 => Ok(()),
            count => self.write(labels, count),
        }
    }
}

impl Gauges<'_> {
    /// Writes one sample.
    pub fn write<const N: usize>(
        &mut self,
        labels: [(&str, &str); N],
        value: &impl EncodeGaugeValue,
    ) -> Result<(), Error> {
        self.0.encode_family(&labels)?.encode_gauge(value)
    }
}

impl Histograms<'_> {
    /// Writes the samples of one histogram.
    pub fn write<const N: usize>(
        &mut self,
        labels: [(&str, &str); N],
        histogram: &Histogram,
    ) -> Result<(), Error> {
        let bounds = BUCKETS.into_iter().chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(histogram.counts()).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        self.0
            .encode_family(&labels)?
            .encode_histogram::<NoLabelSet>(histogram.sum_seconds(), count, &buckets, None)
    }
}

/// Turns OpenMetrics into the classic text format: counters are declared under their full name, and there is no end
/// mark.
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
