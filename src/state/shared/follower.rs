//! The task that speaks to Redis: it reads what is shared, takes over what other gateways change, carries out what this one
//! does, and goes on trying when Redis is gone.

use std::mem;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::absence;
use super::answer::{answer_shared, answer_when, respond};
use super::client::RedisFailure;
use super::cluster::Nodes;
use super::connection::{All, Connection, Written};
use super::local::{Durable, Local};
use super::replica::{Replica, notes};
use super::time::SharedTime;
use super::wire::{Message, Owed};
use super::{Answer, Order, Sharing};
use crate::clock::{self, Reading};
use crate::config::redis::RedisConfig;
use crate::state::Stored;
use crate::state::error::StoreError;
use crate::state::kind::{Kind, PerKind};
use crate::state::table::Write;

/// How often everything is read: what was told is fast, what is read is true.
const READ: Duration = Duration::from_secs(10);
/// How often Redis is asked whether it is there, and has all that it has had: a stopped one, or a network that swallows everything,
/// says nothing, nor does a replica that becomes the master without the last writes.
const PING: Duration = Duration::from_secs(1);
/// How long to wait before connecting again: at first, and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));
/// How often Redis is given what it lacks, and read again, before that has to wait for the next full read.
const ROUNDS: usize = 3;
/// How many records one script gives it: Redis does nothing else meanwhile.
const PIECE: usize = 500;

pub(super) struct Follower {
    config: RedisConfig,
    local: Local,
    replicas: PerKind<Replica>,
    sharing: watch::Sender<Sharing>,
    time: SharedTime,
    /// How long to wait before the next attempt to connect.
    delay: Duration,
    /// What is known of a cluster's nodes.
    nodes: Nodes,
    /// When Redis last answered; before it ever has, when it was tried first, or was lost in an earlier process.
    heard: Reading,
    /// Whether the latter.
    is_lost_before: bool,
}

type Orders = mpsc::Receiver<Order>;

/// Why the task stops doing what it does: nobody is left who could give it orders, or Redis has failed.
type Interrupted = ControlFlow<(), RedisFailure>;

impl Follower {
    pub(super) fn new(
        config: RedisConfig,
        local: Local,
        (sharing, time): (watch::Sender<Sharing>, SharedTime),
    ) -> Self {
        let lost = absence::noted(&local.table(Kind::Registrations));
        Self {
            config,
            replicas: PerKind::make(|kind| Replica::of(&local.table(kind))),
            heard: lost.unwrap_or_else(clock::reading),
            is_lost_before: lost.is_some(),
            local,
            sharing,
            time,
            delay: RETRY.0,
            nodes: Nodes::default(),
        }
    }

    /// Ends when nobody is left who could give it orders.
    pub(super) async fn run(mut self, mut orders: Orders) {
        while let ControlFlow::Continue(failure) = self.follow(&mut orders).await {
            self.note_down(&failure);
            let delay = self.delay;
            self.delay = RETRY.1.min(delay * 2);
            let rest = self.refusing(&mut orders, sleep(delay)).await;
            if rest.is_none() {
                return;
            }
        }
    }

    /// Connects, brings both sides together, and keeps them so until Redis fails.
    async fn follow(&mut self, orders: &mut Orders) -> Interrupted {
        let config = self.config.clone();
        let mut nodes = mem::take(&mut self.nodes);
        let opening = Connection::open(&config, &mut nodes);
        let opened = self.refusing(orders, opening).await;
        self.nodes = nodes;
        let mut connection = match opened {
            None => return ControlFlow::Break(()),
            Some(Err(failure)) => return ControlFlow::Continue(failure),
            Some(Ok(connection)) => connection,
        };
        // What time it is comes first: what is read then is judged by it.
        if let Err(failure) = self.ask_time(&mut connection).await {
            return ControlFlow::Continue(failure);
        }
        if let Err(failure) = self.synchronize(&mut connection).await {
            return ControlFlow::Continue(failure);
        }
        // A server that takes nothing is read all the same, with each attempt.
        if let Err(failure) = connection.probe().await {
            return ControlFlow::Continue(failure);
        }
        self.delay = RETRY.0;
        self.note_up();
        match self.serve(&mut connection, orders).await {
            Ok(()) => ControlFlow::Break(()),
            Err(failure) => ControlFlow::Continue(failure),
        }
    }

