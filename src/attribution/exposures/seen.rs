//! Which exposures are in the spool already: exact, and bounded.

use std::collections::HashSet;

use crate::exposure::ExposureId;

/// How many IDs a set takes: as many as a table of 2^21 places holds without growing, which takes 36 MB.
pub(super) const SET: usize = (1 << 21) / 8 * 7;

/// Two sets: the newer one takes IDs, and when its day is over, or it is full, it becomes the older one. An exposure that is in
/// neither is forgotten: it would be recorded again, under the same ID.
#[derive(Debug)]
pub(super) struct Seen {
    newer: HashSet<u128>,
    older: HashSet<u128>,
    /// The latest day that an ID was of.
    day: i64,
    capacity: usize,
}

impl Seen {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            newer: HashSet::new(),
            older: HashSet::new(),
            day: i64::MIN,
            capacity,
        }
    }

    /// Adds an exposure of a day; whether it was new.
    pub(super) fn insert(&mut self, id: ExposureId, day: i64) -> bool {
        if self.contains(id) {
            return false;
        }
        // A clock that was set back begins no day of its own: the days before are told apart by the IDs.
        if day > self.day || self.newer.len() >= self.capacity {
            self.day = self.day.max(day);
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.insert(id.0);
        true
    }

    /// Takes an exposure out again that could not be recorded.
    pub(super) fn remove(&mut self, id: ExposureId) {
        self.newer.remove(&id.0);
    }

    /// How many it remembers.
    pub(super) fn len(&self) -> usize {
        self.newer.len() + self.older.len()
    }

    fn contains(&self, id: ExposureId) -> bool {
        self.newer.contains(&id.0) || self.older.contains(&id.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{SET, Seen};
    use crate::exposure::ExposureId;

    fn id(number: u128) -> ExposureId {
        // Spread, as hashes are.
        ExposureId(number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
    }

    #[test]
    fn each_is_new_once_around_midnight_and_when_the_clock_is_set_back() {
        let mut seen = Seen::new(SET);
        for (number, day) in [(1, 10), (2, 10), (3, 11), (4, 10), (5, 9), (6, 11)] {
            assert!(seen.insert(id(number), day), "{number}");
        }
        for (number, day) in [(1, 10), (2, 10), (3, 11), (4, 10), (5, 9), (6, 11)] {
            assert!(!seen.insert(id(number), day), "{number}");
        }
        // What of the day before yesterday is gone makes room.
        assert!(seen.insert(id(7), 12) && seen.insert(id(8), 13));
        assert_eq!(seen.len(), 2);
    }

    #[test]
    fn a_million_users_are_remembered_exactly_in_one_table() {
        let mut seen = Seen::new(SET);
        for number in 0..1_000_000 {
            assert!(seen.insert(id(number), 10));
        }
        for number in 0..1_000_000 {
            assert!(!seen.insert(id(number), 10));
        }
        // 17 bytes a place: the ID, and a byte of the table's own.
        assert!(seen.newer.capacity() <= SET, "{}", seen.newer.capacity());
    }

    #[test]
    fn a_full_set_gives_way_and_what_failed_may_come_again() {
        let mut seen = Seen::new(2);
        for number in 0..5 {
            assert!(seen.insert(id(number), 10));
        }
        assert_eq!(seen.len(), 3, "an older set of two, and one");
        assert!(!seen.insert(id(4), 10) && !seen.insert(id(2), 10));
        assert!(seen.insert(id(0), 10), "forgotten");
        seen.remove(id(0));
        assert!(seen.insert(id(0), 10));
    }
}
