//! Who served which user of late, as far as one gateway remembers.
//!
//! One table of fixed size, without locks: what a place remembers is one word, and whoever comes later takes it. It takes
//! memory from the first user on.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::identity::UserKey;
use crate::snapshot::{DeploymentIndex, Service};

/// How many users of services are remembered at most.
const PLACES: usize = 1 << 17;

/// The lower bits of a word say who served, the upper ones whom and of which service.
const DEPLOYMENT_BITS: u32 = 24;

/// What is remembered.
#[derive(Default)]
pub struct ServedMemory(OnceLock<Box<[AtomicU64]>>);

impl ServedMemory {
    /// Remembers who served a user of a service. Writes only what is new.
    pub fn note(&self, user: UserKey, service: &Service, served: DeploymentIndex) {
        let places = self
            .0
            .get_or_init(|| (0..PLACES).map(|_| AtomicU64::new(0)).collect());
        let key = key(user, service);
        let word = whom(key) | who(service, served);
        if let Some(place) = place(places, key)
            && place.load(Ordering::Relaxed) != word
        {
            place.store(word, Ordering::Relaxed);
        }
    }

    /// Who served a user of a service last; `None`: that is not remembered, or it is no deployment any more.
    pub fn recall(&self, user: UserKey, service: &Service) -> Option<DeploymentIndex> {
        let key = key(user, service);
        let word = place(self.0.get()?, key)?.load(Ordering::Relaxed);
        let mut deployments = service.deployments.entries();
        let served = deployments.find(|(at, _)| word == whom(key) | who(service, *at));
        served.map(|(at, _)| at)
    }
}

/// A round of splitmix64, so that every bit depends on all of user and service. A service is known by its stable
/// deployment's cluster, which outlives snapshots.
fn key(user: UserKey, service: &Service) -> u64 {
    let mut key = user.hash
        ^ service
            .stable()
            .cluster
            .id
            .wrapping_mul(0x9e37_79b9_7f4a_7c15);
    key = (key ^ (key >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    key = (key ^ (key >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    key ^ (key >> 31)
}

/// The lower bits choose the place, and 40 others tell its users apart: two of a place look alike once in 10¹².
fn place(places: &[AtomicU64], key: u64) -> Option<&AtomicU64> {
    places.get(usize::try_from(key % PLACES as u64).ok()?)
}

fn whom(key: u64) -> u64 {
    key >> DEPLOYMENT_BITS << DEPLOYMENT_BITS
}

/// A deployment is known by its cluster. The first number stands for nobody: 0 is what an empty place says.
fn who(service: &Service, at: DeploymentIndex) -> u64 {
    let id = service.deployments.get(at).cluster.id;
    id % ((1 << DEPLOYMENT_BITS) - 1) + 1
}

impl fmt::Debug for ServedMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServedMemory").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{PLACES, ServedMemory};
    use crate::identity::{Anonymous, IdKind, UserKey};
    use crate::snapshot::{DeploymentIndex, STABLE, sample};

    fn user(hash: u64) -> UserKey {
        UserKey {
            kind: IdKind::User,
            hash: hash.wrapping_mul(0x2545_f491_4f6c_dd1d),
        }
    }

    #[test]
    fn the_last_deployment_that_served_a_user_is_remembered() {
        let snapshot = sample::snapshot(Anonymous::Stable);
        let service = &snapshot.services[0];
        let memory = ServedMemory::default();
        assert_eq!(memory.recall(user(1), service), None);
        for served in [DeploymentIndex::new(1), STABLE, DeploymentIndex::new(2)] {
            memory.note(user(1), service, served);
            assert_eq!(memory.recall(user(1), service), Some(served));
            assert_eq!(memory.recall(user(2), service), None);
        }
    }

    #[test]
    fn more_users_than_there_is_room_for_push_others_out_and_are_never_taken_for_them() {
        let snapshot = sample::snapshot(Anonymous::Stable);
        let service = &snapshot.services[0];
        let memory = ServedMemory::default();
        let served = |number: u64| DeploymentIndex::new(usize::try_from(number % 3).unwrap());
        let all = 4 * PLACES as u64;
        for number in 0..all {
            memory.note(user(number), service, served(number));
        }
        let known = |number: &u64| match memory.recall(user(*number), service) {
            Some(found) => {
                assert_eq!(found, served(*number), "user {number}");
                true
            }
            None => false,
        };
        let known = (0..all).filter(known).count();
        assert!(known > PLACES / 2 && known <= PLACES, "{known}");
        assert_eq!(
            (all..2 * all)
                .filter(|number| memory.recall(user(*number), service).is_some())
                .count(),
            0
        );
    }
}
