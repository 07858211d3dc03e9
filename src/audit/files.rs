//! The trail's files: `audit.ndjson`, at whose end is written, and older ones with numbers. The chain goes on from one to the
//! next.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, ErrorKind, Write as _};
use std::ops::ControlFlow;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use super::chain::{Fault, Link, Verifier};
use crate::durable;

/// A file that would grow beyond this is put aside, and another begun.
const MAX_BYTES: u64 = 64 * 1024 * 1024;
/// How many of those are kept.
const OLDER: usize = 3;
/// How much is read at a time from a file's end on.
const CHUNK: usize = 64 * 1024;

/// What was found in the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// All is well, or there is nothing.
    Whole,
    /// The last line has no end: so many bytes were cut off.
    Cut(u64),
    /// The chain is broken in the newest file, which is put aside.
    Broken {
        /// The line.
        line: u64,
        /// What is wrong with it.
        fault: Fault,
    },
}

/// The path of a file of the trail: 0 is the one that is written.
pub fn path(folder: &Path, number: usize) -> PathBuf {
    match number {
        0 => folder.join("audit.ndjson"),
        number => folder.join(format!("audit.{number}.ndjson")),
    }
}

/// The files that there are, the oldest first.
pub fn existing(folder: &Path) -> Vec<PathBuf> {
    let paths = (0..=OLDER).rev().map(|number| path(folder, number));
    paths.filter(|path| path.exists()).collect()
}

/// The file that is written.
#[derive(Debug)]
pub(super) struct Files {
    folder: PathBuf,
    max_bytes: u64,
    open: Option<Opened>,
}

#[derive(Debug)]
struct Opened {
    file: File,
    /// How much of it is whole entries.
    bytes: u64,
    /// Whether a write in vain may have left more.
    is_unclean: bool,
}

impl Files {
    pub(super) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            max_bytes: MAX_BYTES,
            open: None,
        }
    }

    /// With smaller files, for tests.
    #[cfg(test)]
    pub(super) fn of_at_most(folder: &Path, max_bytes: u64) -> Self {
        Self {
            max_bytes,
            ..Self::new(folder)
        }
    }

    /// The end of the chain that the files have, and what was found in the newest. What is broken is put aside, and half a line
    /// cut off.
    pub(super) fn recover(&self) -> io::Result<(Option<Link>, Found)> {
        let mut files = existing(&self.folder);
        let Some(newest) = files.pop() else {
            return Ok((None, Found::Whole));
        };
        let (verifier, bytes, found) = examined(&newest)?;
        match found {
            Found::Whole => {}
            Found::Cut(_) => {
                let file = File::options().write(true).open(&newest)?;
                file.set_len(bytes)?;
                file.sync_all()?;
            }
            Found::Broken { .. } => {
                if newest == path(&self.folder, 0) {
                    self.put_aside()?;
                }
                return Ok((None, found));
            }
        }
        let mut end = verifier.end().cloned();
        // The newest may have been begun without anything coming into it.
        while end.is_none()
            && let Some(older) = files.pop()
        {
            end = examined(&older)?.0.end().cloned();
        }
        Ok((end, found))
    }

    /// Writes whole lines at the end and forces them to the disk: all of them, or none.
    pub(super) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let length = u64::try_from(lines.len()).unwrap_or(u64::MAX);
        let mut opened = match self.open.take() {
            Some(opened) => opened.cleaned()?,
            None => self.opened()?,
        };
        if !opened.is_at(&path(&self.folder, 0)) {
            // Somebody has removed or replaced it.
            opened = self.opened()?;
        }
        if opened.bytes > 0 && opened.bytes.saturating_add(length) > self.max_bytes {
            self.put_aside()?;
            opened = self.opened()?;
        }
        let opened = self.open.insert(opened);
        opened.is_unclean = true;
        opened.file.write_all(lines)?;
        opened.file.sync_data()?;
        opened.bytes += length;
        opened.is_unclean = false;
        Ok(())
    }

    fn opened(&self) -> io::Result<Opened> {
        let path = path(&self.folder, 0);
        let file = durable::open_to_append(&path)?;
        let mut bytes = file.metadata()?.len();
        let whole = whole_lines(&path, bytes)?;
        if whole < bytes {
            file.set_len(whole)?;
            bytes = whole;
        }
        Ok(Opened {
            file,
            bytes,
            is_unclean: false,
        })
    }

    /// Gives every file the next number. The last one goes.
    fn put_aside(&self) -> io::Result<()> {
        for number in (0..OLDER).rev() {
            match fs::rename(path(&self.folder, number), path(&self.folder, number + 1)) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        durable::sync_folder(&path(&self.folder, 0))
    }
}

