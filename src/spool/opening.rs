//! What a folder has when it is opened: segments, the last of which may end in half a record, and cursors.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;

use super::record::Found;
use super::segment::{self, Segment};
use super::{State, cursor};
use crate::durable;

/// What was mended when the spool was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// How many bytes at the last segment's end were no whole record, and are cut off.
    pub torn: u64,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let torn = self.torn;
        write!(
            f,
            "the last {torn} bytes were no whole record and are cut off"
        )
    }
}

impl Damage {
    /// Whether there was none.
    pub fn is_none(&self) -> bool {
        self.torn == 0
    }
}

/// Reads what there is, and cuts off what no record can be read of at the end. Only the last segment is read through.
pub(super) fn open(folder: &Path) -> io::Result<(State, Damage)> {
    durable::make_folder(folder)?;
    let (mut firsts, mut next) = (Vec::new(), 1);
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if name.ends_with(durable::TEMPORARY) {
            // A process that was killed left it behind half written.
            fs::remove_file(entry.path())?;
        } else if let Some(first) = segment::first_of(name) {
            firsts.push(first);
        } else if cursor::is_cursor(name) {
            // A sink may have taken records that a power cut took from the disk: their sequences are not given again.
            next = next.max(cursor::read(&entry.path()).unwrap_or(0) + 1);
        }
    }
    firsts.sort_unstable();
    let mut state = State::default();
    let mut damage = Damage::default();
    for (index, &first) in firsts.iter().enumerate() {
        let mut found = Segment::find(folder, first)?;
        match firsts.get(index + 1) {
            Some(&following) => found.next = following,
            None => damage.torn = mend(folder, &mut found)?,
        }
        next = next.max(found.next);
        if found.next > first {
            state.segments.insert(first, found);
        } else {
            let path = segment::path(folder, first);
            fs::remove_file(&path)?;
            durable::sync_folder(&path)?;
        }
    }
    state.next = next;
    state.date_segments();
    Ok((state, damage))
}

/// Cuts the last segment after its last whole record, and returns how much was cut off.
fn mend(folder: &Path, found: &mut Segment) -> io::Result<u64> {
    let mut reader = found.open(folder, None)?;
    let end = loop {
        match reader.next()? {
            Found::Record(record) => {
                found.next = record.sequence + 1;
                found.newest = found.newest.max(record.at);
            }
            Found::End => return Ok(0),
            Found::Damage => break reader.offset,
        }
    };
    let torn = found.bytes.saturating_sub(end);
    let file = OpenOptions::new()
        .write(true)
        .open(segment::path(folder, found.first))?;
    file.set_len(end.min(found.bytes))?;
    file.sync_all()?;
    found.bytes = end.min(found.bytes);
    Ok(torn)
}

impl State {
    /// No record of a segment is younger than the segment after it.
    fn date_segments(&mut self) {
        let mut following = None;
        for segment in self.segments.values_mut().rev() {
            segment.newest = segment.newest.max(following.unwrap_or(segment.newest));
            following = Some(segment.created);
        }
    }
}
