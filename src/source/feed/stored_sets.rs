//! The stored flags of every source, read before the first snapshot is made.

use std::sync::Arc;
use std::time::Duration;

use super::stored::{self, StoredCopy, StoredSet};
use crate::config::Config;
use crate::config::source::SourceConfig;
use crate::engine::source::SourceSet;
use crate::state::SharedTexts;

/// How long a start may wait for what Redis has.
const PATIENCE: Duration = Duration::from_secs(2);

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

    /// With what stands in Redis, where that is of the same server and newer, or nothing is on the disk.
    pub async fn or_shared(mut self, config: &Config, texts: &SharedTexts) -> Self {
        let names: Vec<&str> = self.0.iter().map(|(name, _)| &**name).collect();
        let found = texts.read(&names, PATIENCE).await;
        let copies = self.0.iter_mut().map(|(_, copy)| copy);
        for ((source, copy), text) in config.sources().zip(copies).zip(found) {
            choose(&source, copy, text.as_deref());
        }
        self
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

/// What is stored of one source, or what stands of it in Redis, as with [`StoredSets::or_shared`].
pub(in crate::source) async fn or_shared(
    mut copy: StoredCopy,
    source: &SourceConfig,
    texts: &SharedTexts,
) -> StoredCopy {
    let found = texts.read(&[source.name()], PATIENCE).await;
    choose(
        source,
        &mut copy,
        found.into_iter().flatten().next().as_deref(),
    );
    copy
}

fn choose(source: &SourceConfig, copy: &mut StoredCopy, text: Option<&str>) {
    let Some(text) = text else { return };
    let shared = match stored::decode(text.as_bytes(), source.name(), source.kind()) {
        Ok(shared) => shared,
        Err(why) => {
            let source = source.name();
            tracing::warn!(%source, "what Redis has of these flags is not used: {why}");
            return;
        }
    };
    let is_newer = |own: &Arc<StoredSet>| shared.is_newer_than(own);
    if *shared.url == *source.url().as_str() && copy.set.as_ref().is_none_or(is_newer) {
        copy.set = Some(Arc::new(shared));
        copy.is_on_disk = false;
    }
}
