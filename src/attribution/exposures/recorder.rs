//! The thread that makes exposures of what workers saw, and appends those to the spool that it does not have.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender};
use std::thread;
use std::time::Duration;

use super::ledger::Ledger;
use super::seen::{SET, Seen};
use crate::attribution::document::ExposureDocument;
use crate::canary::Cause;
use crate::clock;
use crate::context::Moment;
use crate::exposure::{Exposure, ExposureId, Sighting, day};

/// How many records are read at once at the start, and how many bytes of them.
const AT_ONCE: (usize, usize) = (1_000, 1 << 20);

/// How long what comes is gathered after something came. The queue has room for more than can come meanwhile.
const GATHERING: Duration = Duration::from_millis(5);

/// What the recorder is handed.
pub(super) enum Message {
    /// What a worker saw.
    Sighting(Box<Sighting>),
    /// What the process saw from which this one has taken over.
    Inherited(Box<ExposureDocument>),
    /// Everything before this is to be in the spool now.
    Flush(SyncSender<()>),
}

pub(super) struct Recorder {
    ledger: Arc<Ledger>,
    gateway: Box<str>,
    seen: Seen,
}

impl Recorder {
    pub(super) fn new(ledger: Arc<Ledger>, gateway: &str) -> Self {
        Self {
            ledger,
            gateway: gateway.into(),
            seen: Seen::new(SET),
        }
    }

    /// Records until every near end is gone.
    pub(super) fn run(mut self, messages: &Receiver<Message>) {
        self.recall();
        while let Ok(message) = messages.recv() {
            self.take(message);
            // A worker that finds this thread waiting has to wake it: where many come, none of them does.
            loop {
                thread::sleep(GATHERING);
                let came = messages.try_iter().map(|message| self.take(message));
                if came.count() == 0 {
                    break;
                }
            }
        }
        self.ledger.spool.sync();
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Sighting(sighting) => {
                let ledger = self.ledger.clone();
                for exposure in sighting.exposures(&ledger.config) {
                    let (id, time) = (exposure.id, exposure.time);
                    let document = |gateway: &str| document(exposure, gateway);
                    self.record(id, time, document);
                }
                self.tell_size();
            }
            Message::Inherited(document) => {
                let time = Moment {
                    unix_ms: document.unix_ms(),
                };
                if let Ok(id) = document.id.parse::<ExposureId>() {
                    self.record(id, time, |_| *document);
                }
                self.tell_size();
            }
            Message::Flush(done) => {
                self.ledger.spool.sync();
                let _ = done.try_send(());
            }
        }
    }

    /// Reads what the spool has from before the start, so that nothing is recorded again with another time.
    fn recall(&mut self) {
        let mut cursor = self.ledger.spool.look();
        let mut known = 0_usize;
        loop {
            let batch = match cursor.next_batch(AT_ONCE.0, AT_ONCE.1) {
                Ok(batch) => batch,
                Err(error) => {
                    tracing::error!(%error, "the spool cannot be read: exposures of today may be recorded again, under the same IDs");
                    break;
                }
            };
            let Some(last) = batch.records.last().map(|record| record.sequence) else {
                break;
            };
            known += batch.records.len();
            for record in &batch.records {
                self.recall_one(record.sequence, &record.payload);
            }
            if cursor.acknowledge(last).is_err() {
                break;
            }
        }
        self.tell_size();
        if known > 0 {
            tracing::info!(exposures = known, "the spool has exposures from before");
        }
    }

    fn recall_one(&mut self, sequence: u64, payload: &[u8]) {
        let Some(document) = ExposureDocument::read(payload) else {
            return;
        };
        let time = Moment {
            unix_ms: document.unix_ms(),
        };
        if let Ok(id) = document.id.parse::<ExposureId>() {
            self.seen.insert(id, day(time));
        }
        self.ledger.latest().add(sequence, document);
    }

    /// Appends an exposure that the spool does not have; where another process has the spool by now, hands it on to that one.
    fn record(
        &mut self,
        id: ExposureId,
        time: Moment,
        document: impl FnOnce(&str) -> ExposureDocument,
    ) {
        let figures = &self.ledger.figures;
        if !self.seen.insert(id, day(time)) {
            figures.repeated.inc();
            return;
        }
        let document = document(&self.gateway);
        let Some(_hold) = self.ledger.spool.custody().hold() else {
            match self.ledger.heir.get() {
                Some(heir) => heir(document),
                None => figures.unwritten.inc(),
            }
            return;
        };
        match self.ledger.spool.append(&document.to_bytes(), clock::now()) {
            Ok(sequence) => {
                figures.recorded.inc();
                self.ledger.latest().add(sequence, document);
            }
            // The spool has said why, once.
            Err(_) => {
                figures.unwritten.inc();
                self.seen.remove(id);
            }
        }
    }

    fn tell_size(&self) {
        let remembered = &self.ledger.figures.remembered;
        remembered.store(self.seen.len(), Ordering::Relaxed);
    }
}

fn document(exposure: Exposure, gateway: &str) -> ExposureDocument {
    let time = jiff::Timestamp::from_millisecond(exposure.time.unix_ms).unwrap_or_default();
    let text = |name: &Arc<str>| Box::from(&**name);
    ExposureDocument {
        id: exposure.id.to_string().into(),
        time: format!("{time:.3}").into(),
        user: text(&exposure.user),
        service: text(&exposure.service),
        flag: text(&exposure.flag),
        variant: exposure.variant.as_ref().map(text),
        arm: exposure.arm.as_str().into(),
        assigned: text(&exposure.assigned),
        served: text(&exposure.served),
        cause: exposure.cause.map(Cause::as_str).map(Into::into),
        reason: exposure.reason.as_str().into(),
        ring: exposure.ring.as_ref().map(text),
        randomised: exposure.randomised,
        route: Some(text(&exposure.route)).filter(|route| !route.is_empty()),
        generation: exposure.generation,
        gateway: gateway.into(),
        properties: exposure
            .properties
            .into_iter()
            .map(|(name, value)| (text(&name), value))
            .collect(),
    }
}
