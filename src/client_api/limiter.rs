//! How much one address may ask: a token bucket each, in a table of fixed size and without locks.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::config::client_api::Rate;

/// How many buckets there are. Addresses that collide share a bucket; the hash is seeded, so a
/// client cannot choose whom it collides with.
const BUCKETS: usize = 65_536;

/// Every address's bucket: the moment at which it will be full again, in microseconds (the "theoretical arrival time"
/// of ATM's generic cell rate algorithm), which is all that a token bucket needs to remember.
pub(super) struct Limiter {
    base: Instant,
    hasher: RandomState,
    /// Takes memory from the first request on.
    full_at: OnceLock<Box<[AtomicU64]>>,
}

impl Limiter {
    /// With every bucket full. No later moment may be before `now`.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            base: now,
            hasher: RandomState::new(),
            full_at: OnceLock::new(),
        }
    }

    /// Takes one from the bucket of an address.
    ///
    /// # Errors
    /// How long it takes until there is one again.
    pub(super) fn take(&self, address: IpAddr, rate: Rate, now: Instant) -> Result<(), Duration> {
        let buckets = self
            .full_at
            .get_or_init(|| (0..BUCKETS).map(|_| AtomicU64::new(0)).collect());
        let hash = self.hasher.hash_one(network(address));
        let place = usize::try_from(hash).unwrap_or(usize::MAX) % BUCKETS;
        let Some(bucket) = buckets.get(place) else {
            return Ok(());
        };
        let now = micros(now.saturating_duration_since(self.base));
        let step = (micros(rate.window) / u64::from(rate.requests.get())).max(1);
        let depth = step.saturating_mul(u64::from(rate.burst));
        let taken = bucket.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |full_at| {
            let next = full_at.max(now).saturating_add(step);
            (next <= now.saturating_add(depth)).then_some(next)
        });
        let wait = |full_at: u64| {
            let next = full_at.saturating_add(step);
            Duration::from_micros(next.saturating_sub(now.saturating_add(depth)))
        };
        taken.map(|_| ()).map_err(wait)
    }
}

/// Who counts as one: an IPv4 address, or the network of an IPv6 host, of whose addresses it has as many as it likes.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let prefix = u128::from(address) & (u128::MAX << 64);
            IpAddr::V6(Ipv6Addr::from(prefix))
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::num::NonZeroU32;
    use std::time::{Duration, Instant};

    use super::Limiter;
    use crate::config::client_api::Rate;

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
