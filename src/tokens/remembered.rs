//! Tokens that a worker has judged lately. A client shows the same one with each request, and verifying it costs some fifty
//! microseconds. What was verified is remembered until it expires or its source loses a key, what was refused for some
//! seconds, so that forged ones cost no more than others. A small table, in which every token has two places, and a later one
//! takes an earlier one's; it knows tokens by their hashes alone.

use std::cell::RefCell;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::{Arc, LazyLock};

use super::judge::Verdict;
use super::keys::KeySet;
use crate::identity::token::{TokenResult, VerifiedUser};

/// How many tokens a worker remembers: 2 MB, and what they say of their users.
const PLACES: usize = 1 << 15;
/// How long what they say of a user may be to be remembered, in bytes, so that all of them take 32 MB at most.
const LONGEST: usize = 1024;
/// How long a refused one is remembered, in seconds.
const REFUSED_FOR: i64 = 5;

/// Two keyed hashes of 64 bits (SipHash): who does not know the keys cannot make a token that is taken for another.
static HASHES: LazyLock<[RandomState; 2]> =
    LazyLock::new(|| [RandomState::new(), RandomState::new()]);

thread_local! {
    /// Empty until the first one.
    static JUDGED: RefCell<Vec<Option<Entry>>> = const { RefCell::new(Vec::new()) };
}

struct Entry {
    hash: [u64; 2],
    verifier: u64,
    source: usize,
    /// [`KeySet::losses`] for what was verified, [`KeySet::changes`] for what was refused.
    keys: u64,
    /// In seconds since 1970-01-01.
    until: i64,
    verdict: Result<Arc<VerifiedUser>, TokenResult>,
}

/// A token, and what it is judged by.
pub(super) struct Lookup<'a> {
    /// Who judges.
    pub(super) verifier: u64,
    /// Which of its sources.
    pub(super) source: usize,
    pub(super) token: &'a [u8],
    pub(super) keys: &'a KeySet,
    /// In seconds since 1970-01-01.
    pub(super) now: i64,
}

impl Lookup<'_> {
    /// What was made of the token, if that is remembered and still holds.
    pub(super) fn find(&self) -> Option<Result<Arc<VerifiedUser>, TokenResult>> {
        JUDGED.with_borrow(|places| {
            if places.is_empty() {
                return None;
            }
            let hash = hash(self.source, self.token);
            let holds = |entry: &&Entry| entry.hash == hash && self.holds(entry);
            let at = |place: usize| places.get(place)?.as_ref().filter(holds);
            let [first, second] = places_of(hash);
            Some(at(first).or_else(|| at(second))?.verdict.clone())
        })
    }

    fn holds(&self, entry: &Entry) -> bool {
        let keys = match entry.verdict {
            Ok(_) => self.keys.losses,
            Err(_) => self.keys.changes,
        };
        entry.verifier == self.verifier
            && entry.source == self.source
            && entry.keys == keys
            && self.now <= entry.until
    }

    /// Remembers what was made of it.
    pub(super) fn remember(&self, verdict: Verdict) -> Result<Arc<VerifiedUser>, TokenResult> {
        let (keys, until) = match &verdict {
            Ok((user, _)) if length(user) > LONGEST => return verdict.map(|(user, _)| user),
            Ok((_, until)) => (self.keys.losses, *until),
            Err(_) => (self.keys.changes, self.now.saturating_add(REFUSED_FOR)),
        };
        let entry = Entry {
            hash: hash(self.source, self.token),
            verifier: self.verifier,
            source: self.source,
            keys,
            until,
            verdict: verdict.map(|(user, _)| user),
        };
        let verdict = entry.verdict.clone();
        put(entry, self.now);
        verdict
    }
}

