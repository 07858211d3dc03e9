//! What happens to this gateway, sent to every listener as it happens. A sender never waits for a listener. The last events are
//! kept, so that a listener that was away hears what it missed.

mod id;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::broadcast::{self, error::RecvError};

use crate::audit::Audit;
use crate::audit::entry::Entry;
use crate::clock;
use crate::context::Moment;
use crate::digest::Digest;
use crate::flag::Share;
use crate::snapshot::changes::Changes;
pub use id::EventId;

/// How many events a listener may be behind before it loses the oldest, and how many are kept for those that come back.
const KEPT: usize = 1_024;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its name, which no other event of this gateway has, whenever it ran.
    pub id: EventId,
    /// When.
    pub at: Moment,
    /// What.
    pub what: EventKind,
}

/// The kinds of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// Requests are decided on another snapshot.
    Published {
        /// Its number.
        generation: u64,
        /// Its content's hash.
        digest: Digest,
        /// The flags that differ.
        changes: Arc<Changes>,
    },
    /// A flag server's answer lacks flags, which are kept until that is certain. None: no flag is held any more.
    Held {
        /// The source's name.
        source: Arc<str>,
        /// The flags that are kept.
        flags: Arc<[Arc<str>]>,
    },
    /// A source cannot be reached, or says what cannot be used.
    SourceTrouble {
        /// The source's name.
        source: Arc<str>,
        /// What is wrong.
        error: String,
    },
    /// A source is well again.
    SourceRecovered {
        /// The source's name.
        source: Arc<str>,
    },
    /// A person has killed a canary, or restored one.
    Ordered {
        /// The service's name.
        service: Arc<str>,
        /// The flag's.
        flag: Arc<str>,
        /// Whether no user is sent there now.
        killed: bool,
        /// Who: an address.
        by: String,
        /// Why, in the words of the person who gave the order.
        reason: Option<Arc<str>>,
        /// Whether the order was given at another gateway, which has noted it for all of them.
        is_elsewhere: bool,
    },
    /// Serin keeps another flag or segment itself, or has switched a ring of a flag that a server keeps.
    Kept {
        /// `flag` or `segment`.
        kind: &'static str,
        /// Its name.
        name: Arc<str>,
        /// What was done.
        action: KeptAction,
        /// Who did it.
        by: String,
    },
    /// Something has happened to a registered canary.
    Registered {
        /// The service's name.
        service: Arc<str>,
        /// The flag's.
        flag: Arc<str>,
        /// What: `registered`, `changed`, `moving`, `ready`, `moved`, `taken_back`, `lease_over` or `forgotten`.
        state: &'static str,
        /// Where the canary is, or is to be.
        url: String,
        /// Who: an address; `None`: it came by itself.
        by: Option<String>,
    },
    /// An endpoint gets requests no more, is tried, or is back.
    Endpoint {
        /// The service's name.
        service: Box<str>,
        /// The deployment's.
        deployment: Box<str>,
        /// Where the endpoint is.
        address: SocketAddr,
        /// What it is now: `ejected`, `trial`, `unhealthy` or `back`.
        state: &'static str,
        /// Why, if it is to get no requests.
        why: Option<String>,
    },
    /// It is known again of every canary whether it is killed: the rest of a file that could not all be read.
    Settled {
        /// Who said that the others are not: an address; `None`: the file was mended.
        by: Option<String>,
    },
    /// The audit trail has another entry.
    Audited(Arc<Entry>),
    /// The process ends.
    Stopping,
}

/// What was done to a flag or a segment that Serin keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeptAction {
    /// It says something else, or is new.
    Put,
    /// It is gone.
    Deleted,
    /// One ring of the flag was opened or closed.
    Ring {
        /// The ring's name.
        ring: Arc<str>,
        /// Whether it is switched on, if that was said.
        enabled: Option<bool>,
        /// The percentage, if that was said.
        rollout: Option<Share>,
    },
}

impl KeptAction {
    /// The words for people.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Put => "what serin keeps was changed",
            Self::Deleted => "what serin keeps was deleted",
            Self::Ring { .. } => "a ring was changed",
        }
    }
}

/// Sends events. Clones have the same listeners.
#[derive(Clone, Debug)]
pub struct Events(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    listeners: broadcast::Sender<Arc<Event>>,
    kept: Mutex<Kept>,
    /// When the process began: what tells its events from those before.
    run: u64,
    audit: OnceLock<Audit>,
}

