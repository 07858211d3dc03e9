//! A segment: a file of records, whose name is the sequence that its first record has or could have had.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::record::{self, Found, Record};
use crate::context::Moment;
use crate::durable;

/// How each segment begins: what it is, and in which version.
const MAGIC: [u8; 8] = *b"SERINSP\x01";
/// Magic, first sequence, time of creation, checksum of these.
pub(super) const HEAD: u64 = 28;
/// The end of a segment's name.
const SUFFIX: &str = ".segment";
/// How much is read from a segment at once.
const BUFFER: usize = 64 << 10;

/// What is known of a segment without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// Its records' sequences are at least this.
    pub(super) first: u64,
    /// And less than this.
    pub(super) next: u64,
    /// Where it ends; what may stand behind that was never wholly written.
    pub(super) bytes: u64,
    /// When it was begun.
    pub(super) created: Moment,
    /// No record is younger.
    pub(super) newest: Moment,
    /// Places in it hold for one revision only.
    pub(super) revision: u64,
}

impl Segment {
    /// Begins a segment on disk.
    pub(super) fn create(folder: &Path, first: u64, at: Moment) -> io::Result<(Self, File)> {
        let path = path(folder, first);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(durable::FILE_MODE)
            .open(&path)?;
        let begun = file
            .write_all(&head(first, at))
            .and_then(|()| durable::sync_folder(&path));
        if let Err(error) = begun {
            // The name has to be free for the next attempt.
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        let segment = Self {
            first,
            next: first,
            bytes: HEAD,
            created: at,
            newest: at,
            revision: 0,
        };
        Ok((segment, file))
    }

    /// What a file's head and size say of a segment that was found. Its end is known when the one after it is.
    pub(super) fn find(folder: &Path, first: u64) -> io::Result<Self> {
        let mut file = File::open(path(folder, first))?;
        let about = file.metadata()?;
        let created = match read_head(&mut file, first)? {
            Some(created) => created,
            // Readers will meet the damage; until it is dropped with the rest, the file's own time has to do.
            None => about.modified().map_or(Moment { unix_ms: 0 }, |time| {
                let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
                Moment {
                    unix_ms: i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
                }
            }),
        };
        Ok(Self {
            first,
            next: first,
            bytes: about.len(),
            created,
            newest: created,
            revision: 0,
        })
    }

    /// Reads records from a place on.
    pub(super) fn open(&self, folder: &Path, offset: Option<u64>) -> io::Result<Reader> {
        let mut file = File::open(path(folder, self.first))?;
        let is_headed = read_head(&mut file, self.first)?.is_some();
        let offset = offset.unwrap_or(HEAD);
        file.seek(SeekFrom::Start(offset))?;
        Ok(Reader {
            file: BufReader::with_capacity(BUFFER, file),
            offset,
            end: self.bytes,
            least: self.first,
            is_damaged: !is_headed,
        })
    }
}

/// Reads a segment's records in order.
pub(super) struct Reader {
    file: BufReader<File>,
    /// Where the next record begins.
    pub(super) offset: u64,
    end: u64,
    least: u64,
    is_damaged: bool,
}

impl Reader {
    /// The next record.
    pub(super) fn next(&mut self) -> io::Result<Found> {
        if self.is_damaged {
            return Ok(Found::Damage);
        }
        let left = self.end.saturating_sub(self.offset);
        let found = record::read(&mut self.file, left, self.least)?;
        match &found {
            Found::Record(Record {
                sequence, payload, ..
            }) => {
                self.offset += record::size(payload.len());
                self.least = sequence + 1;
            }
            Found::Damage => self.is_damaged = true,
            Found::End => {}
        }
        Ok(found)
    }
}

/// Where a segment is.
pub(super) fn path(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{first:016x}{SUFFIX}"))
}

/// The first sequence of the segment that a file is by its name.
pub(super) fn first_of(name: &str) -> Option<u64> {
    let digits = name
        .strip_suffix(SUFFIX)
        .filter(|digits| digits.len() == 16)?;
    u64::from_str_radix(digits, 16).ok()
}

/// A segment's first bytes.
pub(super) fn head(first: u64, created: Moment) -> Vec<u8> {
    let mut head = MAGIC.to_vec();
    head.extend_from_slice(&first.to_le_bytes());
    head.extend_from_slice(&created.unix_ms.to_le_bytes());
    let checksum = crc32fast::hash(&head);
    head.extend_from_slice(&checksum.to_le_bytes());
    head
}

/// When a segment was begun; `None`: its head is damaged, or not of this version.
fn read_head(file: &mut File, first: u64) -> io::Result<Option<Moment>> {
    let mut found = Vec::new();
    Read::take(file, HEAD).read_to_end(&mut found)?;
    let created = found.get(16..24).and_then(|bytes| bytes.try_into().ok());
    let created = created.map(|bytes| Moment {
        unix_ms: i64::from_le_bytes(bytes),
    });
    Ok(created.filter(|&created| head(first, created) == found))
}
