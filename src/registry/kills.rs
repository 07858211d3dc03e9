//! Which canaries are killed: in memory, in the marks that requests look at, and in the store.

mod book;
mod kill;
mod marks;
pub mod metrics;
mod record;
mod unsaved;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::canary::{Withdrawal, WithdrawalFlag};
use crate::snapshot::withdrawn::Withdrawn;
use crate::state::{Expected, Kind, StateStore, StoreError, Write};
use book::Book;
pub use kill::Kill;
use marks::Marks;

/// Every kill; clones are the same. Kills are by service and flag, so that all variants of a flag go at once,
/// and a kill may come before its flag does.
#[derive(Clone, Debug)]
pub struct Kills(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    store: StateStore,
    /// Held while kills are stored or read: an order that finds nothing to be stored knows that it is stored.
    writing: tokio::sync::Mutex<()>,
}

/// The book, and the marks that say what it says: changed together, under one lock, so that no two orders can leave them
/// at odds.
#[derive(Debug, Default)]
struct State {
    book: Book,
    marks: Marks,
    /// The flags whose registration has come to its end.
    leases_over: BTreeSet<(String, String)>,
    /// Why the last orders could not be stored.
    unstored: Option<String>,
}

impl Kills {
    /// With the kills that are stored. What cannot be read of them is logged, and the users of the canaries
    /// that it may be about stay on stable ([`Self::doubts`]).
    pub fn open(store: StateStore) -> Self {
        let book = Book::read(store.read(Kind::Kills));
        for ((service, flag), kill) in book.kills() {
            tracing::warn!(
                service,
                canary = flag,
                by = kill.by,
                "this canary is killed"
            );
        }
        let state = State {
            book,
            ..State::default()
        };
        let kills = Self(Arc::new(Inner {
            state: Mutex::new(state),
            store,
            writing: tokio::sync::Mutex::default(),
        }));
        kills.warn_of_doubts();
        kills
    }

    /// Without any kills, and forgotten at the end.
    pub fn in_memory() -> Self {
        Self::open(StateStore::in_memory())
    }

    /// The one mark of a flag's canaries in a service.
    pub fn mark(&self, service: &str, flag: &str) -> Arc<WithdrawalFlag> {
        let mut state = self.state();
        let state = &mut *state;
        let (book, over) = (&state.book, &state.leases_over);
        state
            .marks
            .get_or_make(service, flag, || withdrawal(book, over, service, flag))
    }

    /// Says whether the registration of a flag's canary has come to its end: then no attempt goes there from here on.
    pub fn set_lease_over(&self, service: &str, flag: &str, is_over: bool) {
        let mut state = self.state();
        let name = (service.to_owned(), flag.to_owned());
        let has_changed = match is_over {
            true => state.leases_over.insert(name),
            false => state.leases_over.remove(&name),
        };
        if has_changed {
            state.set_marks();
        }
    }

    /// As [`Self::set_lease_over`], of every registration: these have come to their end, and no others.
    pub fn set_leases_over(&self, over: BTreeSet<(String, String)>) {
        let mut state = self.state();
        if state.leases_over != over {
            state.leases_over = over;
            state.set_marks();
        }
    }

    /// Kills a flag's canaries: no attempt goes to them from here on. The kill that holds, and whether it is this one:
    /// an earlier one stays.
    pub fn kill(&self, service: &str, flag: &str, kill: Kill) -> (Kill, bool) {
        self.state().change(|book| book.kill(service, flag, kill))
    }

    /// Takes a kill back, or says of a canary of unknown standing that it is not killed. Whether that changes anything.
    pub fn restore(&self, service: &str, flag: &str) -> bool {
        self.state().change(|book| book.restore(service, flag))
    }

    /// As [`Self::restore`], for all gateways that share their kills: it holds here when it holds for them.
    ///
    /// # Errors
    /// When what they share cannot be reached. The kill still holds then.
    pub async fn restore_everywhere(&self, service: &str, flag: &str) -> Result<bool, StoreError> {
        if self.0.store.sharing().is_none() {
            return Ok(self.restore(service, flag));
        }
        let _turn = self.0.writing.lock().await;
        let is_killed = self.state().book.is_killed(service, flag);
        if is_killed {
            let removal = Write::Remove {
                key: record::key(&(service.to_owned(), flag.to_owned())),
                expected: Expected::Any,
            };
            self.0.store.write(Kind::Kills, vec![removal]).await?;
        }
        let changed = |book: &mut Book| book.restore_stored(service, flag);
        Ok(self.state().change(changed) || is_killed)
    }

    /// Takes over what other gateways have killed and restored. Which flags of which services are killed now, and which
    /// no more.
    pub fn adopt(&self) -> Vec<((String, String), Option<Kill>)> {
        let mut state = self.state();
        // Read under the lock: a kill of this gateway's is in the store, or known not to be there yet.
        let records = self.0.store.records(Kind::Kills);
        state.change(|book| book.adopt(records))
    }

    /// Changes whenever other gateways have killed or restored something: [`Self::adopt`] takes it over.
    pub fn others(&self) -> watch::Receiver<u64> {
        self.0.store.subscribe(Kind::Kills)
    }