/// The last events.
#[derive(Debug, Default)]
struct Kept {
    events: VecDeque<Arc<Event>>,
    /// How many events there were.
    count: u64,
}

/// What a listener hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// An event.
    Event(Arc<Event>),
    /// It was too slow: so many events are lost to it.
    Lagged(u64),
}

/// Hears every event from the moment it began to listen.
#[derive(Debug)]
pub struct Listener(Option<broadcast::Receiver<Arc<Event>>>);

/// What a listener gets that comes back.
#[derive(Debug)]
pub struct Resumed {
    /// What it cannot be told any more; `None`: it misses nothing.
    pub missed: Option<Missed>,
    /// After which event it goes on.
    pub after: EventId,
    /// What happened while it was away.
    pub kept: Vec<Arc<Event>>,
    /// What happens from then on.
    pub listener: Listener,
}

/// What a listener cannot be told that comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missed {
    /// So many events, which are not kept any more.
    TooOld(u64),
    /// The gateway was restarted since: whatever happened before, and so many events since that are not kept any more.
    Restarted(u64),
    /// There was no such event yet.
    Unknown,
}

impl Events {
    /// Sends an event to all present listeners.
    pub fn emit(&self, what: EventKind) {
        let mut kept = self.kept();
        kept.count += 1;
        let event = Arc::new(Event {
            id: self.id(kept.count),
            at: clock::now(),
            what,
        });
        if kept.events.len() == KEPT {
            kept.events.pop_front();
        }
        kept.events.push_back(event.clone());
        // Under the lock, so that whoever comes back hears each once. Fails when there is no listener.
        let _ = self.0.listeners.send(event);
    }

    /// Listens from now on.
    pub fn listen(&self) -> Listener {
        Listener(Some(self.0.listeners.subscribe()))
    }

    /// Listens from the event after this one on, as far as events are kept; `None`: from now on.
    pub fn resume(&self, last: Option<EventId>) -> Resumed {
        let kept = self.kept();
        let listener = self.listen();
        let oldest = kept.events.front().map(|event| event.id.number);
        let gone = oldest.map_or(kept.count, |oldest| oldest - 1);
        let (after, missed) = match last {
            None => (kept.count, None),
            Some(last) if last.run != self.0.run => (gone, Some(Missed::Restarted(gone))),
            Some(last) if last.number > kept.count => (kept.count, Some(Missed::Unknown)),
            Some(last) if last.number < gone => (gone, Some(Missed::TooOld(gone - last.number))),
            Some(last) => (last.number, None),
        };
        let events = kept.events.iter();
        let events = events.filter(|event| event.id.number > after);
        Resumed {
            missed,
            after: self.id(after),
            kept: events.cloned().collect(),
            listener,
        }
    }

    /// The audit trail, whose entries are events, too.
    pub fn audit(&self) -> &Audit {
        self.0.audit.get_or_init(Audit::in_memory)
    }

    /// Has these events go with an audit trail. Comes before anything is recorded; only the first counts.
    pub fn go_with(&self, audit: &Audit) {
        if self.0.audit.set(audit.clone()).is_ok() {
            // The trail must not keep its own listener alive.
            let events = Arc::downgrade(&self.0);
            audit.report_to(move |entry| {
                if let Some(inner) = events.upgrade() {
                    Self(inner).emit(EventKind::Audited(entry.clone()));
                }
            });
        }
    }

    fn id(&self, number: u64) -> EventId {
        let run = self.0.run;
        EventId { run, number }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Events {
    fn default() -> Self {
        Self(Arc::new(Inner {
            listeners: broadcast::channel(KEPT).0,
            kept: Mutex::default(),
            run: u64::try_from(clock::now().unix_ms).unwrap_or_default(),
            audit: OnceLock::new(),
        }))
    }
}

impl Listener {
    /// The next event; `None` after the last one.
    pub async fn next(&mut self) -> Option<Heard> {
        match self.0.as_mut()?.recv().await {
            Ok(event) => {
                if event.what == EventKind::Stopping {
                    self.0 = None;
                }
                Some(Heard::Event(event))
            }
            Err(RecvError::Lagged(lost)) => Some(Heard::Lagged(lost)),
            Err(RecvError::Closed) => None,
        }
    }
}

#[cfg(test)]
mod tests;