    /// Waits for something while Redis cannot be reached. `None`: nobody is left who could give orders.
    async fn refusing<T>(
        &mut self,
        orders: &mut Orders,
        wait: impl Future<Output = T>,
    ) -> Option<T> {
        let mut wait = std::pin::pin!(wait);
        loop {
            tokio::select! {
                done = &mut wait => return Some(done),
                order = orders.recv() => match order? {
                    Order::Write(kind, writes, answer) => self.refuse(kind, writes, answer),
                    Order::Reread(kind) => self.reread(kind),
                },
            }
        }
    }

    /// Until nobody is left who could give orders.
    async fn serve(
        &mut self,
        connection: &mut Connection,
        orders: &mut Orders,
    ) -> Result<(), RedisFailure> {
        let (mut ping, mut read) = (interval(PING), interval(READ));
        for clock in [&mut ping, &mut read] {
            clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
            clock.reset();
        }
        loop {
            tokio::select! {
                message = connection.next() => match message? {
                    Some(message) if self.take(&message) => {}
                    _ => self.synchronize(connection).await?,
                },
                order = orders.recv() => match order {
                    None => return Ok(()),
                    Some(Order::Write(kind, writes, answer)) => {
                        self.write(connection, kind, writes, answer).await?;
                    }
                    Some(Order::Reread(kind)) => {
                        self.reread(kind);
                        self.synchronize(connection).await?;
                    }
                },
                _ = ping.tick() => {
                    self.ask_time(connection).await?;
                    self.heard = clock::reading();
                    let stored = connection.revisions().await?;
                    let has_lost = |&kind: &Kind| *stored.get(kind) < self.replicas.get(kind).revision;
                    if Kind::ALL.iter().any(has_lost) {
                        self.synchronize(connection).await?;
                    }
                }
                _ = read.tick() => {
                    self.synchronize(connection).await?;
                    self.local.catch_up();
                }
            }
        }
    }

    async fn ask_time(&self, connection: &mut Connection) -> Result<(), RedisFailure> {
        let asked_ms = clock::uptime_ms();
        let measured = SharedTime::measure(asked_ms, connection.time().await?);
        if !self.time.is_known() && !self.is_lost_before {
            self.sharing
                .send_modify(|it| it.move_lost(measured.ahead_ms));
        }
        self.time.note(measured);
        Ok(())
    }

    /// Reads everything, and gives Redis what it lacks.
    async fn synchronize(&mut self, connection: &mut Connection) -> Result<(), RedisFailure> {
        for _ in 0..ROUNDS {
            let mut all = connection.read().await?;
            let mut owed = PerKind::<Vec<Owed>>::default();
            let mut is_even = true;
            for kind in Kind::ALL {
                let All { revision, records } = mem::take(all.get_mut(kind));
                let replica = self.replicas.get_mut(kind);
                let merged = replica.merge(revision, &records);
                self.adopt(kind, &merged.changed);
                *owed.get_mut(kind) = merged.owed;
            }
            // Only when all of it is known here: what Redis does not take must not keep this gateway from hearing of kills.
            for kind in Kind::ALL {
                let highest = self.replicas.get(kind).highest;
                is_even &= owed.get(kind).is_empty();
                for owed in owed.get(kind).chunks(PIECE) {
                    connection.mend(kind, owed, highest).await?;
                }
            }
            self.sharing
                .send_modify(|sharing| sharing.read_at = Some(Instant::now()));
            self.heard = clock::reading();
            if is_even {
                return Ok(());
            }
        }
        tracing::warn!(
            "Redis does not keep what it is given: the next full read is another attempt"
        );
        Ok(())
    }

    /// Takes over what was told. Whether nothing was missed before it.
    fn take(&mut self, message: &Message) -> bool {
        let Message {
            kind,
            after,
            revision,
            changes,
        } = message;
        let replica = self.replicas.get_mut(*kind);
        if *revision <= replica.revision {
            return true;
        }
        if *after != replica.revision || changes.is_empty() {
            return false;
        }
        let changes = changes.iter();
        let changes =
            changes.filter_map(|(key, record)| replica.take(key, *revision, record.clone()));
        let changed: Vec<_> = changes.collect();
        replica.revision = *revision;
        self.adopt(*kind, &changed);
        true
    }

    /// Shows and keeps what others have changed.
    fn adopt(&mut self, kind: Kind, changed: &[(String, Option<Value>)]) {
        if !changed.is_empty() {
            let notes = self.replicas.get_mut(kind).notes();
            self.local.adopt(kind, changed, notes);
        }
    }

