//! One client's connection: what it is busy with, until when that may take, and the stream that HTTP is read from and
//! written to.
//!
//! Between requests a connection *rests* (`server.timeouts.idle`); from a head's first byte until its last it sends a
//! *head* (`header_read`); then it is *busy* until the response has ended, and only while it takes nothing of what is
//! written is there a deadline (`write`). All of that is bookkeeping in one `DeadlineGuard`: no timer is set.

mod expectation;
mod open_stream;
mod reading;
mod refusal;
mod stream;

use std::net::SocketAddr;
use std::sync::atomic::{
    AtomicBool, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering,
};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::Guard;
use http::StatusCode;
use nix::sys::socket::Shutdown;
use tokio::sync::Notify;

use super::deadlines::DeadlineGuard;
use super::lingering::Lingering;
use super::transport::Transport;
use crate::capacity::clients::ClientConnections;
use crate::config::Traffic;
use crate::request::framing::Framing;
use crate::snapshot::Snapshot;
use crate::snapshot::store::SnapshotStore;
pub use open_stream::OpenStream;
pub use stream::ClientStream;

tokio::task_local! {
    /// The connection that the current task serves, if it speaks HTTP/1 ([`super::worker_local`]).
    static CURRENT: Arc<ClientConnection>;
}

/// How long a client over HTTP/2 that got GOAWAY, and has no request, may take to close the connection.
const TIME_TO_GO: Duration = Duration::from_secs(1);

const RESTS: u8 = 0;
const SENDS_HEAD: u8 = 1;
const IS_BUSY: u8 = 2;
/// As [`RESTS`], over HTTP/2: its frames between requests are no reason to hurry, nor to stay.
const RESTS_MULTIPLEXED: u8 = 3;
/// Its stream is gone, and with it the socket that a deadline could be for.
const IS_GONE: u8 = 4;

/// In place of a body's length.
const CHUNKED: u64 = u64::MAX;

/// One client's connection. It stays on its worker's thread; the atomics are there because tasks must be such that they
/// could be sent elsewhere.
#[derive(Debug)]
pub struct ClientConnection {
    store: Arc<SnapshotStore>,
    deadline: DeadlineGuard,
    phase: AtomicU8,
    /// Bytes of the current head so far.
    head_bytes: AtomicUsize,
    /// The length of the current request's body, or [`CHUNKED`].
    body_length: AtomicU64,
    /// Whether the current request's body cannot be read.
    malformed: AtomicBool,
    /// Whether what the client sends is no longer HTTP.
    tunnel: AtomicBool,
    /// Whether there is a deadline for the current head.
    hurried: AtomicBool,
    /// Whether a head was cut off for being too large.
    refused: AtomicBool,
    /// The status of the answer to a head that could not be read; 0: it could.
    unreadable: AtomicU16,
    /// Requests so far.
    requests: AtomicU32,
    /// Requests under way, over HTTP/2.
    streams: AtomicU32,
    /// Whether it is to end with its current requests.
    leaving: AtomicBool,
    /// Whether the client takes nothing at the moment.
    blocked: AtomicBool,
    /// Whether the client may still be sending a body that is not going to be read.
    unread: AtomicBool,
    /// Whether the client waits to be told that it may send its body.
    expectant: AtomicBool,
    /// Whether the client must not take what it has got for a whole answer.
    broken: AtomicBool,
    lingering: Mutex<Option<Lingering>>,
    /// Told when the client sends too many control frames over HTTP/2.
    frenzy: Notify,
    /// Its place among its client's; `None`: they are not counted.
    client: Option<ClientConnections>,
}

