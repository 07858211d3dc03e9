//! What was last good, on disk: a gateway starts from it without waiting for the server.
//!
//! One file a source: a line with a checksum of all that follows, a line about the flags, and the flags. Whatever
//! byte is not what was written, the file is set aside and nothing of it is believed; then the one before it is used,
//! which is kept beside it.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::context::Moment;
use crate::durable;
use crate::engine::unleash::FeatureSet;

/// What a file of ours, in this form, begins with.
const MAGIC: &str = "serin-flags 1 sha256=";
/// No file of ours is larger.
const MAX_BYTES: u64 = 256 << 20;

/// What is stored of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    /// The source's name.
    pub(super) source: Arc<str>,
    /// The server's URL.
    pub(super) url: Box<str>,
    /// When the server last said so.
    pub(super) confirmed: Moment,
    /// What was in force.
    pub(super) set: Arc<FeatureSet>,
}

/// Why nothing could be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
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

/// What was read of a source.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The newest that can be believed.
    pub(super) stored: Option<Stored>,
    /// What is wrong with what is newer.
    pub(super) error: Option<ReadError>,
}

/// Reads what is stored of a source, if there is anything: the newest copy, or the one before where that is damaged or
/// gone. What is damaged is set aside.
pub(super) fn read(folder: &Path, source: &str) -> Found {
    let path = path(folder, source);
    let newest = read_one(&path, source);
    if let Ok(Some(stored)) = newest {
        return Found {
            stored: Some(stored),
            error: None,
        };
    }
    match (newest, read_one(&older(&path), source)) {
        (newest, Ok(stored)) => Found {
            stored,
            error: newest.err(),
        },
        (newest, Err(error)) => Found {
            stored: None,
            error: Some(newest.err().unwrap_or(error)),
        },
    }
}

fn read_one(path: &Path, source: &str) -> Result<Option<Stored>, ReadError> {
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
    decode(&bytes, source).map(Some).map_err(|what| {
        let aside = durable::with_suffix(path, ".damaged");
        if let Err(error) = fs::rename(path, &aside) {
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
pub(super) fn write(folder: &Path, stored: &Stored) -> io::Result<()> {
    let path = path(folder, &stored.source);
    match durable::keep_as(&path, &older(&path)) {
        Err(error) if !durable::is_absence(&error) => {
            // The new flags matter more than a second copy of the old ones.
            tracing::warn!(file = %path.display(), %error, "no older copy of the flags can be kept");
        }
        _ => {}
    }
    durable::replace(&path, &encode(stored))
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn encode(stored: &Stored) -> Vec<u8> {
    let about = About {
        source: &stored.source,
        url: &stored.url,
        confirmed_unix_ms: stored.confirmed.unix_ms,
        revision: stored.set.revision(),
    };
    let about = serde_json::to_string(&about).unwrap_or_default();
    let content = format!("{about}\n{}", stored.set.to_json());
    format!("{MAGIC}{}\n{content}", checksum(content.as_bytes())).into_bytes()
}

/// Reads a file's content; an error says what is wrong with it.
fn decode(bytes: &[u8], source: &str) -> Result<Stored, &'static str> {
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
    let set = FeatureSet::parse(flags.as_bytes()).map_err(|_| "its flags are none")?;
    Ok(Stored {
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
