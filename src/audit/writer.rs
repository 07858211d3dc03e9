//! The thread that writes the trail: what waits is written together, and forced to the disk once.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, LockResult, Mutex, MutexGuard, PoisonError, WaitTimeoutResult};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::{Notify, oneshot};

use super::Tell;
use super::actor::Actor;
use super::chain::Link;
use super::entry::{Action, Deed, Entry};
use super::files::Files;
use super::recovery::{Resumed, resumed};
use crate::clock;
use crate::context::Moment;
use crate::custody::Custody;

/// How many entries are written together at most.
const MAX_GROUP: usize = 1_000;
/// How many may wait while none can be written. What comes then is lost.
const MAX_WAITING: usize = 10_000;
/// How often it is tried again to write what could not be written.
const AGAIN: Duration = Duration::from_secs(1);

/// What the thread and those that hand entries over share.
#[derive(Default)]
pub(super) struct Desk {
    state: Mutex<State>,
    /// Rung when something waits, or the trail is to end.
    more: Condvar,
    /// Rung when nothing waits any more.
    done: Condvar,
}

/// What waits, and what has come of the rest.
#[derive(Default)]
pub(super) struct State {
    waiting: Vec<Waiting>,
    pub(super) figures: Figures,
    is_closed: bool,
    /// Those that were lost since an entry was written.
    lost: u64,
}

/// How the trail is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// How many entries were written, by what was done.
    pub written: BTreeMap<Action, u64>,
    /// How many were lost.
    pub lost: u64,
    /// How many wait to be written.
    pub waiting: usize,
    /// Why none can be written now.
    pub trouble: Option<String>,
    /// What was found wrong when the trail was opened.
    pub damage: Option<String>,
}

struct Waiting {
    deed: Deed,
    at: Moment,
    written: Option<oneshot::Sender<()>>,
}

impl State {
    /// Has an entry say how many were lost since the last that waits, if any were.
    fn tell_losses(&mut self, at: Moment) {
        let count = std::mem::take(&mut self.lost);
        if count > 0 {
            let deed = Deed::new(Actor::gateway(), Action::LoseEntries, "audit.ndjson");
            let reason = format!("{count} entries before this one could not be written");
            let deed = deed.changing(Value::Null, json!({ "lost": count }));
            self.waiting.push(Waiting {
                deed: deed.because(Some(reason)),
                at,
                written: None,
            });
        }
    }
}

impl Desk {
    /// Takes an entry. The receiver hears when it is written, or when it turns out that it cannot be for now.
    pub(super) fn hand_over(&self, deed: Deed) -> oneshot::Receiver<()> {
        let (written, heard) = oneshot::channel();
        let mut state = self.state();
        if state.waiting.len() >= MAX_WAITING {
            state.lost += 1;
            state.figures.lost += 1;
            let (action, object, by) = (deed.action.as_str(), &deed.object, deed.actor.by());
            tracing::error!(action, object, by, "an entry of the audit trail is lost");
            return heard;
        }
        // Under the lock, so that entries stand in the order of their moments.
        let at = clock::now();
        state.tell_losses(at);
        state.waiting.push(Waiting {
            deed,
            at,
            written: Some(written),
        });
        self.more.notify_one();
        heard
    }

    /// How the trail is doing.
    pub(super) fn figures(&self) -> Figures {
        let state = self.state();
        Figures {
            waiting: state.waiting.len(),
            ..state.figures.clone()
        }
    }

    /// Notes what was found wrong, and has the entry that tells of it stand before those that wait.
    pub(super) fn begin_with(&self, deed: Option<Deed>, damage: Option<String>) {
        let mut state = self.state();
        state.figures.damage = damage;
        if let Some(deed) = deed {
            let first = state.waiting.first().map(|waiting| waiting.at);
            let at = first.unwrap_or_else(clock::now);
            let waiting = Waiting {
                deed,
                at,
                written: None,
            };
            state.waiting.insert(0, waiting);
            self.more.notify_one();
        }
    }

    /// Has the thread end when it has tried to write what waits.
    pub(super) fn close(&self) {
        self.state().is_closed = true;
        self.more.notify_one();
    }

