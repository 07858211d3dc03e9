//! The removal guard: a server that has lost its memory takes no canaries away by answering without them.
//!
//! Flags that a full answer lacks are kept if they are more than half of all and at least ten, or if the answer is
//! empty. They go when the server has gone on lacking just these for `removal_guard`, or when a person accepts it. What is
//! in an answer takes effect at once, and so does the removal of a flag by name.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::engine::source::SourceSet;

/// Fewer flags than these are removed at once, unless they are all.
const LEAST: usize = 10;

/// What one server said, and what is in force of it. Clones are cheap.
#[derive(Clone, Debug)]
pub(in crate::source) struct RemovalGuard {
    /// What the server says; `None` as long as it has said nothing.
    answer: Option<Arc<SourceSet>>,
    /// The same, with what is held.
    in_force: Arc<SourceSet>,
    held: BTreeSet<Arc<str>>,
    /// Since when the server lacks just these.
    since: Option<Instant>,
}

impl RemovalGuard {
    /// With the flags that were known before the server is asked.
    pub(in crate::source) fn new(in_force: Arc<SourceSet>) -> Self {
        Self {
            answer: None,
            in_force,
            held: BTreeSet::new(),
            since: None,
        }
    }

    /// Whether the server has said anything.
    pub(in crate::source) fn has_answer(&self) -> bool {
        self.answer.is_some()
    }

    /// The flags to decide on.
    pub(in crate::source) fn in_force(&self) -> &Arc<SourceSet> {
        &self.in_force
    }

    /// The flags that are in force although the server lacks them, by name.
    pub(in crate::source) fn held(&self) -> Vec<Arc<str>> {
        self.held.iter().cloned().collect()
    }

    /// When the held flags go, unless the server says something else by then.
    pub(in crate::source) fn due(&self, patience: Duration) -> Option<Instant> {
        self.since.map(|since| since + patience)
    }

    /// Takes an answer with every flag that the server has.
    pub(in crate::source) fn full(&mut self, answer: SourceSet, now: Instant, patience: Duration) {
        let missing: BTreeSet<Arc<str>> = self
            .in_force
            .names()
            .filter(|name| !answer.contains(name))
            .cloned()
            .collect();
        if !is_suspicious(self.in_force.len(), missing.len(), answer.is_empty()) {
            self.held.clear();
            self.since = None;
        } else if missing != self.held {
            self.held = missing;
            self.since = Some(now);
        }
        self.answer = Some(Arc::new(answer));
        self.settle();
        self.confirm(now, patience);
    }

    /// Makes a change to what the server said, flag by flag: `change` makes it of a set. An error changes nothing.
    pub(in crate::source) fn change<E>(
        &mut self,
        change: impl Fn(&SourceSet) -> Result<SourceSet, E>,
    ) -> Result<(), E> {
        let said = self.answer.as_ref().unwrap_or(&self.in_force);
        let answer = change(said)?;
        // A flag that was held and is removed by name goes, and one that comes back is held no more.
        let left = change(&self.in_force)?;
        self.held
            .retain(|name| left.contains(name) && !answer.contains(name));
        if self.held.is_empty() {
            self.since = None;
        }
        self.answer = Some(Arc::new(answer));
        self.settle();
        Ok(())
    }

    /// Notes that the server says the same as before. Returns whether held flags go by that.
    pub(in crate::source) fn confirm(&mut self, now: Instant, patience: Duration) -> bool {
        let is_due = self.due(patience).is_some_and(|due| due <= now);
        is_due && self.accept()
    }

    /// Lets held flags go. Returns whether there were any.
    pub(in crate::source) fn accept(&mut self) -> bool {
        let any = !self.held.is_empty();
        self.held.clear();
        self.since = None;
        self.settle();
        any
    }

    fn settle(&mut self) {
        let Some(answer) = &self.answer else {
            return;
        };
        if self.held.is_empty() {
            self.in_force = answer.clone();
            return;
        }
        let mut kept = SourceSet::clone(answer);
        for name in &self.held {
            kept.keep(name, &self.in_force);
        }
        self.in_force = Arc::new(kept);
    }
}

/// Whether so many flags of so many are missing that it is hardly meant.
fn is_suspicious(all: usize, missing: usize, empty: bool) -> bool {
    missing > 0 && (empty || (missing >= LEAST && missing * 2 > all))
}

#[cfg(test)]
mod tests;
