//! The task that sends spans: one batch at a time, in the order of their requests.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::collector::{Answer, Collector};
use super::message;
use super::metrics::SpanFigures;
use super::record::RequestRecord;
use crate::config::traces::TracingConfig;
use crate::snapshot::store::SnapshotStore;
use crate::source::http::Backoff;

/// How many spans make a batch.
const BATCH: usize = 512;
/// How long the first request of a batch waits for others.
const GATHERING: Duration = Duration::from_secs(1);
/// How long a batch is sent again and again, at most.
const PATIENCE: Duration = Duration::from_secs(5 * 60);
/// The longest wait that the collector did not ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// How long a collector may take to answer when there is no more time.
const LAST_PATIENCE: Duration = Duration::from_secs(1);

/// Takes requests off the queue, and brings them to their collectors.
pub(super) struct Exporter {
    pub(super) records: mpsc::Receiver<Box<RequestRecord>>,
    /// The first request of the next batch, if it was seen already.
    pub(super) ahead: Option<Box<RequestRecord>>,
    pub(super) collector: Option<Collector>,
    pub(super) store: Arc<SnapshotStore>,
    pub(super) generation: watch::Receiver<u64>,
    pub(super) stopping: watch::Receiver<bool>,
    pub(super) figures: Arc<SpanFigures>,
}

/// Requests for one collector.
struct Batch {
    requests: Vec<RequestRecord>,
    spans: usize,
}

impl Exporter {
    /// Sends until the gateway ends.
    pub(super) async fn run(mut self) {
        while let Some(batch) = self.gather().await {
            self.deliver(&batch).await;
        }
    }

    /// Waits for requests; `None`: there are no more, and there will be none.
    async fn gather(&mut self) -> Option<Batch> {
        let first = match self.ahead.take() {
            Some(first) => first,
            None => self.next().await?,
        };
        let deadline = Instant::now() + GATHERING;
        let config = first.config.clone();
        let mut batch = Batch {
            spans: first.spans.len(),
            requests: vec![*first],
        };
        while batch.spans < BATCH {
            let next = tokio::select! {
                next = self.next() => next,
                () = sleep_until(deadline) => break,
            };
            let Some(next) = next else {
                break;
            };
            if !is_same(&next.config, &config) {
                self.ahead = Some(next);
                break;
            }
            batch.spans += next.spans.len();
            batch.requests.push(*next);
        }
        Some(batch)
    }

    /// The next request; `None`: the gateway is about to end, and none is queued.
    async fn next(&mut self) -> Option<Box<RequestRecord>> {
        tokio::select! {
            biased;
            next = self.records.recv() => next,
            () = stopped(&mut self.stopping) => None,
        }
    }

    /// Sends a batch until it is taken, refused, or too old.
    async fn deliver(&mut self, batch: &Batch) {
        let Some(config) = batch.requests.first().map(|first| first.config.clone()) else {
            return;
        };
        let spans = batch.spans as u64;
        if let Err(why) = self.turn_to(&config) {
            self.figures.fail(why);
            self.figures.dropped.add(spans);
            return;
        }
        let body = message::encode(&batch.requests);
        let (deadline, mut backoff) = (Instant::now() + PATIENCE, Backoff::default());
        loop {
            // What is wanted now may change while the collector is asked.
            let is_last = Instant::now() >= deadline || self.is_hurried(&config);
            let (why, after) = match self.post(&body, &config).await {
                Answer::Taken(rejected, why) => {
                    let rejected = rejected.min(spans);
                    self.figures.took(spans - rejected);
                    if rejected > 0 {
                        self.figures.refused_some(rejected, &why);
                    }
                    return;
                }
                Answer::Refused(why) => {
                    self.figures.refused.add(spans);
                    self.figures.fail(why);
                    return;
                }
                Answer::Later { why, after } => (why, after),
            };
            self.figures.fail(why);
            if is_last {
                self.figures.dropped.add(spans);
                if !self.is_wanted(&config) {
                    self.figures.forget_trouble();
                }
                return;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let wait = backoff.next(LONGEST_WAIT, rand::random());
            let pause = wait.max(after.unwrap_or_default()).min(left);
            // No longer than it is of use.
            tokio::select! {
                () = sleep(pause) => {}
                () = self.hurried(&config) => {}
            }
        }
    }

    /// Uses the collector that a configuration names.
    fn turn_to(&mut self, config: &Arc<TracingConfig>) -> Result<(), String> {
        let current = self.collector.as_ref();
        if current.is_some_and(|current| is_same(&current.config, config)) {
            return Ok(());
        }
        self.figures.forget_trouble();
        self.collector = None;
        let collector = Collector::new(config.clone());
        let collector = collector.map_err(|error| format!("it cannot be spoken to: {error}"))?;
        self.collector = Some(collector);
        Ok(())
    }

    /// Asks the collector once.
    async fn post(&mut self, body: &Bytes, config: &Arc<TracingConfig>) -> Answer {
        let Some(collector) = self.collector.clone() else {
            return Answer::Refused("there is no collector".to_owned());
        };
        let answer = collector.post(body.clone());
        tokio::select! {
            answer = answer => answer,
            () = async {
                self.hurried(config).await;
                sleep(LAST_PATIENCE).await;
            } => Answer::Later {
                why: "it has not answered, and there was no more time".to_owned(),
                after: None,
            },
        }
    }

    /// Waits until the gateway is about to end, or another collector waits for its spans.
    async fn hurried(&mut self, config: &Arc<TracingConfig>) {
        while !self.is_hurried(config) {
            tokio::select! {
                () = stopped(&mut self.stopping) => return,
                Ok(()) = self.generation.changed() => {}
            }
        }
    }

    /// Whether there is no time for further attempts.
    fn is_hurried(&self, config: &Arc<TracingConfig>) -> bool {
        *self.stopping.borrow() || self.stopping.has_changed().is_err() || !self.is_wanted(config)
    }

    /// Whether spans of requests that come now go to this collector.
    fn is_wanted(&self, config: &Arc<TracingConfig>) -> bool {
        let snapshot = self.store.peek();
        let wanted = snapshot.tracing.as_ref();
        wanted.is_some_and(|wanted| is_same(wanted, config))
    }
}

/// Waits until the gateway is about to end.
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // Without a sender there is no gateway any more.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

/// Whether two configurations send spans to the same place in the same way.
fn is_same(one: &Arc<TracingConfig>, other: &Arc<TracingConfig>) -> bool {
    Arc::ptr_eq(one, other) || (one.collector == other.collector && one.headers == other.headers)
}
