//! Tokens of users (`jwt` of `identity.user_id`): verified by keys that outlive snapshots, and remembered.
//!
//! Requests ask a [`TokenVerifier`], which their snapshot points to. What it verifies by is in a [`KeyStore`] for each source of
//! keys; who fills those, and when, is [`crate::source`]'s.

mod claims;
mod judge;
pub mod keys;
mod remembered;
mod ring_provider;
pub mod store;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::context::Moment;
use crate::identity::token::{TokenResult, Tokens, VerifiedUser, VerifyTokens};
use crate::meter::Counter;
use judge::Judge;
use remembered::Lookup;
use store::KeyStore;

/// The longest token that is looked at, in bytes.
const LONGEST: usize = 16 << 10;

/// What became of the tokens of one issuer.
#[derive(Debug, Default)]
pub struct TokenCounters([Counter; TokenResult::ALL.len()]);

impl TokenCounters {
    fn count(&self, result: TokenResult) {
        if let Some(counter) = self.0.get(result as usize) {
            counter.inc();
        }
    }

    /// How many there were of each.
    pub fn all(&self) -> impl Iterator<Item = (TokenResult, u64)> {
        let counts = self.0.iter().map(Counter::get);
        TokenResult::ALL.into_iter().zip(counts)
    }
}

/// Verifies tokens as one configuration says.
#[derive(Debug)]
pub struct TokenVerifier {
    issuers: Box<[Issuer]>,
    /// Tells what this one has verified from what another one has.
    number: u64,
}

/// How many there have been in this process.
static NUMBER: AtomicU64 = AtomicU64::new(0);

#[derive(Debug)]
struct Issuer {
    judge: Judge,
    store: Arc<KeyStore>,
    counters: Arc<TokenCounters>,
}

impl TokenVerifier {
    /// For the sources of `tokens`, each with its keys and counters.
    pub fn new(tokens: &Tokens, with: Vec<(Arc<KeyStore>, Arc<TokenCounters>)>) -> Self {
        ring_provider::install();
        let issuers = tokens.sources.iter().zip(with);
        let issuers = issuers.map(|(source, (store, counters))| Issuer {
            judge: Judge::new(source, &tokens.claims),
            store,
            counters,
        });
        Self {
            issuers: issuers.collect(),
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
        }
    }
}

impl VerifyTokens for TokenVerifier {
    fn verify(
        &self,
        source: usize,
        token: &[u8],
        now: Moment,
    ) -> Result<Arc<VerifiedUser>, TokenResult> {
        let issuer = self.issuers.get(source).ok_or(TokenResult::UnknownKey)?;
        if token.len() > LONGEST {
            return Err(TokenResult::Forged);
        }
        let keys = issuer.store.keys();
        let lookup = Lookup {
            verifier: self.number,
            source,
            token,
            keys: &keys,
            now: now.unix_ms.div_euclid(1000),
        };
        if let Some(known) = lookup.find() {
            return known;
        }
        let judged = issuer.judge.judge(&keys, token, now);
        if judged.wants_keys {
            issuer.store.want_keys();
        }
        lookup.remember(judged.verdict)
    }

    fn count(&self, source: usize, result: TokenResult) {
        if let Some(issuer) = self.issuers.get(source) {
            issuer.counters.count(result);
        }
    }
}

#[cfg(test)]
mod tests;
