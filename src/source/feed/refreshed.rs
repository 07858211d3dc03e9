//! What comes of asking a server at a person's or a webhook's request.

use std::sync::Arc;

use super::flag_server::FetchError;
use crate::engine::source::SourceSet;

/// What a fetch brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refreshed {
    /// The generation that holds it.
    pub generation: u64,
    /// Whether anything that decides has changed.
    pub is_new: bool,
    /// The server's number for it.
    pub revision: Option<u64>,
    /// Flags that were not there before.
    pub added: Vec<Arc<str>>,
    /// Flags that are others now.
    pub changed: Vec<Arc<str>>,
    /// Flags that are gone.
    pub removed: Vec<Arc<str>>,
    /// Flags that the server lacks and that are kept for a while.
    pub held: Vec<Arc<str>>,
}

/// Why a source was not refreshed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefreshError {
    /// There is no flag server of this name.
    #[error("there is no flag server called {0}")]
    Unknown(String),
    /// It was asked in vain; what was last good stays.
    #[error("{0}")]
    Failed(String),
    /// The process ends, or the configuration has just taken the source out.
    #[error("the source is not followed any more")]
    Stopped,
}

impl From<FetchError> for RefreshError {
    fn from(error: FetchError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl Refreshed {
    /// How `now` differs from `before`.
    pub(in crate::source) fn between(before: &SourceSet, now: &SourceSet) -> Self {
        let mut refreshed = Self {
            revision: now.revision(),
            ..Self::default()
        };
        for name in now.names() {
            match before.text(name) {
                None => refreshed.added.push(name.clone()),
                text if text != now.text(name) => refreshed.changed.push(name.clone()),
                Some(_) => {}
            }
        }
        let gone = before.names().filter(|name| !now.contains(name));
        refreshed.removed = gone.cloned().collect();
        refreshed
    }
}

#[cfg(test)]
mod tests {
    use super::Refreshed;
    use crate::engine::source::{SourceKind, SourceSet};

    fn set(flags: &[(&str, bool)]) -> SourceSet {
        let flags: Vec<String> = flags
            .iter()
            .map(|(name, on)| format!(r#"{{"name":"{name}","enabled":{on}}}"#))
            .collect();
        let answer = format!(r#"{{"features":[{}]}}"#, flags.join(","));
        SourceSet::parse(SourceKind::Unleash, answer.as_bytes()).expect("an answer")
    }

    #[test]
    fn every_flag_that_is_another_is_named() {
        let before = set(&[("a", true), ("b", true), ("c", true)]);
        let now = set(&[("b", false), ("c", true), ("d", true)]);
        let refreshed = Refreshed::between(&before, &now);
        let names = [&refreshed.added, &refreshed.changed, &refreshed.removed];
        let names = names.map(|names| names.iter().map(|name| &**name).collect::<Vec<_>>());
        assert_eq!(names, [["d"], ["b"], ["a"]]);
    }
}
