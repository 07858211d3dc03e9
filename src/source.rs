//! Where what decides comes from, and how fresh it is.

pub mod environment;
pub mod file;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::meter::Counter;

/// The name of `routes.yaml` among the sources.
pub const FILE: &str = "file";

/// How a source is doing: written by the source and by whoever judges what it brings, read by metrics and status.
#[derive(Debug)]
pub struct SourceStatus {
    /// `file`, or the name given to a flag server.
    pub name: Box<str>,
    /// How often it failed.
    pub errors: Counter,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    confirmed: Instant,
    trouble: [Option<String>; 2],
}

/// What can be wrong with a source; each is well again by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It cannot be reached or read.
    Reading,
    /// What it holds cannot be used.
    Content,
}

impl SourceStatus {
    /// A source that has just been read and found good.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            errors: Counter::default(),
            inner: Mutex::new(Inner {
                confirmed: Instant::now(),
                trouble: [None, None],
            }),
        }
    }

    /// The source was asked, and holds what was last taken from it. This makes what runs no fresher as long as
    /// something is wrong with that.
    pub fn confirm(&self) {
        let mut inner = self.lock();
        if inner.trouble.iter().all(Option::is_none) {
            inner.confirmed = Instant::now();
        }
    }

    /// Something is wrong.
    pub fn fail(&self, stage: Stage, error: String) {
        self.errors.inc();
        self.lock().trouble[stage as usize] = Some(error);
    }

    /// Nothing is wrong there any more.
    pub fn recover(&self, stage: Stage) {
        self.lock().trouble[stage as usize] = None;
    }

    /// How long ago the source last confirmed what runs.
    pub fn age(&self) -> Duration {
        self.lock().confirmed.elapsed()
    }

    /// What is wrong with it now.
    pub fn last_error(&self) -> Option<String> {
        self.lock().trouble.iter().flatten().next().cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
