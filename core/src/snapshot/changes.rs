//! What tells one snapshot from the one before it: for events, and so that no flag moves its users silently.

mod bucketing;
pub mod effects;
mod taking;

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::registration::RegisteredUrl;
use super::{Candidate, Snapshot};
use crate::context::Moment;
use crate::engine::Flag;

pub use taking::Taking;

/// How long a moved bucket is warned of, unless its flag changes again before.
const WARNED_MS: i64 = 24 * 3600 * 1000;

/// The flags that two snapshots do not have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Flags that are new.
    pub added: Vec<Arc<str>>,
    /// Flags that say something else than before, or that other upstreams are registered for.
    pub changed: Vec<Arc<str>>,
    /// Flags that are gone.
    pub removed: Vec<Arc<str>>,
    /// Running flags that bucket their users anew.
    pub rebucketed: Vec<Arc<Rebucketed>>,
    /// Flags that begin to take users from running canaries.
    pub taking: Vec<Arc<Taking>>,
}

/// A flag that was on before and is on still, but hashes its users to other places: some lose what they had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebucketed {
    /// Which one.
    pub flag: Arc<str>,
    /// Its ring or strategy; `None`: the flag's own variants.
    pub ring: Option<Arc<str>>,
    /// What is different, in words.
    pub why: String,
    /// Since when.
    pub at: Moment,
}

impl fmt::Display for Rebucketed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the running flag {} buckets its users anew", self.flag)?;
        if let Some(ring) = &self.ring {
            write!(f, " in {ring:?}")?;
        }
        write!(f, ": {}", self.why)
    }
}

impl Rebucketed {
    /// Whether people are still to be warned of it.
    pub fn is_recent(&self, now: Moment) -> bool {
        now.unix_ms.saturating_sub(self.at.unix_ms) < WARNED_MS
    }
}

impl Changes {
    /// Compares the flags of two snapshots, the second of which came into being at `at`. A flag that both have as
    /// the same handle is not looked into.
    pub fn between(before: &Snapshot, after: &Snapshot, at: Moment) -> Self {
        let mut changes = Self {
            taking: taking::between(before, after, at),
            ..Self::default()
        };
        let (registered, registers) = (registered_urls(before), registered_urls(after));
        let (mut old, mut new) = (before.flags.iter(), after.flags.iter());
        let (mut gone, mut come) = (old.next(), new.next());
        loop {
            let order = match (gone, come) {
                (None, None) => return changes,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(gone), Some(come)) => gone.name.cmp(&come.name),
            };
            match (order, gone, come) {
                (Ordering::Less, Some(flag), _) => changes.removed.push(flag.name.clone()),
                (Ordering::Greater, _, Some(flag)) => changes.added.push(flag.name.clone()),
                (Ordering::Equal, Some(one), Some(other)) if !Arc::ptr_eq(one, other) => {
                    changes.compare((before, one), (after, other), at);
                }
                (Ordering::Equal, Some(one), _)
                    if registered.get(&*one.name) != registers.get(&*one.name) =>
                {
                    changes.changed.push(one.name.clone());
                }
                _ => {}
            }
            if order.is_le() {
                gone = old.next();
            }
            if order.is_ge() {
                come = new.next();
            }
        }
    }

    /// Whether both have the same flags.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.changed.is_empty() && self.removed.is_empty()
    }

    /// What of an earlier snapshot's warnings of moved users still holds, and the new ones.
    pub fn warned(&self, before: &Snapshot, now: Moment) -> Vec<Arc<Rebucketed>> {
        let kept = before
            .rebucketed
            .iter()
            .filter(|earlier| earlier.is_recent(now) && self.leaves(&earlier.flag));
        kept.chain(&self.rebucketed).cloned().collect()
    }

    /// The same of flags that take users from others.
    pub fn warned_of_taking(&self, before: &Snapshot, now: Moment) -> Vec<Arc<Taking>> {
        let kept = before
            .taking
            .iter()
            .filter(|earlier| earlier.is_recent(now) && self.leaves(&earlier.flag));
        kept.chain(&self.taking).cloned().collect()
    }

    /// Whether a flag is the same before and after.
    fn leaves(&self, flag: &Arc<str>) -> bool {
        self.changed.binary_search(flag).is_err() && self.removed.binary_search(flag).is_err()
    }

    fn compare(
        &mut self,
        (before, one): (&Snapshot, &Flag),
        (after, other): (&Snapshot, &Flag),
        at: Moment,
    ) {
        self.changed.push(other.name.clone());
        let moved = bucketing::compare((one, &before.vocabulary), (other, &after.vocabulary));
        self.rebucketed.extend(moved.into_iter().map(|moved| {
            Arc::new(Rebucketed {
                flag: other.name.clone(),
                ring: moved.ring,
                why: moved.why.join("; "),
                at,
            })
        }));
    }
}

/// The registered upstreams of every flag that has some. A registration that lasts longer than before changes none.
fn registered_urls(snapshot: &Snapshot) -> FxHashMap<&str, &[RegisteredUrl]> {
    let services = snapshot.services.iter();
    let candidates = services.flat_map(|service| service.candidates.iter());
    candidates
        .filter(|candidate| !candidate.registered.is_empty())
        .map(
            |Candidate {
                 flag, registered, ..
             }| (&*flag.name, registered.as_slice()),
        )
        .collect()
}

#[cfg(test)]
mod tests;
