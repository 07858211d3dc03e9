//! Which canaries are killed: in memory, in the marks that requests look at, and in `state_dir`.

mod document;
mod file;
pub mod metrics;
mod record;

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::canary::{Withdrawal, WithdrawalFlag};
use crate::snapshot::withdrawn::Withdrawn;
use file::KillFile;
pub use record::Kill;
use record::Record;

/// Every kill; clones are the same registry. Kills are by service and flag, so that all variants of a flag go at once,
/// and a kill may come before its flag does.
#[derive(Clone, Debug)]
pub struct Registry(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    /// `None`: nothing is stored.
    file: Option<KillFile>,
    /// Held while the file is written or read: the last to write has the last word.
    writing: tokio::sync::Mutex<()>,
}

/// What is known, and the marks that say so: changed together, under one lock, so that no two orders can leave them
/// at odds.
#[derive(Debug, Default)]
struct State {
    record: Record,
    marks: Marks,
    /// Why the last orders could not be stored.
    unstored: Option<String>,
}

impl Registry {
    /// With the kills that are stored in `state_dir`. What cannot be read of them is told, and leaves the canaries
    /// that it may be about on stable ([`Self::doubts`]).
    pub fn open(state_dir: &Path) -> Self {
        let file = KillFile::new(state_dir);
        let record = file.read();
        for ((service, flag), kill) in record.kills() {
            tracing::warn!(
                service,
                canary = flag,
                by = kill.by,
                "this canary is killed"
            );
        }
        let registry = Self::with(record, Some(file));
        registry.warn_of_doubts();
        registry
    }

    /// Without any kills, and forgotten at the end.
    pub fn in_memory() -> Self {
        Self::with(Record::default(), None)
    }

    fn with(record: Record, file: Option<KillFile>) -> Self {
        let state = State {
            record,
            ..State::default()
        };
        Self(Arc::new(Inner {
            state: Mutex::new(state),
            file,
            writing: tokio::sync::Mutex::default(),
        }))
    }

    /// The one mark of a flag's canaries in a service.
    pub fn mark(&self, service: &str, flag: &str) -> Arc<WithdrawalFlag> {
        let mut state = self.state();
        let state = &mut *state;
        state
            .marks
            .get_or_make(service, flag, || state.record.withdrawal(service, flag))
    }

    /// Kills a flag's canaries: no attempt goes to them from here on. The kill that holds, and whether it is this one:
    /// an earlier one stays.
    pub fn kill(&self, service: &str, flag: &str, kill: Kill) -> (Kill, bool) {
        self.state()
            .change(|record| record.kill(service, flag, kill))
    }

    /// Takes a kill back, or says of a canary of unknown standing that it is not killed. Whether that changes anything.
    pub fn restore(&self, service: &str, flag: &str) -> bool {
        self.state().change(|record| record.restore(service, flag))
    }

    /// Says of every canary of unknown standing that it is not killed. Whether there was any doubt.
    pub fn restore_unknown(&self) -> bool {
        self.state().change(Record::settle)
    }

    /// What is not known about kills, since the file could not all be read, for people. Nothing: all is known.
    pub fn doubts(&self) -> Vec<String> {
        let state = self.state();
        let doubts = state.record.doubts().iter();
        doubts
            .map(|doubt| self.explained(&doubt.to_string()))
            .collect()
    }

    fn explained(&self, doubt: &str) -> String {
        let file = self.0.file.as_ref();
        let file = file.map_or("kills".into(), |file| file.path().display().to_string());
        format!(
            "{file}: {doubt} until the file is mended, or `serin canary restore --all-unknown` says that none of them is killed"
        )
    }

    /// Tells of what is not known.
    pub fn warn_of_doubts(&self) {
        for doubt in self.doubts() {
            tracing::error!("{doubt}");
        }
    }

