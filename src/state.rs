//! The one store of what people and pipelines have told Serin: kills, registrations, flags, segments. Each kind is a file in
//! `state_dir`, written by one thread, whole, checksummed and forced to the disk before anybody is told that it is stored.

mod document;
mod error;
mod files;
mod first_kills;
mod held;
mod kind;
pub mod metrics;
mod rendered;
mod renewal;
mod shared;
mod table;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::Value;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::audit::Audit;
use crate::audit::entry::{ALL_GATEWAYS, PENDING, THIS_GATEWAY};
use crate::clock;
use crate::config::redis::RedisConfig;
use crate::custody::Custody;
pub use error::StoreError;
use files::Files;
use held::Held;
pub use held::{Damage, Loaded};
pub use kind::Kind;
use shared::{Local, Shared};
pub use shared::{SharedText, SharedTexts, SharedTrail, Sharing, TextFailure};
pub use table::{Expected, Notes, Records, Table, Write};

/// The store; clones are the same one.
#[derive(Clone, Debug)]
pub struct StateStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// What is held here, in memory and in the files.
    local: Local,
    /// What is shared with other gateways, once it is.
    shared: OnceLock<Shared>,
}

/// How a place that things are stored in does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// `state`: the files of this gateway; `redis`: what all gateways share.
    pub store: &'static str,
    /// Where it is, if that is another server.
    pub place: Option<String>,
    /// How long ago it was last read as a whole, if others write there, too.
    pub age: Option<Duration>,
    /// Why it cannot be reached, or why the last write of something failed; `None`: all is well.
    pub trouble: Option<String>,
}

/// Where a write has come to stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// `state`: a file of this gateway's; `redis`: what all gateways share. Empty where nothing outlives the process.
    pub recorded_in: &'static [&'static str],
    /// Whether other gateways will learn of it only when what they share can be reached again.
    pub is_pending: bool,
}

impl Stored {
    /// Where it holds, in words.
    pub fn scope(&self) -> &'static str {
        match (self.is_pending, self.recorded_in.contains(&"redis")) {
            (true, _) => PENDING,
            (false, true) => ALL_GATEWAYS,
            (false, false) => THIS_GATEWAY,
        }
    }

    const NOWHERE: Self = Self::in_places(&[]);
    const HERE: Self = Self::in_places(&["state"]);
    const ELSEWHERE: Self = Self::in_places(&["redis"]);
    const EVERYWHERE: Self = Self::in_places(&["state", "redis"]);

    const fn in_places(recorded_in: &'static [&'static str]) -> Self {
        Self {
            recorded_in,
            is_pending: false,
        }
    }
}

impl StateStore {
    /// With what is stored in `state_dir`. What cannot be read of it is logged, and kept beside the file when that is next
    /// written.
    pub fn open(state_dir: &Path) -> Self {
        Self::open_under(state_dir, Custody::default())
    }

    /// The same; what is to be written waits until `custody` is here.
    pub fn open_under(state_dir: &Path, custody: Custody) -> Self {
        let held = Held::default();
        let files = Files::open(state_dir, &held, custody);
        Self::with(held, Some(files))
    }

    /// Without anything, and forgotten at the end.
    pub fn in_memory() -> Self {
        Self::with(Held::default(), None)
    }

    fn with(held: Held, files: Option<Files>) -> Self {
        Self(Arc::new(Inner {
            local: Local {
                held,
                files: files.map(Arc::new),
                told: Arc::default(),
            },
            shared: OnceLock::new(),
        }))
    }

    /// Shares everything with the other gateways that have the same `redis`, from now on. Once is enough.
    pub fn share(&self, config: RedisConfig, control: &Handle) {
        let local = self.0.local.clone();
        self.0
            .shared
            .get_or_init(|| Shared::start(config, local, control));
    }

    /// Waits, for a moment, until what gateways share was read, or could not be.
    pub async fn first_contact(&self) {
        if let Some(shared) = self.0.shared.get() {
            shared.first_contact().await;
        }
    }

    /// How what gateways share is doing; `None`: this one has its state for itself.
    pub fn sharing(&self) -> Option<Sharing> {
        self.0.shared.get().map(Shared::sharing)
    }

    /// The large texts that gateways share.
    pub fn shared_texts(&self) -> Option<SharedTexts> {
        self.0.shared.get().map(Shared::texts)
    }

    /// The audit trails of all gateways.
    pub fn shared_trail(&self) -> Option<SharedTrail> {
        self.0.shared.get().map(Shared::trail)
    }

    /// Has the other gateways see this one's audit trail, where there are others.
    pub fn share_trail(&self, audit: &Audit, control: &Handle) {
        if let Some(trail) = self.shared_trail() {
            trail.start(audit, control);
        }
    }

    /// How it is doing, to wait for changes of that.
    pub fn watch_sharing(&self) -> Option<watch::Receiver<Sharing>> {
        self.0.shared.get().map(Shared::watch)
    }

    /// How far the calendar that times are written by is ahead of this process's clock: Redis' where gateways share one, once
    /// it was heard; else this machine's.
    pub fn drift_ms(&self) -> i64 {
        let ahead = self.0.shared.get().and_then(Shared::ahead_ms);
        ahead.unwrap_or_else(clock::drift_ms)
    }

    /// Whether this process's clock goes by the calendar that times are written by: not before it has heard of the one that
    /// gateways share.
    pub fn knows_time(&self) -> bool {
        self.0.shared.get().is_none_or(Shared::knows_time)
    }

    /// By how much the clock was moved when it was first heard what time gateways share, for the first who asks after that.
    pub fn take_correction_ms(&self) -> Option<i64> {
        self.0.shared.get()?.take_correction_ms()
    }

