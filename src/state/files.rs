//! The files in `state_dir`, and the thread that writes them.

use std::fs;
use std::mem;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::document;
use super::error::StoreError;
use super::held::{Damage, Held, Loaded};
use super::kind::{Kind, PerKind};
use super::rendered::Rendered;
use super::renewal::is_renewal;
use super::table::{Table, Undo, Write};
use crate::custody::Custody;
use crate::durable;

/// How many orders one write of the files may carry out.
const MAX_BATCH: usize = 1000;
/// After a write of a file, leases that are only renewed wait for others: so many times as long as that took, and at most so
/// long. Whoever renews one waits as well: what is answered is on the disk.
const REST: (u32, Duration) = (20, Duration::from_secs(1));

/// What is not only renewed waits for others as well, but this part of the time that the last write of the file took, and at most so
/// long: of pipelines that come together, all are in one write. Kills never wait.
const GATHERING: (u32, Duration) = (4, Duration::from_millis(25));

/// The files, and the way to the thread that writes them. It ends when nobody can send it anything any more.
#[derive(Debug)]
pub(super) struct Files {
    paths: PerKind<PathBuf>,
    orders: Sender<Order>,
}

/// Takes what has come of a write.
pub(super) type Answer = oneshot::Sender<Result<(), StoreError>>;

/// What the thread is to do.
enum Order {
    Write(Kind, Vec<Write>, Answer),
    /// What is shared has changed, and readers know it already.
    Follow(Kind, Vec<Write>, Option<Answer>),
    Reread(Kind, oneshot::Sender<Option<Loaded>>),
}

impl Files {
    /// Reads the files in `state_dir` into `held`, and starts the thread, which writes while `custody` is here.
    pub(super) fn open(state_dir: &Path, held: &Held, custody: Custody) -> Self {
        let files = PerKind::make(|kind| {
            let (file, loaded) = StateFile::open(state_dir, kind);
            for Damage { why, .. } in &loaded.damage {
                tracing::error!("{}: {why}", file.path.display());
            }
            held.with(kind, |held| *held = loaded);
            file
        });
        let paths = PerKind::make(|kind| files.get(kind).path.clone());
        let (orders, received) = channel();
        let writer = Writer {
            files,
            held: held.clone(),
            custody,
        };
        let started = thread::Builder::new()
            .name("serin-state".to_owned())
            .spawn(move || writer.run(&received));
        if let Err(error) = started {
            // Every write says so, too.
            tracing::error!("nothing can be stored, since no thread can be started: {error}");
        }
        Self { paths, orders }
    }

    /// A kind's file.
    pub(super) fn path(&self, kind: Kind) -> &Path {
        self.paths.get(kind)
    }

    /// Carries out all of `writes` or none of them, and forces them to the disk.
    pub(super) async fn write(&self, kind: Kind, writes: Vec<Write>) -> Result<(), StoreError> {
        let (answer, answered) = oneshot::channel();
        let order = Order::Write(kind, writes, answer);
        self.orders.send(order).map_err(|_| StoreError::Stopped)?;
        answered.await.unwrap_or(Err(StoreError::Stopped))
    }

    /// Has the files follow changes that hold already, and are shown to readers. What cannot be stored is stored with the
    /// next change. Without an `answer`, nothing replaces a file that could not all be read.
    pub(super) fn follow(&self, kind: Kind, writes: Vec<Write>, answer: Option<Answer>) {
        let order = Order::Follow(kind, writes, answer);
        if let Err(refused) = self.orders.send(order)
            && let Order::Follow(_, _, Some(answer)) = refused.0
        {
            // Whoever asked may have gone away.
            let _ = answer.send(Err(StoreError::Stopped));
        }
    }

    /// Reads a file again; what is in it holds, if all of it can be read.
    pub(super) async fn reread(&self, kind: Kind) -> Option<Loaded> {
        let (answer, answered) = oneshot::channel();
        self.orders.send(Order::Reread(kind, answer)).ok()?;
        answered.await.ok()?
    }
}

/// What the thread has.
struct Writer {
    files: PerKind<StateFile>,
    held: Held,
    custody: Custody,
}

