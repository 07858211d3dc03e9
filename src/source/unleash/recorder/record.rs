//! What is recorded of a canary.

use std::sync::Arc;

/// How much of what a pipeline says stands in a flag's description.
const MOST: usize = 500;

/// What a registration says of its canary, for people who look at its flag in Unleash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanaryRecord {
    /// The canary's name, and its flag's.
    pub flag: Arc<str>,
    /// The service that it is a canary of.
    pub service: Arc<str>,
    /// Where it is.
    pub url: Arc<str>,
    /// The branch that it was built from.
    pub branch: Option<Arc<str>>,
    /// The commit.
    pub commit: Option<Arc<str>>,
    /// The version.
    pub version: Option<Arc<str>>,
    /// Who answers for it.
    pub owner: Option<Arc<str>>,
    /// What it is.
    pub description: Option<Arc<str>>,
}

impl CanaryRecord {
    /// All of it, in one line.
    pub(super) fn in_words(&self) -> String {
        let facts = [
            ("", self.description.as_deref()),
            ("service ", Some(&*self.service)),
            ("branch ", self.branch.as_deref()),
            ("commit ", self.commit.as_deref()),
            ("version ", self.version.as_deref()),
            ("owner ", self.owner.as_deref()),
            ("URL ", Some(&*self.url)),
        ];
        let stated = facts.into_iter().filter_map(|(what, value)| {
            let words: Vec<&str> = value?.split_whitespace().collect();
            let value: String = words.join(" ").chars().take(MOST).collect();
            (!value.is_empty()).then(|| format!("{what}{value}"))
        });
        stated.collect::<Vec<_>>().join(", ")
    }
}