/// Finds a place for an entry. One for a token that is refused takes that of no user who is known still: whoever makes up
/// tokens makes nobody be verified again.
fn put(entry: Entry, now: i64) {
    JUDGED.with_borrow_mut(|places| {
        if places.is_empty() {
            places.resize_with(PLACES, || None);
        }
        let [first, second] = places_of(entry.hash);
        if entry.verdict.is_err() {
            let is_free = |place: &Option<Entry>| {
                let known = place.as_ref();
                known.is_none_or(|known| {
                    // What a former configuration has verified is verified anew by this one.
                    known.verdict.is_err() || known.until < now || known.verifier < entry.verifier
                })
            };
            let free = [first, second]
                .into_iter()
                .find(|place| places.get(*place).is_some_and(is_free));
            if let Some(place) = free.and_then(|place| places.get_mut(place)) {
                *place = Some(entry);
            }
            return;
        }
        // What was there first stays for a while yet.
        places.swap(first, second);
        if let Some(place) = places.get_mut(first) {
            *place = Some(entry);
        }
    });
}

fn length(user: &VerifiedUser) -> usize {
    let claims = user.claims.iter().flatten();
    user.id.len() + claims.map(|claim| claim.len()).sum::<usize>()
}

/// Of a token as one source judges it: others of the same place judge it, too, and each has places of its own.
fn hash(source: usize, token: &[u8]) -> [u64; 2] {
    HASHES.each_ref().map(|state| {
        let mut hasher = state.build_hasher();
        hasher.write_usize(source);
        hasher.write(token);
        hasher.finish()
    })
}

fn places_of([hash, _]: [u64; 2]) -> [usize; 2] {
    let first = hash as usize % PLACES;
    [first, first ^ 1]
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{JUDGED, KeySet, Lookup, PLACES, TokenResult, VerifiedUser};

    fn lookup<'a>(token: &'a [u8], keys: &'a KeySet) -> Lookup<'a> {
        Lookup {
            verifier: u64::MAX,
            source: 0,
            token,
            keys,
            now: 0,
        }
    }

    #[test]
    fn the_table_is_as_large_as_it_is_and_the_latest_is_in_it() {
        let keys = KeySet::default();
        for number in 0..2 * PLACES {
            let token = number.to_string();
            let lookup = lookup(token.as_bytes(), &keys);
            assert_eq!(
                lookup.remember(Err(TokenResult::Forged)),
                Err(TokenResult::Forged)
            );
            assert_eq!(lookup.find(), Some(Err(TokenResult::Forged)));
        }
        assert_eq!(JUDGED.with_borrow(Vec::len), PLACES);
        let other = Lookup {
            source: 1,
            ..lookup(b"1", &keys)
        };
        assert_eq!(other.find(), None, "another source's");
    }

    #[test]
    fn a_token_is_remembered_for_each_source_that_has_judged_it() {
        let keys = KeySet::default();
        let of = |source| Lookup {
            source,
            ..lookup(b"of the third issuer", &keys)
        };
        for source in 0..3 {
            let _ = of(source).remember(Err(TokenResult::Foreign));
        }
        for source in 0..3 {
            assert!(of(source).find().is_some(), "source {source}");
        }
    }

    #[test]
    fn made_up_tokens_make_no_user_be_verified_again() {
        let keys = KeySet::default();
        let user = Arc::new(VerifiedUser {
            id: "u1".into(),
            claims: Box::default(),
        });
        let verified = lookup(b"u1's", &keys);
        verified.remember(Ok((user, 60))).expect("a user");
        for number in 0..4 * PLACES {
            let token = number.to_string();
            let _ = lookup(token.as_bytes(), &keys).remember(Err(TokenResult::Forged));
        }
        assert!(verified.find().is_some_and(|known| known.is_ok()));
    }

    #[test]
    fn what_a_former_configuration_has_verified_takes_no_place() {
        let keys = KeySet::default();
        let token = b"u1's";
        let user = Arc::new(VerifiedUser {
            id: "u1".into(),
            claims: Box::default(),
        });
        let of = |verifier| Lookup {
            verifier,
            ..lookup(token, &keys)
        };
        // Both places that the token may have.
        for verifier in [1, 2] {
            of(verifier)
                .remember(Ok((user.clone(), 60)))
                .expect("a user");
        }
        let _ = of(3).remember(Err(TokenResult::Forged));
        assert_eq!(of(3).find(), Some(Err(TokenResult::Forged)));
    }
}
