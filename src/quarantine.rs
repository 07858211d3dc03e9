//! Users who fare badly on one canary while others do well there: they are served by stable for a while.
//!
//! One table for the whole gateway, of fixed size and without locks. It is looked at only while anybody is in
//! quarantine at all, and written to only when a user was rescued; it takes memory from the first rescue on. What is
//! lost in a race between two threads is a count, never more: a user is counted once less.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::cluster::recovery::QuarantinePolicy;

/// The most users, rescued or in quarantine, that are remembered.
const ENTRIES: usize = 65_536;

/// How many places one user may be at: a look reads at most so many.
const PLACES: usize = 8;

/// Stands for the count of a user who is in quarantine.
const HELD: u16 = u16::MAX;

/// Who is remembered, and until when.
pub struct Quarantine {
    /// Time is counted from here.
    base: Instant,
    /// When the last quarantine of all ends, in milliseconds; 0: there was none.
    latest: AtomicU64,
    entries: OnceLock<Box<[Entry]>>,
}

/// A user on a canary.
#[derive(Default)]
struct Entry {
    /// [`QuarantineKey`]; 0: nobody.
    key: AtomicU64,
    /// The end of the period in milliseconds, and below it in 16 bits how often the user was rescued in it.
    state: AtomicU64,
}

/// A user on a canary, as the table knows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuarantineKey(u64);

impl QuarantineKey {
    /// `user` stands for the user; `cluster` is [`crate::cluster::Cluster::id`], so that another upstream of the same
    /// canary begins anew.
    pub fn new(user: u64, cluster: u64) -> Self {
        // A round of splitmix64: the table's places are the key's lowest bits.
        let mut key = user ^ cluster.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        key = (key ^ (key >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        key = (key ^ (key >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self((key ^ (key >> 31)).max(1))
    }
}

impl Quarantine {
    /// With nobody in it. No later moment may be before `now`.
    pub fn new(now: Instant) -> Self {
        Self {
            base: now,
            latest: AtomicU64::new(0),
            entries: OnceLock::new(),
        }
    }

    /// Until when the user is to be spared the canary.
    pub fn holds(&self, patient: QuarantineKey, now: Instant) -> Option<Instant> {
        let now = self.millis(now);
        if self.latest.load(Ordering::Relaxed) <= now {
            return None;
        }
        let (end, count) = unpacked(self.find(patient)?.state.load(Ordering::Relaxed));
        (count == HELD && end > now).then(|| self.base + Duration::from_millis(end))
    }

    /// How often the user was rescued from the canary in the period that runs.
    pub fn rescues(&self, patient: QuarantineKey, now: Instant) -> u16 {
        let state = self
            .find(patient)
            .map_or(0, |entry| entry.state.load(Ordering::Relaxed));
        match unpacked(state) {
            (end, count) if end > self.millis(now) => count,
            _ => 0,
        }
    }

    /// Counts a rescue of the user. Whether it was the last straw. A period begins with its first rescue.
    pub fn note(&self, patient: QuarantineKey, policy: QuarantinePolicy, now: Instant) -> bool {
        let period = u64::try_from(policy.period.as_millis()).unwrap_or(u64::MAX >> 20);
        let now = self.millis(now);
        let fresh_end = now.saturating_add(period).min(u64::MAX >> 16);
        let entry = self.place(patient, now);
        let updated = entry
            .state
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |state| {
                let (end, count) = match unpacked(state) {
                    (end, HELD) if end > now => return Some(packed(end, HELD)),
                    (end, count) if end > now => (end, count + 1),
                    _ => (fresh_end, 1),
                };
                Some(if count >= policy.after {
                    packed(fresh_end, HELD)
                } else {
                    packed(end, count)
                })
            });
        let before = unpacked(updated.unwrap_or_default());
        let was_held = before.1 == HELD && before.0 > now;
        let (end, count) = unpacked(entry.state.load(Ordering::Relaxed));
        if count == HELD {
            self.latest.fetch_max(end, Ordering::Relaxed);
        }
        count == HELD && !was_held
    }

    fn millis(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.base).as_millis();
        u64::try_from(since).unwrap_or(u64::MAX)
    }

    fn find(&self, patient: QuarantineKey) -> Option<&Entry> {
        places(self.entries.get()?, patient)
            .iter()
            .find(|entry| entry.key.load(Ordering::Relaxed) == patient.0)
    }

    /// The user's entry; if they have none, one whose period is over becomes theirs, else the one that ends first.
    fn place(&self, patient: QuarantineKey, now: u64) -> &Entry {
        let all = self
            .entries
            .get_or_init(|| (0..ENTRIES).map(|_| Entry::default()).collect());
        let places = places(all, patient);
        if let Some(entry) = self.find(patient) {
            return entry;
        }
        let end = |entry: &&Entry| {
            let (end, count) = unpacked(entry.state.load(Ordering::Relaxed));
            // Whoever is in quarantine stays there as long as anybody else can make room.
            (end > now, count == HELD, end)
        };
        let entry = places.iter().min_by_key(end).unwrap_or(&places[0]);
        // Emptied before it changes hands: nobody must find another's quarantine under their own key.
        entry.state.store(0, Ordering::Relaxed);
        entry.key.store(patient.0, Ordering::Release);
        entry
    }
}

fn places(entries: &[Entry], patient: QuarantineKey) -> &[Entry] {
    let groups = (ENTRIES / PLACES) as u64;
    let first = (patient.0 % groups) as usize * PLACES;
    entries.get(first..first + PLACES).unwrap_or(entries)
}

fn packed(end: u64, count: u16) -> u64 {
    end << 16 | u64::from(count)
}

fn unpacked(state: u64) -> (u64, u16) {
    (state >> 16, (state & 0xffff) as u16)
}

impl fmt::Debug for Quarantine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Quarantine")
            .field("latest", &self.latest)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use super::{ENTRIES, Quarantine, QuarantineKey};
    use crate::cluster::recovery::QuarantinePolicy;

    const POLICY: QuarantinePolicy = QuarantinePolicy {
        after: 3,
        period: Duration::from_secs(60),
    };

    #[test]
    fn the_third_rescue_within_the_period_is_the_last() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let quarantine = Quarantine::new(start);
        let (ann, elsewhere) = (QuarantineKey::new(7, 1), QuarantineKey::new(7, 2));
        assert!(!quarantine.note(ann, POLICY, at(0)));
        assert!(!quarantine.note(ann, POLICY, at(59)));
        assert_eq!(quarantine.rescues(ann, at(59)), 2);
        assert_eq!(quarantine.holds(ann, at(59)), None);
        // The period was over: this is the first of another.
        assert!(!quarantine.note(ann, POLICY, at(60)));
        assert!(!quarantine.note(ann, POLICY, at(61)));
        assert!(quarantine.note(ann, POLICY, at(62)));
        assert!(!quarantine.note(ann, POLICY, at(63)), "she is in already");
        assert_eq!(quarantine.holds(ann, at(121)), Some(at(122)));
        assert_eq!(quarantine.holds(ann, at(122)), None);
        assert_eq!(quarantine.holds(elsewhere, at(63)), None);
        assert_eq!(quarantine.rescues(ann, at(122)), 0);
    }

