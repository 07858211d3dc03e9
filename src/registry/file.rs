//! The file that kills are stored in: `kills.json` in `state_dir`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::book::{Book, Doubt};
use super::document;
use crate::durable;

const NAME: &str = "kills.json";

/// Where kills are stored.
#[derive(Clone, Debug)]
pub(super) struct KillFile {
    path: PathBuf,
}

impl KillFile {
    pub(super) fn new(state_dir: &Path) -> Self {
        Self {
            path: state_dir.join(NAME),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What is stored: nothing when there is no file. What cannot be read is doubted, and the file left as it is, for
    /// people to mend.
    pub(super) fn read(&self) -> Book {
        match fs::read(&self.path) {
            Ok(text) => document::read(&text),
            Err(error) if durable::is_absence(&error) => Book::default(),
            Err(error) => Book {
                doubts: vec![Doubt {
                    service: None,
                    why: format!("it cannot be read ({error})"),
                }],
                is_damaged: true,
                ..Book::default()
            },
        }
    }

    /// What is stored, if all of it can be read. A missing file does not count as mended: editors move files away for a
    /// moment.
    pub(super) fn read_mended(&self) -> Option<Book> {
        let text = fs::read(&self.path).ok()?;
        Some(document::read(&text)).filter(|book| book.doubts().is_empty())
    }

    /// Stores what is known. A file that could not all be read is kept beside it, as it was.
    pub(super) fn write(&self, book: &Book) -> io::Result<()> {
        if book.is_damaged {
            self.keep_damaged()?;
        }
        durable::replace(&self.path, &document::write(book)?)
    }

    fn keep_damaged(&self) -> io::Result<()> {
        if let Some(kept) = durable::keep_damaged(&self.path)? {
            tracing::warn!("{} is kept as {}", self.path.display(), kept.display());
        }
        Ok(())
    }
}
