//! What was last good, on disk: a gateway starts from it without waiting for the server.
//!
//! One file a source: a line with a checksum of all that follows, a line about the flags, and the flags. Whatever
//! octet is not what was written, the file is set aside and nothing of it is believed.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::context::Moment;
use crate::engine::unleash::FeatureSet;

/// What a file of ours, in this form, begins with.
const MAGIC: &str = "serin-flags 1 sha256=";
/// What a file is called that is not whole yet.
const TEMPORARY: &str = "snapshot.tmp";
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

/// Reads what is stored of a source, if there is anything. What is damaged is set aside.
///
/// # Errors
/// When there is something, but it cannot be read or believed.
pub(super) fn read(folder: &Path, source: &str) -> Result<Option<Stored>, ReadError> {
    let path = path(folder, source);
    let octets = match read_bounded(&path) {
        Ok(octets) => octets,
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(ReadError::Unreadable { path, cause }),
    };
    decode(&octets, source).map(Some).map_err(|what| {
        let aside = path.with_extension("snapshot.damaged");
        if let Err(error) = fs::rename(&path, &aside) {
            tracing::warn!(file = %path.display(), %error, "a damaged file cannot be set aside");
        }
        ReadError::Damaged { path, what }
    })
}

/// Replaces what is stored of a source, whole or not at all.
///
/// # Errors
/// What the system says; what was stored before is still there then.
pub(super) fn write(folder: &Path, stored: &Stored) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    let path = path(folder, &stored.source);
    let temporary = path.with_extension(TEMPORARY);
    let written =
        write_whole(&temporary, &encode(stored)).and_then(|()| fs::rename(&temporary, &path));
    if written.is_err() {
        // What is half written helps nobody, and the disk may be full.
        let _ = fs::remove_file(&temporary);
    }
    written?;
    // The new name, too, must survive a power cut.
    File::open(folder)?.sync_all()
}

fn write_whole(path: &Path, octets: &[u8]) -> io::Result<()> {
    // One that a process left behind that was killed may be somebody else's to read.
    let _ = fs::remove_file(path);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(octets)?;
    file.sync_all()
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut octets = Vec::new();
    File::open(path)?
        .take(MAX_BYTES + 1)
        .read_to_end(&mut octets)?;
    Ok(octets)
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
fn decode(octets: &[u8], source: &str) -> Result<Stored, &'static str> {
    if octets.len() as u64 > MAX_BYTES {
        return Err("it is too large");
    }
    let text = std::str::from_utf8(octets).map_err(|_| "it is not a text")?;
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

fn checksum(octets: &[u8]) -> String {
    crate::digest::Digest(Sha256::digest(octets).into()).to_string()
}

#[cfg(test)]
mod tests;
