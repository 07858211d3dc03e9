//! The one store of what people and pipelines have told Serin: kills, registrations, flags, segments. Each kind is a file in
//! `state_dir`, written by one thread, whole, checksummed and forced to the disk before anybody is told that it is stored.

mod document;
mod error;
mod files;
mod first_kills;
mod held;
mod kind;
pub mod metrics;
mod table;

use std::path::Path;
use std::sync::Arc;

use tokio::sync::watch;

pub use error::StoreError;
use files::Files;
use held::Held;
pub use held::{Damage, Loaded};
pub use kind::Kind;
use kind::PerKind;
pub use table::{Expected, Notes, Records, Table, Write};

/// The store; clones are the same one.
#[derive(Clone, Debug)]
pub struct StateStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    held: Held,
    /// `None`: what is written is forgotten at the end.
    files: Option<Files>,
    /// Counts what others have changed.
    told: PerKind<watch::Sender<u64>>,
}

/// How a place that things are stored in does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// `state`: the files of this gateway.
    pub store: &'static str,
    /// Why the last write of something failed; `None`: none did.
    pub trouble: Option<String>,
}

/// Where a write has come to stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// `state`: a file of this gateway's. Empty where nothing outlives the process.
    pub recorded_in: &'static [&'static str],
}

impl StateStore {
    /// With what is stored in `state_dir`. What cannot be read of it is logged, and kept beside the file when that is next
    /// written.
    pub fn open(state_dir: &Path) -> Self {
        let held = Held::default();
        let files = Files::open(state_dir, &held);
        Self::with(held, Some(files))
    }

    /// Without anything, and forgotten at the end.
    pub fn in_memory() -> Self {
        Self::with(Held::default(), None)
    }

    fn with(held: Held, files: Option<Files>) -> Self {
        Self(Arc::new(Inner {
            held,
            files,
            told: PerKind::default(),
        }))
    }

    /// Everything of a kind, and what could not be read of its file.
    pub fn read(&self, kind: Kind) -> Loaded {
        self.0.held.with(kind, |loaded| loaded.clone())
    }

    /// The records of a kind.
    pub fn records(&self, kind: Kind) -> Records {
        let held = &self.0.held;
        held.with(kind, |loaded| loaded.table.records.clone())
    }

    /// Carries out all of `writes`, in their order, or none of them. When this returns, a restart changes nothing about it.
    /// Writes that wait at the same time are one write of the file. What has begun is carried through, even if the
    /// caller goes away.
    ///
    /// # Errors
    /// [`StoreError::Changed`] when a record is not what its write expects; the others when it could not be stored. Nothing
    /// has changed then.
    pub async fn write(&self, kind: Kind, writes: Vec<Write>) -> Result<Stored, StoreError> {
        if let Some(files) = &self.0.files {
            files.write(kind, writes).await?;
            Ok(Stored {
                recorded_in: &["state"],
            })
        } else {
            let held = &self.0.held;
            held.with(kind, |loaded| loaded.table.apply(writes))?;
            Ok(Stored { recorded_in: &[] })
        }
    }

    /// Reads a damaged file again, in case a person has mended it. If all of it can be read by now, it holds, and is
    /// returned. A missing file does not count as mended: editors move files away for a moment.
    pub async fn reread(&self, kind: Kind) -> Option<Loaded> {
        self.0.files.as_ref()?.reread(kind).await
    }

    /// Tells of changes to a kind that are not this gateway's own: whenever the number is another, read again with
    /// [`Self::records`].
    pub fn subscribe(&self, kind: Kind) -> watch::Receiver<u64> {
        self.0.told.get(kind).subscribe()
    }

    /// How the places do that things are stored in: none where everything is forgotten at the end.
    pub fn standings(&self) -> Vec<Standing> {
        let standing = |_: &Files| {
            let trouble = |kind| {
                let trouble = self.0.held.trouble(kind)?;
                Some(format!("{}: {trouble}", kind.name()))
            };
            Standing {
                store: "state",
                trouble: Kind::ALL.into_iter().find_map(trouble),
            }
        };
        self.0.files.iter().map(standing).collect()
    }

    /// What people know a kind's place by.
    pub fn place(&self, kind: Kind) -> String {
        match &self.0.files {
            Some(files) => files.path(kind).display().to_string(),
            None => kind.name().to_owned(),
        }
    }

    /// What could not be read of a kind's file, for people. It is told until the file is read whole.
    pub fn damage(&self, kind: Kind) -> Vec<String> {
        let place = self.place(kind);
        let told = |damage: &Damage| format!("{place}: {}", damage.why);
        let held = &self.0.held;
        held.with(kind, |loaded| loaded.damage.iter().map(told).collect())
    }
}

#[cfg(test)]
mod tests;
