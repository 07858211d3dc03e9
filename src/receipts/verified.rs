//! Receipts that a worker has verified lately. A client shows the same one with each request, and verifying it costs more than to
//! find it here. A small table, in which every receipt has two places, and a later one takes an earlier one's; only what was
//! verified is in it.

use std::cell::RefCell;
use std::sync::Arc;

use crate::digest::mix;
use crate::receipt::Receipt;

/// How many receipts a worker remembers: 4 MB of usual ones.
const PLACES: usize = 1 << 12;
/// The longest token that is remembered, in bytes, so that all of them take 16 MB at most.
const LONGEST: usize = 1024;

thread_local! {
    /// Empty until the first one.
    static VERIFIED: RefCell<Vec<Option<Verified>>> = const { RefCell::new(Vec::new()) };
}

struct Verified {
    reader: u64,
    token: Box<[u8]>,
    user: Box<str>,
    receipt: Arc<Receipt>,
}

/// The receipt in a token that a reader has verified to be this user's. It may be over.
pub(super) fn find(reader: u64, token: &[u8], user: &str) -> Option<Arc<Receipt>> {
    VERIFIED.with_borrow(|places| {
        let is_same = |known: &&Verified| {
            known.reader == reader && *known.token == *token && *known.user == *user
        };
        let at = |place: usize| places.get(place)?.as_ref().filter(is_same);
        let [first, second] = places_of(token);
        let known = at(first).or_else(|| at(second))?;
        Some(known.receipt.clone())
    })
}

/// Remembers that a reader has verified a token to be this user's.
pub(super) fn remember(reader: u64, token: &[u8], user: &str, receipt: &Arc<Receipt>) {
    if token.len() > LONGEST {
        return;
    }
    VERIFIED.with_borrow_mut(|places| {
        if places.is_empty() {
            places.resize_with(PLACES, || None);
        }
        let [first, second] = places_of(token);
        // What was there first stays for a while yet.
        places.swap(first, second);
        if let Some(place) = places.get_mut(first) {
            *place = Some(Verified {
                reader,
                token: token.into(),
                user: user.into(),
                receipt: receipt.clone(),
            });
        }
    });
}

/// Where a token may stand in the table: by the end of its signature, which is as good as random.
fn places_of(token: &[u8]) -> [usize; 2] {
    let end = token.last_chunk().copied().unwrap_or_default();
    let first = mix(u64::from_le_bytes(end)) as usize % PLACES;
    [first, first ^ 1]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::{find, places_of, remember};
    use crate::receipt::Receipt;

    #[test]
    fn two_receipts_of_one_place_are_both_remembered() {
        let receipt = Arc::new(Receipt {
            subject: "ann".into(),
            issued: 0,
            expires: 1,
            served: BTreeMap::new(),
        });
        let [first, ..] = places_of(b"0");
        let alike: Vec<[u8; 8]> = (0_u64..)
            .map(u64::to_be_bytes)
            .filter(|token| places_of(token).contains(&first))
            .take(3)
            .collect();
        for token in &alike[..2] {
            remember(0, token, "ann", &receipt);
        }
        let are_known = |tokens: &[[u8; 8]]| {
            let known = tokens.iter().map(|token| find(0, token, "ann").is_some());
            known.collect::<Vec<_>>()
        };
        assert_eq!(are_known(&alike), [true, true, false]);
        remember(0, &alike[2], "ann", &receipt);
        assert_eq!(are_known(&alike).iter().filter(|known| **known).count(), 2);
        assert!(find(0, &alike[2], "ann").is_some());
        assert!(find(1, &alike[2], "ann").is_none(), "another key's");
        assert!(find(0, &alike[2], "bob").is_none(), "another user's");
    }
}