    /// Waits until nothing waits to be written, or for so long.
    pub(super) fn settle(&self, patience: Duration) {
        let end = Instant::now() + patience;
        let mut state = self.state();
        while !state.waiting.is_empty() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let entries = state.waiting.len();
                tracing::error!(entries, "entries of the audit trail are lost");
                return;
            }
            state = waited(self.done.wait_timeout(state, left));
        }
    }

    /// What waits, once something does; it stays where it is. `None`: the trail has ended.
    fn group(&self, mut was_in_vain: bool) -> Option<Vec<(Deed, Moment)>> {
        let mut state = self.state();
        loop {
            if was_in_vain && !state.is_closed {
                state = waited(self.more.wait_timeout(state, AGAIN));
                // Whoever has come meanwhile is to hear soon that it cannot be written, if so.
                was_in_vain = false;
            }
            if !state.waiting.is_empty() {
                let group = state.waiting.iter().take(MAX_GROUP);
                let group = group.map(|waiting| (waiting.deed.clone(), waiting.at));
                return Some(group.collect());
            }
            if state.is_closed {
                return None;
            }
            let again = self.more.wait(state);
            state = again.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Notes that the first of those that wait are written.
    fn note_written(&self, entries: &[Arc<Entry>]) {
        let mut state = self.state();
        let written: Vec<Waiting> = state.waiting.drain(..entries.len()).collect();
        if state.figures.trouble.take().is_some() {
            tracing::warn!("the audit trail can be written again");
        }
        for entry in entries {
            *state.figures.written.entry(entry.action).or_default() += 1;
        }
        if state.waiting.is_empty() {
            state.tell_losses(clock::now());
        }
        if state.waiting.is_empty() {
            self.done.notify_all();
        }
        drop(state);
        for waiting in written {
            // Most do not wait for it.
            waiting.written.map(|written| written.send(()));
        }
    }

    /// Notes that nothing can be written. Nobody waits for it any longer; the entries do.
    fn note_trouble(&self, error: &str) {
        let mut state = self.state();
        let trouble = format!("the audit trail cannot be written: {error}");
        if state.figures.trouble.as_ref() != Some(&trouble) {
            tracing::error!("{trouble}; changes are made all the same");
        }
        state.figures.trouble = Some(trouble);
        for waiting in &mut state.waiting {
            // Whoever waits hears that it is gone.
            waiting.written = None;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a wait comes to: the state, locked again.
fn waited<'a>(
    result: LockResult<(MutexGuard<'a, State>, WaitTimeoutResult)>,
) -> MutexGuard<'a, State> {
    result.unwrap_or_else(PoisonError::into_inner).0
}

/// What the thread has.
pub(super) struct Writer {
    pub(super) desk: Arc<Desk>,
    pub(super) files: Files,
    /// The chain's end; `None`: it has not been looked for.
    pub(super) end: Option<Link>,
    /// Nothing is written without it.
    pub(super) custody: Custody,
    pub(super) tell: Tell,
    /// Told when entries were written.
    pub(super) grown: Arc<Notify>,
}

impl Writer {
    /// Writes until the trail ends.
    pub(super) fn run(mut self) {
        let mut was_in_vain = false;
        while let Some(group) = self.desk.group(was_in_vain) {
            let custody = self.custody.clone();
            let Some(_hold) = custody.hold() else {
                // Another process goes on with the trail; what waits is told when this one ends.
                return;
            };
            if self.end.is_none() {
                self.resume();
                continue;
            }
            was_in_vain = match self.write(&group) {
                Ok(()) => false,
                Err(error) => {
                    self.desk.note_trouble(&error.to_string());
                    true
                }
            };
            if was_in_vain && self.desk.state().is_closed {
                return;
            }
        }
    }

    /// Looks where the chain goes on.
    pub(super) fn resume(&mut self) {
        let Resumed { end, deed, damage } = resumed(self.files.recover());
        self.end = Some(end);
        self.desk.begin_with(deed, damage);
    }

    fn write(&mut self, group: &[(Deed, Moment)]) -> std::io::Result<()> {
        let mut end = self.end.clone().unwrap_or_else(Link::first);
        let mut entries = Vec::with_capacity(group.len());
        for (deed, at) in group {
            let (entry, next) = end.tie(deed, *at);
            end = next;
            entries.push(Arc::new(entry));
        }
        let mut lines = String::new();
        for entry in &entries {
            lines.push_str(&entry.line);
            lines.push('\n');
        }
        self.files.append(lines.as_bytes())?;
        self.end = Some(end);
        for entry in &entries {
            (self.tell)(entry);
        }
        self.desk.note_written(&entries);
        self.grown.notify_one();
        Ok(())
    }
}
