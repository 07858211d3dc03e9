//! What is known about kills: state and rules alone.

use std::collections::{BTreeMap, BTreeSet};

use super::kill::{Doubt, Kill, Name};
use super::record::{self, CLEARED, UNKNOWN};
use super::unsaved::Unsaved;
use crate::canary::Withdrawal;
use crate::snapshot::withdrawn::Withdrawn;
use crate::state::{Expected, Loaded, Records, Write};

/// Every kill, and the gaps in what is known about others.
#[derive(Clone, Debug, Default)]
pub(super) struct Book {
    kills: BTreeMap<Name, Kill>,
    doubts: Vec<Doubt>,
    /// What an operator has said not to be killed, in spite of the doubts.
    cleared: BTreeSet<Name>,
    /// Keys of records that are no names.
    strays: Vec<String>,
    /// What the store does not have yet.
    unsaved: Unsaved,
}

impl Book {
    /// What the store has. What it could not read may be about any canary, or any of a service.
    pub(super) fn read(loaded: Loaded) -> Self {
        let mut book = Self {
            doubts: record::read_doubts(&loaded.table.notes),
            cleared: record::read_names(&loaded.table.notes)
                .into_iter()
                .collect(),
            ..Self::default()
        };
        for (key, value) in loaded.table.records {
            let Some(name) = record::name(&key) else {
                book.doubts.push(Doubt {
                    service: None,
                    why: format!("{key:?} in it is no service and flag, parted by a slash"),
                });
                book.strays.push(key);
                continue;
            };
            book.kills.insert(name, record::read(value));
        }
        for damage in loaded.damage {
            book.doubts.push(Doubt {
                service: damage.service,
                why: damage.why,
            });
            // The file that says it by being damaged goes when it is next written.
            book.unsaved.note_doubts();
        }
        book
    }

    /// What brings the store up to date, and how many changes that is.
    pub(super) fn unsaved(&self) -> (Vec<Write>, u64) {
        let kill = |name: &Name| {
            let (key, expected) = (record::key(name), Expected::Any);
            match self.kills.get(name) {
                Some(kill) => Write::Put {
                    value: record::write(name, kill),
                    key,
                    expected,
                },
                None => Write::Remove { key, expected },
            }
        };
        let mut writes: Vec<Write> = self.unsaved.kills().map(kill).collect();
        if self.unsaved.has_doubts() {
            let notes = [
                (UNKNOWN, record::write_doubts(&self.doubts)),
                (CLEARED, record::write_names(self.cleared.iter())),
            ];
            writes.extend(notes.map(|(name, value)| Write::Note {
                name: name.to_owned(),
                value,
            }));
            if self.doubts.is_empty() {
                writes.extend(self.strays.iter().map(|key| Write::Remove {
                    key: key.clone(),
                    expected: Expected::Any,
                }));
            }
        }
        (writes, self.unsaved.changes())
    }

    /// Notes that the store has all up to the change of that number.
    pub(super) fn note_saved(&mut self, changes: u64) {
        self.unsaved.forget(changes);
    }

    pub(super) fn kills(&self) -> impl Iterator<Item = (&Name, &Kill)> {
        self.kills.iter()
    }

    pub(super) fn get(&self, service: &str, flag: &str) -> Option<Kill> {
        let name = (service.to_owned(), flag.to_owned());
        self.kills.get(&name).cloned()
    }

    pub(super) fn doubts(&self) -> &[Doubt] {
        &self.doubts
    }

    pub(super) fn kill(&mut self, service: &str, flag: &str, kill: Kill) -> (Kill, bool) {
        let name = (service.to_owned(), flag.to_owned());
        if self.cleared.remove(&name) {
            self.unsaved.note_doubts();
        }
        if let Some(held) = self.kills.get(&name) {
            return (held.clone(), false);
        }
        self.unsaved.note_kill(name.clone());
        self.kills.insert(name, kill.clone());
        (kill, true)
    }

