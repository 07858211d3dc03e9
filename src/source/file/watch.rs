//! The follower: which changes it has been notified of, what it waits for, and when it reads.

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
use super::{AWAY, EMPTY, FileEvent, FileNews, HINDSIGHT, POLL, SETTLE, WRITING};
use crate::source::{SourceStatus, Stage};

/// What wakes the follower.
pub(super) enum Signal {
    /// The kernel's notification of a change.
    Event(notify::Result<Event>),
    /// The source was dropped.
    Stop,
}

type Hash = [u8; 32];

/// The follower's whole state.
pub(super) struct Watch {
    path: PathBuf,
    status: Arc<SourceStatus>,
    events: Events<FileNews>,
    notifier: Option<RecommendedWatcher>,
    /// The directories that are watched, with their device and inode.
    armed: HashMap<PathBuf, (u64, u64)>,
    /// The links on the way, and the file at its end.
    way: Vec<PathBuf>,
    /// The content that was handed on last.
    known: Hash,
    /// The state of the file in which it had the content `known`.
    stamp: Option<Stamp>,
    /// What a poll found without a notification: it must be found twice.
    candidate: Option<Hash>,
    /// When the first change was noticed that has not been acted upon.
    pending: Option<Instant>,
    /// The files in the watched directories that are being written and are not closed yet. Not only the one that the path
    /// leads to: a link may lead it to another of them at any time.
    writing: HashMap<PathBuf, Writing>,
    /// Whether the file was written to since it was last read.
    touched: bool,
    away: Option<Instant>,
    trouble: Option<String>,
}

/// What was read.
struct Found {
    text: String,
    stamp: Stamp,
    /// By when.
    at: Instant,
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
        events: Events<FileNews>,
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
            writing: HashMap::new(),
            touched: false,
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
            let settled = self.pending.filter(|_| self.writer().is_none());
            let wake = settled.map_or(poll, |since| poll.min(since + SETTLE));
            if !self.attend(inbox, wake) {
                return;
            }
            let now = Instant::now();
            let settled = self.pending.filter(|_| self.writer().is_none());
            if let Some(since) = settled.filter(|since| now >= *since + SETTLE) {
                self.arm();
                // The path may lead to another file by now, which is being written.
                if self.writer().is_none() && !self.read_notified(inbox, since) {
                    return;
                }
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

    /// Waits for one signal, until a moment. False: the follower ends.
    fn attend(&mut self, inbox: &Receiver<Signal>, until: Instant) -> bool {
        match inbox.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(Signal::Event(event)) => self.note(event),
            Ok(Signal::Stop) | Err(RecvTimeoutError::Disconnected) => return false,
            Err(RecvTimeoutError::Timeout) => {}
        }
        true
    }

    /// Reads the file after a notification of a change at `since`. The text is used only if it is of the file that is
    /// watched, and nothing was written to it meanwhile: the kernel's notification of a write comes a moment later than the
    /// write itself. False: the follower ends.
    fn read_notified(&mut self, inbox: &Receiver<Signal>, since: Instant) -> bool {
        self.pending = None;
        self.touched = false;
        let found = self.unknown();
        let led_elsewhere = way(&self.path) != self.way;
        self.flush();
        let hindsight = Instant::now() + HINDSIGHT;
        while matches!(found, Ok(Some(_))) && Instant::now() < hindsight {
            if !self.attend(inbox, hindsight) {
                return false;
            }
        }
        let now = Instant::now();
        // Truncating takes the kernel a while: the file is empty before the notification. One that stays empty is meant.
        let empty = matches!(&found, Ok(Some(found)) if found.text.is_empty());
        if led_elsewhere || self.touched || (empty && now < since + EMPTY) {
            self.pending = Some(since);
        } else {
            self.judge(found, true, now);
        }
        true
    }

    /// Flushes the notifier: it processes commands in order with events, so that after the second round trip every event
    /// that was queued before the first has been delivered.
    fn flush(&mut self) {
        if let Some(notifier) = &mut self.notifier {
            for _ in 0..2 {
                // There is nothing to configure; only the round trip matters.
                let _ = notifier.configure(notify::Config::default());
            }
        }
    }

