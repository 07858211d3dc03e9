//! Files of lines that people's tools read: one is written to, those before it are closed and kept for a while.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, BufWriter, Read, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::context::Moment;
use crate::durable;

/// The end of each file's name.
const SUFFIX: &str = ".ndjson";
/// How a closed file's name says when it was closed.
const TIME: &str = "%Y%m%dT%H%M%S.%3fZ";
/// How long such a time is.
const TIME_LENGTH: usize = "20261127T100000.123Z".len();
/// How much is looked through at once for the end of the last whole line.
const PIECE: u64 = 64 << 10;

/// Files of lines in a folder.
#[derive(Debug)]
pub(super) struct Lines {
    folder: PathBuf,
    /// How all their names begin.
    stem: Box<str>,
    /// After how many bytes a file is closed.
    rotate: u64,
    /// How long a closed one is kept.
    keep: Duration,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    bytes: u64,
}

impl Lines {
    /// Lines in `<folder>/<stem>.ndjson`. Nothing is opened yet.
    pub(super) fn new(folder: &Path, stem: &str, rotate: u64, keep: Duration) -> Self {
        Self {
            folder: folder.to_owned(),
            stem: stem.into(),
            rotate,
            keep,
            open: None,
        }
    }

    /// Appends whole lines, and forces them to the disk. When that fails, nothing of them is left behind.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn append(&mut self, lines: &[u8], now: Moment) -> io::Result<()> {
        let path = self.current();
        let mut open = match self.open.take() {
            // Somebody may have moved or removed the file.
            Some(open) if is_at(&open.file, &path) => open,
            _ => reopen(&path)?,
        };
        let added = lines.len() as u64;
        if open.bytes > 0 && open.bytes + added > self.rotate {
            drop(open);
            self.close(now)?;
            open = reopen(&path)?;
        }
        let written = open
            .file
            .write_all(lines)
            .and_then(|()| open.file.sync_data());
        if let Err(error) = written {
            // The file is opened anew next time, and half a line is cut off then at the latest.
            let _ = open.file.set_len(open.bytes);
            return Err(error);
        }
        open.bytes += added;
        self.open = Some(open);
        Ok(())
    }

    /// The last whole lines of the file that is written to, of so many bytes at most.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn tail(&self, bytes: u64) -> io::Result<String> {
        let mut file = match File::open(self.current()) {
            Err(error) if durable::is_absence(&error) => return Ok(String::new()),
            opened => opened?,
        };
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(bytes)))?;
        let mut read = Vec::new();
        file.take(bytes).read_to_end(&mut read)?;
        Ok(String::from_utf8_lossy(&read).into_owned())
    }

    /// Removes every line that `goes`, and returns how many. Each file is written anew and renamed over the old one.
    ///
    /// # Errors
    /// What the system says; some files may be done by then.
    pub(super) fn erase(&mut self, goes: &dyn Fn(&str) -> bool) -> io::Result<u64> {
        self.open = None;
        let mut removed = 0;
        for path in self.closed()?.into_iter().chain([self.current()]) {
            match erase_from(&path, goes) {
                Err(error) if durable::is_absence(&error) => {}
                erased => removed += erased?,
            }
        }
        Ok(removed)
    }

    fn current(&self) -> PathBuf {
        self.folder.join(format!("{}{SUFFIX}", self.stem))
    }

    /// Closes the file that is written to, and removes those that were kept for long enough.
    fn close(&self, now: Moment) -> io::Result<()> {
        let mut closed_at = now;
        // Two may be closed within a millisecond.
        let path = loop {
            let path = self.closed_path(closed_at);
            if !path.exists() {
                break path;
            }
            closed_at.unix_ms += 1;
        };
        fs::rename(self.current(), &path)?;
        durable::sync_folder(&path)?;
        let age = i64::try_from(self.keep.as_millis()).unwrap_or(i64::MAX);
        let oldest = self.closed_path(Moment {
            unix_ms: now.unix_ms.saturating_sub(age),
        });
        // The names are in the order of their times.
        for path in self.closed()?.into_iter().filter(|path| *path < oldest) {
            fs::remove_file(path)?;
        }
        Ok(())
    }

    fn closed_path(&self, at: Moment) -> PathBuf {
        let at = jiff::Timestamp::from_millisecond(at.unix_ms).unwrap_or_default();
        let (stem, at) = (&self.stem, at.strftime(TIME));
        self.folder.join(format!("{stem}-{at}{SUFFIX}"))
    }

    /// The closed files.
    fn closed(&self) -> io::Result<Vec<PathBuf>> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if durable::is_absence(&error) => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut closed = Vec::new();
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            if name.to_str().is_some_and(|name| self.is_closed(name)) {
                closed.push(entry.path());
            }
        }
        Ok(closed)
    }

    fn is_closed(&self, name: &str) -> bool {
        let rest = name.strip_prefix(&*self.stem);
        let rest = rest.and_then(|rest| rest.strip_prefix('-'));
        let time = rest.and_then(|rest| rest.strip_suffix(SUFFIX));
        time.is_some_and(|time| {
            let digits = time.bytes().filter(u8::is_ascii_digit).count();
            time.len() == TIME_LENGTH && digits == TIME_LENGTH - 3
        })
    }
}