    #[test]
    fn with_one_rescue_to_go_the_first_is_enough() {
        let start = Instant::now();
        let quarantine = Quarantine::new(start);
        let policy = QuarantinePolicy { after: 1, ..POLICY };
        assert!(quarantine.note(QuarantineKey::new(1, 1), policy, start));
        assert!(quarantine.holds(QuarantineKey::new(1, 1), start).is_some());
    }

    #[test]
    fn the_table_is_bounded_and_whoever_came_last_has_a_place() {
        let start = Instant::now();
        let quarantine = Quarantine::new(start);
        let policy = QuarantinePolicy { after: 1, ..POLICY };
        let users = (ENTRIES * 2) as u64;
        for user in 0..users {
            let patient = QuarantineKey::new(user, 1);
            assert!(quarantine.note(patient, policy, start));
            assert!(quarantine.holds(patient, start).is_some(), "{user}");
        }
        let held = (0..users)
            .filter(|&user| {
                quarantine
                    .holds(QuarantineKey::new(user, 1), start)
                    .is_some()
            })
            .count();
        assert!(held <= ENTRIES && held > ENTRIES / 2, "{held}");
        // When their periods are over, there is room again.
        let later = start + POLICY.period;
        assert!(!quarantine.note(QuarantineKey::new(users, 1), POLICY, later));
        assert_eq!(quarantine.rescues(QuarantineKey::new(users, 1), later), 1);
    }

    #[test]
    fn threads_share_it_without_losing_the_quarantine() {
        let start = Instant::now();
        let quarantine = Arc::new(Quarantine::new(start));
        let policy = QuarantinePolicy { after: 4, ..POLICY };
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let quarantine = quarantine.clone();
                std::thread::spawn(move || {
                    for user in 0..1_000 {
                        quarantine.note(QuarantineKey::new(user, 1), policy, start);
                        quarantine.note(QuarantineKey::new(user, 1), policy, start);
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().expect("a thread without a panic");
        }
        let free = (0..1_000)
            .filter(|&user| {
                quarantine
                    .holds(QuarantineKey::new(user, 1), start)
                    .is_none()
            })
            .count();
        assert!(free <= 1_000 / 20, "{free} are free");
    }
}
