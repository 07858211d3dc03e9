//! What a worker has seen lately: a small table, in which a later sight takes an earlier one's place. It is wrong only in that it
//! lets sights through that it has forgotten.

use std::cell::RefCell;

use crate::exposure::{concerns, day};
use crate::identity::IdKind;
use crate::record::Outcome;

/// How many sights a worker remembers: 512 KiB.
const PLACES: usize = 1 << 16;

thread_local! {
    /// Empty until the first sight.
    static RECENT: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// A sight that the worker does not remember yet.
#[derive(Debug)]
#[must_use = "a sight that was handed over is remembered"]
pub struct FirstSight {
    fingerprint: u64,
}

impl FirstSight {
    /// Remembers the sight, so that it is let through no more.
    pub(super) fn remember(self) {
        RECENT.with_borrow_mut(|places| {
            if places.is_empty() {
                places.resize(PLACES, 0);
            }
            if let Some(place) = places.get_mut(place(self.fingerprint)) {
                *place = self.fingerprint;
            }
        });
    }
}

/// Whether an outcome makes an exposure that the table does not remember. Users without an ID count where `anonymous` says so.
pub(super) fn first_sight(outcome: &Outcome<'_>, anonymous: bool) -> Option<FirstSight> {
    let (service, decision, served) = concerns(outcome)?;
    let user = outcome.user?;
    if user.kind == IdKind::Session && !anonymous {
        return None;
    }
    // Snapshots number flags and deployments anew, and another percentage has other users to compare with.
    let candidate = decision.candidate.map_or(0, |index| index.position() + 1);
    let facts = [
        outcome.snapshot.generation,
        day(outcome.moment).cast_unsigned(),
        service.position() as u64,
        (candidate as u64) << 32 | served.position() as u64,
        (decision.assigned.position() as u64) << 1 | u64::from(user.kind == IdKind::Session),
    ];
    let fingerprint = facts.into_iter().fold(user.hash, mixed) | 1;
    let is_known = RECENT.with_borrow(|places| {
        let known = places.get(place(fingerprint));
        known == Some(&fingerprint)
    });
    (!is_known).then_some(FirstSight { fingerprint })
}

/// Where a fingerprint stands in the table: by its upper bits, which all facts have gone into.
fn place(fingerprint: u64) -> usize {
    (fingerprint >> 48) as usize % PLACES
}

/// Mixes a fact into a fingerprint (a multiplication by an odd constant, and a rotation that brings its high bits back).
fn mixed(fingerprint: u64, fact: u64) -> u64 {
    (fingerprint ^ fact)
        .rotate_left(29)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
