//! Requests as spans of OpenTelemetry, told to a collector by OTLP over HTTP (<https://opentelemetry.io/docs/specs/otlp/#otlphttp>).
//!
//! A worker makes a [`record::RequestRecord`] of a request that is sampled, was rescued or failed, puts it into a bounded queue and goes on.
//! A task of the control runtime sends what is queued in batches, each to the collector that the request's snapshot names, so that a reload
//! needs no restart. A collector that is away costs spans, which are counted, and no request anything.

mod collector;
mod exporter;
mod message;
pub mod metrics;
pub mod record;

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::publisher::PublisherHandle;
use exporter::Exporter;
use metrics::SpanFigures;
use record::RequestRecord;

/// How many requests may wait for the exporter. Each takes some 2 KiB.
const QUEUE: usize = 2_048;

/// The exporter's near end. Cloned into every worker.
#[derive(Clone, Debug)]
pub struct SpanExporter {
    queue: mpsc::Sender<Box<RequestRecord>>,
    /// What became of spans.
    pub figures: Arc<SpanFigures>,
    stop: Arc<watch::Sender<bool>>,
    stopped: watch::Receiver<bool>,
}

impl SpanExporter {
    /// Starts the exporter. It sends nothing before a snapshot asks for spans.
    pub fn start(publisher: &PublisherHandle, control: &Handle) -> Self {
        let (queue, records) = mpsc::channel(QUEUE);
        let (stop, stopping) = watch::channel(false);
        let (ended, stopped) = watch::channel(false);
        let figures: Arc<SpanFigures> = Arc::default();
        let exporter = Exporter {
            records,
            ahead: None,
            collector: None,
            store: publisher.store().clone(),
            generation: publisher.generation(),
            stopping,
            figures: figures.clone(),
        };
        control.spawn(async move {
            exporter.run().await;
            ended.send_replace(true);
        });
        Self {
            queue,
            figures,
            stop: Arc::new(stop),
            stopped,
        }
    }

    /// Takes a request, and says whether it did. Never waits.
    pub fn offer(&self, record: RequestRecord) -> bool {
        let spans = record.spans.len() as u64;
        let is_taken = self.queue.try_send(Box::new(record)).is_ok();
        if !is_taken {
            self.figures.dropped.add(spans);
        }
        is_taken
    }

    /// Sends what is queued, for so long at most. Requests have ended when the gateway calls this.
    pub async fn finish(&self, patience: Duration) {
        self.stop.send_replace(true);
        let mut stopped = self.stopped.clone();
        if timeout(patience, stopped.wait_for(|ended| *ended))
            .await
            .is_err()
        {
            tracing::warn!("the collector has not taken all spans in time; the rest is lost");
        }
    }
}
