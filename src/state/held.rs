//! What is stored, as readers see it.

use std::sync::{Arc, Mutex, PoisonError};

use super::kind::{Kind, PerKind};
use super::table::Table;

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
pub(super) struct Held(Arc<Mutex<PerKind<Loaded>>>);

impl Held {
    /// Looks at a kind, or changes it.
    pub(super) fn with<T>(&self, kind: Kind, look: impl FnOnce(&mut Loaded) -> T) -> T {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        look(held.get_mut(kind))
    }
}
