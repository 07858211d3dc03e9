//! Reports to a server who asks it, and how its flags are used: without that it takes them for unused.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use super::client::Client;
use super::clients::ClientUses;
use super::identity::Identity;
use super::meter_reader::{MeterReader, MetricsBucket};
use super::wire;
use crate::clock;
use crate::config::unleash::UnleashConfig;
use crate::context::Moment;
use crate::publisher::PublisherHandle;
use crate::snapshot::Snapshot;
use crate::snapshot::store::SnapshotStore;
use crate::source::feed::flag_server::FetchError;

/// How often reports are sent, at most and at least; in between, with every fourth poll.
const MOST_OFTEN: Duration = Duration::from_secs(5);
const LEAST_OFTEN: Duration = Duration::from_secs(60);

/// The task that reports to a server.
pub(super) struct Reporter {
    config: Arc<UnleashConfig>,
    client: Client,
    identity: Identity,
    store: Arc<SnapshotStore>,
    /// How clients used its flags.
    clients: Arc<ClientUses>,
    generation: watch::Receiver<u64>,
    last_wish: mpsc::Receiver<oneshot::Sender<()>>,
    /// What was counted on since the last reading: other flags may be asked in another order from the next one on.
    snapshot: Arc<Snapshot>,
    reader: MeterReader,
    bucket: MetricsBucket,
    started: Moment,
    is_registered: bool,
    is_heard: bool,
}

impl Reporter {
    /// Counts from now on.
    pub(super) fn new(
        config: Arc<UnleashConfig>,
        client: Client,
        identity: Identity,
        publisher: &PublisherHandle,
        clients: Arc<ClientUses>,
        last_wish: mpsc::Receiver<oneshot::Sender<()>>,
    ) -> Self {
        let started = clock::now();
        let snapshot = publisher.store().load();
        Self {
            reader: MeterReader::new(config.name.clone(), &snapshot),
            config,
            client,
            identity,
            store: publisher.store().clone(),
            clients,
            generation: publisher.generation(),
            last_wish,
            snapshot,
            bucket: MetricsBucket::new(started),
            started,
            is_registered: false,
            is_heard: true,
        }
    }

    /// Reports until the server is not followed any more.
    pub(super) async fn run(mut self) {
        let interval = (self.config.poll * 4).clamp(MOST_OFTEN, LEAST_OFTEN);
        let mut next = Instant::now() + interval;
        self.register().await;
        loop {
            tokio::select! {
                changed = self.generation.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.read();
                }
                () = sleep_until(next) => {
                    self.report().await;
                    next = Instant::now() + interval;
                }
                done = self.last_wish.recv() => {
                    let Some(done) = done else { return };
                    self.report().await;
                    // Fails when the gateway has given up waiting.
                    let _ = done.send(());
                }
            }
        }
    }

    /// Reads what has been counted so far, and goes on with what runs now.
    fn read(&mut self) {
        self.reader.read(&self.snapshot, &mut self.bucket);
        for (flag, uses) in self.clients.take(&self.config.name) {
            self.bucket.add_uses(&flag, uses);
        }
        self.snapshot = self.store.load();
    }

    async fn report(&mut self) {
        self.register().await;
        self.read();
        let stop = clock::now();
        let told = std::mem::replace(&mut self.bucket, MetricsBucket::new(stop));
        let mut parts = wire::parts(told).into_iter();
        while let Some(part) = parts.next() {
            let body = wire::report(&self.config, &self.identity, &part, stop);
            let result = self.client.report("/client/metrics", body).await;
            self.note("its flags' use", &result);
            if !is_settled(&result) {
                std::iter::once(part)
                    .chain(parts)
                    .for_each(|part| self.bucket.put_back(part));
                return;
            }
        }
    }

    async fn register(&mut self) {
        if !self.is_registered {
            let body = wire::registration(&self.config, &self.identity, self.started);
            let result = self.client.report("/client/register", body).await;
            self.note("who asks it", &result);
            self.is_registered = is_settled(&result);
        }
    }

    /// Logs once that reports fail, and once that they succeed again. Flags do not suffer from it.
    fn note(&mut self, what: &str, result: &Result<(), FetchError>) {
        let source = &self.config.name;
        match result {
            Ok(()) if self.is_heard => {}
            Ok(()) => tracing::info!(%source, "the flag server can be told again"),
            Err(error) if self.is_heard => {
                tracing::warn!(%source, %error, "the flag server cannot be told of {what}");
            }
            Err(error) => tracing::debug!(%source, %error, "the flag server cannot be told"),
        }
        self.is_heard = result.is_ok();
    }
}

/// Whether the report need not be sent again: the server took it, or never will.
fn is_settled(result: &Result<(), FetchError>) -> bool {
    matches!(result, Ok(()) | Err(FetchError::Unusable(_)))
}
