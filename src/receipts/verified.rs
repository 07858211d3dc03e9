//! Receipts that a worker has verified lately. A client shows the same one with each request, and verifying it costs more than to
//! find it here. A small table, in which a later receipt takes an earlier one's place; only what was verified is in it.

use std::cell::RefCell;
use std::sync::Arc;

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
    token: Box<str>,
    user: Box<str>,
    receipt: Arc<Receipt>,
}

/// The receipt in a token that a reader has verified to be this user's. It may be over.
pub(super) fn find(reader: u64, token: &str, user: &str) -> Option<Arc<Receipt>> {
    VERIFIED.with_borrow(|places| {
        let known = places.get(place(token))?.as_ref()?;
        let is_same = known.reader == reader && *known.token == *token && *known.user == *user;
        is_same.then(|| known.receipt.clone())
    })
}

/// Remembers that a reader has verified a token to be this user's.
pub(super) fn remember(reader: u64, token: &str, user: &str, receipt: &Arc<Receipt>) {
    if token.len() > LONGEST {
        return;
    }
    VERIFIED.with_borrow_mut(|places| {
        if places.is_empty() {
            places.resize_with(PLACES, || None);
        }
        if let Some(place) = places.get_mut(place(token)) {
            *place = Some(Verified {
                reader,
                token: token.into(),
                user: user.into(),
                receipt: receipt.clone(),
            });
        }
    });
}

/// Where a token stands in the table: by the end of its signature, which is as good as random.
fn place(token: &str) -> usize {
    let end = token.as_bytes().last_chunk().copied().unwrap_or_default();
    let mixed = u64::from_le_bytes(end).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 48) as usize % PLACES
}
