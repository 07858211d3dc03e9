//! How much one address may ask.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::capacity::clients::client_of;
use crate::rate::Rate;
use crate::rate::table::RateTable;

/// For how many addresses there is room.
const ADDRESSES: usize = 65_536;

/// Every address's bucket. The hash is seeded, so a client cannot choose whom it collides with.
pub(super) struct Limiter {
    table: RateTable,
    hasher: RandomState,
}

impl Limiter {
    /// With every bucket full. No later moment may be before `now`.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            table: RateTable::new(now, ADDRESSES),
            hasher: RandomState::new(),
        }
    }

    /// Takes one from the bucket of an address.
    ///
    /// # Errors
    /// How long it takes until there is one again.
    pub(super) fn take(&self, address: IpAddr, rate: Rate, now: Instant) -> Result<(), Duration> {
        let key = self.hasher.hash_one(client_of(address));
        let taken = self.table.take(key, &rate, now);
        taken.map(|_| ()).map_err(|level| level.more_in)
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::num::NonZeroU32;
    use std::time::{Duration, Instant};

    use super::Limiter;
    use crate::rate::Rate;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_burst_passes_then_the_rate() {
        let rate = Rate {
            requests: NonZeroU32::new(10).expect("not 0"),
            window: Duration::from_secs(1),
            burst: 3,
        };
        let start = Instant::now();
        let limiter = Limiter::new(start);
        let take =
            |millis, who| limiter.take(address(who), rate, start + Duration::from_millis(millis));
        for _ in 0..3 {
            assert_eq!(take(0, "192.0.2.1"), Ok(()));
        }
        assert_eq!(take(0, "192.0.2.1"), Err(Duration::from_millis(100)));
        assert_eq!(take(40, "192.0.2.1"), Err(Duration::from_millis(60)));
        assert_eq!(take(100, "192.0.2.1"), Ok(()));
        assert!(take(100, "192.0.2.1").is_err());
        // A long rest fills the bucket, and no more than that.
        for _ in 0..3 {
            assert_eq!(take(60_000, "192.0.2.1"), Ok(()));
        }
        assert!(take(60_000, "192.0.2.1").is_err());
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one() {
        let rate = Rate {
            requests: NonZeroU32::MIN,
            window: Duration::from_secs(1),
            burst: 1,
        };
        let now = Instant::now();
        let limiter = Limiter::new(now);
        assert_eq!(limiter.take(address("2001:db8::1"), rate, now), Ok(()));
        assert!(limiter.take(address("2001:db8::2:1"), rate, now).is_err());
    }
}
