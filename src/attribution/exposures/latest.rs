//! What was recorded last, and how many users of which arm: for people who look, and for the check of sample ratios.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::attribution::document::ExposureDocument;

/// How many exposures can be looked at.
const KEPT: usize = 1_000;
/// How many days are counted: today and yesterday.
const DAYS: usize = 2;

/// An exposure that is in the spool.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// Its number there: later ones have greater ones.
    pub sequence: u64,
    /// What it says, with the user's ID as it is.
    pub document: Arc<ExposureDocument>,
}

/// Which exposures are looked for.
#[derive(Clone, Debug, Default)]
pub struct Wanted<'a> {
    /// Only those after this one.
    pub after: Option<u64>,
    /// Only this user's.
    pub user: Option<&'a str>,
    /// Only under this flag.
    pub flag: Option<&'a str>,
    /// Only of these services.
    pub services: Option<&'a [Arc<str>]>,
    /// So many at most: the newest, or with `after` the oldest of them.
    pub limit: usize,
}

/// How many exposures a day has of an arm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// The day in UTC, as in `2026-11-28`.
    pub day: Box<str>,
    /// The service.
    pub service: Box<str>,
    /// The flag.
    pub flag: Box<str>,
    /// `canary`, `control` or `other`.
    pub arm: Box<str>,
    /// How many.
    pub count: u64,
}

/// A service, a flag and an arm.
type Side = [Box<str>; 3];

/// The last exposures, and counts.
#[derive(Debug, Default)]
pub(super) struct Latest {
    kept: VecDeque<Recorded>,
    tallies: BTreeMap<Box<str>, BTreeMap<Side, u64>>,
}

impl Latest {
    /// Notes what was appended.
    pub(super) fn add(&mut self, sequence: u64, document: ExposureDocument) {
        let day: Box<str> = document.time.get(..10).unwrap_or_default().into();
        let side = [&document.service, &document.flag, &document.arm].map(Clone::clone);
        *self
            .tallies
            .entry(day)
            .or_default()
            .entry(side)
            .or_default() += 1;
        while self.tallies.len() > DAYS {
            self.tallies.pop_first();
        }
        if self.kept.len() >= KEPT {
            self.kept.pop_front();
        }
        let document = Arc::new(document);
        self.kept.push_back(Recorded { sequence, document });
    }

    /// The exposures that are wanted, the newest last.
    pub(super) fn find(&self, wanted: &Wanted<'_>) -> Vec<Recorded> {
        let is_wanted = |found: &&Recorded| {
            let Recorded { sequence, document } = found;
            wanted.after.is_none_or(|after| *sequence > after)
                && wanted.user.is_none_or(|user| *document.user == *user)
                && wanted.flag.is_none_or(|flag| *document.flag == *flag)
                && wanted.services.is_none_or(|services| {
                    services
                        .iter()
                        .any(|service| **service == *document.service)
                })
        };
        let found = self.kept.iter().filter(is_wanted);
        if wanted.after.is_some() {
            return found.take(wanted.limit).cloned().collect();
        }
        let mut newest: Vec<Recorded> = found.rev().take(wanted.limit).cloned().collect();
        newest.reverse();
        newest
    }

    /// All counts.
    pub(super) fn tallies(&self) -> Vec<Tally> {
        let of_days = self.tallies.iter().flat_map(|(day, sides)| {
            sides
                .iter()
                .map(move |([service, flag, arm], count)| Tally {
                    day: day.clone(),
                    service: service.clone(),
                    flag: flag.clone(),
                    arm: arm.clone(),
                    count: *count,
                })
        });
        of_days.collect()
    }

    /// Drops a user's exposures.
    pub(super) fn forget(&mut self, user: &str) {
        self.kept.retain(|found| *found.document.user != *user);
    }
}
