//! Records are removed from the middle: what a user was served by, when the user is to be forgotten.

use std::fs;
use std::io;
use std::sync::PoisonError;

use super::record::{self, Found, Record};
use super::segment::{self, Segment};
use super::{Shared, Spool};
use crate::durable;

impl Spool {
    /// Removes every record that was appended before the call and that `goes`; returns how many. Each segment is written anew beside
    /// the old one and renamed over it: whenever the process ends, there is one or the other, and a second call does the
    /// rest. What stands behind damage cannot be read by anybody and is removed with it.
    ///
    /// # Errors
    /// What the system says. Some records may be removed then, and others not.
    pub fn erase(&self, goes: &dyn Fn(&[u8]) -> bool) -> io::Result<u64> {
        let shared = &*self.shared;
        let _one_at_a_time = shared
            .erasing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let firsts: Vec<u64> = {
            let mut state = shared.state();
            // From here on the segments are as they are.
            state.retire();
            state.segments.keys().copied().collect()
        };
        let mut removed = 0;
        for first in firsts {
            removed += shared.erase_from(first, goes)?;
        }
        Ok(removed)
    }
}

impl Shared {
    fn erase_from(&self, first: u64, goes: &dyn Fn(&[u8]) -> bool) -> io::Result<u64> {
        // The bounds may have dropped it by now.
        let Some(segment) = self.state().segments.get(&first).copied() else {
            return Ok(0);
        };
        let mut reader = match segment.open(&self.folder, None) {
            Err(error) if durable::is_absence(&error) => return Ok(0),
            opened => opened?,
        };
        let mut kept = segment::head(first, segment.created);
        let (head, mut removed) = (kept.len(), 0);
        let is_whole = loop {
            match reader.next()? {
                Found::Record(Record { payload, .. }) if goes(&payload) => removed += 1,
                Found::Record(found) => {
                    record::encode(found.sequence, found.at, &found.payload, &mut kept);
                }
                Found::End => break true,
                Found::Damage => break false,
            }
        };
        if removed > 0 || !is_whole {
            self.put(&segment, &kept, kept.len() == head)?;
        }
        Ok(removed)
    }

    /// Puts what is kept of a segment in its place.
    fn put(&self, segment: &Segment, kept: &[u8], is_empty: bool) -> io::Result<()> {
        let path = segment::path(&self.folder, segment.first);
        let written = if is_empty {
            None
        } else {
            Some(durable::write_beside(&path, kept)?)
        };
        // Readers open files with the lock, and so find a file with its own numbers.
        let mut state = self.state();
        if !state.segments.contains_key(&segment.first) {
            return written.map_or(Ok(()), fs::remove_file);
        }
        match written {
            Some(written) => {
                durable::put_in_place(&written, &path)?;
                if let Some(segment) = state.segments.get_mut(&segment.first) {
                    segment.bytes = kept.len() as u64;
                    segment.revision += 1;
                }
            }
            None => {
                fs::remove_file(&path)?;
                state.segments.remove(&segment.first);
                durable::sync_folder(&path)?;
            }
        }
        Ok(())
    }
}
