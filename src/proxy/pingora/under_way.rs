//! Requests under way on canaries: those whose user leaves the canary are ended within the window that their service
//! states (`services.*.streams`), after a kill in any case.
//!
//! Each is entered here when it has got a connection. At short intervals the worker's sweep looks whether canaries were
//! withdrawn, and, where streams are to be closed for that, asks of each stream whether its user is still meant for the canary when
//! there is a new snapshot. Who leaves gets a moment in the window ([`crate::streams`]), at which the socket to the
//! upstream is shut down; pingora takes that for the upstream's doing, and [`super::leaving`] tells the client what it was.
//! Requests of stable are not entered: nobody takes stable away.
//!
//! The rules of `proxy::worker_local` hold.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use nix::sys::socket::Shutdown;

use super::upstream_socket::UpstreamSocket;
use crate::canary::Leave;
use crate::clock;
use crate::context::Moment;
use crate::proxy::run::RequestRun;
use crate::proxy::sweep::SWEEP_INTERVAL;
use crate::proxy::worker_local::Slots;
use crate::request::framing::websocket::Frames;
use crate::route::ServiceIndex;
use crate::snapshot::store::SnapshotStore;
use crate::snapshot::{DeploymentIndex, STABLE, Snapshot};
use crate::streams::{Audience, Ending, Extent, Spread};

/// Between two looks at who has left.
const PAUSE: Duration = Duration::from_millis(100);

/// How late, at most, a request ends: its canary's loss is noticed late, and its moment.
const LATENESS: Duration = PAUSE.saturating_add(SWEEP_INTERVAL.saturating_mul(3));

/// How many streams are decided again in one look: a new snapshot must keep no request waiting.
const DECIDED_AT_A_TIME: usize = 500;

thread_local! {
    static REQUESTS: RefCell<Requests> = RefCell::default();
}

#[derive(Default)]
struct Requests {
    under_way: Slots<UnderWay>,
    next_look: Option<Instant>,
    /// No request ends before this.
    first: Option<Instant>,
}

/// A request under way on a canary.
struct UnderWay {
    socket: UpstreamSocket,
    snapshot: Arc<Snapshot>,
    service: ServiceIndex,
    deployment: DeploymentIndex,
    answer: Answer,
    /// Whom it is decided again for; `None`: it is not.
    audience: Option<Box<Audience>>,
    /// The generation that it was decided on last.
    generation: u64,
    is_moved: bool,
    /// When it ends, since its user has left.
    leaving: Option<Leaving>,
}

/// The end of a request whose user has left.
struct Leaving {
    why: Leave,
    ending: Ending,
    stage: Stage,
}

/// How far that end has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Its moment is yet to come.
    Planned,
    /// The moment has come: it ends with the frame that is on its way.
    Due,
    /// Its socket has been shut down.
    Cut,
}

/// How far a request's answer has come.
#[derive(Clone, Copy)]
pub(super) enum Answer {
    /// It has not begun.
    Awaited,
    /// It has, and says how long it is, or is sent in chunks or frames: its end is seen.
    Framed {
        /// Whether it says how long it is.
        bounded: bool,
    },
    /// It has, and ends with its connection.
    Unframed,
    /// A WebSocket has been opened; these are the frames that go to the client.
    WebSocket(Frames),
}

impl Answer {
    fn extent(self) -> Extent {
        match self {
            Self::Awaited => Extent::Unanswered,
            Self::Framed { bounded: true } => Extent::Bounded,
            Self::Framed { bounded: false } | Self::Unframed | Self::WebSocket(_) => {
                Extent::Endless
            }
        }
    }
}

/// A request's entry, until dropped. Must stay on its worker's thread.
#[derive(Debug)]
pub(super) struct UnderWayGuard {
    index: usize,
}

impl UnderWayGuard {
    /// Enters a request that has got a connection to a canary; `None`: it goes to stable, or nowhere.
    pub(super) fn begin(run: &RequestRun, socket: impl FnOnce() -> UpstreamSocket) -> Option<Self> {
        let request = run.upstream.as_ref()?;
        let deployment = request.attempts.deployment();
        if deployment == STABLE {
            return None;
        }
        let entry = UnderWay {
            socket: socket(),
            snapshot: run.snapshot.clone(),
            service: request.plan.service,
            deployment,
            answer: Answer::Awaited,
            audience: None,
            generation: run.snapshot.generation,
            is_moved: false,
            leaving: None,
        };
        REQUESTS.with_borrow_mut(|requests| {
            Some(Self {
                index: requests.under_way.insert(entry),
            })
        })
    }

    /// Notes that the answer has begun, and whom the request is decided again for.
    pub(super) fn answered(&self, answer: Answer, audience: Option<Box<Audience>>) {
        self.with(|entry| (entry.answer, entry.audience) = (answer, audience));
    }

    /// Takes a part of the answer on its way to the client, or its end. An error says why the answer ends here.
    pub(super) fn pass(&self, body: &mut Option<Bytes>, end: bool) -> Result<(), Leave> {
        self.with(|entry| entry.pass(body, end)).unwrap_or(Ok(()))
    }

    /// Why the request ends, if its user leaves: also where its moment had not come, and it ended with others that share its
    /// connection, or by the canary's doing.
    pub(super) fn ends_for(&self) -> Option<Leave> {
        self.with(|entry| Some(entry.leaving.as_ref()?.why))?
    }

    /// Whether a close frame can be told the client of a WebSocket.
    pub(super) fn is_between_frames(&self) -> bool {
        self.with(|entry| matches!(entry.answer, Answer::WebSocket(frames) if frames.are_whole()))
            .unwrap_or(false)
    }

