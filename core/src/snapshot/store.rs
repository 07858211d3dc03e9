//! The one cell that the current snapshot is in.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use super::Snapshot;

/// The current snapshot. Everybody may load it; only the publisher swaps it.
#[derive(Debug)]
pub struct SnapshotStore(ArcSwap<Snapshot>);

impl SnapshotStore {
    /// A cell with a first snapshot in it.
    pub fn new(first: Arc<Snapshot>) -> Self {
        Self(ArcSwap::new(first))
    }

    /// The current snapshot, for a look.
    pub fn peek(&self) -> Guard<Arc<Snapshot>> {
        self.0.load()
    }

    /// The current snapshot, to keep: a request loads it once and holds it to its end.
    pub fn load(&self) -> Arc<Snapshot> {
        self.0.load_full()
    }

    /// Puts the next snapshot in place of the current one. For the publisher alone: one cell, one writer.
    pub fn swap(&self, next: Arc<Snapshot>) {
        self.0.store(next);
    }
}
