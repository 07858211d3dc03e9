//! The keys that users' tokens are verified by: got in the background, and kept for as long as a configuration has their source.

mod fetch;
mod file;
mod metrics;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::{Handle, Runtime};
use tokio::time::{Instant, sleep};

use crate::clock;
use crate::identity::Rules;
use crate::identity::token::{KeySource, TokenSource, Verifier};
use crate::tokens::keys::{Key, KeySetError};
use crate::tokens::store::{KeyStore, Standing};
use crate::tokens::{TokenCounters, TokenVerifier};
pub use metrics::TokenMetrics;

/// How long a start and a reload wait for keys.
const FIRST_WAIT: Duration = Duration::from_secs(2);

/// The sources of keys. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct TokenIssuers(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// A store lives as long as a configuration that needs it.
    stores: Vec<Weak<KeyStore>>,
    /// By the issuer's name: figures outlive reloads.
    counters: BTreeMap<String, Arc<TokenCounters>>,
}

/// How the keys of an issuer are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerStanding {
    /// What it is called.
    pub name: String,
    /// Where its keys are from.
    pub keys_from: String,
    /// How many keys there are.
    pub keys: usize,
    /// How the getting of them goes.
    pub standing: Standing,
    /// How often they were got, and how often they could not be.
    pub fetches: [u64; 2],
}

impl TokenIssuers {
    /// Gives a first configuration what verifies its tokens, and waits for a moment for the keys.
    pub fn start(&self, rules: &mut Rules, control: &Runtime) {
        let _entered = control.enter();
        self.equip(rules);
        control.block_on(self.await_first_keys(rules));
    }

    /// Waits until every source of a configuration has been asked once, for a moment at most: without keys, users with tokens
    /// would be strangers.
    pub async fn await_first_keys(&self, rules: &Rules) {
        let deadline = Instant::now() + FIRST_WAIT;
        while let Some(source) = self.unasked(rules) {
            if Instant::now() >= deadline {
                tracing::warn!(%source, "the first keys of tokens are still awaited; until they come, its tokens are not believed");
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Gives a configuration what verifies its tokens. Sources that an earlier one had keep their keys; others begin to be got,
    /// on the runtime that this is called on.
    pub fn equip(&self, rules: &mut Rules) {
        let tokens = &rules.tokens;
        if tokens.sources.is_empty() {
            return;
        }
        let sources = tokens.sources.iter();
        let with = sources.map(|source| (self.store(&source.keys), self.counters(source)));
        let verifier = TokenVerifier::new(tokens, with.collect());
        rules.tokens.verifier = Verifier(Some(Arc::new(verifier)));
    }

    /// How the keys of a configuration are, source by source.
    pub fn standings(&self, rules: &Rules) -> Vec<IssuerStanding> {
        let sources = rules.tokens.sources.iter();
        let standing = |source: &TokenSource| {
            let store = self.lock().find(&source.keys)?;
            Some(IssuerStanding {
                name: source.name(),
                keys_from: source.keys.to_string(),
                keys: store.keys().len(),
                standing: store.standing(),
                fetches: [store.fetched.get(), store.failed.get()],
            })
        };
        sources.filter_map(standing).collect()
    }

    fn store(&self, source: &KeySource) -> Arc<KeyStore> {
        let mut known = self.lock();
        if let Some(store) = known.find(source) {
            return store;
        }
        let store = Arc::new(KeyStore::new(source.clone()));
        known.stores.retain(|store| store.strong_count() > 0);
        known.stores.push(Arc::downgrade(&store));
        // Reading may take its time.
        drop(known);
        if let KeySource::File(path) = source {
            file::read_first(path, &store);
        }
        // A command that asks once has no runtime, and nothing to follow.
        if let Ok(control) = Handle::try_current() {
            let follower = Arc::downgrade(&store);
            match source {
                KeySource::Url(url) => drop(control.spawn(fetch::follow(url.clone(), follower))),
                KeySource::File(path) => drop(control.spawn(file::follow(path.clone(), follower))),
                KeySource::Secret(_) => {}
            }
        }
        store
    }

    fn counters(&self, source: &TokenSource) -> Arc<TokenCounters> {
        let mut known = self.lock();
        known.counters.entry(source.name()).or_default().clone()
    }

    /// A URL that has not answered yet.
    fn unasked(&self, rules: &Rules) -> Option<String> {
        let standings = self.standings(rules);
        let mut fetches = standings.into_iter().zip(&rules.tokens.sources);
        let unasked = fetches.find(|(standing, source)| {
            matches!(source.keys, KeySource::Url(_)) && standing.fetches == [0, 0]
        });
        unasked.map(|(standing, _)| standing.keys_from)
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn find(&self, source: &KeySource) -> Option<Arc<KeyStore>> {
        let mut stores = self.stores.iter().filter_map(Weak::upgrade);
        stores.find(|store| store.source == *source)
    }
}

/// Puts keys that were read in force, and says what is new.
fn take(store: &KeyStore, keys: Result<Vec<Key>, KeySetError>) -> Result<(), String> {
    let keys = keys.map_err(|error| error.to_string())?;
    let count = keys.len();
    if store.take(keys, clock::now()) {
        tracing::info!(source = %store.source, keys = count, "other keys verify tokens");
    }
    Ok(())
}

/// Notes that keys could not be got, and says so if it is news.
fn fail(store: &KeyStore, trouble: &str) {
    if store.fail(trouble) {
        let keys = store.keys().len();
        tracing::error!(source = %store.source, error = trouble, keys, "keys of tokens cannot be got; those that there are stay");
    }
}

#[cfg(test)]
mod tests;