    fn with<T>(&self, then: impl FnOnce(&mut UnderWay) -> T) -> Option<T> {
        REQUESTS.with_borrow_mut(|requests| requests.under_way.get_mut(self.index).map(then))
    }
}

impl Drop for UnderWayGuard {
    fn drop(&mut self) {
        REQUESTS.with_borrow_mut(|requests| requests.under_way.remove(self.index));
    }
}

/// Looks who has left, and ends the requests whose moment has come.
pub(super) fn look(now: Instant, store: &SnapshotStore, spread: &Spread) {
    REQUESTS.with_borrow_mut(|requests| {
        if requests.under_way.is_empty() {
            return;
        }
        if requests.next_look.is_none_or(|next| next <= now) {
            let is_done = requests.plan(&store.peek(), spread, now);
            requests.next_look = is_done.then(|| now + PAUSE);
        }
        requests.end(now);
    });
}

impl Requests {
    /// Looks at every request. Whether there was time for all who are to be decided again.
    fn plan(&mut self, snapshot: &Snapshot, spread: &Spread, now: Instant) -> bool {
        let (moment, mut left) = (clock::now(), DECIDED_AT_A_TIME);
        for entry in self.under_way.iter_mut() {
            if left > 0 && entry.decide_again(snapshot, moment) {
                left -= 1;
            }
            if let Some(at) = entry.plan(spread, now) {
                self.first = Some(self.first.map_or(at, |first| first.min(at)));
            }
        }
        left > 0
    }

    fn end(&mut self, now: Instant) {
        if self.first.is_none_or(|first| now < first) {
            return;
        }
        let waiting = self.under_way.iter_mut();
        self.first = waiting.filter_map(|entry| entry.end(now)).min();
    }
}

impl UnderWay {
    /// Decides again for a stream whether its user is meant for the canary, if it has not been on this snapshot. Whether it
    /// was asked.
    fn decide_again(&mut self, snapshot: &Snapshot, moment: Moment) -> bool {
        let Some(audience) = &self.audience else {
            return false;
        };
        if self.generation == snapshot.generation {
            return false;
        }
        let own = self.snapshot.services.get(self.service);
        let deployment = &own.deployments.get(self.deployment).name;
        // Nearly always it is where it was.
        let service = match snapshot.services.get(self.service) {
            service if service.name == own.name => Some(service),
            _ => snapshot.services.named(&own.name),
        };
        let is_moved = service.is_none_or(|service| {
            audience.is_moved(&snapshot.vocabulary, service, deployment, moment)
        });
        (self.generation, self.is_moved) = (snapshot.generation, is_moved);
        true
    }

    /// Gives a request whose user has left a moment to end at; takes it back where the user is back. When it ends, if that is
    /// new.
    fn plan(&mut self, spread: &Spread, now: Instant) -> Option<Instant> {
        if self.is_due() {
            return None;
        }
        let service = self.snapshot.services.get(self.service);
        let withdrawal = service.deployments.get(self.deployment).withdrawal();
        let moved = self.is_moved.then_some(Leave::Moved);
        let why = withdrawal.and_then(Leave::of).or(moved);
        if self.leaving.as_ref().map(|leaving| leaving.why) == why {
            return None;
        }
        let window = why.and_then(|why| Some((why, service.upstream.streams.window(why)?)));
        self.leaving = window.map(|(why, window)| Leaving {
            why,
            ending: spread.ending(now, window.saturating_sub(LATENESS), self.answer.extent()),
            stage: Stage::Planned,
        });
        self.leaving.as_ref().map(|leaving| leaving.ending.at)
    }

    /// Ends it, if its moment has come. When to look again, if it has not.
    fn end(&mut self, now: Instant) -> Option<Instant> {
        let leaving = self.leaving.as_mut()?;
        if leaving.stage == Stage::Cut {
            return None;
        }
        if now < leaving.ending.at {
            return Some(leaving.ending.at);
        }
        if let Answer::WebSocket(frames) = &self.answer
            && !frames.are_whole()
            && now < leaving.ending.latest
        {
            leaving.stage = Stage::Due;
            return Some(now);
        }
        leaving.stage = Stage::Cut;
        let deployment = self
            .snapshot
            .services
            .get(self.service)
            .deployments
            .get(self.deployment);
        tracing::debug!(deployment = &*deployment.name, cause = %leaving.why.cause(), "a stream is closed");
        self.socket.shut_down(Shutdown::Both);
        None
    }

    fn is_due(&self) -> bool {
        let stage = self.leaving.as_ref().map(|leaving| leaving.stage);
        stage.is_some_and(|stage| stage != Stage::Planned)
    }

    fn pass(&mut self, body: &mut Option<Bytes>, end: bool) -> Result<(), Leave> {
        let leaving = self.leaving.as_ref();
        let leaving = leaving.filter(|leaving| leaving.stage != Stage::Planned);
        match (&mut self.answer, leaving) {
            (Answer::WebSocket(frames), None) => {
                frames.pass(body.as_deref().unwrap_or_default());
                Ok(())
            }
            (Answer::WebSocket(frames), Some(leaving)) => {
                let is_cut = leaving.stage == Stage::Cut;
                if end && is_cut {
                    return Err(leaving.why);
                }
                // An error would take with it what was passed just before, and is yet to be written: what comes behind the
                // frame's end is left out, until the socket has been shut down.
                if let Some(bytes) = body {
                    let left = match is_cut || frames.are_whole() {
                        true => 0,
                        false => frames.pass_one(bytes),
                    };
                    bytes.truncate(left);
                }
                Ok(())
            }
            // It came whole.
            (Answer::Framed { .. }, Some(_)) if end => Ok(()),
            (_, Some(leaving)) => Err(leaving.why),
            (_, None) => Ok(()),
        }
    }
}
