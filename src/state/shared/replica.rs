//! What this gateway has of a kind that is shared, and how it comes together with what stands in Redis. Of each key the higher
//! revision holds, whichever side has it, a removal like a record: so a Redis that comes back empty, or with older data,
//! gets back what gateways hold, and no record that was removed comes back.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use serde_json::Value;

use super::change::{Change, Condition};
use super::wire::{Owed, Stored};
use crate::state::error::StoreError;
use crate::state::table::{Expected, Table, Write};

/// The note beside the records that has their revisions.
const REVISIONS: &str = "revisions";
/// For how long the removal of a record is remembered, in microseconds: 30 days. A gateway that was away for longer, with
/// a copy of the record, brings it back.
const REMOVAL_IS_KEPT: u64 = 30 * 24 * 3600 * 1_000_000;

/// Everything of a kind, by key.
#[derive(Debug, Default)]
pub(super) struct Replica {
    entries: BTreeMap<String, Entry>,
    /// The highest revision that was ever seen: whatever is written next gets a higher one.
    pub(super) highest: u64,
    /// The revision of the last change of the kind that is in here: the next one says that it comes after it.
    pub(super) revision: u64,
    /// The keys whose revision is another than the one that is noted.
    unnoted: BTreeSet<String>,
}

/// A record, or its removal.
#[derive(Clone, Debug, PartialEq)]
struct Entry {
    /// Microseconds by Redis' clock, or more; `None`: it does not stand in Redis yet.
    revision: Option<u64>,
    record: Option<Value>,
}

/// What has come of putting both sides together.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Merged {
    /// What has changed here.
    pub(super) changed: Vec<(String, Option<Value>)>,
    /// What Redis is to get.
    pub(super) owed: Vec<Owed>,
}

impl Replica {
    /// What a table has, with the revisions that are noted there.
    pub(super) fn of(table: &Table) -> Self {
        let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
        for (key, record) in &table.records {
            let entry = Entry {
                revision: None,
                record: Some(record.clone()),
            };
            entries.insert(key.clone(), entry);
        }
        let revisions = table.notes.get(REVISIONS).and_then(Value::as_object);
        for (key, revision) in revisions.into_iter().flatten() {
            let removal = Entry {
                revision: None,
                record: None,
            };
            entries.entry(key.clone()).or_insert(removal).revision = revision.as_u64();
        }
        // A removal whose revision cannot be read says nothing.
        let silent =
            |_: &String, entry: &mut Entry| entry.revision.is_none() && entry.record.is_none();
        let unnoted = entries.extract_if(.., silent).map(|(key, _)| key).collect();
        let revisions = entries.values().filter_map(|entry| entry.revision);
        Self {
            highest: revisions.max().unwrap_or_default(),
            entries,
            revision: 0,
            unnoted,
        }
    }

    /// What is to be written so that the note of revisions says what is here: of many records seldom more than of those
    /// that have just changed.
    pub(super) fn notes(&mut self) -> Vec<Write> {
        let unnoted = mem::take(&mut self.unnoted).into_iter();
        let note = |key: String| Write::NoteMember {
            name: REVISIONS.to_owned(),
            value: self
                .entries
                .get(&key)
                .and_then(|entry| entry.revision)
                .map(Value::from),
            member: key,
        };
        unnoted.map(note).collect()
    }

    /// The note that says of a kind that its records stand nowhere else.
    pub(super) fn no_note() -> Write {
        Write::Note {
            name: REVISIONS.to_owned(),
            value: None,
        }
    }

    /// Whether a table has such a note.
    pub(super) fn is_noted(table: &Table) -> bool {
        table.notes.contains_key(REVISIONS)
    }

    /// Puts together what is here and all that stands in Redis, as of the change of that revision.
    pub(super) fn merge(&mut self, revision: u64, stored: &[(String, Stored)]) -> Merged {
        let mut merged = Merged::default();
        self.see(revision.max(highest(stored)));
        let horizon = self.highest.saturating_sub(REMOVAL_IS_KEPT);
        let mut absent: BTreeMap<&str, &Entry> = BTreeMap::new();
        for (key, entry) in &self.entries {
            absent.insert(key, entry);
        }
        let mut taken = Vec::new();
        for (key, stored) in stored {
            let held = absent.remove(key.as_str());
            match (stored, held) {
                // Another release has written it, or a person: it is left alone.
                (Stored::Unreadable, _) => {}
                (Stored::Removal(revision), _) if *revision < horizon => {
                    merged.owed.push(Owed::forget(key, *revision));
                }
                (Stored::Removal(revision), Some(held)) if held.beats_removal(*revision) => {
                    merged.owed.push(held.owed(key));
                }
                (Stored::Record(revision, _), Some(held)) if held.beats(*revision) => {
                    merged.owed.push(held.owed(key));
                }
                (Stored::Record(revision, record), Some(held))
                    if held.revision == Some(*revision) && held.record.as_ref() == Some(record) => {
                }
                (Stored::Record(revision, record), _) => {
                    taken.push((key, *revision, Some(record)));
                }
                (Stored::Removal(revision), _) => taken.push((key, *revision, None)),
            }
        }
        let lost = absent
            .into_iter()
            .filter(|(_, held)| !held.is_forgotten(horizon));
        merged.owed.extend(lost.map(|(key, held)| held.owed(key)));
        for (key, revision, record) in taken {
            let changed = self.put(key, Some(revision), record.cloned());
            merged.changed.extend(changed);
        }
        let forgotten = |_: &String, entry: &mut Entry| entry.is_forgotten(horizon);
        let forgotten = self.entries.extract_if(.., forgotten).map(|(key, _)| key);
        self.unnoted.extend(forgotten);
        self.revision = revision;
        merged
    }