impl Writer {
    fn run(mut self, orders: &Receiver<Order>) {
        loop {
            let first = match self.until_due() {
                None => orders.recv().map_err(RecvTimeoutError::from),
                Some(rest) => orders.recv_timeout(rest),
            };
            let is_over = matches!(first, Err(RecvTimeoutError::Disconnected));
            let waiting = orders.try_iter().take(MAX_BATCH);
            for order in first.into_iter().chain(waiting) {
                self.take(order);
            }
            let now = Instant::now();
            for kind in Kind::ALL {
                if is_over || self.files.get(kind).is_due(now) {
                    self.commit(kind);
                }
            }
            if is_over {
                return;
            }
        }
    }

    /// How long what waits may go on doing so; `None`: nothing does.
    fn until_due(&self) -> Option<Duration> {
        let files = Kind::ALL.into_iter().map(|kind| self.files.get(kind));
        // What could not be stored waits for another order.
        let waiting = files.filter(|file| file.is_ordered);
        let next = waiting.map(StateFile::due).min();
        next.map(|next| next.saturating_duration_since(Instant::now()))
    }

    fn take(&mut self, order: Order) {
        match order {
            Order::Write(kind, writes, answer) => {
                let file = self.files.get_mut(kind);
                file.note_order(&writes);
                match file.table.apply(writes) {
                    Ok(undo) => file.waiting.push((undo, answer)),
                    // The caller may have gone away; nothing has changed.
                    Err(error) => drop(answer.send(Err(error))),
                }
            }
            Order::Follow(kind, writes, answer) => {
                let file = self.files.get_mut(kind);
                file.note_order(&writes);
                // Without any it is asked for what has not been stored yet.
                file.lags |= !writes.is_empty();
                file.table.carry_out(writes);
                file.followers.extend(answer);
            }
            Order::Reread(kind, answer) => {
                self.commit(kind);
                let read = self.files.get_mut(kind).reread();
                if let Some(loaded) = &read {
                    self.held.with(kind, |held| held.clone_from(loaded));
                    self.held.note_all_changed(kind);
                }
                drop(answer.send(read));
            }
        }
    }

    /// Stores what waits, shows it to readers, and answers; if it cannot be stored, puts back what was there before.
    fn commit(&mut self, kind: Kind) {
        let file = self.files.get_mut(kind);
        (file.is_ordered, file.gathers_until) = (false, None);
        let waiting = mem::take(&mut file.waiting);
        let followers = mem::take(&mut file.followers);
        let is_left_for_people = file.must_be_kept && followers.is_empty();
        if waiting.is_empty() && followers.is_empty() && (!file.lags || is_left_for_people) {
            return;
        }
        let unchanged = |(undo, _): &(Undo, _)| undo.is_unchanged(&file.table);
        let hold = self.custody.hold();
        let result = if hold.is_none() {
            Err(StoreError::Stopped)
        } else if file.is_current && !file.lags && waiting.iter().all(unchanged) {
            Ok(())
        } else {
            let begun = Instant::now();
            let result = file.store();
            if result.is_ok() {
                self.held.writes(kind).inc();
            }
            file.took = begun.elapsed();
            let rest = file.took.saturating_mul(REST.0).min(REST.1);
            file.rests_until = Instant::now() + rest;
            result
        };
        let trouble = result.as_ref().err().map(ToString::to_string);
        self.held.note_trouble(kind, trouble);
        let mut answers = followers;
        if result.is_ok() {
            self.held.with(kind, |held| {
                for (undo, answer) in waiting {
                    held.table.follow(&file.table, &undo);
                    answers.push(answer);
                }
            });
        } else {
            file.rendered.forget_all();
            for (undo, answer) in waiting.into_iter().rev() {
                file.table.undo(undo);
                answers.push(answer);
            }
        }
        for answer in answers {
            // The caller may have gone away.
            let _ = answer.send(result.clone());
        }
    }
}

/// What tells a file from the one that takes its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

impl Seen {
    /// Of the file of that name now; `None`: there is none.
    fn of(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        Some(Self {
            inode: found.ino(),
            bytes: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
        })
    }
}

