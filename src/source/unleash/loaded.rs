//! What is stored, read before the first snapshot is made.

use std::sync::Arc;

use super::stored::{self, Found, ReadError, Stored};
use crate::config::Config;
use crate::engine::source::SourceSet;
use crate::engine::unleash::FeatureSet;

/// What was stored of one source.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// The newest that can be believed.
    pub(super) stored: Option<Arc<Stored>>,
    /// What is wrong with what is newer.
    pub(super) error: Option<ReadError>,
}

impl From<Found> for Read {
    fn from(found: Found) -> Self {
        Self {
            stored: found.stored.map(Arc::new),
            error: found.error,
        }
    }
}

/// What was stored of the configuration's sources, before any of them is asked.
#[derive(Debug, Default)]
pub struct Loaded(Vec<(Arc<str>, Read)>);

impl Loaded {
    /// Reads what is stored of a configuration's sources.
    pub fn read(config: &Config) -> Self {
        let names = config.unleash.iter().map(|server| server.name.clone());
        Self(
            names
                .map(|name| {
                    let found = stored::read(&config.process.state_dir, &name);
                    (name, found.into())
                })
                .collect(),
        )
    }

    /// The flags, for the first snapshot.
    pub fn sets(&self) -> Vec<(Arc<str>, SourceSet)> {
        let known = self.0.iter().filter_map(|(name, read)| {
            let stored = read.stored.as_ref()?;
            Some((name.clone(), FeatureSet::clone(&stored.set).into()))
        });
        known.collect()
    }

    /// Hands over what was stored of one source.
    pub(super) fn take(&mut self, name: &str) -> Option<Read> {
        let index = self.0.iter().position(|(other, _)| **other == *name)?;
        Some(self.0.swap_remove(index).1)
    }
}
