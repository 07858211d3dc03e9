//! Users who fare badly on one canary while others do well there: they are served by stable for a while.
//!
//! One table for the whole gateway, of fixed size and without locks. A request reads it only while some user is in
//! quarantine, and writes to it only when its user was rescued; it takes memory from the first rescue on. A race between two
//! threads loses a count, never more: a user is counted once less.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::cluster::recovery::QuarantinePolicy;
use crate::identity::UserKey;

/// The most users, rescued or in quarantine, that are remembered.
const SLOTS: usize = 65_536;

/// In how many slots one user may be: a look-up reads no more.
const WAYS: usize = 8;

/// The slots that one user may be in.
type Group = [Slot; WAYS];

/// Stands for the count of a user who is in quarantine.
const HELD: u16 = u16::MAX;

/// Who is remembered, and until when.
pub struct Quarantine {
    /// Time is counted from here.
    base: Instant,
    /// When the last quarantine of all ends, in milliseconds; 0: there was none.
    latest: AtomicU64,
    groups: OnceLock<Box<[Group]>>,
}

/// What has become of one user on one canary.
#[derive(Default)]
struct Slot {
    /// The [`QuarantineKey`]; 0: the slot was never used.
    key: AtomicU64,
    /// The end of the period in milliseconds, and below it in 16 bits how often the user was rescued in it.
    state: AtomicU64,
}

/// A user on a canary, as the table knows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuarantineKey(u64);

