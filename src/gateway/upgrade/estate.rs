//! What a process has that another one takes over.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::line::{FILES_AT_ONCE, Line, OtherProcess};
use super::metrics::UpgradeFigures;
use super::writer_lock::WriterLock;
use super::{STEP, Word};
use crate::attribution::exposures::{Exposures, Heir};
use crate::audit::Audit;
use crate::certificates::OwnSecret;
use crate::custody::Custody;
use crate::drain::Drain;
use crate::gateway::inherited::Label;
use crate::quarantine::{Quarantine, Remembered};
use crate::registry::kills::Kills;

/// What is to be handed over.
pub(in crate::gateway) struct Estate {
    /// Who takes people's orders.
    pub(in crate::gateway) orders: Custody,
    /// Who writes.
    pub(in crate::gateway) custody: Custody,
    /// Here as long as custody is.
    pub(in crate::gateway) lock: WriterLock,
    /// Every listening socket.
    pub(in crate::gateway) sockets: Mutex<Vec<(Label, TcpListener)>>,
    pub(in crate::gateway) secret: OwnSecret,
    pub(in crate::gateway) quarantine: Arc<Quarantine>,
    pub(in crate::gateway) audit: Audit,
    pub(in crate::gateway) kills: Kills,
    pub(in crate::gateway) exposures: Option<Exposures>,
    pub(in crate::gateway) drain: Arc<Drain>,
    pub(in crate::gateway) figures: Arc<UpgradeFigures>,
}

/// What is known in memory alone, and not to be lost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::gateway) struct Belongings {
    /// Who is spared which canary: a key, for how many milliseconds, and how often the user was rescued before it comes to that.
    quarantine: Vec<(u64, u64, Option<u16>)>,
}

impl Belongings {
    fn of(quarantine: &Quarantine, now: Instant) -> Self {
        let remembered = quarantine.remembered(now).into_iter().map(|one| {
            let left = u64::try_from(one.left.as_millis()).unwrap_or(u64::MAX);
            (one.key, left, one.rescues)
        });
        Self {
            quarantine: remembered.collect(),
        }
    }

    /// Whom the other process spared which canary.
    pub(in crate::gateway) fn recall_in(&self, quarantine: &Quarantine, now: Instant) {
        let remembered = self
            .quarantine
            .iter()
            .map(|&(key, left, rescues)| Remembered {
                key,
                left: Duration::from_millis(left),
                rescues,
            });
        quarantine.recall(&remembered.collect::<Vec<_>>(), now);
    }
}

impl Estate {
    /// Sends the sockets, and what is needed to serve what comes by them.
    pub(super) fn offer(&self, line: &mut Line) -> io::Result<()> {
        let sockets = self.sockets();
        // One line at least, although there is always one socket: the other end waits for it.
        let last = sockets.len().div_ceil(FILES_AT_ONCE).saturating_sub(1);
        for part in 0..=last {
            let some = sockets.iter().skip(part * FILES_AT_ONCE);
            let some: Vec<_> = some.take(FILES_AT_ONCE).collect();
            let files: Vec<_> = some.iter().map(|(_, socket)| socket.as_fd()).collect();
            let word = Word::Sockets {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                sockets: some.iter().map(|(label, _)| *label).collect(),
                secret: *self.secret.expose(),
                more: part < last,
            };
            line.say_with(&word, &files)?;
        }
        Ok(())
    }

    /// Closes the handles by which sockets are offered: only then the listeners' own are the last.
    pub(super) fn close_sockets(&self) {
        self.sockets().clear();
    }

    fn sockets(&self) -> MutexGuard<'_, Vec<(Label, TcpListener)>> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes no orders from here on, and writes nothing. `Err`: something is under way that does not end; all is as before then.
    pub(super) fn lend(&self) -> Result<Belongings, String> {
        self.lock
            .take(Duration::ZERO)
            .map_err(|error| error.to_string())?;
        if !self.orders.lend(STEP) {
            return Err("an order is under way that does not end".to_owned());
        }
        self.audit.settle(STEP);
        let unstored = self.unstored();
        let lent = match unstored {
            Some(why) => Err(why),
            None if self.custody.lend(STEP) => Ok(()),
            None => Err("something is being written, and that does not end".to_owned()),
        };
        if lent.is_err() {
            self.orders.take();
        }
        lent?;
        self.lock.release();
        Ok(Belongings::of(&self.quarantine, Instant::now()))
    }

    /// What the other process would not know of, since it could not be stored; `None`: there is no such thing.
    fn unstored(&self) -> Option<String> {
        let figures = self.audit.figures();
        let waits = (figures.waiting > 0).then(|| {
            let trouble = figures.trouble.unwrap_or_default();
            format!("entries of the audit trail would be lost: {trouble}")
        });
        self.kills.unstored().or(waits)
    }

    /// Goes on as before, once the `other` process cannot write any more: it ends when it is refused, or is killed.
    pub(super) fn take_back(&self, other: &OtherProcess) {
        while let Err(error) = self.lock.take(STEP) {
            tracing::error!("the process that was refused does not end, and is killed: {error}");
            if other.kill() {
                // What a process that is killed is in the middle of ends first.
                let _ = self.lock.take(STEP);
                break;
            }
        }
        self.custody.take();
        self.orders.take();
    }

    /// Leaves everything to the process that is bound to these `addresses`; what is to be recorded after this goes to `heir`.
    pub(super) fn give_up(&self, addresses: Vec<SocketAddr>, heir: Heir) {
        if let Some(exposures) = &self.exposures {
            exposures.leave_to(heir);
        }
        self.drain.hand_over(addresses.into());
        self.custody.give_up();
        self.orders.give_up();
        self.close_sockets();
    }
}
