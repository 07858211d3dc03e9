//! The records of a kind, and how they change.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::error::StoreError;

/// Records by key, such as `search/search.ranker-v2`. What a later version adds to one is kept as it is.
pub type Records = BTreeMap<String, Value>;

/// What stands beside the records of a kind and is this gateway's own; members that a later version adds, too.
pub type Notes = Map<String, Value>;

/// A change to a record.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// Stores a record.
    Put {
        /// Its key.
        key: String,
        /// The record.
        value: Value,
        /// What must be stored before.
        expected: Expected,
    },
    /// Removes a record, if there is one.
    Remove {
        /// Its key.
        key: String,
        /// What must be stored before.
        expected: Expected,
    },
    /// Stores, or removes, what this gateway alone notes beside the records.
    Note {
        /// The note's name.
        name: String,
        /// `None`: there is none any more.
        value: Option<Value>,
    },
    /// Stores, or removes, one member of a note that is an object. A note without members is removed.
    NoteMember {
        /// The note's name.
        name: String,
        /// The member's.
        member: String,
        /// `None`: there is none any more.
        value: Option<Value>,
    },
}

/// What must be stored for a write to be carried out, so that of two racing writers one wins.
#[derive(Clone, Debug, PartialEq)]
pub enum Expected {
    /// Whatever it is.
    Any,
    /// Nothing.
    Absent,
    /// The record as its writer has read it.
    Is(Value),
}

impl Expected {
    pub(super) fn fits(&self, stored: Option<&Value>) -> bool {
        match self {
            Self::Any => true,
            Self::Absent => stored.is_none(),
            Self::Is(value) => stored == Some(value),
        }
    }
}

/// Records and notes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// The records.
    pub records: Records,
    /// What stands beside them.
    pub notes: Notes,
}

/// What was there before, in the order of the changes.
#[derive(Debug, Default)]
pub(super) struct Undo(Vec<Before>);

#[derive(Debug)]
enum Before {
    Record(String, Option<Value>),
    Note(String, Option<Value>),
    NoteMember(String, String, Option<Value>),
}

impl Table {
    /// Carries out all of `writes`, or none of them. Returns what was there before.
    pub(super) fn apply(&mut self, writes: Vec<Write>) -> Result<Undo, StoreError> {
        let mut undo = Undo::default();
        for write in writes {
            match self.change(write) {
                Ok(before) => undo.0.push(before),
                Err(error) => {
                    self.undo(undo);
                    return Err(error);
                }
            }
        }
        Ok(undo)
    }

    /// Carries out writes that have been judged elsewhere: what they expect is not looked at.
    pub(super) fn carry_out(&mut self, writes: Vec<Write>) {
        for write in writes {
            match write {
                Write::Put { key, value, .. } => drop(self.records.insert(key, value)),
                Write::Remove { key, .. } => drop(self.records.remove(&key)),
                Write::Note { name, value } => match value {
                    Some(value) => drop(self.notes.insert(name, value)),
                    None => drop(self.notes.remove(&name)),
                },
                Write::NoteMember {
                    name,
                    member,
                    value,
                } => drop(self.note_member(&name, &member, value)),
            }
        }
    }

    fn change(&mut self, write: Write) -> Result<Before, StoreError> {
        let (key, value, expected) = match write {
            Write::Put {
                key,
                value,
                expected,
            } => (key, Some(value), expected),
            Write::Remove { key, expected } => (key, None, expected),
            Write::Note { name, value } => {
                let before = match value {
                    Some(value) => self.notes.insert(name.clone(), value),
                    None => self.notes.remove(&name),
                };
                return Ok(Before::Note(name, before));
            }
            Write::NoteMember {
                name,
                member,
                value,
            } => {
                let before = self.note_member(&name, &member, value);
                return Ok(Before::NoteMember(name, member, before));
            }
        };
        if !expected.fits(self.records.get(&key)) {
            return Err(StoreError::Changed(key));
        }
        let before = match value {
            Some(value) => self.records.insert(key.clone(), value),
            None => self.records.remove(&key),
        };
        Ok(Before::Record(key, before))
    }

    /// Stores, or removes, a member of a note. What it was before.
    fn note_member(&mut self, name: &str, member: &str, value: Option<Value>) -> Option<Value> {
        let Some(value) = value else {
            let note = self.notes.get_mut(name)?.as_object_mut()?;
            let before = note.remove(member);
            if note.is_empty() {
                self.notes.remove(name);
            }
            return before;
        };
        if let Some(note) = self.notes.get_mut(name).and_then(Value::as_object_mut) {
            return note.insert(member.to_owned(), value);
        }
        let note = Map::from_iter([(member.to_owned(), value)]);
        self.notes.insert(name.to_owned(), Value::Object(note));
        None
    }

    fn member(&self, name: &str, member: &str) -> Option<&Value> {
        self.notes.get(name)?.get(member)
    }

    /// Puts back what was there before.
    pub(super) fn undo(&mut self, undo: Undo) {
        for before in undo.0.into_iter().rev() {
            match before {
                Before::Record(key, Some(value)) => {
                    self.records.insert(key, value);
                }
                Before::Record(key, None) => {
                    self.records.remove(&key);
                }
                Before::Note(name, Some(value)) => {
                    self.notes.insert(name, value);
                }
                Before::Note(name, None) => {
                    self.notes.remove(&name);
                }
                Before::NoteMember(name, member, value) => {
                    self.note_member(&name, &member, value);
                }
            }
        }
    }

    /// Takes over from `other` what `undo` says has changed in it.
    pub(super) fn follow(&mut self, other: &Self, undo: &Undo) {
        for before in &undo.0 {
            match before {
                Before::Record(key, _) => match other.records.get(key) {
                    Some(value) => {
                        self.records.insert(key.clone(), value.clone());
                    }
                    None => {
                        self.records.remove(key);
                    }
                },
                Before::Note(name, _) => match other.notes.get(name) {
                    Some(value) => {
                        self.notes.insert(name.clone(), value.clone());
                    }
                    None => {
                        self.notes.remove(name);
                    }
                },
                Before::NoteMember(name, member, _) => {
                    let value = other.member(name, member).cloned();
                    self.note_member(name, member, value);
                }
            }
        }
    }
}

impl Undo {
    /// Whether everything is as it was before.
    pub(super) fn is_unchanged(&self, table: &Table) -> bool {
        self.0.iter().all(|before| match before {
            Before::Record(key, value) => table.records.get(key) == value.as_ref(),
            Before::Note(name, value) => table.notes.get(name) == value.as_ref(),
            Before::NoteMember(name, member, value) => table.member(name, member) == value.as_ref(),
        })
    }
}
