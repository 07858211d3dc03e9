//! How a spool is doing, and what each sink has before it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Spool, Standing, State, segment};
use crate::context::Moment;

/// How a spool is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// All segments together.
    pub bytes: u64,
    /// How many records could not be written.
    pub unwritten: u64,
    /// How often what was written could not be forced to the disk.
    pub unsynced: u64,
    /// Why nothing can be written now, or not forced to the disk.
    pub trouble: Option<String>,
    /// What each sink has before it, by its name.
    pub sinks: BTreeMap<Arc<str>, Backlog>,
}

/// What a sink has not taken yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// How many bytes of segments.
    pub bytes: u64,
    /// When the oldest record was appended; `None`: there is none.
    pub oldest: Option<Moment>,
    /// How many were dropped before the sink took them.
    pub dropped: u64,
    /// How many could not be read.
    pub unreadable: u64,
}

impl Backlog {
    /// How long the oldest record has waited.
    pub fn age(&self, now: Moment) -> Duration {
        let since = self
            .oldest
            .map_or(0, |at| now.unix_ms.saturating_sub(at.unix_ms));
        Duration::from_millis(u64::try_from(since).unwrap_or_default())
    }
}

impl Spool {
    /// How it is doing.
    pub fn figures(&self) -> Figures {
        let state = self.shared.state();
        let sinks = state.sinks.iter();
        Figures {
            bytes: state.bytes(),
            unwritten: state.unwritten,
            unsynced: state.unsynced,
            trouble: state.trouble.clone(),
            sinks: sinks
                .map(|(name, standing)| (name.clone(), state.backlog(standing)))
                .collect(),
        }
    }
}

impl State {
    fn backlog(&self, standing: &Standing) -> Backlog {
        let from = standing.acknowledged + 1;
        let mut backlog = Backlog {
            dropped: standing.dropped,
            unreadable: standing.unreadable,
            ..Backlog::default()
        };
        for segment in self.segments.values().filter(|found| found.next > from) {
            let place = standing
                .place
                .filter(|place| place.is_in(segment))
                .map_or(segment::HEAD, |place| place.offset);
            backlog.bytes += segment.bytes.saturating_sub(place);
            backlog.oldest = backlog.oldest.or(standing.oldest).or(Some(segment.created));
        }
        backlog
    }
}
