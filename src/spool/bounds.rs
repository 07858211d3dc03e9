//! What is dropped: whole segments, from the oldest on.

use std::fs;
use std::time::Duration;

use super::segment::{self, Segment};
use super::{Shared, State};
use crate::context::Moment;
use crate::durable;

/// Into how many segments the longest time is divided at least: what is dropped is not much younger than it may become.
const PARTS: u32 = 8;
/// What has been appended for this long is closed, so that what all have taken can go.
const LONGEST: Duration = Duration::from_secs(60 * 60);

impl Shared {
    /// Drops what is too much, too old, or taken by all for long enough.
    pub(super) fn keep_bounds(&self, state: &mut State, now: Moment) {
        let longest = LONGEST.min(self.limits.age / PARTS);
        if let Some(active) = state.active_segment()
            && is_older(active.created, longest, now)
        {
            state.retire();
        }
        while let Some(oldest) = self.superfluous(state, now) {
            let path = segment::path(&self.folder, oldest.first);
            let removed = fs::remove_file(&path);
            if let Err(error) = removed
                && !durable::is_absence(&error)
            {
                state.note_trouble(format!("old exposures cannot be deleted: {error}"));
                return;
            }
            // A name that comes back after a power cut is dropped again.
            let _ = durable::sync_folder(&path);
            state.segments.remove(&oldest.first);
            state.count_dropped(&oldest);
        }
    }

    /// The oldest segment, if it is to go. The one that is appended to stays.
    fn superfluous(&self, state: &State, now: Moment) -> Option<Segment> {
        let oldest = *state.segments.values().next()?;
        let active = state.active.as_ref();
        if active.is_some_and(|active| active.first == oldest.first) {
            return None;
        }
        let is_taken = !state.sinks.is_empty()
            && state
                .sinks
                .values()
                .all(|sink| sink.acknowledged + 1 >= oldest.next);
        let goes = state.bytes() > self.limits.bytes
            || is_older(oldest.newest, self.limits.age, now)
            || is_taken && is_older(oldest.newest, self.limits.taken, now);
        goes.then_some(oldest)
    }

    /// Looks whether enough of the disk is free.
    pub(super) fn look_for_room(&self) {
        let has_room = match rustix::fs::statvfs(&self.folder) {
            Ok(disk) => {
                let part = disk.f_blocks as f64 * self.limits.reserve;
                let bytes = self.limits.reserve_bytes / disk.f_frsize.max(1);
                disk.f_bavail as f64 >= part.min(bytes as f64)
            }
            // Writing will tell.
            Err(_) => true,
        };
        self.state().has_room = has_room;
    }
}

impl State {
    /// Counts what sinks had not taken yet of a segment that is gone.
    fn count_dropped(&mut self, gone: &Segment) {
        for (name, sink) in &mut self.sinks {
            let lost = gone
                .next
                .saturating_sub(gone.first.max(sink.acknowledged + 1));
            sink.dropped += lost;
            sink.acknowledged = sink.acknowledged.max(gone.next.saturating_sub(1));
            if lost > 0 {
                sink.oldest = None;
                tracing::error!(
                    sink = &**name,
                    records = lost,
                    "exposures were dropped before the sink took them"
                );
            }
        }
    }
}

fn is_older(at: Moment, age: Duration, now: Moment) -> bool {
    let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
    now.unix_ms.saturating_sub(at.unix_ms) > age
}
