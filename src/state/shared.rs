//! What several gateways share, in Redis: the records of every kind. Each gateway has a whole copy, in memory and in its files, so
//! that it starts and goes on without Redis. One task speaks to Redis, and is the only writer of the copy.

mod absence;
mod answer;
mod aside;
mod change;
mod client;
mod cluster;
mod connection;
mod follower;
mod local;
mod replica;
mod texts;
mod time;
mod trail;
mod trail_stream;
mod wire;

use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use super::error::StoreError;
use super::kind::Kind;
use super::table::{Table, Write};
use super::{Stored, files::Files, held::Held};
use crate::clock::Reading;
use crate::config::redis::RedisConfig;
use follower::Follower;
pub(super) use local::Local;
use replica::Replica;
pub use texts::{SharedText, SharedTexts, TextFailure};
use time::SharedTime;
pub use trail::SharedTrail;

/// How many orders may wait for the task.
const WAITING: usize = 1024;
/// How long a start may wait for what is shared: as long as one attempt to connect, and to read all of it.
const FIRST_CONTACT: Duration = Duration::from_secs(3);

/// How the store that gateways share is doing.
#[derive(Clone, Debug)]
pub struct Sharing {
    /// Where it is, without its password.
    pub place: String,
    /// Whether it can be reached. At first it cannot.
    pub is_up: bool,
    /// Since when that is so.
    pub since: Instant,
    /// When it was last read as a whole; `None`: never.
    pub read_at: Option<Instant>,
    /// Why it could not be reached the last time that it could not.
    pub error: Option<String>,
    /// How often it was lost since the process began; it counts, too, if it was not there then, or had been lost before.
    pub absences: u64,
    /// Of the last absence: when it was last heard of before, perhaps by an earlier process.
    pub lost: Option<Reading>,
    started: Instant,
}

impl Sharing {
    /// Whether it was tried to reach it, and it cannot be reached now.
    pub fn is_away(&self) -> bool {
        !self.is_up && self.absences > 0
    }

    fn move_lost(&mut self, by_ms: i64) {
        if let Some(lost) = &mut self.lost {
            lost.moment.unix_ms = lost.moment.unix_ms.saturating_add(by_ms);
        }
    }

    /// How long ago it was last read as a whole; since the start where it never was.
    pub fn age(&self) -> Duration {
        self.read_at.unwrap_or(self.started).elapsed()
    }

    /// Why it cannot be reached now; `None`: it can.
    pub fn trouble(&self) -> Option<String> {
        let why = self.error.clone();
        (!self.is_up).then(|| why.unwrap_or_else(|| "it has not answered yet".to_owned()))
    }
}

/// The way to the task.
#[derive(Debug)]
pub(super) struct Shared {
    orders: mpsc::Sender<Order>,
    texts: SharedTexts,
    /// What time it is for all of them.
    time: SharedTime,
    trail: SharedTrail,
    sharing: watch::Receiver<Sharing>,
}

/// What the task is to do.
enum Order {
    Write(Kind, Vec<Write>, Answer),
    /// The file was read again: what is held now is what is in it.
    Reread(Kind),
}

type Answer = oneshot::Sender<Result<Stored, StoreError>>;

impl Shared {
    /// Starts the task, with what is held so far.
    pub(super) fn start(config: RedisConfig, local: Local, control: &Handle) -> Self {
        let (orders, received) = mpsc::channel(WAITING);
        let started = Instant::now();
        let lost = absence::noted(&local.table(Kind::Registrations));
        let (told, sharing) = watch::channel(Sharing {
            started,
            place: config.url.to_string(),
            is_up: false,
            since: started,
            read_at: None,
            error: None,
            // What an earlier process has not seen the end of goes on.
            absences: u64::from(lost.is_some()),
            lost,
        });
        let texts = SharedTexts::new(config.clone());
        let trail = SharedTrail::new(config.clone());
        let time = SharedTime::default();
        control.spawn(Follower::new(config, local, (told, time.clone())).run(received));
        Self {
            orders,
            texts,
            time,
            trail,
            sharing,
        }
    }

    /// Waits until what is shared was read, or could not be.
    pub(super) async fn first_contact(&self) {
        let mut sharing = self.sharing.clone();
        let known = sharing.wait_for(|sharing| sharing.is_up || sharing.error.is_some());
        // Either way the gateway goes on with what it has.
        let _ = timeout(FIRST_CONTACT, known).await;
    }

    /// Carries out all of `writes` for all gateways, or none of them.
    pub(super) async fn write(&self, kind: Kind, writes: Vec<Write>) -> Result<Stored, StoreError> {
        let (answer, answered) = oneshot::channel();
        let order = Order::Write(kind, writes, answer);
        let sent = self.orders.send(order).await;
        sent.map_err(|_| StoreError::Stopped)?;
        answered.await.unwrap_or(Err(StoreError::Stopped))
    }

    /// Tells the task that a file was read again.
    pub(super) async fn note_reread(&self, kind: Kind) {
        // Nobody is left to be told when the task has ended.
        let _ = self.orders.send(Order::Reread(kind)).await;
    }

    /// How far the time that gateways share is ahead of this process's clock; `None`: it was never heard.
    pub(super) fn ahead_ms(&self) -> Option<i64> {
        self.time.ahead_ms()
    }

    /// Whether that was ever heard.
    pub(super) fn knows_time(&self) -> bool {
        self.time.is_known()
    }

    /// By how much the clock was moved when that was first heard, for the first who asks.
    pub(super) fn take_correction_ms(&self) -> Option<i64> {
        self.time.take_correction_ms()
    }

    pub(super) fn sharing(&self) -> Sharing {
        self.sharing.borrow().clone()
    }

    pub(super) fn texts(&self) -> SharedTexts {
        self.texts.clone()
    }

    pub(super) fn trail(&self) -> SharedTrail {
        self.trail.clone()
    }

    pub(super) fn watch(&self) -> watch::Receiver<Sharing> {
        self.sharing.clone()
    }
}

/// What has to be noted with a write of a table while nothing is shared: what it says is news to whom it will be shared with.
pub(super) fn unshared(table: &Table) -> impl Iterator<Item = Write> + use<> {
    let revisions = Replica::is_noted(table).then(Replica::no_note);
    revisions.into_iter().chain(absence::outdated(table))
}
