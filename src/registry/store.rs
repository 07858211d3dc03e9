//! Where kills are stored. Another kind of store is another variant here; neither the book nor the registry knows which it
//! is.

use std::io;

use tokio::task::spawn_blocking;

use super::book::Book;
use super::file::KillFile;

/// A store.
#[derive(Clone, Debug)]
pub(super) enum KillStore {
    /// Nothing is stored: kills are forgotten at the end.
    Nowhere,
    /// A file in `state_dir`.
    File(KillFile),
}

impl KillStore {
    /// What people know it by.
    pub(super) fn place(&self) -> String {
        match self {
            Self::Nowhere => "kills".to_owned(),
            Self::File(file) => file.path().display().to_string(),
        }
    }

    /// Stores a book.
    ///
    /// # Errors
    /// When that cannot be done; what was stored before is still there then.
    pub(super) async fn write(&self, book: Book) -> io::Result<()> {
        match self.clone() {
            Self::Nowhere => Ok(()),
            Self::File(file) => {
                let written = spawn_blocking(move || file.write(&book)).await;
                written.unwrap_or_else(|panic| Err(io::Error::other(panic)))
            }
        }
    }

    /// What is stored, if there is anything and all of it can be read.
    pub(super) async fn read_mended(&self) -> Option<Book> {
        match self.clone() {
            Self::Nowhere => None,
            // An error here is a panic, which has been logged.
            Self::File(file) => spawn_blocking(move || file.read_mended()).await.ok()?,
        }
    }
}
