//! The last good flags of a source, on disk: a gateway starts from them without waiting for the server.
//!
//! One file a source: a line with a checksum of all that follows, a line about the flags, and the flags. If any
//! byte is not as it was written, the file is set aside and nothing of it is used; then the copy before it is used, which
//! is kept beside it.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::context::Moment;
use crate::durable;
use crate::engine::source::{SourceKind, SourceSet};

/// What a file of ours, in this form, begins with.
const MAGIC: &str = "serin-flags 1 sha256=";
/// No file of ours is larger.
const MAX_BYTES: u64 = 256 << 20;
/// How old what is stored of the moment may become at which the server last confirmed the flags.
pub(super) const RENEW: Duration = Duration::from_secs(600);

/// The stored flags of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::source) struct StoredSet {
    /// The source's name.
    pub(in crate::source) source: Arc<str>,
    /// The server's URL.
    pub(in crate::source) url: Box<str>,
    /// When the server last said so.
    pub(in crate::source) confirmed: Moment,
    /// What was in force.
    pub(in crate::source) set: Arc<SourceSet>,
}

impl StoredSet {
    /// Whether it says later things than another one of the same server.
    pub(super) fn is_newer_than(&self, other: &Self) -> bool {
        match (self.set.revision(), other.set.revision()) {
            (Some(own), Some(others)) if own != others => own > others,
            _ => self.confirmed.unix_ms > other.confirmed.unix_ms,
        }
    }
}

/// Why nothing could be read.
#[derive(Debug, thiserror::Error)]
pub(in crate::source) enum ReadError {
    /// The file cannot be read.
    #[error("the stored flags in {path} cannot be read: {cause}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
    /// The file is not what was written; it is out of the way now, if that could be done.
    #[error("the stored flags in {path} are damaged ({what}) and were set aside")]
    Damaged {
        /// Where the file was.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
}

/// The line about the flags.
#[derive(Serialize, Deserialize)]
struct About<'a> {
    source: &'a str,
    url: &'a str,
    confirmed_unix_ms: i64,
    revision: Option<u64>,
}

/// The file of a source, whose name is checked with the configuration.
fn path(folder: &Path, source: &str) -> PathBuf {
    folder.join(format!("flags-{source}.snapshot"))
}

/// Where what was there before is kept.
fn older(path: &Path) -> PathBuf {
    durable::with_suffix(path, ".older")
}

/// What was found of a source, on disk or in Redis.
#[derive(Debug, Default)]
pub(in crate::source) struct StoredCopy {
    /// The newest that can be believed.
    pub(in crate::source) set: Option<Arc<StoredSet>>,
    /// What is wrong with a newer one.
    pub(in crate::source) error: Option<ReadError>,
    /// Whether it stands on this disk.
    pub(in crate::source) is_on_disk: bool,
}

/// Reads what is stored of a source, if there is anything: the newest copy, or the one before where that is damaged or
/// gone. What is damaged is set aside.
pub(in crate::source) fn read(folder: &Path, source: &str, kind: SourceKind) -> StoredCopy {
    let path = path(folder, source);
    let newest = read_one(&path, source, kind);
    if let Ok(Some(stored)) = newest {
        return StoredCopy {
            set: Some(Arc::new(stored)),
            error: None,
            is_on_disk: true,
        };
    }
    match (newest, read_one(&older(&path), source, kind)) {
        (newest, Ok(stored)) => StoredCopy {
            is_on_disk: stored.is_some(),
            set: stored.map(Arc::new),
            error: newest.err(),
        },
        (newest, Err(error)) => StoredCopy {
            set: None,
            is_on_disk: false,
            error: Some(newest.err().unwrap_or(error)),
        },
    }
}

fn read_one(path: &Path, source: &str, kind: SourceKind) -> Result<Option<StoredSet>, ReadError> {
    let bytes = match read_bounded(path) {
        Ok(bytes) => bytes,
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
        Err(cause) => {
            return Err(ReadError::Unreadable {
                path: path.to_owned(),
                cause,
            });
        }
    };
    decode(&bytes, source, kind).map(Some).map_err(|what| {
        if let Err(error) = durable::set_aside(path) {
            tracing::warn!(file = %path.display(), %error, "a damaged file cannot be set aside");
        }
        ReadError::Damaged {
            path: path.to_owned(),
            what,
        }
    })
}

/// Replaces what is stored of a source, whole or not at all; what was stored before is kept beside it.
///
/// # Errors
/// What the system says; what was stored before is still there then.
pub(in crate::source) fn write(folder: &Path, stored: &StoredSet) -> io::Result<()> {
    let path = path(folder, &stored.source);
    match durable::keep_as(&path, &older(&path)) {
        Err(error) if !durable::is_absence(&error) => {
            // The new flags matter more than a second copy of the old ones.
            tracing::warn!(file = %path.display(), %error, "no older copy of the flags can be kept");
        }
        _ => {}
    }
    durable::replace(&path, encode(stored).as_bytes())
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The text of a file.
pub(super) fn encode(stored: &StoredSet) -> String {
    let about = About {
        source: &stored.source,
        url: &stored.url,
        confirmed_unix_ms: stored.confirmed.unix_ms,
        revision: stored.set.revision(),
    };
    let about = serde_json::to_string(&about).unwrap_or_default();
    let content = format!("{about}\n{}", stored.set.to_json());
    format!("{MAGIC}{}\n{content}", checksum(content.as_bytes()))
}

/// Reads a file's content; an error says what is wrong with it.
pub(super) fn decode(
    bytes: &[u8],
    source: &str,
    kind: SourceKind,
) -> Result<StoredSet, &'static str> {
    if bytes.len() as u64 > MAX_BYTES {
        return Err("it is too large");
    }
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not a text")?;
    let line = text.strip_prefix(MAGIC).ok_or("it begins otherwise")?;
    let (sum, content) = line.split_once('\n').ok_or("it is cut off")?;
    if sum != checksum(content.as_bytes()) {
        return Err("its checksum is another one");
    }
    let (about, flags) = content.split_once('\n').ok_or("it is cut off")?;
    let about: About<'_> =
        serde_json::from_str(about).map_err(|_| "its second line says something else")?;
    if about.source != source {
        return Err("it is of another source");
    }
    let set = SourceSet::parse(kind, flags.as_bytes()).map_err(|_| "its flags are none")?;
    Ok(StoredSet {
        source: about.source.into(),
        url: about.url.into(),
        confirmed: Moment {
            unix_ms: about.confirmed_unix_ms,
        },
        set: Arc::new(set),
    })
}

fn checksum(bytes: &[u8]) -> String {
    crate::digest::Digest(Sha256::digest(bytes).into()).to_string()
}

#[cfg(test)]
mod tests;
