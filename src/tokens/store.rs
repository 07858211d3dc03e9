//! The keys of one source, as requests find them and whoever fetches them leaves them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::{ArcSwap, Guard};
use tokio::sync::Notify;

use super::keys::{Key, KeySet};
use crate::context::Moment;
use crate::identity::token::KeySource;
use crate::meter::Counter;

/// The keys of one source. It outlives the snapshots that point to it.
#[derive(Debug)]
pub struct KeyStore {
    /// Where they are from.
    pub source: KeySource,
    /// How often they were got.
    pub fetched: Counter,
    /// How often they could not be got.
    pub failed: Counter,
    keys: ArcSwap<KeySet>,
    standing: Mutex<Standing>,
    is_wanted: AtomicBool,
    bell: Arc<Notify>,
}

/// How the getting of keys goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// When they were got last.
    pub fetched_at: Option<Moment>,
    /// Why they could not be got since; those that there were stay.
    pub trouble: Option<String>,
}

impl KeyStore {
    /// Without keys yet, unless the source is a secret.
    pub fn new(source: KeySource) -> Self {
        let keys = match &source {
            KeySource::Secret(secret) => Key::secret(secret).into_iter().collect(),
            KeySource::Url(_) | KeySource::File(_) => Vec::new(),
        };
        let keys = KeySet {
            keys,
            ..KeySet::default()
        };
        Self {
            source,
            fetched: Counter::default(),
            failed: Counter::default(),
            keys: ArcSwap::from_pointee(keys),
            standing: Mutex::default(),
            is_wanted: AtomicBool::new(false),
            bell: Arc::default(),
        }
    }

    /// The keys now.
    pub fn keys(&self) -> Guard<Arc<KeySet>> {
        self.keys.load()
    }

    /// They were got; whether they are others than before.
    pub fn take(&self, keys: Vec<Key>, now: Moment) -> bool {
        self.fetched.inc();
        let mut standing = self.lock();
        *standing = Standing {
            fetched_at: Some(now),
            trouble: None,
        };
        let next = self.keys.load().next(keys);
        let is_news = next.is_some();
        if let Some(next) = next {
            self.keys.store(Arc::new(next));
        }
        is_news
    }

    /// They could not be got. Whether that is news.
    pub fn fail(&self, trouble: &str) -> bool {
        self.failed.inc();
        let last = self.lock().trouble.replace(trouble.to_owned());
        last.is_none_or(|last| last != trouble)
    }

    /// How the getting goes.
    pub fn standing(&self) -> Standing {
        self.lock().clone()
    }

    /// A token names a key that is not here. Called on requests' way: it rings once, until somebody has answered.
    pub(super) fn want_keys(&self) {
        if !self.is_wanted.swap(true, Ordering::Relaxed) {
            self.bell.notify_one();
        }
    }

    /// Whether a key was wanted since the last time that this was asked.
    pub fn is_wanted(&self) -> bool {
        self.is_wanted.swap(false, Ordering::Relaxed)
    }

    /// What rings when a key is wanted, and when nobody needs the keys any more.
    pub fn bell(&self) -> Arc<Notify> {
        self.bell.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for KeyStore {
    fn drop(&mut self) {
        self.bell.notify_one();
    }
}
