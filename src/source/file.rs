//! `routes.yaml`: read whole, and followed through every way in which people and tools change files.

mod links;
mod read;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

pub use read::{FileError, MAX_BYTES, read, read_stream};

use super::SourceStatus;
use watch::{Signal, Watch};

/// Changes within this time of the first are taken together; further ones never postpone it.
const SETTLE: Duration = Duration::from_millis(100);
/// How much later than a change itself the kernel's notification of it may come.
const HINDSIGHT: Duration = Duration::from_millis(20);
/// How long an empty file may be the beginning of a full one.
const EMPTY: Duration = Duration::from_millis(700);
/// How often the file is looked at where there are no notifications of changes (network file systems).
const POLL: Duration = Duration::from_secs(1);
/// How long a writer may take before it is reported. A half-written file is never read.
const WRITING: Duration = Duration::from_secs(10);
/// How long the file may be away before it is reported.
const AWAY: Duration = Duration::from_secs(1);

/// Follows the file from a thread of its own, until dropped.
#[derive(Debug)]
pub struct FileSource {
    signals: mpsc::Sender<Signal>,
}

/// What the file's follower has found, and when.
#[derive(Clone, Debug)]
pub struct FileNews {
    /// By when the file had been read: a reload that began to read it later knows better.
    pub at: Instant,
    /// What was found.
    pub event: FileEvent,
}

/// What was found of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileEvent {
    /// The content changed, and this is it.
    Changed(String),
    /// The file cannot be read, or has been half written for too long; said once for each trouble.
    Trouble(String),
}

impl FileSource {
    /// Follows `path`, which was last seen with the content `known`. A full channel makes the follower wait: the
    /// latest content is all that counts.
    pub fn start(
        path: &Path,
        known: &str,
        status: Arc<SourceStatus>,
        events: tokio::sync::mpsc::Sender<FileNews>,
    ) -> std::io::Result<Self> {
        let (signals, inbox) = mpsc::channel();
        let watch = Watch::new(absolute(path), known, status, events, signals.clone());
        std::thread::Builder::new()
            .name("serin-file".to_owned())
            .spawn(move || watch.run(&inbox))?;
        Ok(Self { signals })
    }
}

impl Drop for FileSource {
    fn drop(&mut self) {
        // Fails only when the thread has ended already.
        let _ = self.signals.send(Signal::Stop);
    }
}

/// Relative paths are meant from where the process was started.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests;