impl QuarantineKey {
    /// `cluster` is [`crate::cluster::Cluster::id`], so that a canary that moves to another URL begins with a clean record.
    pub fn new(user: UserKey, cluster: u64) -> Self {
        // A round of splitmix64: the key's lowest bits choose the group.
        let mut key = user.hash ^ cluster.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        key = (key ^ (key >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        key = (key ^ (key >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self((key ^ (key >> 31)).max(1))
    }
}

/// A period of a user's on a canary, as another process takes it over: its clock is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// The [`QuarantineKey`].
    pub key: u64,
    /// How long the period still lasts.
    pub left: Duration,
    /// How often the user was rescued in it; `None`: the user is in quarantine.
    pub rescues: Option<u16>,
}

impl Quarantine {
    /// With nobody in it. No later moment may be before `now`.
    pub fn new(now: Instant) -> Self {
        Self {
            base: now,
            latest: AtomicU64::new(0),
            groups: OnceLock::new(),
        }
    }

    /// Until when the user is to be spared the canary.
    pub fn holds(&self, key: QuarantineKey, now: Instant) -> Option<Instant> {
        let now = self.millis(now);
        if self.latest.load(Ordering::Relaxed) <= now {
            return None;
        }
        let (end, count) = unpacked(self.find(key)?.state.load(Ordering::Relaxed));
        (count == HELD && end > now).then(|| self.base + Duration::from_millis(end))
    }

    /// How often the user was rescued from the canary in the period that runs.
    pub fn rescues(&self, key: QuarantineKey, now: Instant) -> u16 {
        let state = self
            .find(key)
            .map_or(0, |slot| slot.state.load(Ordering::Relaxed));
        match unpacked(state) {
            (end, count) if end > self.millis(now) => count,
            _ => 0,
        }
    }

    /// Counts a rescue of the user. Answers whether it begins a quarantine. A period begins with its first rescue.
    pub fn note(&self, key: QuarantineKey, policy: QuarantinePolicy, now: Instant) -> bool {
        let period = u64::try_from(policy.period.as_millis()).unwrap_or(u64::MAX >> 20);
        let now = self.millis(now);
        let fresh_end = now.saturating_add(period).min(u64::MAX >> 16);
        let Some(slot) = self.slot(key, now) else {
            return false;
        };
        let updated = slot
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
        let (end, count) = unpacked(slot.state.load(Ordering::Relaxed));
        if count == HELD {
            self.latest.fetch_max(end, Ordering::Relaxed);
        }
        count == HELD && !was_held
    }

    /// Everybody who is remembered now.
    pub fn remembered(&self, now: Instant) -> Vec<Remembered> {
        let now = self.millis(now);
        let slots = self.groups.get().into_iter().flatten().flatten();
        let remembered = slots.filter_map(|slot| {
            let key = slot.key.load(Ordering::Acquire);
            let (end, count) = unpacked(slot.state.load(Ordering::Relaxed));
            (key != 0 && end > now).then(|| Remembered {
                key,
                left: Duration::from_millis(end - now),
                rescues: (count != HELD).then_some(count),
            })
        });
        remembered.collect()
    }

    /// Remembers what another process did.
    pub fn recall(&self, remembered: &[Remembered], now: Instant) {
        let now = self.millis(now);
        for one in remembered {
            let left = u64::try_from(one.left.as_millis()).unwrap_or(u64::MAX);
            let end = now.saturating_add(left).min(u64::MAX >> 16);
            if one.key != 0
                && let Some(slot) = self.slot(QuarantineKey(one.key), now)
            {
                let count = one.rescues.unwrap_or(HELD);
                slot.state.store(packed(end, count), Ordering::Relaxed);
                if count == HELD {
                    self.latest.fetch_max(end, Ordering::Relaxed);
                }
            }
        }
    }

    fn millis(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.base).as_millis();
        u64::try_from(since).unwrap_or(u64::MAX)
    }

    fn find(&self, key: QuarantineKey) -> Option<&Slot> {
        group(self.groups.get()?, key)?
            .iter()
            .find(|slot| slot.key.load(Ordering::Relaxed) == key.0)
    }

    /// The user's slot; if there is none, one whose period is over becomes theirs, else the one that ends first.
    fn slot(&self, key: QuarantineKey, now: u64) -> Option<&Slot> {
        let groups = self.groups.get_or_init(|| {
            let groups = (0..SLOTS / WAYS).map(|_| Group::default());
            groups.collect()
        });
        if let Some(slot) = self.find(key) {
            return Some(slot);
        }
        let end = |slot: &&Slot| {
            let (end, count) = unpacked(slot.state.load(Ordering::Relaxed));
            // A user in quarantine stays there as long as any other can make room.
            (end > now, count == HELD, end)
        };
        let slot = group(groups, key)?.iter().min_by_key(end)?;
        // Emptied before it changes hands: no user must find another's quarantine under their own key.
        slot.state.store(0, Ordering::Relaxed);
        slot.key.store(key.0, Ordering::Release);
        Some(slot)
    }
}

/// The slots that a user may be in. There always are some.
fn group(groups: &[Group], key: QuarantineKey) -> Option<&Group> {
    groups.get(key.0 as usize % groups.len().max(1))
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

    use super::{Quarantine, QuarantineKey, SLOTS};
    use crate::cluster::recovery::QuarantinePolicy;
    use crate::identity::{IdKind, UserKey};

    fn key(hash: u64, cluster: u64) -> QuarantineKey {
        let kind = IdKind::User;
        QuarantineKey::new(UserKey { kind, hash }, cluster)
    }

    const POLICY: QuarantinePolicy = QuarantinePolicy {
        after: 3,
        period: Duration::from_secs(60),
    };

    #[test]
    fn the_third_rescue_within_the_period_is_the_last() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let quarantine = Quarantine::new(start);
        let (ann, elsewhere) = (key(7, 1), key(7, 2));
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
        assert!(quarantine.note(key(1, 1), policy, start));
        assert!(quarantine.holds(key(1, 1), start).is_some());
    }

    #[test]
    fn another_process_goes_on_with_what_is_remembered() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let before = Quarantine::new(start);
        assert_eq!(before.remembered(start), []);
        let (held, counted, over) = (key(1, 1), key(2, 1), key(3, 1));
        before.note(over, POLICY, at(0));
        for _ in 0..3 {
            before.note(held, POLICY, at(10));
        }
        before.note(counted, POLICY, at(30));
        let remembered = before.remembered(at(60));
        assert_eq!(remembered.len(), 2, "{remembered:?}");
        let after = Quarantine::new(at(40));
        after.recall(&remembered, at(61));
        assert_eq!(after.holds(held, at(70)), Some(at(71)));
        assert_eq!(after.holds(held, at(71)), None);
        assert_eq!(after.rescues(counted, at(90)), 1);
        assert!(!after.note(counted, POLICY, at(90)));
        assert!(after.note(counted, POLICY, at(90)), "the third of all");
        assert_eq!(after.rescues(over, at(61)), 0);
    }

    #[test]
    fn the_table_is_bounded_and_whoever_came_last_has_a_place() {
        let start = Instant::now();
        let quarantine = Quarantine::new(start);
        let policy = QuarantinePolicy { after: 1, ..POLICY };
        let users = (SLOTS * 2) as u64;
        for user in 0..users {
            let key_of_user = key(user, 1);
            assert!(quarantine.note(key_of_user, policy, start));
            assert!(quarantine.holds(key_of_user, start).is_some(), "{user}");
        }
        let held = (0..users)
            .filter(|&user| quarantine.holds(key(user, 1), start).is_some())
            .count();
        assert!(held <= SLOTS && held > SLOTS / 2, "{held}");
        // When their periods are over, there is room again.
        let later = start + POLICY.period;
        assert!(!quarantine.note(key(users, 1), POLICY, later));
        assert_eq!(quarantine.rescues(key(users, 1), later), 1);
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
                        quarantine.note(key(user, 1), policy, start);
                        quarantine.note(key(user, 1), policy, start);
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().expect("a thread without a panic");
        }
        let free = (0..1_000)
            .filter(|&user| quarantine.holds(key(user, 1), start).is_none())
            .count();
        assert!(free <= 1_000 / 20, "{free} are free");
    }
}