    pub(super) fn restore(&mut self, service: &str, flag: &str) -> bool {
        let name = (service.to_owned(), flag.to_owned());
        let was_killed = self.kills.remove(&name).is_some();
        if was_killed {
            self.unsaved.note_kill(name.clone());
        }
        let was_doubted = self.is_doubted(service) && self.cleared.insert(name);
        if was_doubted {
            self.unsaved.note_doubts();
        }
        was_killed || was_doubted
    }

    /// Takes a kill back that the store does not have any more.
    pub(super) fn restore_stored(&mut self, service: &str, flag: &str) -> bool {
        let changed = self.restore(service, flag);
        self.unsaved
            .forget_kill(&(service.to_owned(), flag.to_owned()));
        changed
    }

    /// Takes over the store's records, which others have changed; what the store does not have yet stays. What is killed now, and
    /// what no more.
    pub(super) fn adopt(&mut self, records: Records) -> Vec<(Name, Option<Kill>)> {
        let mut kills = BTreeMap::new();
        for (key, value) in records {
            // Another key is told when the file is read.
            if let Some(name) = record::name(&key) {
                kills.insert(name, record::read(value));
            }
        }
        let mut changed = Vec::new();
        self.kills.retain(|name, _| {
            let stays = kills.contains_key(name) || self.unsaved.has_kill(name);
            if !stays {
                changed.push((name.clone(), None));
            }
            stays
        });
        for (name, kill) in kills {
            // A restore that the store does not have yet, and this gateway's own kill.
            if self.unsaved.has_kill(&name) {
                continue;
            }
            if self.kills.insert(name.clone(), kill.clone()).is_none() {
                changed.push((name, Some(kill)));
            }
        }
        changed
    }

    pub(super) fn is_killed(&self, service: &str, flag: &str) -> bool {
        let name = (service.to_owned(), flag.to_owned());
        self.kills.contains_key(&name)
    }

    /// Ends every doubt: what is not among the kills is not killed.
    pub(super) fn settle(&mut self) -> bool {
        if self.doubts.is_empty() {
            return false;
        }
        self.doubts.clear();
        self.cleared.clear();
        self.unsaved.note_doubts();
        true
    }

    /// Takes over what is stored, all of which can be read. A kill beats a restore: what was killed meanwhile stays killed.
    pub(super) fn merge(&mut self, stored: Self) {
        let before = std::mem::take(&mut self.kills);
        self.kills = stored.kills;
        self.doubts = stored.doubts;
        self.cleared = stored.cleared;
        for (name, kill) in before {
            if !self.kills.contains_key(&name) {
                self.unsaved.note_kill(name.clone());
                self.kills.insert(name, kill);
            }
        }
    }

    pub(super) fn withdrawal(&self, service: &str, flag: &str) -> Option<Withdrawal> {
        // Nearly always there are neither kills nor gaps.
        if self.kills.is_empty() && self.doubts.is_empty() {
            return None;
        }
        let name = (service.to_owned(), flag.to_owned());
        if self.kills.contains_key(&name) {
            Some(Withdrawal::Killed)
        } else if self.is_doubted(service) && !self.cleared.contains(&name) {
            Some(Withdrawal::Unknown)
        } else {
            None
        }
    }

    pub(super) fn withdrawn(&self) -> Withdrawn {
        let mut withdrawn = Withdrawn::default();
        for (service, flag) in &self.cleared {
            withdrawn.insert(service, flag, None);
        }
        for (service, flag) in self.kills.keys() {
            withdrawn.insert(service, flag, Some(Withdrawal::Killed));
        }
        for doubt in &self.doubts {
            withdrawn.doubt(doubt.service.as_deref());
        }
        withdrawn
    }

    fn is_doubted(&self, service: &str) -> bool {
        let mut doubts = self.doubts.iter();
        doubts.any(|doubt| doubt.service.as_deref().is_none_or(|of| of == service))
    }
}
