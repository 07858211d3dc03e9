//! Reading a file whole, or not at all.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The largest file that is read.
pub const MAX_BYTES: u64 = 10 * 1024 * 1024;

/// Why the file's content is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It changed while it was read: worth another attempt.
    #[error("the file changed while it was read")]
    Changing,
    /// It is no regular file: a pipe or a device would be waited for.
    #[error("not a regular file")]
    NotAFile,
    /// It is larger than [`MAX_BYTES`].
    #[error("the file has more than {} MiB", MAX_BYTES / 1024 / 1024)]
    TooLarge,
    /// It is no text, from this line on.
    #[error("line {0} is not UTF-8")]
    NotText(usize),
}

/// Distinguishes one state of a file from another without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    size: u64,
}

impl Stamp {
    /// The stamp of the file that a path leads to.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        std::fs::metadata(path).map(|metadata| Self::from(&metadata))
    }
}

impl From<&Metadata> for Stamp {
    fn from(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            size: metadata.size(),
        }
    }
}

/// Reads the whole file, provided that it is one and the same from beginning to end. Several attempts are made,
/// since a file that is replaced while it is read is soon at rest again. Blocks.
pub fn read(path: &Path) -> Result<String, FileError> {
    read_stamped(path).map(|(text, _)| text)
}

pub(super) fn read_stamped(path: &Path) -> Result<(String, Stamp), FileError> {
    for _ in 0..4 {
        match read_once(path) {
            Err(FileError::Changing) => std::thread::sleep(std::time::Duration::from_millis(20)),
            result => return result,
        }
    }
    Err(FileError::Changing)
}

fn read_once(path: &Path) -> Result<(String, Stamp), FileError> {
    // Asked before it is opened: opening a pipe would wait for its writer.
    if !std::fs::metadata(path)?.is_file() {
        return Err(FileError::NotAFile);
    }
    let mut file = File::open(path)?;
    let before = Stamp::from(&file.metadata()?);
    let mut bytes = Vec::new();
    file.by_ref().take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(FileError::TooLarge);
    }
    // By path: when the name leads elsewhere by now, what was read is no longer what the name says.
    if Stamp::of(path)? != before || bytes.len() as u64 != before.size {
        return Err(FileError::Changing);
    }
    Ok((as_text(bytes)?, before))
}

/// Reads what is piped in, to its end. Blocks.
pub fn read_stream(stream: impl Read) -> Result<String, FileError> {
    let mut bytes = Vec::new();
    stream.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(FileError::TooLarge);
    }
    as_text(bytes)
}

fn as_text(bytes: Vec<u8>) -> Result<String, FileError> {
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let before = error.as_bytes().get(..good).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        FileError::NotText(line)
    })
}
