//! The audit trail: who did what to this gateway, in entries that are only ever added, each tied to the one before it by a hash.
//!
//! An entry is handed over when the change is made, and a change that somebody asked for is answered when its entry is on the
//! disk. Where that cannot be, the change is made all the same: the entry waits, and the gateway says that it does.

pub mod actor;
pub mod chain;
pub mod entry;
pub mod files;
pub mod metrics;
pub mod query;
mod recent;
mod recovery;
mod writer;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use crate::clock;
use crate::custody::Custody;
use entry::{Deed, Entry};
use files::Files;
use query::{Query, QueryError};
use recent::Recent;
pub use writer::Figures;
use writer::{Desk, Writer};

/// How long whoever asked for a change waits at most for its entry to be on the disk.
const PATIENCE: Duration = Duration::from_secs(5);

/// Hears of every entry.
type Tell = Box<dyn Fn(&Arc<Entry>) + Send + Sync>;

/// The trail; clones are the same one.
#[derive(Clone)]
pub struct Audit(Arc<Inner>);

struct Inner {
    place: Place,
    listener: Arc<OnceLock<Tell>>,
    /// Told when entries were written.
    grown: Arc<Notify>,
}

/// Where entries are kept.
enum Place {
    Disk { folder: PathBuf, desk: Arc<Desk> },
    Memory(Mutex<Memory>),
}

#[derive(Default)]
struct Memory {
    recent: Recent,
    figures: Figures,
}

/// Says when an entry is written.
#[derive(Debug)]
#[must_use = "an order is answered when its entry is written; what the gateway does by itself is let go"]
pub struct Receipt(Option<oneshot::Receiver<()>>);

impl Receipt {
    /// Waits until the entry is on the disk, or it is certain that it cannot be for now.
    pub async fn written(self) {
        if let Some(written) = self.0 {
            // Either way it is known: a trail that cannot be written says so itself.
            let _ = tokio::time::timeout(PATIENCE, written).await;
        }
    }

    /// Waits for nothing.
    pub fn let_go(self) {}
}

impl Audit {
    /// The trail in a folder, which goes on where it ended.
    pub fn open(folder: &Path) -> Self {
        Self::open_under(folder, Custody::default())
    }

    /// The same; another process goes on with the trail until `custody` is here, and entries wait.
    pub fn open_under(folder: &Path, custody: Custody) -> Self {
        Self::with(folder, Files::new(folder), custody)
    }

    fn with(folder: &Path, files: Files, custody: Custody) -> Self {
        let (listener, desk) = (Arc::<OnceLock<Tell>>::default(), Arc::<Desk>::default());
        let heard = listener.clone();
        let grown = Arc::<Notify>::default();
        let audit = Self(Arc::new(Inner {
            place: Place::Disk {
                folder: folder.to_owned(),
                desk: desk.clone(),
            },
            listener,
            grown: grown.clone(),
        }));
        let is_here = custody.try_hold();
        let mut writer = Writer {
            desk,
            files,
            end: None,
            custody,
            grown,
            tell: Box::new(move |entry| {
                if let Some(tell) = heard.get() {
                    tell(entry);
                }
            }),
        };
        if is_here.is_some() {
            writer.resume();
        }
        let started = thread::Builder::new()
            .name("serin-audit".to_owned())
            .spawn(move || writer.run());
        if let Err(error) = started {
            tracing::error!("no audit trail is written, since no thread can be started: {error}");
        }
        audit
    }

    /// A trail that is forgotten at the end.
    pub fn in_memory() -> Self {
        Self(Arc::new(Inner {
            place: Place::Memory(Mutex::default()),
            listener: Arc::default(),
            grown: Arc::default(),
        }))
    }

    /// Adds an entry. Nobody waits for the disk but those who wait for the receipt.
    pub fn record(&self, deed: Deed) -> Receipt {
        match &self.0.place {
            Place::Disk { desk, .. } => Receipt(Some(desk.hand_over(deed))),
            Place::Memory(memory) => {
                let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
                *memory.figures.written.entry(deed.action).or_default() += 1;
                let entry = memory.recent.add(&deed, clock::now());
                // Under the lock, so that entries are told in their order.
                if let Some(tell) = self.0.listener.get() {
                    tell(&entry);
                }
                Receipt(None)
            }
        }
    }

    /// Has every entry told from now on, in their order. Only the first listener counts.
    pub fn report_to(&self, tell: impl Fn(&Arc<Entry>) + Send + Sync + 'static) {
        self.0.listener.get_or_init(|| Box::new(tell));
    }

    /// The entries that are asked for, as JSON, the newest last. Reads files.
    ///
    /// # Errors
    /// When they cannot be read, or there is no such beginning.
    pub fn find(&self, query: &Query) -> Result<Vec<Arc<str>>, QueryError> {
        match &self.0.place {
            Place::Disk { folder, .. } => query::in_files(folder, query),
            Place::Memory(memory) => {
                let memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
                memory.recent.find(query)
            }
        }
    }

    /// Notified when entries were written to the disk, for one who waits.
    pub fn grown(&self) -> &Notify {
        &self.0.grown
    }

    /// How it is doing.
    pub fn figures(&self) -> Figures {
        match &self.0.place {
            Place::Disk { desk, .. } => desk.figures(),
            Place::Memory(memory) => {
                let memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
                memory.figures.clone()
            }
        }
    }

    /// Whether it outlives the process.
    pub fn is_stored(&self) -> bool {
        matches!(self.0.place, Place::Disk { .. })
    }

    /// Waits until everything is written, or for so long.
    pub fn settle(&self, patience: Duration) {
        if let Place::Disk { desk, .. } = &self.0.place {
            desk.settle(patience);
        }
    }
}

impl Default for Audit {
    fn default() -> Self {
        Self::in_memory()
    }
}

impl fmt::Debug for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Audit").finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Place::Disk { desk, .. } = &self.place {
            desk.close();
        }
    }
}

#[cfg(test)]
mod tests;
