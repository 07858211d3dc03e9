//! The task of one sink.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::block_in_place;
use tokio::time::sleep;

use super::pace::Pace;
use super::{Forget, SinkStatus};
use crate::attribution::dead_letters::DeadLetters;
use crate::attribution::document::ExposureDocument;
use crate::attribution::sinks::{Answer, Sink};
use crate::attribution::users::Users;
use crate::clock;
use crate::custody::Custody;
use crate::spool::{Batch, Cursor};

/// How long a sink may still take for its batch when another process is to go on with the spool.
const LAST_BATCH: Duration = Duration::from_secs(1);

/// What a sink's task has.
pub(super) struct Task {
    pub(super) sink: Box<dyn Sink>,
    pub(super) custody: Custody,
    pub(super) status: Arc<SinkStatus>,
    pub(super) pace: Pace,
    pub(super) cursor: Cursor,
    pub(super) more: watch::Receiver<u64>,
    pub(super) users: Users,
    pub(super) dead_letters: DeadLetters,
    pub(super) orders: mpsc::Receiver<Forget>,
    pub(super) stop: watch::Receiver<bool>,
}

/// When to go on.
enum Next {
    /// At once.
    Now,
    /// A little later, so that the next batch is worth it.
    Soon(Duration),
    /// When more has been spooled.
    WhenMore,
    /// It failed: after this time.
    Later(Duration),
}

/// Exposures that were read from the spool.
struct Read {
    exposures: Vec<ExposureDocument>,
    /// How many records were none.
    unreadable: u64,
    /// The last record's, an exposure or not.
    last: u64,
    is_full: bool,
}

impl Task {
    /// Sends what is spooled until the gateway ends; then what is there, unless the sink is in trouble. Another process that has
    /// the spool from now on does the rest.
    pub(super) async fn run(mut self) {
        while let Some(hold) = self.custody.to_hold().await {
            self.more.mark_unchanged();
            let next = self.step().await;
            drop(hold);
            let ends = *self.stop.borrow();
            match next {
                Next::Now => {}
                Next::Soon(_) if ends => {}
                Next::WhenMore | Next::Later(_) if ends => return,
                Next::Soon(pause) | Next::Later(pause) => self.wait(Some(pause)).await,
                Next::WhenMore => self.wait(None).await,
            }
        }
    }

    /// Waits for so long, or for more to be spooled, and obeys orders meanwhile. The gateway's end ends the wait.
    async fn wait(&mut self, pause: Option<Duration>) {
        let over = async {
            match pause {
                Some(pause) => sleep(pause).await,
                // The spool lives as long as this task does.
                None => drop(self.more.changed().await),
            }
        };
        tokio::pin!(over);
        loop {
            tokio::select! {
                () = &mut over => return,
                _ = self.stop.changed() => return,
                order = self.orders.recv() => match order {
                    Some(order) => forget(&mut *self.sink, &mut self.dead_letters, &self.users, order),
                    None => return,
                },
            }
        }
    }

    /// Sends one batch.
    async fn step(&mut self) -> Next {
        // Read anew for each attempt: a user may have been forgotten since the last.
        let batch = match block_in_place(|| self.read()) {
            Ok(Some(batch)) => batch,
            Ok(None) => return Next::WhenMore,
            Err(error) => return self.fail(0, format!("the spool cannot be read: {error}"), None),
        };
        let sent = batch.exposures.len();
        if sent == 0 {
            return self.settle(&batch, &[]);
        }
        let answer = tokio::select! {
            answer = self.sink.deliver(&batch.exposures) => answer,
            // Another process is to go on here: it sends the batch again.
            () = wanted(&self.custody) => return Next::Now,
        };
        match answer {
            Answer::Taken(refused) => {
                self.pace.went_well();
                self.settle(&batch, &refused)
            }
            Answer::TooLarge(why) | Answer::Refused(why) => {
                if self.pace.halve(sent) {
                    self.note_retry(sent);
                    return Next::Now;
                }
                self.put_aside(&batch, &why)
            }
            Answer::Later { why, after } => self.fail(sent, why, after),
            Answer::Misconfigured(why) => {
                self.note_trouble(sent, why);
                Next::Later(self.pace.wait_for_people(rand::random()))
            }
        }
    }

