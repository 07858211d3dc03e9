//! Who may not be a canary: the kills of this gateway, in memory and in `state_dir`.

mod file;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::canary::Withdrawal;
use crate::context::Moment;
use crate::snapshot::withdrawn::Withdrawn;
use file::KillFile;

/// Every kill; clones are the same registry. Kills are by service and flag, so that all variants of a flag go at once,
/// and a kill may come before its flag does.
#[derive(Clone, Debug)]
pub struct Registry(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    kills: Mutex<Kills>,
    /// `None`: nothing is stored.
    file: Option<KillFile>,
    /// What is wrong with what is stored, for people.
    trouble: Mutex<Option<String>>,
    /// Held while the file is written: the last to write has the last word.
    writing: tokio::sync::Mutex<()>,
}

/// By service and flag.
type Kills = BTreeMap<(String, String), Kill>;

/// That and by whom a canary was killed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kill {
    /// When.
    pub at: Moment,
    /// The address that the order came from.
    pub by: String,
}

impl Registry {
    /// With the kills that are stored in `state_dir`. A file that cannot be read is set aside and reported: the gateway
    /// starts all the same.
    pub fn open(state_dir: &Path) -> Self {
        let file = KillFile::new(state_dir);
        let (kills, trouble) = match file.read() {
            Ok(kills) => (kills, None),
            Err(trouble) => {
                tracing::error!("{trouble}");
                (Kills::new(), Some(trouble))
            }
        };
        for ((service, flag), kill) in &kills {
            tracing::warn!(
                service,
                canary = flag,
                by = kill.by,
                "this canary is killed"
            );
        }
        Self::with(kills, Some(file), trouble)
    }

    /// Without any kills, and forgotten at the end.
    pub fn in_memory() -> Self {
        Self::with(Kills::new(), None, None)
    }

    fn with(kills: Kills, file: Option<KillFile>, trouble: Option<String>) -> Self {
        Self(Arc::new(Inner {
            kills: Mutex::new(kills),
            file,
            trouble: Mutex::new(trouble),
            writing: tokio::sync::Mutex::default(),
        }))
    }

    /// Kills a flag's canaries. The kill that holds, and whether it is this one: an earlier one stays.
    pub fn kill(&self, service: &str, flag: &str, kill: Kill) -> (Kill, bool) {
        let mut kills = self.kills();
        let mut is_new = false;
        let held = kills
            .entry((service.to_owned(), flag.to_owned()))
            .or_insert_with(|| {
                is_new = true;
                kill
            });
        (held.clone(), is_new)
    }

    /// Takes a kill back. The kill that was.
    pub fn restore(&self, service: &str, flag: &str) -> Option<Kill> {
        self.kills().remove(&(service.to_owned(), flag.to_owned()))
    }

    /// The kills of a service, by flag.
    pub fn of_service(&self, service: &str) -> Vec<(String, Kill)> {
        let kills = self.kills();
        let of_service = kills.iter().filter(|((name, _), _)| name == service);
        of_service
            .map(|((_, flag), kill)| (flag.clone(), kill.clone()))
            .collect()
    }

    /// What snapshots need to know.
    pub fn withdrawn(&self) -> Withdrawn {
        let mut withdrawn = Withdrawn::default();
        for (service, flag) in self.kills().keys() {
            withdrawn.insert(service, flag, Withdrawal::Killed);
        }
        withdrawn
    }

    /// What is wrong with what is stored.
    pub fn trouble(&self) -> Option<String> {
        self.trouble_cell().clone()
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
        let kills = self.kills().clone();
        let written = tokio::task::spawn_blocking(move || file.write(&kills)).await;
        let result = written.unwrap_or_else(|panic| Err(io::Error::other(panic)));
        *self.trouble_cell() = match &result {
            Ok(()) => None,
            Err(error) => {
                let trouble = format!("kills and restores are not stored: {error}");
                tracing::error!("{trouble}");
                Some(trouble)
            }
        };
        result
    }

    fn kills(&self) -> MutexGuard<'_, Kills> {
        self.0.kills.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn trouble_cell(&self) -> MutexGuard<'_, Option<String>> {
        self.0
            .trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