impl ClientConnection {
    /// For a connection that was accepted just now, and the stream to serve it by.
    pub fn accepted(
        transport: Transport,
        peer: SocketAddr,
        client: Option<ClientConnections>,
        store: &Arc<SnapshotStore>,
    ) -> ClientStream {
        let idle = store.peek().traffic.idle;
        let deadline = DeadlineGuard::begin(transport.fd(), Instant::now() + idle, None);
        let connection = Self {
            store: store.clone(),
            deadline,
            phase: AtomicU8::new(RESTS),
            head_bytes: AtomicUsize::new(0),
            body_length: AtomicU64::new(0),
            malformed: AtomicBool::new(false),
            tunnel: AtomicBool::new(false),
            hurried: AtomicBool::new(false),
            refused: AtomicBool::new(false),
            unreadable: AtomicU16::new(0),
            requests: AtomicU32::new(0),
            streams: AtomicU32::new(0),
            leaving: AtomicBool::new(false),
            blocked: AtomicBool::new(false),
            unread: AtomicBool::new(false),
            expectant: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            lingering: Mutex::new(None),
            frenzy: Notify::new(),
            client,
        };
        ClientStream::new(transport, peer, Arc::new(connection))
    }

    /// Serves it as the current task's.
    pub async fn serve<F: Future>(self: &Arc<Self>, future: F) -> F::Output {
        CURRENT.scope(self.clone(), future).await
    }

    /// Does something with the current task's connection, if it has one.
    pub fn current<T>(then: impl FnOnce(&Self) -> T) -> Option<T> {
        CURRENT.try_with(|connection| then(connection)).ok()
    }

    /// Notes that it waits for its next request.
    pub fn rest(&self) {
        self.enter(RESTS);
    }

    /// Notes that it speaks HTTP/2, and waits for its first request.
    pub fn multiplex(&self) {
        self.enter(RESTS_MULTIPLEXED);
    }

