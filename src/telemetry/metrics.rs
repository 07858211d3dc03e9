//! Figures for Prometheus.
//!
//! This module knows no part of the gateway: each part writes its own figures by a [`Collector`], in a file `metrics.rs`
//! of its own, and the composition root registers it. Requests are counted in plain atomics ([`crate::meter`]); the
//! collector of [`MeterRegistry`] walks them when Prometheus asks.

mod exemplars;
mod meters;
mod page;
mod process;

use std::fmt;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use exemplars::Exemplars;
pub use meters::MeterRegistry;
pub use page::{Counters, Gauges, Histograms, Page};
pub use process::Process;

/// A part of the gateway that has figures.
pub trait Collector: Send + Sync {
    /// Writes them onto the page.
    fn collect(&self, page: &mut Page<'_>) -> fmt::Result;
}

impl<T: Collector + ?Sized> Collector for Arc<T> {
    fn collect(&self, page: &mut Page<'_>) -> fmt::Result {
        (**self).collect(page)
    }
}

/// Every collector of the process, in the order of their figures on the page.
#[derive(Clone, Default)]
pub struct Metrics(Vec<Arc<dyn Collector>>);

/// How the figures are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The text format that every Prometheus understands (0.0.4).
    Classic,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// What a client asks for by its `Accept` header: OpenMetrics only where it is named.
    pub fn accepted(accept: Option<&str>) -> Self {
        let names_it = |accept: &str| {
            accept.split(',').any(|range| {
                let mut parameters = range.split(';').map(str::trim);
                let named = parameters.next().is_some_and(|range| {
                    range.eq_ignore_ascii_case("application/openmetrics-text")
                });
                named && !parameters.any(|parameter| parameter == "q=0")
            })
        };
        if accept.is_some_and(names_it) {
            Self::OpenMetrics
        } else {
            Self::Classic
        }
    }

    /// The media type of what is written.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

impl Metrics {
    /// Adds a part's figures at the end of the page.
    #[must_use]
    pub fn with(mut self, collector: impl Collector + 'static) -> Self {
        self.0.push(Arc::new(collector));
        self
    }

    /// Writes every figure down.
    pub fn render(&self, format: Format) -> Result<String, fmt::Error> {
        let rendering = Rendering {
            metrics: self.clone(),
            exemplars: Arc::default(),
        };
        let exemplars = rendering.exemplars.clone();
        let mut registry = Registry::default();
        registry.register_collector(Box::new(rendering));
        let mut text = String::new();
        encode(&mut text, &registry)?;
        match format {
            Format::OpenMetrics => mem::take(&mut *lock(&exemplars)).put_into(text),
            // This format has no exemplars.
            Format::Classic => Ok(page::classic(&text)),
        }
    }
}

/// One page, as prometheus-client asks for it.
#[derive(Debug)]
struct Rendering {
    metrics: Metrics,
    exemplars: Arc<Mutex<Exemplars>>,
}

impl prometheus_client::collector::Collector for Rendering {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page {
            encoder,
            exemplars: Exemplars::default(),
        };
        let mut collectors = self.metrics.0.iter();
        collectors.try_for_each(|collector| collector.collect(&mut page))?;
        *lock(&self.exemplars) = page.exemplars;
        Ok(())
    }
}

fn lock(exemplars: &Mutex<Exemplars>) -> MutexGuard<'_, Exemplars> {
    exemplars.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Metrics").field(&self.0.len()).finish()
    }
}

#[cfg(test)]
mod tests;
