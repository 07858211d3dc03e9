//! The stored flags of every source, read before the first snapshot is made.

use std::sync::Arc;

use super::stored::{self, StoredCopy};
use crate::config::Config;
use crate::engine::source::SourceSet;

/// What is stored of a configuration's sources, before any of them is asked.
#[derive(Debug, Default)]
pub struct StoredSets(Vec<(Arc<str>, StoredCopy)>);

impl StoredSets {
    /// Reads what is stored of a configuration's sources.
    pub fn read(config: &Config) -> Self {
        let copies = config.sources().map(|source| {
            let copy = stored::read(&config.process.state_dir, source.name(), source.kind());
            (source.name().clone(), copy)
        });
        Self(copies.collect())
    }

    /// The flags, for the first snapshot.
    pub fn sets(&self) -> Vec<(Arc<str>, SourceSet)> {
        let known = self.0.iter().filter_map(|(name, copy)| {
            let stored = copy.set.as_ref()?;
            Some((name.clone(), SourceSet::clone(&stored.set)))
        });
        known.collect()
    }

    /// Hands over what is stored of one source.
    pub(in crate::source) fn take(&mut self, name: &str) -> Option<StoredCopy> {
        let index = self.0.iter().position(|(other, _)| **other == *name)?;
        Some(self.0.swap_remove(index).1)
    }
}