    fn keep(
        &mut self,
        kind: Kind,
        changed: &[(String, Option<Value>)],
        mut notes: Vec<Write>,
    ) -> Durable {
        notes.extend(self.replicas.get_mut(kind).notes());
        self.local.carry_out(kind, changed, notes)
    }

    async fn write(
        &mut self,
        connection: &mut Connection,
        kind: Kind,
        writes: Vec<Write>,
        answer: Answer,
    ) -> Result<(), RedisFailure> {
        let replica = self.replicas.get(kind);
        let changes = match replica.changes(&writes) {
            Ok(changes) => changes,
            Err(error) => {
                respond(answer, Err(error));
                return Ok(());
            }
        };
        if changes.is_empty() {
            let durable = self.keep(kind, &[], notes(writes));
            answer_when(durable, answer, |durable| durable.map(|()| Stored::HERE));
            return Ok(());
        }
        let written = connection.write(kind, &changes, replica.highest).await;
        let (after, revision) = match written {
            Ok(Written::Stored { after, revision }) => (after, revision),
            Ok(Written::Changed(key)) => {
                // So that the caller finds what is there when it looks again.
                let read = self.synchronize(connection).await;
                respond(answer, Err(StoreError::Changed(key)));
                return read;
            }
            Err(failure) => {
                self.refuse(kind, writes, answer);
                return Err(failure);
            }
        };
        let replica = self.replicas.get_mut(kind);
        let changes = changes.into_iter();
        let changed: Vec<_> = changes
            .filter_map(|change| replica.take(&change.key, revision, change.record))
            .collect();
        // Otherwise what others have changed before it has not come yet.
        if after == replica.revision {
            replica.revision = revision;
        }
        let renews = self.local.is_renewal(kind, &writes);
        let durable = self.keep(kind, &changed, notes(writes));
        let known = renews.then(|| self.local.stored_with_redis(kind));
        answer_shared(durable, answer, known);
        Ok(())
    }

    /// Answers a write while Redis cannot be reached: kills hold here, and go there when it is back. Nothing else is done.
    fn refuse(&mut self, kind: Kind, writes: Vec<Write>, answer: Answer) {
        let removes = writes
            .iter()
            .any(|write| matches!(write, Write::Remove { .. }));
        if kind != Kind::Kills || removes {
            return respond(answer, Err(StoreError::Unreachable));
        }
        let replica = self.replicas.get_mut(kind);
        let mut changed = Vec::new();
        let mut is_pending = false;
        for write in &writes {
            if let Write::Put { key, value, .. } = write {
                changed.extend(replica.take_pending(key, value.clone()));
                is_pending |= replica.is_pending(key);
            }
        }
        let durable = self.keep(kind, &changed, notes(writes));
        let stored = Stored {
            is_pending,
            ..Stored::HERE
        };
        answer_when(durable, answer, move |durable| durable.map(|()| stored));
    }

    fn reread(&mut self, kind: Kind) {
        *self.replicas.get_mut(kind) = Replica::of(&self.local.table(kind));
    }

    fn note_up(&mut self) {
        let outdated = absence::outdated(&self.local.table(Kind::Registrations));
        if let Some(outdated) = outdated {
            drop(self.keep(Kind::Registrations, &[], vec![outdated]));
        }
        self.sharing.send_modify(|sharing| {
            tracing::info!("{} is there: state is shared", sharing.place);
            sharing.is_up = true;
            sharing.since = Instant::now();
        });
    }

    fn note_down(&mut self, failure: &RedisFailure) {
        let error = failure.to_string();
        let (was_up, is_news) = {
            let sharing = self.sharing.borrow();
            (sharing.is_up, sharing.is_up || sharing.absences == 0)
        };
        let heard = if was_up && failure.is_closed() {
            // It was there until it said that it goes.
            clock::reading()
        } else {
            self.heard
        };
        if is_news {
            // The task does not wait for its file, which is written again with the next change if it cannot be written now.
            drop(self.keep(Kind::Registrations, &[], vec![absence::note(heard)]));
        }
        self.sharing.send_modify(|sharing| {
            if sharing.is_up || sharing.error.as_ref() != Some(&error) {
                tracing::error!(
                    "{} cannot be reached ({error}): what this gateway knows holds, and nothing but kills can be changed",
                    sharing.place
                );
            }
            if sharing.is_up {
                sharing.is_up = false;
                sharing.since = Instant::now();
            }
            if is_news {
                sharing.absences += 1;
                sharing.lost = Some(heard);
            }
            sharing.error = Some(error);
        });
    }
}
