//! Exposures from the request path to the spool.
//!
//! A worker asks its own table whether it has seen the user today; only a first sight is copied and put into a bounded queue, which
//! never makes a request wait. A thread of its own makes exposures of it, drops those that the spool has already, and
//! appends the others.

mod latest;
mod ledger;
mod recent;
mod recorder;
mod seen;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use super::document::{ExposureDocument, is_of};
use super::users::Users;
use crate::config::attribution::ExposuresConfig;
use crate::context::Context;
use crate::exposure::Sighting;
use crate::record::Outcome;
use crate::spool::Spool;
pub use latest::{Recorded, Tally, Wanted};
use ledger::Ledger;
pub use ledger::{Figures, Heir};
pub use recent::FirstSight;
use recorder::{Message, Recorder};

/// How many sights may wait for the recorder.
const QUEUE: usize = 8_192;
/// How long an order to forget waits for what was seen before it.
const PATIENCE: Duration = Duration::from_secs(5);

/// The exposures of a gateway. Cloned into every worker.
#[derive(Clone)]
pub struct Exposures {
    ledger: Arc<Ledger>,
    users: Arc<Users>,
    queue: SyncSender<Message>,
}

impl Exposures {
    /// Starts the recorder. It ends when every clone of this is gone. `gateway` is this gateway's name.
    ///
    /// # Errors
    /// When no thread can be started, or users are to be hashed and there is no key.
    pub fn start(config: ExposuresConfig, spool: Spool, gateway: &str) -> io::Result<Self> {
        let (queue, messages) = sync_channel(QUEUE);
        let users = Users::new(&config, None).map_err(io::Error::other)?;
        let ledger = Arc::new(Ledger::new(config, spool));
        let recorder = Recorder::new(ledger.clone(), gateway);
        std::thread::Builder::new()
            .name("serin-exposures".to_owned())
            .spawn(move || recorder.run(&messages))?;
        Ok(Self {
            ledger,
            users: Arc::new(users),
            queue,
        })
    }

    /// Whether an outcome makes an exposure that this worker has not seen today, as far as its small table remembers.
    pub fn first_sight(&self, outcome: &Outcome<'_>) -> Option<FirstSight> {
        recent::first_sight(outcome, self.ledger.config.anonymous)
    }

    /// Hands over a first sight. Never waits; the worker remembers it if there was room in the queue.
    pub fn offer(&self, outcome: &Outcome<'_>, context: &Context<'_>, first: FirstSight) {
        if let Some(sighting) = Sighting::new(outcome, context) {
            let message = Message::Sighting(Box::new(sighting));
            if self.queue.try_send(message).is_err() {
                self.ledger.figures.dropped.inc();
                return;
            }
        }
        first.remember();
    }

    /// Has `heir` take what is seen after another process has taken over the spool. Only the first counts.
    pub fn leave_to(&self, heir: Heir) {
        self.ledger.heir.get_or_init(|| heir);
    }

    /// Records what the process has seen from which this one has taken over the spool. Waits while the queue is full.
    pub fn inherit(&self, document: ExposureDocument) {
        // The recorder lives as long as this does.
        let _ = self.queue.send(Message::Inherited(Box::new(document)));
    }

    /// Waits until everything offered so far is in the spool, and forced to the disk, but no longer than `within`; says
    /// whether it is. Blocks.
    pub fn flush(&self, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        let (done, flushed) = sync_channel(1);
        let mut message = Message::Flush(done);
        // No request waits here: the caller has a thread for it.
        while let Err(TrySendError::Full(back)) = self.queue.try_send(message) {
            if Instant::now() >= deadline {
                return false;
            }
            message = back;
            std::thread::sleep(Duration::from_millis(5));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        flushed.recv_timeout(left).is_ok()
    }

    /// Removes what is recorded of a user: from the spool, and from what is shown. Returns how many records of the spool it were.
    /// What was seen before the call is recorded by then, and removed with the rest. Blocks.
    ///
    /// # Errors
    /// Why not all of it is removed, in a sentence; a second call does the rest.
    pub fn forget(&self, user: &str) -> Result<u64, String> {
        if !self.flush(PATIENCE) {
            return Err("what was seen lately could not be spooled in time".to_owned());
        }
        let removed = self.ledger.spool.erase(&|record| is_of(record, user));
        self.ledger.latest().forget(user);
        removed.map_err(|error| format!("the spool cannot be written: {error}"))
    }

    /// What became of first sights.
    pub fn figures(&self) -> &Figures {
        &self.ledger.figures
    }

    /// The spool that exposures go to.
    pub fn spool(&self) -> &Spool {
        &self.ledger.spool
    }

    /// What was recorded last.
    pub fn latest(&self, wanted: &Wanted<'_>) -> Vec<Recorded> {
        self.ledger.latest().find(wanted)
    }

    /// How many users were recorded today and the day before, by service, flag and arm.
    pub fn tallies(&self) -> Vec<Tally> {
        self.ledger.latest().tallies()
    }

    /// How users appear where the configuration says so for no sink of its own.
    pub fn users(&self) -> &Users {
        &self.users
    }
}

impl fmt::Debug for Exposures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exposures")
            .field("config", &self.ledger.config)
            .field("figures", &self.ledger.figures)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
