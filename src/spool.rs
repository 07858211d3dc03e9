//! A queue on disk: records are appended by one thread and read by several sinks, each at its own pace.
//!
//! A folder has segments (files of records with checksums) and a cursor for each sink; nothing else is true. A record that was
//! written outlives the process's end whatever the reason, and a power cut once it was forced to the disk, which happens
//! each second. What was written damaged by a power cut is cut off when the folder is opened, and a new segment is begun. Sinks
//! acknowledge what they have taken, and the cursor is stored after that: a record may come to them twice, but none is
//! left out. What all have taken is kept for a day and then dropped; the bounds drop the oldest segments, taken or not.

mod bounds;
mod cursor;
mod erasure;
mod figures;
mod opening;
pub mod record;
mod segment;
mod syncing;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind, Write as _};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;

use crate::context::Moment;
use crate::custody::Custody;
pub use cursor::{Batch, Cursor};
pub use figures::{Backlog, Figures};
pub use opening::Damage;
use record::MAX_PAYLOAD;
use segment::Segment;

/// How much a spool may hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// All segments together; the oldest are dropped beyond it.
    pub bytes: u64,
    /// How old a record may become.
    pub age: Duration,
    /// How long what every sink has taken is kept.
    pub taken: Duration,
    /// After how many bytes a segment is closed.
    pub segment: u64,
    /// The part of the disk that has to stay free, from 0 to 1: nothing is written beyond it.
    pub reserve: f64,
    /// How many bytes have to stay free at most, however large the disk.
    pub reserve_bytes: u64,
}

impl Limits {
    /// For so many bytes, and so long.
    pub fn new(bytes: u64, age: Duration) -> Self {
        Self {
            bytes,
            age,
            taken: Duration::from_secs(24 * 60 * 60),
            // Whole segments are dropped: each must be a small part of what may be held.
            segment: (8 << 20).min(bytes / 8),
            reserve: 0.05,
            reserve_bytes: 1 << 30,
        }
    }
}

/// The queue, as the thread that appends and all who read have it. It ends with the last handle on it.
#[derive(Clone)]
pub struct Spool {
    shared: Arc<Shared>,
    _upkeep: Arc<Upkeep>,
}

/// Forces a file's content to the disk. Tests have one that fails, as a disk does.
type Sync = fn(&File) -> io::Result<()>;

/// What all handles share.
struct Shared {
    folder: PathBuf,
    limits: Limits,
    /// Nothing is written or dropped without it.
    custody: Custody,
    state: Mutex<State>,
    /// Rung when the spool is to end.
    bell: Condvar,
    /// The last record's sequence.
    last: watch::Sender<u64>,
    sync: Sync,
    /// One erasure at a time.
    erasing: Mutex<()>,
}

#[derive(Default)]
struct State {
    /// By their first sequence.
    segments: BTreeMap<u64, Segment>,
    /// What is appended to; `None`: the next record begins a segment.
    active: Option<Active>,
    /// Files that are closed once they are forced to the disk.
    retired: Vec<Arc<File>>,
    /// The next record's sequence.
    next: u64,
    sinks: BTreeMap<Arc<str>, Standing>,
    unwritten: u64,
    unsynced: u64,
    trouble: Option<String>,
    has_room: bool,
    is_closed: bool,
}

struct Active {
    first: u64,
    file: Arc<File>,
    is_dirty: bool,
}

/// How far a sink is.
#[derive(Clone, Copy, Debug, Default)]
struct Standing {
    acknowledged: u64,
    /// Where the first record after that is: segment, revision and offset.
    place: Option<cursor::Place>,
    /// When it was appended.
    oldest: Option<Moment>,
    dropped: u64,
    unreadable: u64,
}

/// The thread that forces records to the disk, ended with the last handle.
struct Upkeep {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        self.shared.state().is_closed = true;
        self.shared.bell.notify_all();
        if let Some(thread) = self.thread.take() {
            // It has said itself why it ended.
            let _ = thread.join();
        }
    }
}

