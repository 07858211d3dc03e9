//! Registrations whose times were written by another clock: before the calendar was set, or by a gateway that goes by another one.

use std::mem;
use std::sync::atomic::Ordering;

use serde_json::Value;

use super::record::Record;
use super::{Name, Registrations, record, written};
use crate::clock::{self, Reading};
use crate::state::{Expected, Kind, StoreError, Write};

/// How many records are stored at a time.
const PIECE: usize = 500;

/// A registration, what is stored of it, and what it is to be.
type Restated = (Name, Value, Record);

impl Registrations {
    /// Has leases go by the time that gateways share, once that is heard for the first time.
    pub fn adopt_time(&self) {
        let sharing = self.store().sharing();
        let mut leases = self.leases();
        let Some(by_ms) = self.store().take_correction_ms() else {
            return;
        };
        let now = clock::reading();
        let lost = sharing.and_then(|sharing| sharing.lost);
        for lease in leases.values_mut() {
            lease.adopt_time((by_ms, now), lost);
        }
        self.0.is_moved.store(true, Ordering::Relaxed);
    }

    /// Whether that has happened since this was last asked.
    pub fn take_moved(&self) -> bool {
        self.0.is_moved.swap(false, Ordering::Relaxed)
    }

    /// Keeps a lease for a TTL from now on whose renewal could not be stored. As long as it is not known what time it is, leases
    /// wait for that.
    pub fn hold(&self, name: &Name) {
        if !self.store().knows_time() {
            return;
        }
        self.adopt_time();
        let now = clock::reading();
        if let Some(lease) = self.leases().get_mut(name) {
            lease.hold(now);
        }
    }

    /// Has leases that others wrote by a clock that this process's has just caught up with go by it.
    pub fn reconsider(&self) {
        let now = clock::reading();
        for lease in self.leases().values_mut() {
            lease.reconsider(now);
        }
    }

    /// Has the store say when leases end by the calendar as it is set by now: the next process knows no other. Whether all of
    /// them are stored so.
    pub async fn restate(&self) -> bool {
        if !self.store().knows_time() {
            return false;
        }
        let now = clock::reading();
        let mut stale: Vec<Restated> = Vec::new();
        self.each(|name, lease| {
            let restated = lease.restated(now);
            stale.extend(restated.map(|record| (name.clone(), lease.stored.clone(), record)));
        });
        let mut is_whole = true;
        while !stale.is_empty() {
            let rest = stale.split_off(stale.len().min(PIECE));
            let piece = mem::replace(&mut stale, rest);
            match self.restate_piece(piece, now).await {
                Ok(()) => {}
                // Another gateway has been faster with one of them, or somebody renews it.
                Err(StoreError::Changed(_)) => is_whole = false,
                Err(error) => {
                    tracing::debug!(%error, "leases cannot be stored as the calendar is set by now");
                    return false;
                }
            }
        }
        is_whole
    }

    async fn restate_piece(&self, piece: Vec<Restated>, now: Reading) -> Result<(), StoreError> {
        let write = |(name, stored, record): &Restated| Write::Put {
            key: record::key(name),
            value: written(record),
            expected: Expected::Is(stored.clone()),
        };
        let writes = piece.iter().map(write).collect();
        self.store().write(Kind::Registrations, writes).await?;
        let mut leases = self.leases();
        for (name, before, record) in piece {
            if let Some(lease) = leases.get_mut(&name).filter(|lease| lease.stored == before) {
                let stored = written(&record);
                lease.restate(record, stored, now);
            }
        }
        Ok(())
    }
}
