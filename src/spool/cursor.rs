//! How far a sink has read: what it has acknowledged is stored, and everything after that is read again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::record::{Found, Record};
use super::segment::{Reader, Segment};
use super::{Shared, Spool};
use crate::context::Moment;
use crate::durable;

/// How each cursor begins: what it is, and in which version.
const MAGIC: [u8; 8] = *b"SERINCU\x01";
/// The end of a cursor's name.
const SUFFIX: &str = ".cursor";

/// A place in a segment, for as long as the segment is not rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    first: u64,
    revision: u64,
    pub(super) offset: u64,
}

impl Place {
    /// Whether it is a place of this segment as it is.
    pub(super) fn is_in(self, segment: &Segment) -> bool {
        (self.first, self.revision) == (segment.first, segment.revision)
    }
}

/// Records that a sink has before it, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The records.
    pub records: Vec<Record>,
    /// How many were left out before them, since they cannot be read.
    pub unreadable: u64,
}

/// Reads for one sink.
pub struct Cursor {
    shared: Arc<Shared>,
    /// `None`: for somebody who only looks.
    name: Option<Arc<str>>,
    acknowledged: u64,
    place: Option<Place>,
    /// Where the record after each of the last batch's begins, and when that was appended.
    ends: Vec<(u64, Place, Option<Moment>)>,
}

impl Spool {
    /// The cursor of a sink: it begins after what the sink has acknowledged. One that is new, or whose cursor is damaged, begins
    /// with the oldest record. A name has one cursor at a time.
    ///
    /// # Errors
    /// What the system says when the stored cursor cannot be read.
    pub fn cursor(&self, name: &str) -> io::Result<Cursor> {
        let stored = match read(&self.shared.path_of(name)) {
            Ok(stored) => stored,
            Err(error) if durable::is_absence(&error) => 0,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                tracing::warn!(
                    sink = name,
                    "the cursor is damaged: all that is spooled is sent again"
                );
                0
            }
            Err(error) => return Err(error),
        };
        let mut state = self.shared.state();
        let oldest = state.segments.values().next().map(|found| found.first);
        // A sink that is new has lost nothing; one that was away for long may have.
        let missed = match stored {
            0 => 0,
            stored => oldest.map_or(0, |oldest| oldest.saturating_sub(stored + 1)),
        };
        let acknowledged = oldest.map_or(state.next - 1, |oldest| stored.max(oldest - 1));
        let standing = state.sinks.entry(name.into()).or_default();
        standing.acknowledged = acknowledged;
        standing.dropped += missed;
        drop(state);
        Ok(Cursor {
            shared: self.shared.clone(),
            name: Some(name.into()),
            acknowledged,
            place: None,
            ends: Vec::new(),
        })
    }

    /// Reads from the oldest record on, for somebody who only looks: it is stored nowhere and holds nothing back.
    pub fn look(&self) -> Cursor {
        Cursor {
            shared: self.shared.clone(),
            name: None,
            acknowledged: 0,
            place: None,
            ends: Vec::new(),
        }
    }
}

impl Cursor {
    /// The next records: so many at most, and so many bytes of payload, but at least one if there is one. They come again until
    /// they are acknowledged.
    ///
    /// # Errors
    /// What the system says.
    pub fn next_batch(&mut self, records: usize, bytes: usize) -> io::Result<Batch> {
        let mut batch = Batch::default();
        self.ends.clear();
        let (mut from, mut size) = (self.acknowledged + 1, 0);
        while let Some((segment, mut reader)) = self.open(from)? {
            loop {
                match reader.next()? {
                    Found::Record(record) if record.sequence < from => {}
                    Found::Record(record) => {
                        size += record.payload.len();
                        let is_full = batch.records.len() >= records || size > bytes;
                        if is_full && !batch.records.is_empty() {
                            self.note_next(record.at);
                            return Ok(self.told(batch));
                        }
                        self.note_next(record.at);
                        let place = Place {
                            first: segment.first,
                            revision: segment.revision,
                            offset: reader.offset,
                        };
                        from = record.sequence + 1;
                        self.ends.push((record.sequence, place, None));
                        batch.records.push(record);
                    }
                    Found::End => break,
                    Found::Damage if !batch.records.is_empty() => return Ok(self.told(batch)),
                    Found::Damage => {
                        batch.unreadable += self.skip(segment.first, from);
                        break;
                    }
                }
            }
            from = from.max(segment.next).max(self.acknowledged + 1);
        }
        Ok(self.told(batch))
    }