impl Spool {
    /// Opens the folder, or makes it. What a power cut left behind is mended; what there was to mend is told.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(folder: impl Into<PathBuf>, limits: Limits) -> io::Result<(Self, Damage)> {
        Self::open_under(folder, limits, Custody::default())
    }

    /// The same. Nobody else may write there meanwhile; afterwards this writes while `custody` is here.
    ///
    /// # Errors
    /// What the system says.
    pub fn open_under(
        folder: impl Into<PathBuf>,
        limits: Limits,
        custody: Custody,
    ) -> io::Result<(Self, Damage)> {
        Self::open_with(folder.into(), limits, custody, File::sync_data)
    }

    fn open_with(
        folder: PathBuf,
        limits: Limits,
        custody: Custody,
        sync: Sync,
    ) -> io::Result<(Self, Damage)> {
        let (state, damage) = opening::open(&folder)?;
        let (last, _) = watch::channel(state.next.saturating_sub(1));
        let shared = Arc::new(Shared {
            folder,
            limits,
            custody,
            state: Mutex::new(state),
            bell: Condvar::new(),
            last,
            sync,
            erasing: Mutex::default(),
        });
        shared.look_for_room();
        let thread = syncing::start(&shared)?;
        let upkeep = Arc::new(Upkeep {
            shared: shared.clone(),
            thread: Some(thread),
        });
        let spool = Self {
            shared,
            _upkeep: upkeep,
        };
        Ok((spool, damage))
    }

    /// Appends a record, and returns its sequence. It is one write to the system's cache: it waits for no disk.
    ///
    /// # Errors
    /// When the payload is too long, when the disk is as good as full, or when the system cannot write. The record is
    /// lost then, and counted; the next one begins a new segment.
    pub fn append(&self, payload: &[u8], at: Moment) -> io::Result<u64> {
        let mut state = self.shared.state();
        match self.shared.append(&mut state, payload, at) {
            Ok(sequence) => {
                if state.trouble.take().is_some() {
                    tracing::warn!("exposures can be written again");
                }
                drop(state);
                self.shared.last.send_replace(sequence);
                Ok(sequence)
            }
            Err(error) => {
                state.unwritten += 1;
                state.note_trouble(format!("exposures cannot be written: {error}"));
                Err(error)
            }
        }
    }

    /// Whether this process is the one that writes. Who appends or acknowledges holds it meanwhile.
    pub fn custody(&self) -> &Custody {
        &self.shared.custody
    }

    /// Forces what was appended to the disk, without waiting for the second to be over.
    pub fn sync(&self) {
        self.shared.sync_all();
    }

    /// Drops what the bounds say, as happens each second.
    pub fn keep_bounds(&self, now: Moment) {
        self.shared.keep_bounds(&mut self.shared.state(), now);
    }

    /// Tells the last record's sequence whenever there is another.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.shared.last.subscribe()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn append(&self, state: &mut State, payload: &[u8], at: Moment) -> io::Result<u64> {
        if payload.len() > MAX_PAYLOAD {
            let message = format!("a record has more than {MAX_PAYLOAD} bytes");
            return Err(io::Error::new(ErrorKind::InvalidInput, message));
        }
        if !state.has_room {
            let message = "the disk is as good as full";
            return Err(io::Error::new(ErrorKind::StorageFull, message));
        }
        let is_full = |segment: &Segment| segment.bytes >= self.limits.segment;
        if state.active_segment().is_some_and(|found| is_full(found)) {
            state.retire();
        }
        if state.active.is_none() {
            self.begin_segment(state, at)?;
        }
        let sequence = state.next;
        let mut bytes = Vec::with_capacity(record::HEAD + payload.len());
        record::encode(sequence, at, payload, &mut bytes);
        state.write(&bytes)?;
        if let Some(segment) = state.active_segment() {
            segment.next = sequence + 1;
            segment.bytes += bytes.len() as u64;
            segment.newest = segment.newest.max(at);
        }
        state.next = sequence + 1;
        for sink in state.sinks.values_mut() {
            if sink.acknowledged + 1 >= sequence {
                sink.oldest = Some(at);
            }
        }
        Ok(sequence)
    }

    fn begin_segment(&self, state: &mut State, at: Moment) -> io::Result<()> {
        self.keep_bounds(state, at);
        let (segment, file) = Segment::create(&self.folder, state.next, at)?;
        state.active = Some(Active {
            first: segment.first,
            file: Arc::new(file),
            is_dirty: true,
        });
        state.segments.insert(segment.first, segment);
        Ok(())
    }
}

impl State {
    /// What is appended to.
    fn active_segment(&mut self) -> Option<&mut Segment> {
        let first = self.active.as_ref()?.first;
        self.segments.get_mut(&first)
    }

    /// Appends to no segment any more: the next record begins one. What was written is still forced to the disk.
    fn retire(&mut self) {
        if let Some(active) = self.active.take()
            && active.is_dirty
        {
            self.retired.push(active.file);
        }
    }

    /// Writes to the active segment. After half a record nothing more is written there.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let end = self.active_segment().map(|segment| segment.bytes);
        let Some(active) = &mut self.active else {
            return Err(io::Error::other("no segment is open"));
        };
        active.is_dirty = true;
        let written = (&*active.file).write_all(bytes);
        if written.is_err() {
            // Readers do not go beyond the last whole record anyway; this spares the next start the damage.
            let _ = end.map(|end| active.file.set_len(end));
            self.retire();
        }
        written
    }

    fn note_trouble(&mut self, trouble: String) {
        if self.trouble.as_ref() != Some(&trouble) {
            tracing::error!("{trouble}");
        }
        self.trouble = Some(trouble);
    }

    fn bytes(&self) -> u64 {
        self.segments.values().map(|segment| segment.bytes).sum()
    }
}

#[cfg(test)]
mod tests;
