//! What a sink refused for good, with the reason.

use std::io;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::document::{ExposureDocument, Owner};
use super::lines::Lines;
use crate::clock;

/// After how many bytes a file is closed.
const ROTATE: u64 = 64 << 20;
/// How long a closed one is kept.
const KEEP: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// One sink's dead letters.
#[derive(Debug)]
pub(super) struct DeadLetters {
    sink: Box<str>,
    lines: Lines,
}

#[derive(Serialize)]
struct DeadLetter<'a> {
    at: String,
    sink: &'a str,
    reason: &'a str,
    exposure: &'a ExposureDocument,
}

impl DeadLetters {
    pub(super) fn new(folder: &Path, sink: &str) -> Self {
        Self {
            sink: sink.into(),
            lines: Lines::new(folder, sink, ROTATE, KEEP),
        }
    }

    /// Puts exposures aside, as the sink would have got them.
    ///
    /// # Errors
    /// What the system says; none are put aside then.
    pub(super) fn put(&mut self, refused: &[(&ExposureDocument, String)]) -> io::Result<()> {
        let now = clock::now();
        let mut lines = Vec::new();
        for (exposure, reason) in refused {
            let letter = DeadLetter {
                at: now.to_string(),
                sink: &self.sink,
                reason,
                exposure,
            };
            serde_json::to_writer(&mut lines, &letter)?;
            lines.push(b'\n');
        }
        self.lines.append(&lines, now)
    }

    /// Removes those of a user, in whichever of these forms.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn forget(&mut self, forms: &[Box<str>]) -> io::Result<u64> {
        #[derive(Deserialize)]
        struct Letter {
            exposure: Owner,
        }
        self.lines.erase(&|line| {
            let letter: Result<Letter, _> = serde_json::from_str(line);
            letter.map_or(true, |letter| forms.contains(&letter.exposure.user))
        })
    }
}