    /// Whether other gateways learn at once of what is killed here; `None`: there are none.
    pub fn is_shared(&self) -> Option<bool> {
        self.0.store.sharing().map(|sharing| sharing.is_up)
    }

    /// Says of every canary of unknown standing that it is not killed. Whether there was any doubt.
    pub fn restore_unknown(&self) -> bool {
        self.state().change(Book::settle)
    }

    /// What is not known about kills, since the file could not all be read, for people. Nothing: all is known.
    pub fn doubts(&self) -> Vec<String> {
        let state = self.state();
        let doubts = state.book.doubts().iter();
        doubts
            .map(|doubt| self.explained(&doubt.to_string()))
            .collect()
    }

    fn explained(&self, doubt: &str) -> String {
        let place = self.0.store.place(Kind::Kills);
        format!(
            "{place}: {doubt} until the file is mended, or `serin canary restore --all-unknown` says that none of them is killed"
        )
    }

    /// Logs what is not known.
    pub fn warn_of_doubts(&self) {
        for doubt in self.doubts() {
            tracing::error!("{doubt}");
        }
    }

    /// Reads the store again if it could not all be read. Returns whether all of it can be read by now: then it holds, and
    /// what was killed meanwhile stays killed.
    pub async fn reread(&self) -> bool {
        let _turn = self.0.writing.lock().await;
        if self.state().book.doubts().is_empty() {
            return false;
        }
        let Some(loaded) = self.0.store.reread(Kind::Kills).await else {
            return false;
        };
        let stored = Book::read(loaded);
        if !stored.doubts().is_empty() {
            return false;
        }
        self.state().change(|book| book.merge(stored));
        true
    }

    /// The kill of a flag in a service, if there is one.
    pub fn get(&self, service: &str, flag: &str) -> Option<Kill> {
        self.state().book.get(service, flag)
    }

    /// The kills of a service, by flag.
    pub fn of_service(&self, service: &str) -> Vec<(String, Kill)> {
        let state = self.state();
        let of_service = state.book.kills();
        of_service
            .filter(|((name, _), _)| name == service)
            .map(|((_, flag), kill)| (flag.clone(), kill.clone()))
            .collect()
    }

    /// The service and flag of every kill that `is_wanted`.
    pub fn names(&self, is_wanted: impl Fn(&str, &str) -> bool) -> Vec<(String, String)> {
        let state = self.state();
        let names = state.book.kills().map(|(name, _)| name);
        let wanted = names.filter(|(service, flag)| is_wanted(service, flag));
        wanted.cloned().collect()
    }

    /// What snapshots need to know.
    pub fn withdrawn(&self) -> Withdrawn {
        self.state().book.withdrawn()
    }

    /// Why the last orders could not be stored.
    pub fn unstored(&self) -> Option<String> {
        self.state().unstored.clone()
    }

    /// Stores the kills as they are now.
    ///
    /// # Errors
    /// When they cannot be stored. They hold all the same, until the gateway ends, and the next call stores them,
    /// too.
    pub async fn store(&self) -> Result<(), StoreError> {
        let _turn = self.0.writing.lock().await;
        let (writes, changes) = self.state().book.unsaved();
        let result = self.write(writes).await;
        let mut state = self.state();
        match &result {
            Ok(()) => {
                state.unstored = None;
                state.book.note_saved(changes);
            }
            Err(error) => {
                let trouble = Some(format!("kills and restores are not stored: {error}"));
                if state.unstored != trouble {
                    tracing::error!("kills and restores are not stored: {error}");
                }
                state.unstored = trouble;
            }
        }
        result
    }

    async fn write(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        // Removals may have to wait for what gateways share. Kills never do: they go first, by themselves.
        let is_removal = |write: &Write| matches!(write, Write::Remove { .. });
        let (removals, others) = match self.0.store.sharing() {
            Some(_) => writes.into_iter().partition(is_removal),
            None => (Vec::new(), writes),
        };
        for writes in [others, removals] {
            if !writes.is_empty() {
                self.0.store.write(Kind::Kills, writes).await?;
            }
        }
        Ok(())
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
    fn change<T>(&mut self, change: impl FnOnce(&mut Book) -> T) -> T {
        let done = change(&mut self.book);
        self.set_marks();
        done
    }

    fn set_marks(&self) {
        for (service, flag, mark) in self.marks.all() {
            mark.set(withdrawal(&self.book, &self.leases_over, service, flag));
        }
    }
}

/// Why a flag's canaries get no requests. A kill is named before the end of a registration.
fn withdrawal(
    book: &Book,
    leases_over: &BTreeSet<(String, String)>,
    service: &str,
    flag: &str,
) -> Option<Withdrawal> {
    let is_over = || {
        // Nearly always there are none.
        !leases_over.is_empty() && leases_over.contains(&(service.to_owned(), flag.to_owned()))
    };
    book.withdrawal(service, flag)
        .or_else(|| is_over().then_some(Withdrawal::LeaseOver))
}

#[cfg(test)]
mod tests;
