//! The follower: what it has been told, what it waits for, and when it reads.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Instant;

use notify::event::{AccessKind, AccessMode, CreateKind, ModifyKind};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc::Sender as Events;

use super::links::way;
use super::read::{FileError, Stamp, read_stamped};
use super::{AWAY, FileEvent, POLL, SETTLE, WRITING};
use crate::source::{SourceStatus, Stage};

/// What wakes the follower.
pub(super) enum Signal {
    /// The kernel tells of a change.
    Event(notify::Result<Event>),
    /// Nobody listens any more.
    Stop,
}

type Hash = [u8; 32];

/// The follower's whole state.
pub(super) struct Watch {
    path: PathBuf,
    status: Arc<SourceStatus>,
    events: Events<FileEvent>,
    notifier: Option<RecommendedWatcher>,
    /// The directories that are watched, with their device and inode.
    armed: HashMap<PathBuf, (u64, u64)>,
    /// The links on the way, and the file at its end.
    way: Vec<PathBuf>,
    /// The content that was handed on last.
    known: Hash,
    /// The state of the file in which it had the content `known`.
    stamp: Option<Stamp>,
    /// What a poll found that nothing had told of: it must be found twice.
    candidate: Option<Hash>,
    /// When the first change was noticed that has not been acted upon.
    pending: Option<Instant>,
    /// Since when somebody writes who has not closed the file yet.
    writing: Option<Writing>,
    away: Option<Instant>,
    trouble: Option<String>,
}

/// A writer who has not closed the file yet.
#[derive(Clone, Copy)]
struct Writing {
    since: Instant,
    /// Whether anything was written. A file that was made and left alone may have been linked there, whole.
    begun: bool,
}

impl Watch {
    /// Every change after this is noticed.
    pub(super) fn new(
        path: PathBuf,
        known: &str,
        status: Arc<SourceStatus>,
        events: Events<FileEvent>,
        signals: Sender<Signal>,
    ) -> Self {
        let handler = move |event| {
            // Fails only when the follower has ended.
            let _ = signals.send(Signal::Event(event));
        };
        let notifier = notify::recommended_watcher(handler)
            .inspect_err(
                |error| tracing::warn!(%error, "no file notifications; looking once a second"),
            )
            .ok();
        let mut watch = Self {
            path,
            status,
            events,
            notifier,
            armed: HashMap::new(),
            way: Vec::new(),
            known: hash(known),
            stamp: None,
            candidate: None,
            pending: None,
            writing: None,
            away: None,
            trouble: None,
        };
        watch.arm();
        watch
    }

