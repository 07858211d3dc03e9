//! What the near end and the recorder share: where exposures go, what was recorded last, and figures.

use std::sync::atomic::AtomicUsize;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use super::latest::Latest;
use crate::attribution::document::ExposureDocument;
use crate::config::attribution::ExposuresConfig;
use crate::meter::Counter;
use crate::spool::Spool;

pub(super) struct Ledger {
    pub(super) config: ExposuresConfig,
    pub(super) spool: Spool,
    pub(super) figures: Figures,
    latest: Mutex<Latest>,
    /// What takes the exposures that come after another process has taken over the spool.
    pub(super) heir: OnceLock<Heir>,
}

/// Takes an exposure to another process, which records it unless it has it already.
pub type Heir = Box<dyn Fn(ExposureDocument) + Send + Sync>;

/// What became of first sights.
#[derive(Debug, Default)]
pub struct Figures {
    /// Exposures that were appended to the spool.
    pub recorded: Counter,
    /// Exposures that it had already.
    pub repeated: Counter,
    /// Sights that found the queue full.
    pub dropped: Counter,
    /// Exposures that could not be appended.
    pub unwritten: Counter,
    /// How many are remembered, so as not to be recorded twice.
    pub remembered: AtomicUsize,
}

impl Ledger {
    pub(super) fn new(config: ExposuresConfig, spool: Spool) -> Self {
        Self {
            config,
            spool,
            figures: Figures::default(),
            latest: Mutex::default(),
            heir: OnceLock::new(),
        }
    }

    pub(super) fn latest(&self) -> MutexGuard<'_, Latest> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