/// Whether a file is the one at a path.
fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(own), Ok(found)) = (file.metadata(), fs::metadata(path)) else {
        return false;
    };
    (own.dev(), own.ino()) == (found.dev(), found.ino())
}

/// Opens a file to write at its end. A last line that is not whole is cut off.
fn reopen(path: &Path) -> io::Result<Open> {
    let file = durable::open_to_append(path)?;
    let length = file.metadata()?.len();
    let bytes = end_of_lines(path, length)?;
    if bytes < length {
        file.set_len(bytes)?;
    }
    Ok(Open { file, bytes })
}

/// Where the last whole line ends.
fn end_of_lines(path: &Path, length: u64) -> io::Result<u64> {
    let mut file = File::open(path)?;
    let mut end = length;
    while end > 0 {
        let begin = end.saturating_sub(PIECE);
        file.seek(SeekFrom::Start(begin))?;
        let mut piece = Vec::new();
        Read::take(&mut file, end - begin).read_to_end(&mut piece)?;
        if let Some(last) = memchr::memrchr(b'\n', &piece) {
            return Ok(begin + last as u64 + 1);
        }
        end = begin;
    }
    Ok(0)
}

fn erase_from(path: &Path, goes: &dyn Fn(&str) -> bool) -> io::Result<u64> {
    let mut reader = BufReader::new(File::open(path)?);
    let temporary = durable::with_suffix(path, durable::TEMPORARY);
    let _ = fs::remove_file(&temporary);
    let mut kept = BufWriter::new(durable::open_to_append(&temporary)?);
    let (mut line, mut removed) = (Vec::new(), 0);
    while reader.read_until(b'\n', &mut line)? > 0 {
        if goes(&String::from_utf8_lossy(&line)) {
            removed += 1;
        } else {
            kept.write_all(&line)?;
        }
        line.clear();
    }
    if removed == 0 {
        fs::remove_file(&temporary)?;
        return Ok(0);
    }
    kept.into_inner().map_err(io::Error::from)?.sync_all()?;
    durable::put_in_place(&temporary, path)?;
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::time::Duration;

    use super::Lines;
    use crate::context::Moment;
    use crate::durable::tests::names;

    fn at(unix_ms: i64) -> Moment {
        Moment { unix_ms }
    }

    fn lines(folder: &Path) -> Lines {
        Lines::new(folder, "exposures", 12, Duration::from_secs(60))
    }

    #[test]
    fn files_are_closed_when_they_are_full_and_kept_for_a_while() {
        let folder = tempfile::tempdir().unwrap();
        let mut lines = lines(folder.path());
        for minute in 0..4 {
            lines.append(b"12345678\n", at(minute * 45_000)).unwrap();
        }
        assert_eq!(
            names(folder.path()),
            [
                "exposures-19700101T000130.000Z.ndjson",
                "exposures-19700101T000215.000Z.ndjson",
                "exposures.ndjson"
            ]
        );
    }

    #[test]
    fn two_files_may_be_closed_at_the_same_moment() {
        let folder = tempfile::tempdir().unwrap();
        let mut lines = lines(folder.path());
        for _ in 0..3 {
            lines.append(b"12345678\n", at(0)).unwrap();
        }
        assert_eq!(names(folder.path()).len(), 3);
    }

    #[test]
    fn half_a_line_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("exposures.ndjson");
        for (found, left) in [
            ("a\nb\nhal", "a\nb\n"),
            ("half", ""),
            ("", ""),
            ("a\n", "a\n"),
        ] {
            fs::write(&path, found).unwrap();
            lines(folder.path()).append(b"c\n", at(0)).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), format!("{left}c\n"));
        }
    }

    #[test]
    fn a_file_that_somebody_moved_away_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("exposures.ndjson");
        let mut lines = lines(folder.path());
        lines.append(b"a\n", at(0)).unwrap();
        fs::rename(&path, folder.path().join("moved")).unwrap();
        lines.append(b"b\n", at(0)).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "b\n");
    }

    #[test]
    fn lines_are_erased_from_all_files() {
        let folder = tempfile::tempdir().unwrap();
        let mut lines = lines(folder.path());
        for line in ["a u1\n", "b u2\n", "c u1\n", "d u2\n"] {
            lines.append(line.as_bytes(), at(0)).unwrap();
        }
        let of_u1 = |line: &str| line.contains("u1");
        assert_eq!(lines.erase(&of_u1).unwrap(), 2);
        assert_eq!(lines.erase(&of_u1).unwrap(), 0);
        lines.append(b"e u1\n", at(0)).unwrap();
        let all: String = names(folder.path())
            .iter()
            .map(|name| fs::read_to_string(folder.path().join(name)).unwrap())
            .collect();
        assert_eq!(all, "b u2\nd u2\ne u1\n");
    }

    #[test]
    fn what_cannot_be_written_is_told() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("exposures.ndjson")).unwrap();
        assert!(lines(folder.path()).append(b"a\n", at(0)).is_err());
    }
}
