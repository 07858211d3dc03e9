//! The lock of `server.state_dir`: while one process takes over from another, the one that writes there has it.
//!
//! It is the system's, and goes with the process that has it, however that ends: whether another process can still write does not
//! hang on what it said last.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::durable;

/// The file's name.
const NAME: &str = "writer.lock";
/// How often it is looked whether it is free.
const LOOK: Duration = Duration::from_millis(10);

/// The lock of a folder; clones are the same one.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct WriterLock(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    /// Open from the first attempt on, so that nothing but another process can keep the lock from coming back.
    file: Mutex<Option<File>>,
}

impl WriterLock {
    /// That of `state_dir`; it is not taken.
    pub(super) fn of(state_dir: &Path) -> Self {
        Self(Arc::new(Shared {
            folder: state_dir.to_owned(),
            file: Mutex::default(),
        }))
    }

    /// Takes it as soon as no other process has it. It stays where this process has it already.
    ///
    /// # Errors
    /// [`ErrorKind::WouldBlock`]: another process has it for longer than `within`; else what the system says.
    pub(super) fn take(&self, within: Duration) -> io::Result<()> {
        let end = Instant::now() + within;
        loop {
            match self.try_take() {
                Err(error) if error.kind() == ErrorKind::WouldBlock && Instant::now() < end => {
                    thread::sleep(LOOK);
                }
                taken => return taken,
            }
        }
    }

    /// Leaves it to another process.
    pub(super) fn release(&self) {
        if let Some(file) = &*self.file() {
            // A process that is just being started may have the file as well: closing it would not be enough. It cannot fail.
            let _ = file.unlock();
        }
    }

    fn try_take(&self) -> io::Result<()> {
        let mut kept = self.file();
        let file = match kept.take() {
            Some(file) => file,
            None => self.open()?,
        };
        let locked = file.try_lock();
        *kept = Some(file);
        locked.map_err(|error| match error {
            TryLockError::WouldBlock => {
                let folder = self.0.folder.display();
                let why = format!("another process writes to {folder}");
                io::Error::new(ErrorKind::WouldBlock, why)
            }
            TryLockError::Error(error) => error,
        })
    }

    fn open(&self) -> io::Result<File> {
        durable::make_folder(&self.0.folder)?;
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(durable::FILE_MODE)
            .open(self.0.folder.join(NAME))
    }

    fn file(&self) -> MutexGuard<'_, Option<File>> {
        self.0.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::thread;
    use std::time::Duration;

    use super::WriterLock;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn one_has_it_at_a_time_and_the_next_one_waits() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let (one, other) = (WriterLock::of(&state), WriterLock::of(&state));
        one.take(Duration::ZERO).unwrap();
        one.take(Duration::ZERO).expect("it is here");
        let error = other.take(Duration::ZERO).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        assert!(error.to_string().contains("another process writes to"));
        let waiting = other.clone();
        let waiting = thread::spawn(move || waiting.take(LONG));
        one.release();
        waiting.join().unwrap().unwrap();
        assert!(one.take(Duration::ZERO).is_err());
        // It goes with the process.
        drop(other);
        one.take(Duration::ZERO).unwrap();
    }
}
