//! The removal guard: what a server that has lost its memory says does not take everybody's canaries away.
//!
//! Flags that a full answer lacks are kept if they are more than half of all and at least ten, or if the answer is
//! empty. They go when the server has gone on lacking just these for `removal_guard`, or when somebody accepts it. What is
//! in an answer takes effect at once, and so does the removal of a flag by name.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::engine::unleash::{DocumentError, FeatureSet};

/// Fewer flags than these are removed without a question, unless they are all.
const LEAST: usize = 10;

/// What one server said, and what is in force of it. Clones are cheap.
#[derive(Clone, Debug, Default)]
pub(super) struct Guard {
    /// What the server says; `None` as long as it has said nothing.
    answer: Option<Arc<FeatureSet>>,
    /// The same, with what is held.
    in_force: Arc<FeatureSet>,
    held: BTreeSet<Arc<str>>,
    /// Since when the server lacks just these.
    since: Option<Instant>,
}

impl Guard {
    /// With what was known before the server is asked.
    pub(super) fn new(in_force: Arc<FeatureSet>) -> Self {
        Self {
            in_force,
            ..Self::default()
        }
    }

    /// Whether the server has said anything.
    pub(super) fn has_answer(&self) -> bool {
        self.answer.is_some()
    }

    /// What is to be decided on.
    pub(super) fn in_force(&self) -> &Arc<FeatureSet> {
        &self.in_force
    }

    /// The flags that are in force although the server lacks them, by name.
    pub(super) fn held(&self) -> Vec<Arc<str>> {
        self.held.iter().cloned().collect()
    }

    /// When what is held goes, unless the server says something else by then.
    pub(super) fn due(&self, patience: Duration) -> Option<Instant> {
        self.since.map(|since| since + patience)
    }

    /// The server has said everything that it has.
    pub(super) fn full(&mut self, answer: FeatureSet, now: Instant, patience: Duration) {
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

    /// The server has told of changes (`{"events": […]}`). A hydration among them is a full answer.
    pub(super) fn delta(
        &mut self,
        delta: &[u8],
        now: Instant,
        patience: Duration,
    ) -> Result<(), DocumentError> {
        if hydrates(delta)? {
            let answer = FeatureSet::default().apply(delta)?;
            self.full(answer.share(&self.in_force), now, patience);
            return Ok(());
        }
        let said = self.answer.as_ref().unwrap_or(&self.in_force);
        let answer = said.apply(delta)?;
        // A flag that was held and is removed by name goes, and one that comes back is held no more.
        let left = self.in_force.apply(delta)?;
        self.held
            .retain(|name| left.contains(name) && !answer.contains(name));
        if self.held.is_empty() {
            self.since = None;
        }
        self.answer = Some(Arc::new(answer));
        self.settle();
        Ok(())
    }

    /// The server says the same as before. Answers whether what was held has gone by that.
    pub(super) fn confirm(&mut self, now: Instant, patience: Duration) -> bool {
        let is_due = self.due(patience).is_some_and(|due| due <= now);
        is_due && self.accept()
    }

    /// What is held goes. Answers whether there was anything.
    pub(super) fn accept(&mut self) -> bool {
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
        let mut kept = FeatureSet::clone(answer);
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

/// Whether an event of a delta says everything that there is.
fn hydrates(delta: &[u8]) -> Result<bool, DocumentError> {
    #[derive(Deserialize)]
    struct Delta<'a> {
        #[serde(borrow)]
        events: Vec<Event<'a>>,
    }
    #[derive(Deserialize)]
    struct Event<'a> {
        #[serde(borrow, rename = "type")]
        kind: std::borrow::Cow<'a, str>,
    }
    let delta: Delta<'_> = serde_json::from_slice(delta)?;
    Ok(delta.events.iter().any(|event| event.kind == "hydration"))
}

#[cfg(test)]
mod tests;
