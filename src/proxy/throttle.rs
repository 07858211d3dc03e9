//! Who has asked how often: the buckets of all routes' rate limits, in one table.
//!
//! What a bucket is looked up by is a hash of the route's name, its rate, and who asks: a reload that changes neither leaves all
//! buckets as they are. The hash is seeded, so that nobody can choose whom they share a bucket with.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::time::Instant;

use crate::identity::UserKey;
use crate::meter::Counter;
use crate::rate::table::RateTable;
use crate::rate::{Level, Rate};

/// For how many there is room, in 4 MiB.
const BUCKETS: usize = 262_144;

/// Whose request it is, for a rate limit.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum Asker<'a> {
    /// A user's.
    User(UserKey),
    /// A client's, which has this address ([`crate::capacity::clients::client_of`]).
    Address(IpAddr),
    /// Of those with this value in a header field.
    Value(&'a [u8]),
    /// Anybody's.
    Anybody,
}

/// The buckets of all routes' rate limits.
#[derive(Debug)]
pub struct Throttle {
    table: RateTable,
    hasher: RandomState,
}

impl Throttle {
    /// With every bucket full. No later moment may be before `now`.
    pub fn new(now: Instant) -> Self {
        Self {
            table: RateTable::new(now, BUCKETS),
            hasher: RandomState::new(),
        }
    }

    /// Takes one from the bucket that somebody has at a route.
    ///
    /// # Errors
    /// It is empty: when there is one again.
    pub fn take(
        &self,
        route: &str,
        rate: &Rate,
        asker: Asker<'_>,
        now: Instant,
    ) -> Result<Level, Level> {
        let key = self.hasher.hash_one((route, rate, asker));
        self.table.take(key, rate, now)
    }

    /// How many requests passed because there was no room to remember whose they were.
    pub fn unnoted(&self) -> &Counter {
        self.table.unnoted()
    }
}