    pub(super) fn run(mut self, inbox: &Receiver<Signal>) {
        // Looked at immediately: the file may have changed between its first reading and the watch upon it.
        let mut poll = Instant::now();
        loop {
            let settled = self.pending.filter(|_| self.writing.is_none());
            let wake = settled.map_or(poll, |since| poll.min(since + SETTLE));
            match inbox.recv_timeout(wake.saturating_duration_since(Instant::now())) {
                Ok(Signal::Event(event)) => self.note(event),
                Ok(Signal::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {}
            }
            let now = Instant::now();
            let settled = self.pending.filter(|_| self.writing.is_none());
            if settled.is_some_and(|since| now >= since + SETTLE) {
                self.pending = None;
                self.arm();
                self.look(true, now);
            }
            if now >= poll {
                poll = now + POLL;
                self.arm();
                self.poll(now);
            }
            if self.events.is_closed() {
                return;
            }
        }
    }

    /// Takes note of what the kernel tells.
    fn note(&mut self, event: notify::Result<Event>) {
        let now = Instant::now();
        let Ok(event) = event else {
            self.pending.get_or_insert(now);
            return;
        };
        if event.need_rescan() {
            // Events were lost, perhaps the one that the writer has closed the file: the poll takes over.
            self.writing = None;
            self.pending.get_or_insert(now);
            return;
        }
        let target = self.way.last();
        let on_target = event.paths.iter().any(|path| Some(path) == target);
        let on_way = |path: &PathBuf| self.way.contains(path) || self.armed.contains_key(path);
        if !event.paths.iter().any(on_way) {
            return;
        }
        match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) if on_target => {
                self.writing = None;
            }
            EventKind::Access(_) => return,
            EventKind::Modify(ModifyKind::Data(_)) if on_target => {
                let since = self.writing.map_or(now, |writing| writing.since);
                self.writing = Some(Writing { since, begun: true });
            }
            EventKind::Create(CreateKind::File) if on_target => {
                let writing = Writing {
                    since: now,
                    begun: false,
                };
                self.writing = self.is_being_written().then_some(writing);
            }
            // Another file, or none, has the name now.
            EventKind::Modify(ModifyKind::Name(_)) | EventKind::Remove(_) => self.writing = None,
            _ => {}
        }
        self.pending.get_or_insert(now);
    }

    /// Whether a file that was just made will be closed by a writer: links are there at once.
    fn is_being_written(&self) -> bool {
        let target = self.way.last().map(std::fs::symlink_metadata);
        matches!(target, Some(Ok(metadata)) if metadata.is_file() && metadata.nlink() == 1)
    }

    /// Watches the directories of everything on the way, as they are now.
    fn arm(&mut self) {
        self.way = way(&self.path);
        let Some(notifier) = &mut self.notifier else {
            return;
        };
        let directories = self.way.iter().filter_map(|step| step.parent());
        let wanted: HashMap<PathBuf, (u64, u64)> = directories
            .filter_map(|directory| {
                let metadata = std::fs::metadata(directory).ok()?;
                Some((directory.to_owned(), (metadata.dev(), metadata.ino())))
            })
            .collect();
        if wanted == self.armed {
            return;
        }
        self.armed.retain(|directory, identity| {
            let kept = wanted.get(directory) == Some(identity);
            if !kept {
                // Fails when the kernel has forgotten it already, together with the directory.
                let _ = notifier.unwatch(directory);
            }
            kept
        });
        for (directory, identity) in wanted {
            if !self.armed.contains_key(&directory) && watch_directory(notifier, &directory).is_ok()
            {
                self.armed.insert(directory, identity);
            }
        }
    }

    /// What must be noticed even if nobody tells.
    fn poll(&mut self, now: Instant) {
        if let Some(writing) = self.writing {
            if !writing.begun && now >= writing.since + POLL {
                self.writing = None;
            }
            if now >= writing.since + WRITING {
                self.report(format!(
                    "somebody has been writing the file for more than {} s without closing it",
                    WRITING.as_secs()
                ));
            }
            return;
        }
        if self.pending.is_none() {
            self.look(false, now);
        }
    }

    /// Looks whether the content is another one, and hands it on: at once when somebody told of a change, else
    /// when it is found a second time.
    fn look(&mut self, told: bool, now: Instant) {
        if self.stamp.is_some() && Stamp::of(&self.path).ok() == self.stamp {
            self.well();
            self.status.confirm();
            return;
        }
        let (text, stamp) = match read_stamped(&self.path) {
            Ok(found) => found,
            Err(error) => return self.unreadable(&error, now),
        };
        self.away = None;
        let found = hash(&text);
        if found != self.known && !told && self.candidate != Some(found) {
            self.candidate = Some(found);
            return;
        }
        self.candidate = None;
        self.stamp = Some(stamp);
        self.well();
        if found == self.known {
            self.status.confirm();
        } else {
            self.known = found;
            // Fails only when nobody listens any more, which the loop notices.
            let _ = self.events.blocking_send(FileEvent::Changed(text));
        }
    }

    fn unreadable(&mut self, error: &FileError, now: Instant) {
        self.stamp = None;
        match error {
            // Soon at rest: the next poll reads it.
            FileError::Changing => {}
            FileError::Io(cause) if cause.kind() == std::io::ErrorKind::NotFound => {
                let since = *self.away.get_or_insert(now);
                if now >= since + AWAY {
                    self.report("the file is gone".to_owned());
                }
            }
            _ => self.report(error.to_string()),
        }
    }

    fn report(&mut self, trouble: String) {
        if self.trouble.as_ref() != Some(&trouble) {
            self.status.fail(Stage::Reading, trouble.clone());
            self.trouble = Some(trouble.clone());
            let _ = self.events.blocking_send(FileEvent::Trouble(trouble));
        }
    }

    fn well(&mut self) {
        self.away = None;
        self.trouble = None;
        // Somebody else who asked for a reload may have found it unreadable meanwhile.
        self.status.recover(Stage::Reading);
    }
}

fn watch_directory(notifier: &mut RecommendedWatcher, directory: &Path) -> notify::Result<()> {
    notifier
        .watch(directory, RecursiveMode::NonRecursive)
        .inspect_err(|error| {
            tracing::warn!(%error, directory = %directory.display(), "no notifications; looking once a second");
        })
}

fn hash(text: &str) -> Hash {
    Sha256::digest(text.as_bytes()).into()
}
