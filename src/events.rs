//! What happens to this gateway, sent to every listener as it happens. A sender never waits for a listener.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::broadcast::{self, error::RecvError};

use crate::clock;
use crate::context::Moment;
use crate::digest::Digest;
use crate::flag::Share;
use crate::snapshot::changes::Changes;

/// How many events a listener may be behind before it loses the oldest.
const KEPT: usize = 256;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
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
pub struct Events(broadcast::Sender<Arc<Event>>);

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

impl Events {
    /// Sends an event to all present listeners.
    pub fn emit(&self, what: EventKind) {
        let at = clock::now();
        // Fails when there is no listener.
        let _ = self.0.send(Arc::new(Event { at, what }));
    }

    /// Listens from now on.
    pub fn listen(&self) -> Listener {
        Listener(Some(self.0.subscribe()))
    }
}

impl Default for Events {
    fn default() -> Self {
        Self(broadcast::channel(KEPT).0)
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
mod tests {
    use std::sync::Arc;

    use super::{EventKind, Events, Heard, KEPT};

    fn recovered(source: &str) -> EventKind {
        EventKind::SourceRecovered {
            source: source.into(),
        }
    }

    #[tokio::test]
    async fn every_listener_hears_what_is_told_after_it_began() {
        let events = Events::default();
        events.emit(recovered("early"));
        let mut listeners = [events.listen(), events.listen()];
        events.emit(recovered("late"));
        events.emit(EventKind::Stopping);
        for listener in &mut listeners {
            let mut heard = Vec::new();
            while let Some(Heard::Event(event)) = listener.next().await {
                heard.push(Arc::unwrap_or_clone(event).what);
            }
            assert_eq!(heard, [recovered("late"), EventKind::Stopping]);
        }
    }

    #[tokio::test]
    async fn who_is_too_slow_learns_how_much_is_lost() {
        let events = Events::default();
        let mut slow = events.listen();
        for _ in 0..KEPT + 3 {
            events.emit(recovered("flags"));
        }
        assert_eq!(slow.next().await, Some(Heard::Lagged(3)));
        assert!(matches!(slow.next().await, Some(Heard::Event(_))));
    }
}
