//! What is stored, as readers see it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use super::kind::{Kind, PerKind};
use super::table::Table;
use crate::meter::Counter;

/// Everything of a kind, and what could not be read of its file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Loaded {
    /// What is well-formed, whatever stands beside it.
    pub table: Table,
    /// What could not be read.
    pub damage: Vec<Damage>,
}

/// A gap in what could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The service that it is about; `None`: it may be any.
    pub service: Option<String>,
    /// What could not be read.
    pub why: String,
}

/// What is stored, of each kind; clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Held(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    loaded: Mutex<PerKind<Loaded>>,
    /// Why the last write of a kind failed; `None`: it did not.
    troubles: Mutex<PerKind<Option<String>>>,
    /// How often a kind's file was written.
    writes: PerKind<Counter>,
    /// Which records others have changed that the reader of a kind has not looked at; `None`: it must look at all of them.
    changed: Mutex<PerKind<Option<BTreeSet<String>>>>,
}

impl Held {
    /// Looks at a kind, or changes it.
    pub(super) fn with<T>(&self, kind: Kind, look: impl FnOnce(&mut Loaded) -> T) -> T {
        let loaded = self.0.loaded.lock();
        let mut loaded = loaded.unwrap_or_else(PoisonError::into_inner);
        look(loaded.get_mut(kind))
    }

    /// Notes which records others have changed. Where nobody asks for them, nothing is kept.
    pub(super) fn note_changed<'a>(&self, kind: Kind, keys: impl Iterator<Item = &'a String>) {
        let changed = self.0.changed.lock();
        let mut changed = changed.unwrap_or_else(PoisonError::into_inner);
        if let Some(changed) = changed.get_mut(kind) {
            changed.extend(keys.cloned());
        }
    }

    /// Notes that any record may be another.
    pub(super) fn note_all_changed(&self, kind: Kind) {
        let changed = self.0.changed.lock();
        *changed
            .unwrap_or_else(PoisonError::into_inner)
            .get_mut(kind) = None;
    }

    /// Which records others have changed since this was last called; `None`: it may be any. A kind has one reader that asks.
    pub(super) fn take_changed(&self, kind: Kind) -> Option<BTreeSet<String>> {
        let changed = self.0.changed.lock();
        let mut changed = changed.unwrap_or_else(PoisonError::into_inner);
        changed.get_mut(kind).replace(BTreeSet::new())
    }

    /// Notes how the last write of a kind went.
    pub(super) fn note_trouble(&self, kind: Kind, trouble: Option<String>) {
        let troubles = self.0.troubles.lock();
        let mut troubles = troubles.unwrap_or_else(PoisonError::into_inner);
        *troubles.get_mut(kind) = trouble;
    }

    /// How often a kind's file was written.
    pub(super) fn writes(&self, kind: Kind) -> &Counter {
        self.0.writes.get(kind)
    }

    /// Why the last write of a kind failed; `None`: it did not.
    pub(super) fn trouble(&self, kind: Kind) -> Option<String> {
        let troubles = self.0.troubles.lock();
        let troubles = troubles.unwrap_or_else(PoisonError::into_inner);
        troubles.get(kind).clone()
    }
}
