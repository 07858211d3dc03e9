//! Calendars that are wrong, by Debian's libfaketime. What a process measures time with runs on.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::Setup;
use super::redis::Redis;

/// What a process takes for the calendar.
pub(crate) struct Calendar(TempDir);

impl Calendar {
    /// One that is so far ahead of the true one (`+10d`), or behind it (`-90s`).
    pub(crate) fn new(ahead: &str) -> Self {
        let calendar = Self(TempDir::new().expect("a folder"));
        calendar.set(ahead);
        calendar
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("ahead")
    }

    /// Sets it so far ahead of the true one.
    pub(crate) fn set(&self, ahead: &str) {
        let next = self.0.path().join("next");
        fs::write(&next, format!("{ahead}\n")).expect("a file");
        fs::rename(next, self.file()).expect("it is renamed");
    }

    /// What has a process go by it, which is to be loaded with these libraries.
    fn environment(&self, libraries: &str) -> [(&'static str, String); 5] {
        [
            ("LD_PRELOAD", libraries.to_owned()),
            ("FAKETIME_TIMESTAMP_FILE", self.file().display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            ("NO_FAKE_STAT", "1".to_owned()),
        ]
    }

    /// Has a gateway go by it.
    pub(crate) fn of(&self, setup: Setup) -> Setup {
        let environment = self.environment(&library()).into_iter();
        environment.fold(setup, |setup, (name, value)| setup.env(name, &value))
    }

    /// A Redis that goes by it. Its allocator asks for the time before libfaketime can answer, so that it gets the C library's.
    pub(crate) async fn redis(&self) -> Redis {
        let libraries = format!("libc_malloc_debug.so.0 {}", library());
        Redis::start_in(&self.environment(&libraries)).await
    }
}

/// Has a gateway believe that it is so many seconds later, and does not ask a file each time how many.
pub(crate) fn later_by(seconds: i64, setup: Setup) -> Setup {
    setup
        .env("LD_PRELOAD", &library())
        .env("FAKETIME", &format!("{seconds:+}s"))
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("NO_FAKE_STAT", "1")
}

/// Debian has it in a folder that is named for the machine.
fn library() -> String {
    let folders = fs::read_dir("/usr/lib").expect("a folder").flatten();
    let mut libraries = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    let library = libraries.find(|library| library.exists());
    let library = library.expect("libfaketime: scripts/install-test-deps installs it");
    library.display().to_string()
}