impl Opened {
    /// Takes back what a write in vain may have left.
    fn cleaned(mut self) -> io::Result<Self> {
        if self.is_unclean {
            self.file.set_len(self.bytes)?;
            self.is_unclean = false;
        }
        Ok(self)
    }

    /// Whether the file of that name is still this one.
    fn is_at(&self, path: &Path) -> bool {
        let identity = |found: &fs::Metadata| (found.dev(), found.ino());
        match (fs::metadata(path), self.file.metadata()) {
            (Ok(there), Ok(own)) => identity(&there) == identity(&own) && own.len() == self.bytes,
            _ => false,
        }
    }
}

/// Checks a file line by line: until where it is whole, and what is wrong after that.
fn examined(path: &Path) -> io::Result<(Verifier, u64, Found)> {
    let mut verifier = Verifier::default();
    let (mut bytes, mut number) = (0, 0);
    let mut reader = BufReader::new(File::open(path)?);
    let mut line = Vec::new();
    loop {
        line.clear();
        let length = reader.read_until(b'\n', &mut line)?;
        if length == 0 {
            return Ok((verifier, bytes, Found::Whole));
        }
        number += 1;
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        let before = verifier.clone();
        match verifier.check(&line) {
            Ok(()) => bytes += length,
            Err(Fault::Cut) => return Ok((before, bytes, Found::Cut(length))),
            Err(fault) => {
                let line = number;
                return Ok((before, bytes, Found::Broken { line, fault }));
            }
        }
    }
}

/// Where the last whole line of a file ends.
fn whole_lines(path: &Path, bytes: u64) -> io::Result<u64> {
    let file = File::open(path)?;
    let mut end = bytes;
    while end > 0 {
        let (start, chunk) = chunk_before(&file, end)?;
        if let Some(at) = memchr::memrchr(b'\n', &chunk) {
            return Ok(start + u64::try_from(at).unwrap_or_default() + 1);
        }
        end = start;
    }
    Ok(0)
}

fn chunk_before(file: &File, end: u64) -> io::Result<(u64, Vec<u8>)> {
    let length = usize::try_from(end).unwrap_or(usize::MAX).min(CHUNK);
    let start = end - u64::try_from(length).unwrap_or(end);
    let mut chunk = vec![0; length];
    file.read_exact_at(&mut chunk, start)?;
    Ok((start, chunk))
}

/// The files that there are, opened for reading, the newest first. Opened together, so that one that is put aside meanwhile is
/// not read twice.
pub(super) fn opened(folder: &Path) -> io::Result<Vec<File>> {
    let mut opened = Vec::new();
    for path in existing(folder).iter().rev() {
        match File::open(path) {
            Ok(file) => opened.push(file),
            Err(error) if durable::is_absence(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(opened)
}

/// Shows the lines of a file, the last first, until `look` has seen enough.
pub(super) fn backwards(
    file: &File,
    mut look: impl FnMut(&[u8]) -> ControlFlow<()>,
) -> io::Result<ControlFlow<()>> {
    let mut end = file.metadata()?.len();
    // The beginning of the line whose end was read before.
    let mut rest = Vec::new();
    while end > 0 {
        let (start, mut chunk) = chunk_before(file, end)?;
        chunk.extend_from_slice(&rest);
        end = start;
        let first = match (start, memchr::memchr(b'\n', &chunk)) {
            (0, _) => 0,
            (_, Some(at)) => at + 1,
            (_, None) => {
                rest = chunk;
                continue;
            }
        };
        let (begun, lines) = chunk.split_at(first);
        for line in lines.split(|byte| *byte == b'\n').rev() {
            if !line.is_empty() && look(line).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        rest = begun.to_vec();
    }
    Ok(ControlFlow::Continue(()))
}