    /// Notes that the sink has taken all records up to this one, for good.
    ///
    /// # Errors
    /// What the system says. The records come again after a restart then.
    pub fn acknowledge(&mut self, up_to: u64) -> io::Result<()> {
        if up_to <= self.acknowledged {
            return Ok(());
        }
        self.acknowledged = up_to;
        let last = self.ends.iter().rfind(|end| end.0 <= up_to).copied();
        self.place = last.map(|(_, place, _)| place);
        let oldest = last.and_then(|(_, _, following)| following);
        self.ends.retain(|end| end.0 > up_to);
        let Some(name) = &self.name else {
            return Ok(());
        };
        if let Some(standing) = self.shared.state().sinks.get_mut(name) {
            standing.acknowledged = up_to;
            standing.place = self.place;
            standing.oldest = oldest;
        }
        durable::replace(&self.shared.path_of(name), &encode(up_to))
    }

    /// Notes when the record after the last of the batch was appended.
    fn note_next(&mut self, at: Moment) {
        if let Some(last) = self.ends.last_mut() {
            last.2 = Some(at);
        }
    }

    /// The segment that has this sequence, or else the first after it.
    fn open(&self, from: u64) -> io::Result<Option<(Segment, Reader)>> {
        // With the lock, so that the file is the one that the numbers are of.
        let state = self.shared.state();
        let mut segments = state.segments.values();
        let Some(segment) = segments.find(|segment| segment.next > from) else {
            return Ok(None);
        };
        let place = self.place.filter(|place| place.is_in(segment));
        let reader = segment.open(&self.shared.folder, place.map(|place| place.offset))?;
        Ok(Some((*segment, reader)))
    }

    /// Goes on with the segment after this, of which nothing can be read from here on. Returns how many records that costs.
    fn skip(&mut self, first: u64, from: u64) -> u64 {
        let mut state = self.shared.state();
        if state
            .active
            .as_ref()
            .is_some_and(|active| active.first == first)
        {
            state.retire();
        }
        let next = state
            .segments
            .get(&first)
            .map_or(from, |segment| segment.next);
        let lost = next.saturating_sub(from.max(first));
        self.acknowledged = self.acknowledged.max(next.saturating_sub(1));
        self.place = None;
        let sink = self.name.as_deref().unwrap_or("");
        if let Some(standing) = state.sinks.get_mut(sink) {
            standing.acknowledged = self.acknowledged;
            standing.place = None;
            standing.unreadable += lost;
        }
        if lost > 0 {
            tracing::error!(
                sink,
                segment = first,
                records = lost,
                "spooled exposures are damaged and cannot be read"
            );
        }
        lost
    }

    /// Tells when the oldest record of a batch is from.
    fn told(&self, batch: Batch) -> Batch {
        if let Some(name) = &self.name
            && let Some(first) = batch.records.first()
            && let Some(standing) = self.shared.state().sinks.get_mut(name)
        {
            standing.oldest = Some(first.at);
        }
        batch
    }
}

impl Shared {
    fn path_of(&self, sink: &str) -> PathBuf {
        self.folder.join(format!("{sink}{SUFFIX}"))
    }
}

/// Whether a file is a cursor by its name.
pub(super) fn is_cursor(name: &str) -> bool {
    name.ends_with(SUFFIX)
}

/// Reads what a stored cursor says.
pub(super) fn read(path: &Path) -> io::Result<u64> {
    let bytes = fs::read(path)?;
    let sequence = bytes.get(8..16).and_then(|bytes| bytes.try_into().ok());
    let sequence = sequence.map(u64::from_le_bytes);
    sequence
        .filter(|&sequence| encode(sequence) == bytes)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the cursor is damaged"))
}

fn encode(sequence: u64) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&sequence.to_le_bytes());
    let checksum = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}
