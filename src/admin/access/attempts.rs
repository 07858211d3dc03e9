//! Wrong tokens by address: a few are mistakes, many are guesses.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How many wrong tokens an address may send in a [`WINDOW`].
const PATIENCE: u32 = 10;
/// Over how long they are counted, and how long wrong and missing ones are refused then.
const WINDOW: Duration = Duration::from_secs(60);
/// How many addresses are remembered. When there are more, those whose window began first are forgotten.
const ADDRESSES: usize = 10_000;

/// The wrong tokens of late.
#[derive(Debug, Default)]
pub(super) struct FailedAttempts(Mutex<HashMap<IpAddr, Window>>);

#[derive(Clone, Copy, Debug)]
struct Window {
    /// When it began; once there are too many: when there were.
    since: Instant,
    count: u32,
}

impl FailedAttempts {
    /// For how many seconds an address without a right token is still refused; `None`: it is not.
    pub(super) fn wait(&self, address: IpAddr, now: Instant) -> Option<u32> {
        let windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let window = windows.get(&network(address))?;
        let left = (window.since + WINDOW).saturating_duration_since(now);
        (window.count >= PATIENCE && !left.is_zero())
            .then(|| u32::try_from(left.as_secs() + 1).unwrap_or(u32::MAX))
    }

    /// Notes a wrong token.
    pub(super) fn note(&self, address: IpAddr, now: Instant) {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if windows.len() >= ADDRESSES {
            forget(&mut windows, now);
        }
        let begun = Window {
            since: now,
            count: 0,
        };
        let window = windows.entry(network(address)).or_insert(begun);
        if now.saturating_duration_since(window.since) >= WINDOW {
            *window = begun;
        }
        window.count += 1;
        if window.count == PATIENCE {
            window.since = now;
        }
    }
}

/// Forgets windows that are over, and where that is not enough the older half.
fn forget(windows: &mut HashMap<IpAddr, Window>, now: Instant) {
    windows.retain(|_, window| now.saturating_duration_since(window.since) < WINDOW);
    if windows.len() < ADDRESSES {
        return;
    }
    let mut begun: Vec<Instant> = windows.values().map(|window| window.since).collect();
    let middle = begun.len() / 2;
    let (_, median, _) = begun.select_nth_unstable(middle);
    let median = *median;
    windows.retain(|_, window| window.since > median);
}

/// Whoever has an IPv6 address has the whole /64 of it.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 64 << 64).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::{Duration, Instant};

    use super::{ADDRESSES, FailedAttempts, PATIENCE, WINDOW};

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_tenth_wrong_one_in_a_minute_is_the_last_for_a_minute() {
        let failed = FailedAttempts::default();
        let (begin, guesser) = (Instant::now(), ip("10.0.0.7"));
        for second in 0..u64::from(PATIENCE) {
            let now = begin + Duration::from_secs(second);
            assert_eq!(failed.wait(guesser, now), None, "{second}");
            failed.note(guesser, now);
        }
        let last = begin + Duration::from_secs(u64::from(PATIENCE) - 1);
        assert_eq!(failed.wait(guesser, last), Some(61));
        assert_eq!(failed.wait(ip("10.0.0.8"), last), None, "others may");
        assert_eq!(failed.wait(guesser, last + WINDOW), None);
        // And it has all its attempts again.
        failed.note(guesser, last + WINDOW);
        assert_eq!(failed.wait(guesser, last + WINDOW), None);
    }

    #[test]
    fn wrong_ones_that_are_far_apart_are_mistakes() {
        let failed = FailedAttempts::default();
        let (mut now, address) = (Instant::now(), ip("::ffff:10.0.0.7"));
        for _ in 0..100 {
            failed.note(address, now);
            now += WINDOW / (PATIENCE - 2);
            assert_eq!(failed.wait(ip("10.0.0.7"), now), None);
        }
    }

    #[test]
    fn an_ipv6_network_is_one_address() {
        let failed = FailedAttempts::default();
        let now = Instant::now();
        for host in 0..PATIENCE {
            failed.note(ip(&format!("2001:db8::{host:x}")), now);
        }
        assert!(failed.wait(ip("2001:db8::ffff:1"), now).is_some());
        assert!(failed.wait(ip("2001:db8:0:1::1"), now).is_none());
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_latest_stays() {
        let failed = FailedAttempts::default();
        let begin = Instant::now();
        for number in 0..3 * ADDRESSES as u32 {
            let now = begin + Duration::from_micros(u64::from(number));
            failed.note(Ipv4Addr::from(number).into(), now);
            assert!(failed.0.lock().unwrap().len() <= ADDRESSES);
        }
        let last = Ipv4Addr::from(3 * ADDRESSES as u32 - 1);
        assert!(failed.0.lock().unwrap().contains_key(&last.into()));
    }
}
