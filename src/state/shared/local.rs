//! This gateway's own copy of what is shared: in memory, where readers look, and in its files.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::{oneshot, watch};

use super::{Files, Held, Stored};
use crate::state::error::StoreError;
use crate::state::files::Answer;
use crate::state::held::Loaded;
use crate::state::kind::{Kind, PerKind};
use crate::state::renewal::is_renewal;
use crate::state::table::{Expected, Table, Write};

/// Counts what others have changed.
pub(in crate::state) type Told = Arc<PerKind<watch::Sender<u64>>>;

/// The copy; clones are the same.
#[derive(Clone, Debug)]
pub(in crate::state) struct Local {
    pub(in crate::state) held: Held,
    /// `None`: it is in memory alone.
    pub(in crate::state) files: Option<Arc<Files>>,
    pub(in crate::state) told: Told,
}

/// Comes when the copy is on the disk, or cannot be.
pub(super) type Durable = oneshot::Receiver<Result<(), StoreError>>;

type Changed = [(String, Option<Value>)];

impl Local {
    /// What is held of a kind.
    pub(super) fn table(&self, kind: Kind) -> Table {
        self.held.with(kind, |loaded| loaded.table.clone())
    }

    /// Takes over what was ordered here, at once for readers, and then for the disk; with it what this gateway notes for itself.
    pub(super) fn carry_out(&self, kind: Kind, changed: &Changed, notes: Vec<Write>) -> Durable {
        let (answer, durable) = oneshot::channel();
        self.take(kind, changed, notes, Some(answer));
        durable
    }

    /// Takes over what others have changed, in the same way.
    pub(super) fn adopt(&self, kind: Kind, changed: &Changed, notes: Vec<Write>) {
        self.take(kind, changed, notes, None);
        self.held
            .note_changed(kind, changed.iter().map(|(key, _)| key));
        let told = self.told.get(kind);
        told.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Whether `writes` only renew leases that are here.
    pub(super) fn is_renewal(&self, kind: Kind, writes: &[Write]) -> bool {
        let is = |loaded: &mut Loaded| is_renewal(kind, &loaded.table, writes);
        self.held.with(kind, is)
    }

    /// Where a record stands that is in Redis, and in the file unless that could not be written the last time.
    pub(super) fn stored_with_redis(&self, kind: Kind) -> Stored {
        match (&self.files, self.held.trouble(kind)) {
            (Some(_), None) => Stored::EVERYWHERE,
            _ => Stored::ELSEWHERE,
        }
    }

    fn take(&self, kind: Kind, changed: &Changed, notes: Vec<Write>, answer: Option<Answer>) {
        let mut writes: Vec<Write> = changed.iter().map(write).collect();
        writes.extend(notes);
        self.held
            .with(kind, |loaded| loaded.table.carry_out(writes.clone()));
        match (&self.files, answer) {
            (Some(files), answer) => files.follow(kind, writes, answer),
            // Nothing is to be done; the other end may be gone already.
            (None, Some(answer)) => drop(answer.send(Ok(()))),
            (None, None) => {}
        }
    }

    /// Has the files written that lack something, since they could not be written before.
    pub(super) fn catch_up(&self) {
        for kind in Kind::ALL {
            self.take(kind, &[], Vec::new(), None);
        }
    }
}

fn write((key, record): &(String, Option<Value>)) -> Write {
    let (key, expected) = (key.clone(), Expected::Any);
    match record.clone() {
        Some(value) => Write::Put {
            key,
            value,
            expected,
        },
        None => Write::Remove { key, expected },
    }
}