    fn read(&mut self) -> io::Result<Option<Read>> {
        let (limits, most) = (self.sink.limits(), self.pace.batch());
        let Batch { records, .. } = self.cursor.next_batch(most, limits.bytes)?;
        let Some(last) = records.last().map(|record| record.sequence) else {
            return Ok(None);
        };
        let size: usize = records.iter().map(|record| record.payload.len()).sum();
        let mut read = Read {
            is_full: records.len() >= most || size >= limits.bytes / 2,
            exposures: Vec::with_capacity(records.len()),
            unreadable: 0,
            last,
        };
        for record in &records {
            match ExposureDocument::read(&record.payload) {
                Some(mut exposure) => {
                    exposure.user = self.users.shown(&exposure.user);
                    read.exposures.push(exposure);
                }
                None => read.unreadable += 1,
            }
        }
        Ok(Some(read))
    }

    /// Puts aside what was refused, and goes on after the batch.
    fn settle(&mut self, batch: &Read, refused: &[(usize, String)]) -> Next {
        let letters: Vec<(&ExposureDocument, String)> = refused
            .iter()
            .filter_map(|(place, why)| Some((batch.exposures.get(*place)?, why.clone())))
            .collect();
        let put = match letters.as_slice() {
            [] => Ok(()),
            letters => block_in_place(|| self.dead_letters.put(letters)),
        };
        if let Err(error) = put {
            let why = format!("what it refused cannot be put aside: {error}");
            return self.fail(batch.exposures.len(), why, None);
        }
        let acknowledged = block_in_place(|| self.cursor.acknowledge(batch.last));
        self.note_taken(batch, letters.first().map(|(_, why)| &**why), letters.len());
        if let Err(error) = acknowledged {
            // It goes on all the same: what was taken comes again after the next start.
            self.note_error(format!("the cursor cannot be stored: {error}"));
        }
        if batch.is_full {
            Next::Now
        } else {
            Next::Soon(self.sink.pause())
        }
    }

    /// Puts the only exposure of a batch aside, and goes on; slowly, where the sink seems to refuse everything.
    fn put_aside(&mut self, batch: &Read, why: &str) -> Next {
        let next = self.settle(batch, &[(0, why.to_owned())]);
        if matches!(next, Next::Later(_)) {
            return next;
        }
        match self.pace.refused(rand::random()) {
            Some(wait) => {
                self.note_trouble(0, format!("it refuses one after the other: {why}"));
                Next::Later(wait)
            }
            None => next,
        }
    }

    fn fail(&mut self, sent: usize, why: String, after: Option<Duration>) -> Next {
        self.note_trouble(sent, why);
        Next::Later(self.pace.wait(after, rand::random()))
    }

    fn note_taken(&self, batch: &Read, why: Option<&str>, refused: usize) {
        let mut figures = self.status.locked();
        figures.sent += (batch.exposures.len() - refused) as u64;
        figures.refused += refused as u64;
        figures.unreadable += batch.unreadable;
        if figures.trouble.take().is_some() {
            tracing::warn!(sink = &*self.status.name, "the sink takes exposures again");
        }
        if let Some(why) = why {
            figures.last_error = Some((clock::now(), format!("refused {refused}: {why}")));
            let sink = &*self.status.name;
            tracing::error!(
                sink,
                exposures = refused,
                why,
                "the sink refused exposures; they are in dead-letter/"
            );
        }
    }

    fn note_retry(&self, sent: usize) {
        self.status.locked().retried += sent as u64;
    }

    fn note_trouble(&self, sent: usize, why: String) {
        self.note_retry(sent);
        let mut figures = self.status.locked();
        if figures.trouble.as_ref() != Some(&why) {
            tracing::error!(
                sink = &*self.status.name,
                why,
                "the sink does not take exposures; they wait"
            );
        }
        figures.last_error = Some((clock::now(), why.clone()));
        figures.trouble = Some(why);
    }

    fn note_error(&self, why: String) {
        tracing::error!(sink = &*self.status.name, "{why}");
        self.status.locked().last_error = Some((clock::now(), why));
    }
}

/// Comes true when another process has waited for the spool as long as it is let wait.
async fn wanted(custody: &Custody) {
    custody.is_wanted().await;
    sleep(LAST_BATCH).await;
}

fn forget(sink: &mut dyn Sink, dead_letters: &mut DeadLetters, users: &Users, order: Forget) {
    let forms = users.forms(&order.user);
    let removed = block_in_place(|| Ok(sink.forget(&forms)? + dead_letters.forget(&forms)?));
    let removed = removed
        .map_err(|error: io::Error| format!("a file of exposures cannot be written anew: {error}"));
    // Whoever asked may have gone.
    let _ = order.done.send(removed);
}
