//! What is known about kills: state and rules alone. Where it is stored is [`super::store`]'s.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Map, Value};

use crate::canary::Withdrawal;
use crate::context::Moment;
use crate::snapshot::withdrawn::Withdrawn;

/// A service's name and a flag's.
pub(super) type Name = (String, String);

/// When, by whom and why a canary was killed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kill {
    /// When.
    pub at: Moment,
    /// The address that the order came from.
    pub by: String,
    /// Why, in the words of the person who gave the order.
    pub reason: Option<String>,
    /// What else is stored of it, by a later version: kept as it is.
    pub(super) further: Map<String, Value>,
}

impl Kill {
    /// A kill.
    pub fn new(at: Moment, by: String, reason: Option<String>) -> Self {
        Self {
            at,
            by,
            reason,
            further: Map::new(),
        }
    }
}

/// A gap in what is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Doubt {
    /// The service whose canaries it may be about; `None`: any.
    pub(super) service: Option<String>,
    /// What could not be read.
    pub(super) why: String,
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { service, why } = self;
        match service {
            Some(service) => {
                write!(f, "{why}: users of {service}'s canaries are on stable")
            }
            None => write!(f, "{why}: users of all canaries are on stable"),
        }
    }
}

/// Every kill, and the gaps in what is known about others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Book {
    pub(super) kills: BTreeMap<Name, Kill>,
    pub(super) doubts: Vec<Doubt>,
    /// What an operator has said not to be killed, in spite of the doubts.
    pub(super) cleared: BTreeSet<Name>,
    /// What else is stored, written by a later version: kept as it is.
    pub(super) further: Map<String, Value>,
    /// Whether the store has something that would be lost if it were replaced.
    pub(super) is_damaged: bool,
}

impl Book {
    pub(super) fn kills(&self) -> impl Iterator<Item = (&Name, &Kill)> {
        self.kills.iter()
    }

    pub(super) fn doubts(&self) -> &[Doubt] {
        &self.doubts
    }

    pub(super) fn kill(&mut self, service: &str, flag: &str, kill: Kill) -> (Kill, bool) {
        let name = (service.to_owned(), flag.to_owned());
        self.cleared.remove(&name);
        let mut is_new = false;
        let held = self.kills.entry(name).or_insert_with(|| {
            is_new = true;
            kill
        });
        (held.clone(), is_new)
    }

    pub(super) fn restore(&mut self, service: &str, flag: &str) -> bool {
        let name = (service.to_owned(), flag.to_owned());
        let was_killed = self.kills.remove(&name).is_some();
        let was_doubted = self.is_doubted(service) && self.cleared.insert(name);
        was_killed || was_doubted
    }

    /// Ends every doubt: what is not among the kills is not killed.
    pub(super) fn settle(&mut self) -> bool {
        self.cleared.clear();
        !std::mem::take(&mut self.doubts).is_empty()
    }

    /// Takes over what is stored, all of which can be read. A kill beats a restore: what was killed meanwhile stays killed.
    pub(super) fn merge(&mut self, stored: Self) {
        let before = std::mem::replace(self, stored);
        for (name, kill) in before.kills {
            self.kills.entry(name).or_insert(kill);
        }
    }

    /// Notes that all of this is stored, and that what was stored before is kept beside it.
    pub(super) fn note_written(&mut self) {
        self.is_damaged = false;
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
