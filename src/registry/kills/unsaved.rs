//! What has changed since it was last stored.

use std::collections::BTreeMap;

use super::kill::Name;

/// What the store does not have yet, each with the number of its last change: what changes while it is being stored is
/// stored again.
#[derive(Clone, Debug, Default)]
pub(super) struct Unsaved {
    changes: u64,
    kills: BTreeMap<Name, u64>,
    notes: Option<u64>,
}

impl Unsaved {
    /// A kill was made or taken back.
    pub(super) fn note_kill(&mut self, name: Name) {
        self.changes += 1;
        self.kills.insert(name, self.changes);
    }

    /// The store has what there is to know of a name.
    pub(super) fn forget_kill(&mut self, name: &Name) {
        self.kills.remove(name);
    }

    pub(super) fn has_kill(&self, name: &Name) -> bool {
        self.kills.contains_key(name)
    }

    /// What is not known has changed, or what an operator has said about it.
    pub(super) fn note_doubts(&mut self) {
        self.changes += 1;
        self.notes = Some(self.changes);
    }

    pub(super) fn kills(&self) -> impl Iterator<Item = &Name> {
        self.kills.keys()
    }

    pub(super) fn has_doubts(&self) -> bool {
        self.notes.is_some()
    }

    /// How many changes there have been.
    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    /// Forgets what the store has: all up to the change of that number.
    pub(super) fn forget(&mut self, stored: u64) {
        self.kills.retain(|_, change| *change > stored);
        self.notes = self.notes.filter(|change| *change > stored);
    }
}