    /// Takes over a change of that revision, unless a later one of the same key is here. What has changed.
    pub(super) fn take(
        &mut self,
        key: &str,
        revision: u64,
        record: Option<Value>,
    ) -> Option<(String, Option<Value>)> {
        let stays = self.entries.get(key).is_some_and(|held| match record {
            Some(_) => held.beats(revision),
            None => held.beats_removal(revision),
        });
        if stays {
            return None;
        }
        self.put(key, Some(revision), record)
    }

    /// Takes over a record that Redis is to get when it can be reached.
    pub(super) fn take_pending(
        &mut self,
        key: &str,
        record: Value,
    ) -> Option<(String, Option<Value>)> {
        // What is held already stays, and so does its revision: it is there.
        if self
            .entries
            .get(key)
            .is_some_and(|held| held.record.is_some())
        {
            return None;
        }
        self.put(key, None, Some(record))
    }

    /// Whether Redis is still to get what is held under a key.
    pub(super) fn is_pending(&self, key: &str) -> bool {
        let held = self.entries.get(key);
        held.is_some_and(|held| held.revision.is_none())
    }

    /// What Redis is asked to do, so that all of `writes` are carried out in their order or none of them: one change a key,
    /// and its condition that of the key's first write.
    pub(super) fn changes(&self, writes: &[Write]) -> Result<Vec<Change>, StoreError> {
        let mut changes: Vec<Change> = Vec::new();
        for write in writes {
            let (key, record, expected) = match write {
                Write::Put {
                    key,
                    value,
                    expected,
                } => (key, Some(value.clone()), expected),
                Write::Remove { key, expected } => (key, None, expected),
                // A gateway's own.
                Write::Note { .. } | Write::NoteMember { .. } => continue,
            };
            match changes.iter_mut().find(|change| change.key == *key) {
                Some(earlier) if expected.fits(earlier.record.as_ref()) => earlier.record = record,
                Some(_) => return Err(StoreError::Changed(key.clone())),
                None => changes.push(Change {
                    expected: self.condition(key, expected)?,
                    key: key.clone(),
                    record,
                }),
            }
        }
        Ok(changes)
    }

    fn see(&mut self, revision: u64) {
        self.highest = self.highest.max(revision);
    }

    fn condition(&self, key: &str, expected: &Expected) -> Result<Condition, StoreError> {
        let held = self.entries.get(key);
        match expected {
            Expected::Any => Ok(Condition::Any),
            Expected::Absent => Ok(Condition::Absent),
            Expected::Is(value) => held
                .filter(|held| held.record.as_ref() == Some(value))
                .and_then(|held| held.revision)
                .map(Condition::Revision)
                .ok_or_else(|| StoreError::Changed(key.to_owned())),
        }
    }

    fn put(
        &mut self,
        key: &str,
        revision: Option<u64>,
        record: Option<Value>,
    ) -> Option<(String, Option<Value>)> {
        self.see(revision.unwrap_or_default());
        let entry = Entry { revision, record };
        self.unnoted.insert(key.to_owned());
        let record = entry.record.clone();
        let before = self.entries.insert(key.to_owned(), entry);
        let is_new = before.and_then(|before| before.record) != record;
        is_new.then(|| (key.to_owned(), record))
    }
}

impl Entry {
    /// Whether it holds although that revision of a record stands in Redis.
    fn beats(&self, revision: u64) -> bool {
        self.revision.is_some_and(|held| held > revision)
    }

    /// The same for a removal, which what Redis has not got yet always beats.
    fn beats_removal(&self, revision: u64) -> bool {
        self.revision.is_none() || self.beats(revision)
    }

    fn is_forgotten(&self, horizon: u64) -> bool {
        self.record.is_none() && self.revision.is_none_or(|revision| revision < horizon)
    }

    fn owed(&self, key: &str) -> Owed {
        Owed::entry(key, self.revision, self.record.as_ref())
    }
}

fn highest(stored: &[(String, Stored)]) -> u64 {
    let revisions = stored.iter().filter_map(|(_, stored)| stored.revision());
    revisions.max().unwrap_or_default()
}

/// The notes among writes: they are this gateway's own, and not shared.
pub(super) fn notes(writes: Vec<Write>) -> Vec<Write> {
    let is_note = |write: &Write| matches!(write, Write::Note { .. });
    writes.into_iter().filter(is_note).collect()
}

#[cfg(test)]
mod tests;