    /// Reads the file again if it could not all be read. Whether somebody has mended it: then what it says holds, and
    /// what was killed meanwhile stays killed.
    pub async fn reread(&self) -> bool {
        let Some(file) = self.0.file.clone() else {
            return false;
        };
        let _turn = self.0.writing.lock().await;
        if self.state().record.doubts().is_empty() {
            return false;
        }
        let read = tokio::task::spawn_blocking(move || file.read_mended()).await;
        let Ok(Some(mended)) = read else {
            return false;
        };
        self.state().change(|record| record.take_mended(mended));
        true
    }

    /// The kills of a service, by flag.
    pub fn of_service(&self, service: &str) -> Vec<(String, Kill)> {
        let state = self.state();
        let of_service = state.record.kills();
        of_service
            .filter(|((name, _), _)| name == service)
            .map(|((_, flag), kill)| (flag.clone(), kill.clone()))
            .collect()
    }

    /// The service and flag of every kill that `is_wanted`.
    pub fn names(&self, is_wanted: impl Fn(&str, &str) -> bool) -> Vec<(String, String)> {
        let state = self.state();
        let names = state.record.kills().map(|(name, _)| name);
        let wanted = names.filter(|(service, flag)| is_wanted(service, flag));
        wanted.cloned().collect()
    }

    /// What snapshots need to know.
    pub fn withdrawn(&self) -> Withdrawn {
        self.state().record.withdrawn()
    }

    /// Why the last orders could not be stored.
    pub fn unstored(&self) -> Option<String> {
        self.state().unstored.clone()
    }

    /// Stores the kills as they are now.
    ///
    /// # Errors
    /// When they cannot be written. They hold all the same, until the gateway ends.
    pub async fn store(&self) -> io::Result<()> {
        let Some(file) = self.0.file.clone() else {
            return Ok(());
        };
        let _turn = self.0.writing.lock().await;
        let record = self.state().record.clone();
        let written = tokio::task::spawn_blocking(move || file.write(&record)).await;
        let result = written.unwrap_or_else(|panic| Err(io::Error::other(panic)));
        let mut state = self.state();
        match &result {
            Ok(()) => {
                state.unstored = None;
                state.record.note_written();
            }
            Err(error) => {
                let trouble = format!("kills and restores are not stored: {error}");
                tracing::error!("{trouble}");
                state.unstored = Some(trouble);
            }
        }
        result
    }

    /// Forgets the marks that nothing holds.
    pub fn sweep(&self) {
        self.state().marks.sweep();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Changes what is known, and every mark accordingly.
    fn change<T>(&mut self, change: impl FnOnce(&mut Record) -> T) -> T {
        let done = change(&mut self.record);
        for (service, flag, mark) in self.marks.all() {
            mark.set(self.record.withdrawal(service, flag));
        }
        done
    }
}

/// The marks that snapshots hold, by service and flag.
#[derive(Debug, Default)]
struct Marks(HashMap<Box<str>, HashMap<Box<str>, Weak<WithdrawalFlag>>>);

impl Marks {
    fn get_or_make(
        &mut self,
        service: &str,
        flag: &str,
        standing: impl FnOnce() -> Option<Withdrawal>,
    ) -> Arc<WithdrawalFlag> {
        let held = self.0.get(service).and_then(|marks| marks.get(flag));
        if let Some(mark) = held.and_then(Weak::upgrade) {
            return mark;
        }
        let mark = Arc::new(WithdrawalFlag::new(standing()));
        let of_service = self.0.entry(service.into()).or_default();
        of_service.insert(flag.into(), Arc::downgrade(&mark));
        mark
    }

    fn all(&self) -> impl Iterator<Item = (&str, &str, Arc<WithdrawalFlag>)> {
        self.0.iter().flat_map(|(service, marks)| {
            marks
                .iter()
                .filter_map(move |(flag, mark)| Some((&**service, &**flag, mark.upgrade()?)))
        })
    }

    fn sweep(&mut self) {
        for marks in self.0.values_mut() {
            marks.retain(|_, mark| mark.strong_count() > 0);
        }
        self.0.retain(|_, marks| !marks.is_empty());
    }
}

#[cfg(test)]
mod tests;