    /// Notes that a request's head has been read, and how the end of its body is known.
    pub fn begin_request(&self, framing: Framing) {
        let length = match framing {
            Framing::Length(length) => length.min(CHUNKED - 1),
            Framing::Chunked => CHUNKED,
        };
        self.body_length.store(length, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.enter(IS_BUSY);
    }

    /// Notes that it is a tunnel from now on.
    pub fn open_tunnel(&self) {
        self.tunnel.store(true, Ordering::Relaxed);
    }

    /// How many bytes of the current head have been handed on.
    pub fn head_length(&self) -> usize {
        self.head_bytes.load(Ordering::Relaxed)
    }

    /// What a client is answered whose request's body cannot be read.
    pub fn fault(&self) -> Option<StatusCode> {
        let malformed = self.malformed.load(Ordering::Relaxed);
        malformed.then_some(StatusCode::BAD_REQUEST)
    }

    /// Notes that it is to end with its current requests.
    pub fn dismiss(&self) {
        self.leaving.store(true, Ordering::Relaxed);
        self.enter(self.phase.load(Ordering::Relaxed));
    }

    /// Whether one client is behind it; behind a trusted proxy there are many.
    pub(super) fn is_one_clients(&self) -> bool {
        self.client.is_some()
    }

    /// Has it ended, since its client sends too many control frames.
    pub(super) fn calm_down(&self) {
        self.frenzy.notify_one();
    }

    /// Waits until it is to be ended for that.
    pub async fn frenzy(&self) {
        self.frenzy.notified().await;
    }

    /// Whether it has had as many requests as it may have.
    pub fn is_spent(&self, traffic: &Traffic) -> bool {
        self.requests.load(Ordering::Relaxed) >= traffic.requests_per_connection
    }

    /// How many requests it has had.
    pub fn requests(&self) -> u32 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Whether its deadline was over.
    pub fn is_late(&self) -> bool {
        self.deadline.is_expired()
    }

    /// Notes that the client may still be sending a body that is not going to be read.
    pub fn leave_unread(&self) {
        self.unread.store(true, Ordering::Relaxed);
    }

    /// Notes that the answer broke off where its client takes the connection's end for its own: the connection will
    /// end with a reset.
    pub fn break_off(&self) {
        self.broken.store(true, Ordering::Relaxed);
    }

    /// Whether the connection is to end with a reset.
    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// How much it may take, as the current snapshot says.
    pub fn traffic(&self) -> Traffic {
        self.store.peek().traffic
    }

    /// What runs now.
    pub(super) fn snapshot(&self) -> Guard<Arc<Snapshot>> {
        self.store.peek()
    }

    /// The connection, if it is to be closed with care.
    pub fn take_lingering(&self) -> Option<Lingering> {
        let mut lingering = self
            .lingering
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        lingering.take()
    }

    /// Takes the connection back when its stream has been dropped.
    pub(super) fn leave(&self, transport: Transport) {
        let refusal = self.refusal();
        let sent_head = self.phase.swap(IS_GONE, Ordering::Relaxed) == SENDS_HEAD;
        self.deadline.pause();
        if let Some(status) = refusal {
            // It never became a request that could be recorded.
            self.store.peek().unrouted.served.inc(status.as_u16());
        }
        if self.is_broken() {
            transport.reset_at_end();
            return;
        }
        if sent_head || self.unread.load(Ordering::Relaxed) {
            let mut lingering = self
                .lingering
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            *lingering = Some(Lingering { transport, refusal });
        }
    }

    /// Whether a request's head has been read and its answer has not ended.
    pub(super) fn is_busy(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == IS_BUSY
    }

    /// How the end of the current request's body is known.
    pub(super) fn framing(&self) -> Framing {
        match self.body_length.load(Ordering::Relaxed) {
            CHUNKED => Framing::Chunked,
            length => Framing::Length(length),
        }
    }

    /// Whether it is a tunnel.
    pub(super) fn is_tunnel(&self) -> bool {
        self.tunnel.load(Ordering::Relaxed)
    }

    /// Notes that the current request's body cannot be read.
    pub(super) fn has_malformed_body(&self) {
        self.malformed.store(true, Ordering::Relaxed);
    }

    /// Notes that bytes have come.
    pub(super) fn has_read(&self, bytes: usize) {
        match self.phase.load(Ordering::Relaxed) {
            RESTS => {
                self.head_bytes.store(bytes, Ordering::Relaxed);
                self.hurried.store(false, Ordering::Relaxed);
                self.phase.store(SENDS_HEAD, Ordering::Relaxed);
            }
            SENDS_HEAD => {
                self.head_bytes.fetch_add(bytes, Ordering::Relaxed);
            }
            _ => self.fulfil(),
        }
    }

    /// Notes that more bytes are waited for. The first wait within a head sets its deadline: most heads come in one
    /// piece, and need none.
    pub(super) fn waits_to_read(&self) {
        let in_head = self.phase.load(Ordering::Relaxed) == SENDS_HEAD;
        if in_head && !self.hurried.swap(true, Ordering::Relaxed) {
            self.enter(SENDS_HEAD);
        }
    }

    /// Notes that bytes that had come are going to come again.
    pub(super) fn has_put_back(&self, bytes: usize) {
        self.head_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Notes whether the client takes what is written.
    pub(super) fn has_written(&self, blocked: bool) {
        self.fulfil();
        if self.blocked.load(Ordering::Relaxed) == blocked {
            return;
        }
        self.blocked.store(blocked, Ordering::Relaxed);
        if blocked {
            self.due_in(self.traffic().write, Shutdown::Both);
        } else {
            self.enter(self.phase.load(Ordering::Relaxed));
        }
    }

    /// Whether the client took nothing when it was last written to.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.load(Ordering::Relaxed)
    }

    fn enter(&self, phase: u8) {
        if self.phase.load(Ordering::Relaxed) == IS_GONE {
            return;
        }
        self.phase.store(phase, Ordering::Relaxed);
        match phase {
            // It has a deadline until it takes what is written, whatever it sends meanwhile.
            phase if phase != RESTS && self.is_blocked() => {}
            RESTS_MULTIPLEXED if self.leaving.load(Ordering::Relaxed) => {
                self.due_in(TIME_TO_GO, Shutdown::Both);
            }
            RESTS | RESTS_MULTIPLEXED => {
                self.due_in(self.store.peek().traffic.idle, Shutdown::Both);
            }
            // Only what comes is cut off, so that the client can be told.
            SENDS_HEAD => self.due_in(self.store.peek().traffic.header_read, Shutdown::Read),
            _ => self.deadline.pause(),
        }
    }

    fn due_in(&self, time: Duration, part: Shutdown) {
        self.deadline.until(Instant::now() + time, part);
    }
}
