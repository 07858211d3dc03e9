//! The thread that forces records to the disk each second, and keeps the bounds.

use std::fs::File;
use std::io;
use std::sync::{Arc, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use super::Shared;
use crate::clock;

/// How much a power cut may cost.
const INTERVAL: Duration = Duration::from_secs(1);

/// Starts the thread. It forces everything to the disk a last time when the spool ends.
pub(super) fn start(shared: &Arc<Shared>) -> io::Result<JoinHandle<()>> {
    let shared = shared.clone();
    let thread = Builder::new().name("serin-spool".to_owned());
    thread.spawn(move || {
        while !shared.is_closed_after(INTERVAL) {
            if let Some(_hold) = shared.custody.try_hold() {
                shared.look_for_room();
                shared.keep_bounds(&mut shared.state(), clock::now());
                shared.sync_all();
            }
        }
        shared.sync_all();
    })
}

impl Shared {
    fn is_closed_after(&self, interval: Duration) -> bool {
        let state = self.state();
        let waited = self
            .bell
            .wait_timeout_while(state, interval, |state| !state.is_closed);
        waited.unwrap_or_else(PoisonError::into_inner).0.is_closed
    }

    /// Forces what was written to the disk.
    ///
    /// What could not be is not tried again: the system has marked those pages as clean and would say that all is well.
    /// Files are closed after this, so that closing them has nothing more to tell.
    pub(super) fn sync_all(&self) {
        let (retired, active) = {
            let mut state = self.state();
            let retired = std::mem::take(&mut state.retired);
            let active = state.active.as_mut().filter(|active| active.is_dirty);
            let active = active.map(|active| {
                active.is_dirty = false;
                (active.first, active.file.clone())
            });
            (retired, active)
        };
        // Without the lock: a disk may take its time, and the next records must not wait for it.
        for file in &retired {
            self.sync_file(file);
        }
        if let Some((first, file)) = active
            && !self.sync_file(&file)
        {
            let mut state = self.state();
            if state
                .active
                .as_ref()
                .is_some_and(|active| active.first == first)
            {
                // It may have been written to meanwhile; that is not forced to the disk through this file either.
                state.active = None;
            }
        }
    }

    fn sync_file(&self, file: &File) -> bool {
        let synced = (self.sync)(file);
        if let Err(error) = &synced {
            let mut state = self.state();
            state.unsynced += 1;
            state.note_trouble(format!("exposures cannot be forced to the disk: {error}"));
        }
        synced.is_ok()
    }
}
