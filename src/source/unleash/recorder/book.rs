//! What is to be recorded and what is: the last wish for each flag, and how it stands.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::time::Instant;

use super::execute::Wish;
use super::record::CanaryRecord;
use crate::source::feed::backoff::Backoff;

/// How many flags wishes are kept for.
const MOST_WISHES: usize = 50_000;

/// How a canary stands with Unleash.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Whether its flag there says what its registration says.
    pub is_recorded: bool,
    /// Why it does not, if that is known.
    pub error: Option<String>,
}

/// The wishes for all flags.
#[derive(Debug, Default)]
pub(super) struct Book {
    entries: BTreeMap<Arc<str>, Entry>,
    wishes: u64,
    /// What is wrong with the server, so that nothing can be recorded.
    pub(super) trouble: Option<String>,
}

#[derive(Debug)]
struct Entry {
    wish: Wish,
    /// Which wish it is: what was done for an earlier one counts no more.
    number: u64,
    is_done: bool,
    error: Option<String>,
    due: Instant,
    backoff: Backoff,
}

/// A wish whose time has come.
#[derive(Clone, Debug)]
pub(super) struct Due {
    /// The flag.
    pub(super) flag: Arc<str>,
    /// What it is to say.
    pub(super) wish: Wish,
    number: u64,
}

impl Book {
    /// Wishes for a canary. Returns whether that is news.
    pub(super) fn record(&mut self, canary: CanaryRecord, now: Instant) -> bool {
        let flag = canary.flag.clone();
        self.wish(flag, Wish::Present(canary), now)
    }

    /// Wishes that there is none any more. Returns whether that is news.
    pub(super) fn withdraw(&mut self, flag: &str, now: Instant) -> bool {
        self.wish(flag.into(), Wish::Absent, now)
    }

    /// Wishes nothing of a flag any more.
    pub(super) fn forget(&mut self, flag: &str) {
        self.entries.remove(flag);
        if self.entries.is_empty() {
            self.trouble = None;
        }
    }

    /// Flags whose last wish is fulfilled.
    pub(super) fn fulfilled(&self) -> Vec<Arc<str>> {
        let done = self.entries.iter().filter(|(_, entry)| entry.is_done);
        done.map(|(flag, _)| flag.clone()).collect()
    }

    fn wish(&mut self, flag: Arc<str>, wish: Wish, now: Instant) -> bool {
        let known = self.entries.get(&flag);
        if known.is_some_and(|entry| entry.wish == wish) {
            return false;
        }
        if known.is_none() && self.entries.len() >= MOST_WISHES {
            tracing::warn!(%flag, "not to be recorded in Unleash: {MOST_WISHES} other canaries are or wait for it");
            return false;
        }
        self.wishes += 1;
        let entry = Entry {
            wish,
            number: self.wishes,
            is_done: false,
            error: None,
            due: now,
            backoff: Backoff::default(),
        };
        self.entries.insert(flag, entry);
        true
    }

    /// All canaries have yet to be recorded, because it is another server or another project.
    pub(super) fn begin_again(&mut self, now: Instant) {
        self.trouble = None;
        for entry in self.entries.values_mut() {
            entry.is_done = false;
            entry.error = None;
            entry.due = now;
            entry.backoff.reset();
        }
    }

    /// How a canary stands; `None`: nobody asked for it to be recorded, or it is withdrawn.
    pub(super) fn standing(&self, flag: &str) -> Option<Standing> {
        let entry = self.entries.get(flag)?;
        if entry.is_done && entry.wish == Wish::Absent {
            return None;
        }
        let trouble = self.trouble.as_ref().filter(|_| !entry.is_done);
        Some(Standing {
            is_recorded: entry.is_done && matches!(entry.wish, Wish::Present(_)),
            error: entry.error.as_ref().or(trouble).cloned(),
        })
    }

    /// The first wish whose time has come, or when one's will.
    pub(super) fn next(&self, now: Instant) -> Result<Due, Option<Instant>> {
        let open = self.entries.iter().filter(|(_, entry)| !entry.is_done);
        let first = open.min_by_key(|(_, entry)| entry.due);
        match first {
            Some((flag, entry)) if entry.due <= now => Ok(Due {
                flag: flag.clone(),
                wish: entry.wish.clone(),
                number: entry.number,
            }),
            first => Err(first.map(|(_, entry)| entry.due)),
        }
    }

    /// A wish is fulfilled.
    pub(super) fn fulfil(&mut self, due: &Due) {
        let Some(entry) = self.entry(due) else {
            return;
        };
        entry.is_done = true;
        entry.error = None;
    }

    /// A wish cannot be fulfilled for a reason of its own. It is tried again after what `wait` says.
    pub(super) fn put_off(
        &mut self,
        due: &Due,
        error: String,
        wait: impl FnOnce(&mut Backoff) -> Instant,
    ) {
        if let Some(entry) = self.entry(due) {
            entry.error = Some(error);
            entry.due = wait(&mut entry.backoff);
        }
    }

    /// Other wishes come first.
    pub(super) fn give_way(&mut self, due: &Due, now: Instant) {
        if let Some(entry) = self.entry(due) {
            entry.due = now;
        }
    }

    /// What is wrong, in words: with the server, else with the first flag by name.
    pub(super) fn worst(&self) -> Option<String> {
        if let Some(trouble) = &self.trouble {
            return Some(format!("canaries cannot be recorded: {trouble}"));
        }
        self.entries.iter().find_map(|(flag, entry)| {
            let error = entry.error.as_ref()?;
            Some(format!("the canary `{flag}` is not recorded: {error}"))
        })
    }

    fn entry(&mut self, due: &Due) -> Option<&mut Entry> {
        let entry = self.entries.get_mut(&due.flag);
        entry.filter(|entry| entry.number == due.number)
    }
}