    /// Notes what an event of the kernel means.
    fn note(&mut self, event: notify::Result<Event>) {
        let now = Instant::now();
        let Ok(event) = event else {
            self.pending.get_or_insert(now);
            return;
        };
        if event.need_rescan() {
            // Events were lost, perhaps the one that the writer has closed the file: the poll takes over.
            self.writing.clear();
            self.pending.get_or_insert(now);
            return;
        }
        for path in &event.paths {
            self.note_writer(path, event.kind, now);
        }
        let target = self.way.last();
        let on_target = event.paths.iter().any(|path| Some(path) == target);
        let on_way = |path: &PathBuf| self.way.contains(path) || self.armed.contains_key(path);
        let tells = match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => on_target,
            EventKind::Access(_) => false,
            _ => event.paths.iter().any(on_way),
        };
        if tells {
            self.pending.get_or_insert(now);
        }
    }

    fn note_writer(&mut self, path: &Path, kind: EventKind, now: Instant) {
        match kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => {
                self.writing.remove(path);
            }
            EventKind::Modify(ModifyKind::Data(_)) => {
                self.touched |= self.way.last().is_some_and(|target| target == path);
                let new = Writing {
                    since: now,
                    begun: true,
                };
                self.writing.entry(path.to_owned()).or_insert(new).begun = true;
            }
            EventKind::Create(CreateKind::File) if is_being_written(path) => {
                self.touched |= self.way.last().is_some_and(|target| target == path);
                let new = Writing {
                    since: now,
                    begun: false,
                };
                self.writing.insert(path.to_owned(), new);
            }
            // Another file, or none, has the name now.
            EventKind::Modify(ModifyKind::Name(_)) | EventKind::Remove(_) => {
                self.writing.retain(|written, _| !written.starts_with(path));
            }
            _ => {}
        }
    }

    /// The writer, if any, of the file that the path leads to.
    fn writer(&self) -> Option<Writing> {
        self.writing.get(self.way.last()?).copied()
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
        self.writing.retain(|path, _| {
            path.parent()
                .is_some_and(|parent| wanted.contains_key(parent))
        });
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

    /// Notices what there may be no notification of.
    fn poll(&mut self, now: Instant) {
        if let Some(writing) = self.writer() {
            if !writing.begun && now >= writing.since + POLL {
                self.writing.retain(|_, writing| writing.begun);
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
            let found = self.unknown();
            self.judge(found, false, now);
        }
    }

    /// The file's content; `None`: it is in the state in which it was known already.
    fn unknown(&self) -> Result<Option<Found>, FileError> {
        if self.stamp.is_some() && Stamp::of(&self.path).ok() == self.stamp {
            return Ok(None);
        }
        let (text, stamp) = read_stamped(&self.path)?;
        let at = Instant::now();
        Ok(Some(Found { text, stamp, at }))
    }

    /// Sends the content on if it is another one: at once after a notification, else when a poll finds it a second time.
    fn judge(&mut self, found: Result<Option<Found>, FileError>, is_notified: bool, now: Instant) {
        let Found { text, stamp, at } = match found {
            Ok(Some(found)) => found,
            Ok(None) => {
                self.note_recovery();
                return self.status.confirm();
            }
            Err(error) => return self.unreadable(&error, now),
        };
        self.away = None;
        let found = hash(&text);
        if found != self.known && !is_notified && self.candidate != Some(found) {
            self.candidate = Some(found);
            return;
        }
        self.candidate = None;
        self.stamp = Some(stamp);
        self.note_recovery();
        if found == self.known {
            self.status.confirm();
        } else {
            self.known = found;
            self.send(at, FileEvent::Changed(text));
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
            self.send(Instant::now(), FileEvent::Trouble(trouble));
        }
    }

    fn send(&self, at: Instant, event: FileEvent) {
        // Fails only when the receiver is gone, which the loop notices.
        let _ = self.events.blocking_send(FileNews { at, event });
    }

    fn note_recovery(&mut self) {
        self.away = None;
        self.trouble = None;
        // A reload by signal or API may have found it unreadable meanwhile.
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

/// Whether a file that was just made will be closed by a writer: links are there at once.
fn is_being_written(path: &Path) -> bool {
    let metadata = std::fs::symlink_metadata(path);
    matches!(metadata, Ok(metadata) if metadata.is_file() && metadata.nlink() == 1)
}

fn hash(text: &str) -> Hash {
    Sha256::digest(text.as_bytes()).into()
}
