//! The trail of a gateway that keeps nothing on disk: its last entries.

use std::collections::VecDeque;
use std::sync::Arc;

use super::chain::Link;
use super::entry::{Deed, Entry};
use super::query::{Query, QueryError, Search};
use crate::context::Moment;

/// How many entries are kept.
const MAX_ENTRIES: usize = 10_000;
/// And how many bytes of them.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// The last entries, in memory.
#[derive(Debug)]
pub(super) struct Recent {
    end: Link,
    entries: VecDeque<Arc<Entry>>,
    bytes: usize,
}

impl Default for Recent {
    fn default() -> Self {
        Self {
            end: Link::first(),
            entries: VecDeque::new(),
            bytes: 0,
        }
    }
}

impl Recent {
    /// Adds an entry; the oldest goes where there are too many.
    pub(super) fn add(&mut self, deed: &Deed, at: Moment) -> Arc<Entry> {
        let (entry, end) = self.end.tie(deed, at);
        let entry = Arc::new(entry);
        self.end = end;
        self.bytes += entry.line.len();
        self.entries.push_back(entry.clone());
        while self.entries.len() > MAX_ENTRIES || self.bytes > MAX_BYTES {
            let Some(oldest) = self.entries.pop_front() else {
                break;
            };
            self.bytes -= oldest.line.len();
        }
        entry
    }

    /// The entries that are asked for.
    pub(super) fn find(&self, query: &Query) -> Result<Vec<Arc<str>>, QueryError> {
        let mut search = Search::new(query);
        for entry in self.entries.iter().rev() {
            if search.look(entry.line.as_bytes()).is_break() {
                break;
            }
        }
        search.end()
    }
}
