//! Who has asked how often: the buckets of all routes' rate limits, in one table, and in another those of values that clients
//! choose: with ever new values one can fill that table, not the one that other limits go by.
//!
//! What a bucket is looked up by is a hash of the route's name, its rate, and who asks: a reload that changes neither leaves all
//! buckets as they are. The hash is seeded, so that nobody can choose whom they share a bucket with.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::time::Instant;

use crate::identity::UserKey;
use crate::rate::table::RateTable;
use crate::rate::{Level, Rate};

/// For how many there is room in each table, in 4 MiB.
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
    /// Those of values in header fields.
    of_values: RateTable,
    hasher: RandomState,
}

impl Throttle {
    /// With every bucket full. No later moment may be before `now`.
    pub fn new(now: Instant) -> Self {
        Self::with_room(now, BUCKETS)
    }

    fn with_room(now: Instant, buckets: usize) -> Self {
        Self {
            table: RateTable::new(now, buckets),
            of_values: RateTable::new(now, buckets),
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
        let table = match asker {
            Asker::Value(_) => &self.of_values,
            Asker::User(_) | Asker::Address(_) | Asker::Anybody => &self.table,
        };
        table.take(key, rate, now)
    }

    /// How many requests passed because there was no room to remember whose they were.
    pub fn unnoted(&self) -> u64 {
        self.table.unnoted().get() + self.of_values.unnoted().get()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::num::NonZeroU32;
    use std::time::{Duration, Instant};

    use super::{Asker, Throttle};
    use crate::rate::Rate;

    #[test]
    fn values_that_clients_choose_take_no_place_from_others() {
        let rate = Rate {
            requests: NonZeroU32::MIN,
            window: Duration::from_secs(3600),
            burst: 3,
        };
        let now = Instant::now();
        let throttle = Throttle::with_room(now, 8);
        for number in 0..100_u32 {
            let value = number.to_be_bytes();
            for _ in 0..3 {
                let taken = throttle.take("by-value", &rate, Asker::Value(&value), now);
                assert!(taken.is_ok(), "{number}");
            }
        }
        let without_room = throttle.unnoted();
        assert!(without_room > 0);
        let address = Asker::Address(IpAddr::V4(Ipv4Addr::LOCALHOST));
        for asker in [address, Asker::Anybody] {
            while throttle.take("other", &rate, asker, now).is_ok() {
                assert_eq!(throttle.unnoted(), without_room, "{asker:?}");
            }
        }
    }
}