    /// Everything of a kind, and what could not be read of its file.
    pub fn read(&self, kind: Kind) -> Loaded {
        self.0.local.held.with(kind, |loaded| loaded.clone())
    }

    /// The records of a kind.
    pub fn records(&self, kind: Kind) -> Records {
        let held = &self.0.local.held;
        held.with(kind, |loaded| loaded.table.records.clone())
    }

    /// One record of a kind.
    pub fn record(&self, kind: Kind, key: &str) -> Option<Value> {
        let held = &self.0.local.held;
        held.with(kind, |loaded| loaded.table.records.get(key).cloned())
    }

    /// Looks at every record of a kind without a copy of it. Meanwhile nobody else reads or changes any.
    pub fn each(&self, kind: Kind, mut look: impl FnMut(&str, &Value)) {
        let held = &self.0.local.held;
        held.with(kind, |loaded| {
            let records = &loaded.table.records;
            records.iter().for_each(|(key, record)| look(key, record));
        });
    }

    /// Which records of a kind others have changed since this was last called; `None`: it may be any. It is for one reader,
    /// which looks at [`Self::record`] then.
    pub fn take_changed(&self, kind: Kind) -> Option<BTreeSet<String>> {
        self.0.local.held.take_changed(kind)
    }

    /// Carries out all of `writes`, in their order, or none of them. When this returns, a restart changes nothing about it.
    /// Writes that wait at the same time are one write of the file, and one that only renews leases waits for others when the
    /// file is large. What has begun is carried through, even if the
    /// caller goes away.
    ///
    /// # Errors
    /// [`StoreError::Changed`] when a record is not what its write expects; the others when it could not be stored. Nothing
    /// has changed then, but after [`StoreError::Unreachable`] it may yet: Redis may have heard of it before it was lost.
    pub async fn write(&self, kind: Kind, mut writes: Vec<Write>) -> Result<Stored, StoreError> {
        if let Some(shared) = self.0.shared.get() {
            return shared.write(kind, writes).await;
        }
        let Local { held, files, .. } = &self.0.local;
        writes.extend(held.with(kind, |loaded| shared::unshared(&loaded.table)));
        let Some(files) = files else {
            held.with(kind, |loaded| loaded.table.apply(writes))?;
            return Ok(Stored::NOWHERE);
        };
        files.write(kind, writes).await?;
        Ok(Stored::HERE)
    }

    /// Reads a damaged file again, in case a person has mended it. If all of it can be read by now, it holds, and is
    /// returned. A missing file does not count as mended: editors move files away for a moment.
    pub async fn reread(&self, kind: Kind) -> Option<Loaded> {
        let loaded = self.0.local.files.as_ref()?.reread(kind).await?;
        if let Some(shared) = self.0.shared.get() {
            shared.note_reread(kind).await;
        }
        Some(loaded)
    }

    /// Reads all files again that another process has written until now, whose place this one is about to take. Nothing is read
    /// where gateways share their state and have read that: it is never older than the files.
    pub async fn reread_all(&self) {
        if self
            .sharing()
            .is_some_and(|sharing| sharing.read_at.is_some())
        {
            return;
        }
        for kind in Kind::ALL {
            // One that is not there, or not whole, was told when it was opened.
            self.reread(kind).await;
        }
    }

    /// Tells of changes to a kind that are not this gateway's own: whenever the number is another, read again with
    /// [`Self::records`].
    pub fn subscribe(&self, kind: Kind) -> watch::Receiver<u64> {
        let mut told = self.0.local.told.get(kind).subscribe();
        // What was shared before may have been read by nobody yet.
        if self.0.shared.get().is_some() {
            told.mark_changed();
        }
        told
    }

    /// How the places do that things are stored in: none where everything is forgotten at the end.
    pub fn standings(&self) -> Vec<Standing> {
        let Local { held, files, .. } = &self.0.local;
        let trouble = |kind: Kind| Some(format!("{}: {}", kind.name(), held.trouble(kind)?));
        let own = files.as_ref().map(|_| Standing {
            store: "state",
            place: None,
            age: None,
            trouble: Kind::ALL.into_iter().find_map(trouble),
        });
        let shared = self.sharing().map(|sharing| Standing {
            store: "redis",
            age: Some(sharing.age()),
            trouble: sharing.trouble(),
            place: Some(sharing.place),
        });
        own.into_iter().chain(shared).collect()
    }

    /// How often each kind's file was written; none where there are no files.
    fn writes(&self) -> impl Iterator<Item = (Kind, u64)> + '_ {
        let Local { held, files, .. } = &self.0.local;
        let kinds = Kind::ALL.into_iter().filter(|_| files.is_some());
        kinds.map(|kind| (kind, held.writes(kind).get()))
    }

    /// Where records stand that others can see: as [`Stored::recorded_in`].
    pub fn recorded_in(&self) -> &'static [&'static str] {
        let stored = match (&self.0.local.files, self.sharing()) {
            (Some(_), Some(_)) => Stored::EVERYWHERE,
            (None, Some(_)) => Stored::ELSEWHERE,
            (Some(_), None) => Stored::HERE,
            (None, None) => Stored::NOWHERE,
        };
        stored.recorded_in
    }

    /// What people know a kind's place by.
    pub fn place(&self, kind: Kind) -> String {
        match &self.0.local.files {
            Some(files) => files.path(kind).display().to_string(),
            None => kind.name().to_owned(),
        }
    }

    /// What could not be read of a kind's file, for people. It is told until the file is read whole.
    pub fn damage(&self, kind: Kind) -> Vec<String> {
        let place = self.place(kind);
        let told = |damage: &Damage| format!("{place}: {}", damage.why);
        let held = &self.0.local.held;
        held.with(kind, |loaded| loaded.damage.iter().map(told).collect())
    }
}

#[cfg(test)]
mod tests;