/// A file, and what is in it.
struct StateFile {
    kind: Kind,
    path: PathBuf,
    table: Table,
    /// Of the table's records, as they stand in the file.
    rendered: Rendered,
    /// Whether the file says what the table does.
    is_current: bool,
    /// Whether it has something that would be lost if it were replaced.
    must_be_kept: bool,
    /// The file as it was last read or written; `None`: there was none.
    seen: Option<Seen>,
    /// What is in the table, but not in the file yet, and who waits for it.
    waiting: Vec<(Undo, Answer)>,
    /// Whether the table has something that holds, but is not in the file yet.
    lags: bool,
    /// Who waits for that.
    followers: Vec<Answer>,
    /// Whether there is an order since the last attempt to write it.
    is_ordered: bool,
    /// Until when such an order waits for others that does more than renew leases; `None`: there is none.
    gathers_until: Option<Instant>,
    /// Until when renewals wait for others.
    rests_until: Instant,
    /// How long the last write of the file took.
    took: Duration,
}

impl StateFile {
    fn open(state_dir: &Path, kind: Kind) -> (Self, Loaded) {
        let path = state_dir.join(format!("{}.json", kind.name()));
        let seen = Seen::of(&path);
        let loaded = match fs::read(&path) {
            Ok(text) => document::read(kind, &text),
            Err(error) if durable::is_absence(&error) => Loaded::default(),
            Err(error) => {
                let damage = Damage {
                    service: None,
                    why: format!("it cannot be read ({error})"),
                };
                Loaded {
                    damage: vec![damage],
                    ..Loaded::default()
                }
            }
        };
        let file = Self {
            kind,
            path,
            table: loaded.table.clone(),
            rendered: Rendered::default(),
            // What a person has edited, or another version has written, is written anew.
            is_current: false,
            must_be_kept: !loaded.damage.is_empty(),
            seen,
            waiting: Vec::new(),
            lags: false,
            followers: Vec::new(),
            is_ordered: false,
            gathers_until: None,
            rests_until: Instant::now(),
            took: Duration::ZERO,
        };
        (file, loaded)
    }

    /// Notes that there is an order to be carried out.
    fn note_order(&mut self, writes: &[Write]) {
        if self.gathers_until.is_none() && !is_renewal(self.kind, &self.table, writes) {
            let gathering = match self.kind {
                Kind::Kills => Duration::ZERO,
                _ => GATHERING.1.min(self.took / GATHERING.0),
            };
            self.gathers_until = Some(Instant::now() + gathering);
        }
        self.rendered.forget(writes);
        self.is_ordered = true;
    }

    /// When what waits is written.
    fn due(&self) -> Instant {
        self.gathers_until.unwrap_or(self.rests_until)
    }

    fn is_due(&self, now: Instant) -> bool {
        now >= self.due()
    }

    /// Stores the table. A file that could not all be read, or that somebody else has written meanwhile, is kept beside it,
    /// as it was.
    fn store(&mut self) -> Result<(), StoreError> {
        self.is_current = false;
        let found = Seen::of(&self.path);
        if found.is_some() && found != self.seen {
            tracing::error!(
                "{} was changed by somebody else, which has no effect while the gateway runs",
                self.path.display()
            );
            self.must_be_kept = true;
            self.seen = found;
        }
        if self.must_be_kept {
            if let Some(kept) = durable::keep_damaged(&self.path)? {
                tracing::warn!("{} is kept as {}", self.path.display(), kept.display());
            }
            self.must_be_kept = false;
        }
        let text = document::write(&self.table, &mut self.rendered)?;
        durable::replace(&self.path, &text)?;
        self.seen = Seen::of(&self.path);
        self.is_current = true;
        self.lags = false;
        Ok(())
    }

    fn reread(&mut self) -> Option<Loaded> {
        let seen = Seen::of(&self.path);
        let text = fs::read(&self.path).ok()?;
        let loaded = document::read(self.kind, &text);
        if !loaded.damage.is_empty() {
            return None;
        }
        self.table = loaded.table.clone();
        self.rendered.forget_all();
        self.must_be_kept = false;
        self.seen = seen;
        Some(loaded)
    }
}

#[cfg(test)]
mod tests;
