//! Which canary flags ran first: in memory, and in `state_dir`, so that a restart moves nobody.

mod file;
mod shared;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::custody::Custody;
use crate::snapshot::Snapshot;
use crate::snapshot::seniority::{Seniority, Since};
use crate::state::StateStore;
use file::OrderFile;
pub use shared::share;

/// When a write that failed is tried again.
const RETRY: Duration = Duration::from_secs(10);

/// Keeps the record. Its file is written by a task of its own: a slow disk delays no flag.
#[derive(Debug)]
pub struct OrderKeeper {
    /// As this gateway has seen it.
    seen: Seniority,
    /// As gateways have agreed.
    since: Since,
    /// Both together.
    known: Seniority,
    /// Where gateways agree; `None`: nowhere.
    store: Option<StateStore>,
    /// Whether they have agreed on something since this was last asked.
    is_news: bool,
    /// `None`: it is forgotten at the end.
    wanted: Option<watch::Sender<Seniority>>,
    /// Whether there was no record to start from.
    is_fresh: bool,
    trouble: Trouble,
}

/// What is wrong with the stored record; clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Trouble(Arc<Mutex<Option<String>>>);

impl Trouble {
    /// In words, for people.
    pub fn get(&self) -> Option<String> {
        let trouble = self.0.lock();
        trouble.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says what is wrong, or that nothing is any more. Whether that is news.
    fn set(&self, trouble: Option<String>) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = *known != trouble;
        *known = trouble;
        is_news
    }
}

impl OrderKeeper {
    /// With the record in `state_dir`, if there is one. One that cannot be read is set aside and reported: flags are ranked
    /// by name then, as without a record.
    ///
    /// It is written while `custody` is here.
    pub fn open(state_dir: &Path, custody: Custody, control: &Handle) -> Self {
        let file = OrderFile::new(state_dir);
        let trouble = Trouble::default();
        let known = file.read().unwrap_or_else(|error| {
            tracing::error!("{error}");
            trouble.set(Some(error));
            None
        });
        let is_fresh = known.is_none();
        let known = known.unwrap_or_default();
        let (wanted, inbox) = watch::channel(known.clone());
        control.spawn(write_all((file, custody), inbox, trouble.clone()));
        Self {
            known: known.clone(),
            seen: known,
            wanted: Some(wanted),
            is_fresh,
            trouble,
            ..Self::in_memory()
        }
    }

    /// With what gateways have agreed on in a store.
    #[must_use]
    pub fn agreeing_in(mut self, store: StateStore) -> Self {
        self.store = Some(store);
        self.follow();
        self
    }

    /// What this gateway has seen; it is told of what comes later.
    pub fn watch(&self) -> Option<watch::Receiver<Seniority>> {
        self.wanted.as_ref().map(watch::Sender::subscribe)
    }

    /// Reads what gateways have agreed on.
    pub fn follow(&mut self) {
        let since = self.store.as_ref().map(shared::read).unwrap_or_default();
        self.is_news |= since != self.since;
        self.since = since;
        self.known = self.seen.agreed(&self.since);
    }

    /// Whether a snapshot's canaries stand in another order than gateways have agreed on since this was last called.
    pub fn reorders(&mut self, running: &Snapshot) -> bool {
        std::mem::take(&mut self.is_news) && !self.known.fits(running)
    }

    /// Without a record, and forgotten at the end.
    pub fn in_memory() -> Self {
        Self {
            seen: Seniority::default(),
            since: Since::default(),
            known: Seniority::default(),
            store: None,
            is_news: false,
            wanted: None,
            is_fresh: false,
            trouble: Trouble::default(),
        }
    }

    /// What is known so far.
    pub fn known(&self) -> &Seniority {
        &self.known
    }

    /// What is wrong with what is stored.
    pub fn trouble(&self) -> Trouble {
        self.trouble.clone()
    }

    /// Learns from a snapshot that is to run, notes in it who ran first, and has the record written if it is another now.
    pub fn learn(&mut self, next: &mut Snapshot) {
        let seen = self.seen.after(next);
        if seen == self.seen {
            next.note_seniority(&self.known);
            return;
        }
        self.seen = seen;
        self.known = self.seen.agreed(&self.since);
        next.note_seniority(&self.known);
        if self.is_fresh {
            self.is_fresh = false;
            tracing::info!(
                "there is no record of which canary flags ran first: those that run now are ranked by name, and flags that \
                 are created from now on come behind them"
            );
        }
        if let Some(wanted) = &self.wanted {
            wanted.send_replace(self.seen.clone());
        }
    }
}

async fn write_all(
    (file, custody): (OrderFile, Custody),
    mut inbox: watch::Receiver<Seniority>,
    trouble: Trouble,
) {
    while inbox.changed().await.is_ok() {
        loop {
            let Some(hold) = custody.to_hold().await else {
                return;
            };
            let (file, latest) = (file.clone(), inbox.borrow_and_update().clone());
            let written = tokio::task::spawn_blocking(move || file.write(&latest)).await;
            let error = match written {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(panic) => Some(panic.to_string()),
            };
            let error = error.map(|why| {
                format!("which canary flags ran first cannot be stored, and is forgotten at the next start: {why}")
            });
            let is_well = error.is_none();
            if trouble.set(error.clone())
                && let Some(error) = error
            {
                tracing::error!("{error}; traffic goes on");
            }
            if is_well {
                break;
            }
            drop(hold);
            tokio::select! {
                () = tokio::time::sleep(RETRY) => {}
                more = inbox.changed() => if more.is_err() { return },
            }
        }
    }
}

#[cfg(test)]
mod tests;
