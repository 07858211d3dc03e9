//! The page that Prometheus reads: written as OpenMetrics by prometheus-client's encoder, and turned into the classic
//! format where that is asked for.

use std::collections::HashSet;
use std::fmt::Error;

use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;

use super::exemplars::Exemplars;
use crate::meter::exemplar::{Exemplar, RequestExemplars};
use crate::meter::{BUCKETS, Counter, Histogram};

/// The page while it is being written. Every figure is declared once, with its name, type and help, and then has its
/// samples.
pub struct Page<'a> {
    pub(super) encoder: DescriptorEncoder<'a>,
    pub(super) exemplars: Exemplars,
}

/// The samples of a counter that has labels.
pub struct Counters<'a>(Family<'a>);

/// The samples of a gauge that has labels.
pub struct Gauges<'a>(Family<'a>);

/// The samples of a histogram that has labels.
pub struct Histograms<'a>(Family<'a>);

/// A figure that is declared.
struct Family<'a> {
    encoder: MetricEncoder<'a>,
    exemplars: &'a mut Exemplars,
}

impl Page<'_> {
    /// Writes a counter that has no labels. The encoder adds `_total` to its name.
    pub fn counter(
        &mut self,
        name: &str,
        help: &str,
        count: &impl EncodeCounterValue,
    ) -> Result<(), Error> {
        let mut family = self.declare(name, help, MetricType::Counter)?;
        family.exemplars.pass(1);
        family
            .encoder
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
        let mut family = self.declare(name, help, MetricType::Gauge)?;
        family.exemplars.pass(1);
        family.encoder.encode_gauge(value)
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
    ) -> Result<Family<'s>, Error> {
        Ok(Family {
            encoder: self.encoder.encode_descriptor(name, help, None, kind)?,
            exemplars: &mut self.exemplars,
        })
    }
}

impl Counters<'_> {
    /// Writes one sample.
    pub fn write<const N: usize>(
        &mut self,
        labels: [(&str, &str); N],
        count: u64,
    ) -> Result<(), Error> {
        self.write_with(labels, count, None)
    }

    /// Writes one sample, with a request that was counted in it.
    pub fn write_with<const N: usize>(
        &mut self,
        labels: [(&str, &str); N],
        count: u64,
        exemplar: Option<Exemplar>,
    ) -> Result<(), Error> {
        let Family { encoder, exemplars } = &mut self.0;
        exemplars.pass_with(exemplar.map(|counted| (1.0, counted)));
        encoder
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
        self.write_nonzero_with(labels, counter, None)
    }

    /// Writes one sample unless it is 0, with a request that was counted in it.
    pub fn write_nonzero_with<const N: usize>(
        &mut self,
        labels: [(&str, &str); N],
        counter: &Counter,
        exemplar: Option<Exemplar>,
    ) -> Result<(), Error> {
        match counter.get() {
            0 => Ok(()),
            count => self.write_with(labels, count, exemplar),
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
        let Family { encoder, exemplars } = &mut self.0;
        exemplars.pass(1);
        encoder.encode_family(&labels)?.encode_gauge(value)
    }
}

impl Histograms<'_> {
    /// Writes the samples of one histogram.
    pub fn write<const N: usize>(
        &mut self,
        labels: [(&str, &str); N],
        histogram: &Histogram,
    ) -> Result<(), Error> {
        self.write_with(labels, histogram, None)
    }

    /// Writes the samples of one histogram, with requests that fell into its buckets.
    pub fn write_with<const N: usize>(
        &mut self,
        labels: [(&str, &str); N],
        histogram: &Histogram,
        requests: Option<&RequestExemplars>,
    ) -> Result<(), Error> {
        let Family { encoder, exemplars } = &mut self.0;
        // The sum and the count come first.
        exemplars.pass(2);
        for exemplar in requests.map_or([None; BUCKETS.len() + 1], RequestExemplars::buckets) {
            exemplars.pass_with(exemplar.map(|timed| (timed.took.as_secs_f64(), timed)));
        }
        let bounds = BUCKETS.into_iter().chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(histogram.counts()).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        encoder
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
