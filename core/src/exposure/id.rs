//! What an exposure is known by, and what stands for its user.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::context::Moment;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// The day of a moment in UTC, counted from 1970-01-01.
pub fn day(moment: Moment) -> i64 {
    moment.unix_ms.div_euclid(DAY_MS)
}

/// What an exposure is known by: sinks drop repeats by it. It is the first half of HMAC-SHA-256 under `attribution.exposures.key`
/// (without one: under the empty key) of these texts, each after its length in bytes as 8 bytes, little-endian: `exposure` or
/// `anonymous exposure`, user, service, flag, served deployment, and the day as a decimal number of days since 1970-01-01.
/// With a key, nobody else can find a user's ID by trying.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExposureId(pub u128);

impl ExposureId {
    /// The ID of what was seen of a user at a moment; `parts` are user, service, flag and served deployment.
    pub(super) fn new(
        key: Option<&[u8]>,
        is_anonymous: bool,
        parts: [&str; 4],
        moment: Moment,
    ) -> Self {
        let kind = match is_anonymous {
            false => "exposure",
            true => "anonymous exposure",
        };
        let day = day(moment).to_string();
        let parts = [kind].into_iter().chain(parts).chain([&*day]);
        Self(half_of_hmac(key.unwrap_or_default(), |mac| {
            for part in parts {
                mac.update(&(part.len() as u64).to_le_bytes());
                mac.update(part.as_bytes());
            }
        }))
    }
}

impl fmt::Display for ExposureId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for ExposureId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u128::from_str_radix(text, 16).map(Self)
    }
}

/// What stands for a user: the first half of HMAC-SHA-256 of the ID under a key, in hexadecimal.
pub fn hashed_user(key: &[u8], user: &str) -> String {
    let hash = half_of_hmac(key, |mac| mac.update(user.as_bytes()));
    let mut text = String::with_capacity(32);
    let _ = write!(text, "{hash:032x}");
    text
}

fn half_of_hmac(key: &[u8], feed: impl FnOnce(&mut Hmac<Sha256>)) -> u128 {
    // HMAC takes keys of every length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return 0;
    };
    feed(&mut mac);
    let digest = mac.finalize().into_bytes();
    let half = digest.iter().take(16);
    half.fold(0, |number, &byte| number << 8 | u128::from(byte))
}

#[cfg(test)]
mod tests {
    use super::{ExposureId, day, hashed_user};
    use crate::context::Moment;

    fn at(unix_ms: i64) -> Moment {
        Moment { unix_ms }
    }

    #[test]
    fn a_day_begins_at_midnight_in_utc_before_1970_too() {
        let midnight = 1_795_305_600_000;
        assert_eq!(day(at(midnight)), day(at(midnight + 86_399_999)));
        assert_eq!(day(at(midnight)) - 1, day(at(midnight - 1)));
        assert_eq!((day(at(0)), day(at(-1))), (0, -1));
    }

    #[test]
    fn ids_are_those_that_other_languages_compute() {
        // Python: def part(t): return len(t.encode()).to_bytes(8, 'little') + t.encode()
        // hmac.new(key, b''.join(map(part, ['exposure', 'ann', 'search', 'search.a', 'stable', '20779'])), 'sha256')
        let parts = ["ann", "search", "search.a", "stable"];
        let id = |key| ExposureId::new(key, false, parts, at(1_795_305_600_000));
        let (plain, keyed) = (id(None), id(Some(b"a key of some length".as_slice())));
        assert_eq!(plain.to_string(), "ffd5d6352345b0c0d379ecbaf40e6574");
        assert_eq!(keyed.to_string(), "f17c99e135131d234c1d8529bf8aa2e3");
        assert_eq!(plain.to_string().parse(), Ok(plain));
        let other = ExposureId::new(None, true, parts, at(1_795_305_600_000));
        assert_ne!(other, plain);
        // printf %s ann | openssl dgst -sha256 -hmac 'a key of some length'
        assert_eq!(
            hashed_user(b"a key of some length", "ann"),
            "09b781b7332be8acf38c723bb6906207"
        );
    }

    #[test]
    fn texts_that_join_to_the_same_are_told_apart() {
        let id = |parts| ExposureId::new(None, false, parts, at(0));
        assert_ne!(id(["ab", "c", "d", "e"]), id(["a", "bc", "d", "e"]));
    }
}
