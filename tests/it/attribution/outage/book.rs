//! What the clients know of who served them, and so which exposures there may be.
//!
//! A user's exposure is of the first request that a deployment answered. Only where the gateway was killed within a second after
//! the answer, or before it, may the exposure have been lost; it is of the next request then, as if that had been the first. So each
//! exposure has one time, and that is the time of the first request that a kill cannot have taken from the spool, or of one before.

use std::collections::{BTreeMap, HashMap};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::load::{Sent, Served};

/// How much a kill may cost.
const LAST: i64 = 1_000;
/// By how much a gateway's clock may differ from the calendar: it is the sum of two times, each cut to whole milliseconds, and catches
/// up with the calendar once a second.
const SKEW: i64 = 2;

/// That a user was served, as a sink tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// The user's name.
    pub(super) user: String,
    /// The deployment's name.
    pub(super) served: String,
    /// In milliseconds.
    pub(super) time: i64,
}

/// What is told, by its ID.
pub(super) type Exposures = BTreeMap<String, Told>;

/// Every first answer.
#[derive(Default)]
pub(super) struct Book(HashMap<(usize, Served), Sights>);

/// When the exposure may be of.
#[derive(Default)]
struct Sights {
    /// From a request to its answer.
    windows: Vec<(i64, i64)>,
    /// Whether no kill can have taken the last of them.
    is_certain: bool,
}

impl Book {
    /// Enters requests, each user's in order, and when the gateway was killed that they came to.
    pub(super) fn enter(&mut self, sent: &[Sent], killed: Option<i64>) {
        for one in sent {
            let is_certain =
                one.served.is_some() && killed.is_none_or(|killed| one.to < killed - LAST);
            for served in Served::ALL {
                if one.served.is_some_and(|answered| answered != served) {
                    continue;
                }
                let sights = self.0.entry((one.user, served)).or_default();
                if !sights.is_certain {
                    sights.windows.push((one.from - SKEW, one.to + SKEW));
                    sights.is_certain = is_certain;
                }
            }
        }
    }

    /// How many exposures there must be.
    pub(super) fn certain(&self) -> usize {
        self.0.values().filter(|sights| sights.is_certain).count()
    }

    /// Fails unless these are the exposures that there must be, and none that there cannot be.
    pub(super) fn assert_are(&self, exposures: &Exposures, key: &str) {
        let mut left = exposures.len();
        for (&(user, served), sights) in &self.0 {
            let [(first, _), ..] = sights.windows[..] else {
                continue;
            };
            let id = id(key, user, served, first);
            let Some(told) = exposures.get(&id) else {
                assert!(!sights.is_certain, "u{user} at {served:?}: none, {id}");
                continue;
            };
            left -= 1;
            assert_eq!(told.user, format!("u{user}"));
            assert_eq!(told.served, served.name());
            let is_of = |(from, to): &(i64, i64)| (*from..=*to).contains(&told.time);
            let windows = &sights.windows;
            assert!(windows.iter().any(is_of), "{told:?} of {windows:?}");
        }
        assert_eq!(left, 0, "exposures of nobody's request");
    }
}

/// What an exposure is known by, as the documentation of `ExposureId` says it. All requests are of one day.
fn id(key: &str, user: usize, served: Served, time: i64) -> String {
    let (user, day) = (format!("u{user}"), (time / 86_400_000).to_string());
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("a key");
    for part in [
        "exposure",
        &user,
        "search",
        "search.ranker",
        served.name(),
        &day,
    ] {
        mac.update(&(part.len() as u64).to_le_bytes());
        mac.update(part.as_bytes());
    }
    let bytes = mac.finalize().into_bytes();
    bytes[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
