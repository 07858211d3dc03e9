//! Files of JSON, an exposure a line: what DuckDB, BigQuery or Athena read as it is.

use std::collections::HashSet;
use std::io;
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;

use super::{Answer, BatchLimits, Sink};
use crate::attribution::document::{ExposureDocument, Owner};
use crate::attribution::lines::Lines;
use crate::clock;
use crate::config::attribution::sinks::{FileFormat, FileSink as FileConfig};

/// How all files' names begin.
const STEM: &str = "exposures";
/// A batch has at most this much, so that the last one is in a file's tail.
const BATCH: usize = 512 << 10;
/// How much is read of it after a start. Lines are longer than what is spooled by four columns at most.
const TAIL: u64 = 4 * BATCH as u64;

/// Writes lines to files.
#[derive(Debug)]
pub(super) struct FileSink {
    lines: Lines,
    format: FileFormat,
    /// What the file had when this process began, until the first batch has been written.
    found: Option<HashSet<Box<str>>>,
}

/// A line.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    exposure: &'a ExposureDocument,
    #[serde(flatten)]
    assignment: Option<Assignment<'a>>,
}

/// The columns that assignment tables have.
#[derive(Serialize)]
struct Assignment<'a> {
    subject_key: &'a str,
    timestamp: &'a str,
    experiment_id: &'a str,
    variant_id: &'a str,
}

impl FileSink {
    pub(super) fn new(config: &FileConfig) -> Self {
        Self {
            lines: Lines::new(&config.path, STEM, config.rotate, config.keep),
            format: config.format,
            found: None,
        }
    }

    /// Appends a batch, but for what a process before this one had written and not acknowledged when it was killed.
    fn append(&mut self, batch: &[ExposureDocument]) -> io::Result<()> {
        let found = match self.found.take() {
            Some(found) => found,
            None => self.found_in_tail()?,
        };
        let mut lines = Vec::new();
        for exposure in batch.iter().filter(|one| !found.contains(&one.id)) {
            let assignment = match self.format {
                FileFormat::Exposures => None,
                FileFormat::Assignments => Some(Assignment::of(exposure)),
            };
            let line = Line {
                exposure,
                assignment,
            };
            serde_json::to_writer(&mut lines, &line)?;
            lines.push(b'\n');
        }
        let appended = if lines.is_empty() {
            Ok(())
        } else {
            self.lines.append(&lines, clock::now())
        };
        // Only what comes first can be there already.
        self.found = Some(if appended.is_ok() {
            HashSet::new()
        } else {
            found
        });
        appended
    }

    fn found_in_tail(&self) -> io::Result<HashSet<Box<str>>> {
        #[derive(serde::Deserialize)]
        struct Id {
            id: Box<str>,
        }
        let tail = self.lines.tail(TAIL)?;
        let ids = tail
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'))
            .filter_map(|line| serde_json::from_str(line).ok());
        Ok(ids.map(|Id { id }| id).collect())
    }
}

impl<'a> Assignment<'a> {
    fn of(exposure: &'a ExposureDocument) -> Self {
        Self {
            subject_key: &exposure.user,
            timestamp: &exposure.time,
            experiment_id: &exposure.flag,
            variant_id: &exposure.arm,
        }
    }
}

#[async_trait]
impl Sink for FileSink {
    fn product(&self) -> &'static str {
        "file"
    }

    fn limits(&self) -> BatchLimits {
        BatchLimits {
            records: 10_000,
            bytes: BATCH,
        }
    }

    fn pause(&self) -> Duration {
        Duration::from_millis(200)
    }

    async fn deliver(&mut self, batch: &[ExposureDocument]) -> Answer {
        match tokio::task::block_in_place(|| self.append(batch)) {
            Ok(()) => Answer::Taken(Vec::new()),
            Err(error) => Answer::Later {
                why: format!("the file cannot be written: {error}"),
                after: None,
            },
        }
    }

    fn forget(&mut self, forms: &[Box<str>]) -> io::Result<u64> {
        self.lines.erase(&|line| {
            let owner: Result<Owner, _> = serde_json::from_str(line);
            owner.map_or(true, |owner| forms.contains(&owner.user))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::{FileConfig, FileFormat, FileSink};
    use crate::attribution::document::tests::exposure;

    fn sink(folder: &Path, format: FileFormat) -> FileSink {
        FileSink::new(&FileConfig {
            path: folder.to_owned(),
            rotate: 1 << 20,
            keep: Duration::from_secs(60),
            format,
        })
    }

    fn read(folder: &Path) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(folder.join("exposures.ndjson")).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    #[test]
    fn assignments_have_the_columns_that_warehouses_ask_for() {
        let folder = tempfile::tempdir().unwrap();
        let mut sink = sink(folder.path(), FileFormat::Assignments);
        sink.append(&[exposure("u1", 1)]).unwrap();
        let line = read(folder.path()).remove(0);
        for (column, value) in [
            ("subject_key", "u1"),
            ("timestamp", "2026-11-27T10:00:00.123Z"),
            ("experiment_id", "search.ranker-v2"),
            ("variant_id", "canary"),
            ("served", "search.ranker-v2"),
            ("user", "u1"),
        ] {
            assert_eq!(line[column], value, "{line}");
        }
    }

    #[test]
    fn what_a_killed_process_wrote_and_did_not_acknowledge_is_not_written_twice() {
        let folder = tempfile::tempdir().unwrap();
        let batch = [exposure("u1", 1), exposure("u2", 2), exposure("u3", 3)];
        sink(folder.path(), FileFormat::Exposures)
            .append(&batch[..2])
            .unwrap();
        sink(folder.path(), FileFormat::Exposures)
            .append(&batch)
            .unwrap();
        let ids: Vec<_> = read(folder.path())
            .iter()
            .map(|line| line["user"].clone())
            .collect();
        assert_eq!(ids, ["u1", "u2", "u3"]);
    }
}
