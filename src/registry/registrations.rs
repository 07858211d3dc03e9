//! Which canaries pipelines have registered: in memory for those who ask, in the store for the next start.

mod clocks;
pub mod lease;
pub mod metrics;
pub mod record;
mod sharing;

use std::collections::BTreeMap;
use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustc_hash::FxBuildHasher;
use serde::Deserialize as _;
use serde_json::Value;

use crate::clock::{self, Reading};
use crate::config::kept::Documents;
use crate::context::Moment;
use crate::snapshot::registration::Registration;
use crate::state::{Expected, Kind, StateStore, StoreError, Stored, Write};
use lease::{Due, Lease, Said};
use record::Record;

/// How many changes may be made at a time.
const TURNS: usize = 1024;
/// How often a change is decided on anew because another gateway was faster.
const ATTEMPTS: usize = 16;

/// A service's name and a canary's.
pub type Name = (Arc<str>, Arc<str>);

/// Every registration; clones are the same.
#[derive(Clone, Debug)]
pub struct Registrations(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    leases: Mutex<BTreeMap<Name, Lease>>,
    /// What others have changed and nobody has asked for yet. Locked after the leases.
    news: Mutex<News>,
    store: StateStore,
    /// How the store that gateways share was when leases last heard of it. Locked before the leases.
    heard: Mutex<Heard>,
    /// By how much snapshots are ahead of the clock.
    lead_ms: AtomicI64,
    /// Whether leases have begun to go by the time that gateways share, which nobody has asked for yet.
    is_moved: AtomicBool,
    /// Changes to one registration are made one after the other; those to different ones are stored together.
    turns: Vec<tokio::sync::Mutex<()>>,
}

/// How the store that gateways share is.
#[derive(Debug, Default, PartialEq)]
struct Heard {
    absences: u64,
    is_away: bool,
    /// When it was last heard of before it was lost last.
    lost: Option<Reading>,
}

/// What snapshots need to know.
#[derive(Clone, Debug, Default)]
pub struct Registered {
    /// The upstreams.
    pub registrations: Vec<Registration>,
    /// The flags that registrations bring along, for names that no flag has.
    pub fallbacks: Documents,
}

/// Why a change was not made.
#[derive(Debug)]
pub enum ChangeError<E> {
    /// Whoever makes it does not want it, as things are.
    Refused(E),
    /// It could not be stored.
    Store(StoreError),
}

impl Default for Registrations {
    fn default() -> Self {
        Self::open(StateStore::in_memory())
    }
}

impl Registrations {
    /// With the registrations that are stored. What cannot be read of them is logged, and stays as it is.
    pub fn open(store: StateStore) -> Self {
        let leases = read_all(&store);
        Self(Arc::new(Inner {
            leases: Mutex::new(leases),
            news: Mutex::default(),
            store,
            heard: Mutex::default(),
            lead_ms: AtomicI64::new(0),
            is_moved: AtomicBool::new(false),
            turns: (0..TURNS).map(|_| tokio::sync::Mutex::default()).collect(),
        }))
    }

    /// Where they are stored.
    pub fn store(&self) -> &StateStore {
        &self.0.store
    }

    /// One registration.
    pub fn get(&self, name: &Name) -> Option<Lease> {
        self.leases().get(name).cloned()
    }

    /// All of them, or those of one service, by name.
    pub fn all(&self, service: Option<&str>) -> Vec<(Name, Lease)> {
        let leases = self.leases();
        let wanted = leases
            .iter()
            .filter(|((of, _), _)| service.is_none_or(|service| **of == *service));
        wanted
            .map(|(name, lease)| (name.clone(), lease.clone()))
            .collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.leases().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.leases().is_empty()
    }

    /// Looks at every registration without a copy of it.
    pub fn each(&self, mut look: impl FnMut(&Name, &Lease)) {
        let leases = self.leases();
        leases.iter().for_each(|(name, lease)| look(name, lease));
    }

    /// Makes a change: `decide` is shown what there is and says what there is to be, again if another gateway was faster. Returns
    /// when a restart changes nothing about it.
    ///
    /// # Errors
    /// When `decide` refuses, or the change cannot be stored; nothing has changed then.
    pub async fn change<T, E>(
        &self,
        name: &Name,
        mut decide: impl FnMut(Option<&Lease>) -> Result<(Option<Record>, T), E>,
    ) -> Result<(Stored, T), ChangeError<E>> {
        let turn = FxBuildHasher.hash_one(name) % TURNS as u64;
        let turn = usize::try_from(turn).unwrap_or_default();
        let _turn = match self.0.turns.get(turn) {
            Some(turn) => Some(turn.lock().await),
            None => None,
        };
        let mut made = self.attempt(name, &mut decide).await;
        for _ in 1..ATTEMPTS {
            let Err(ChangeError::Store(StoreError::Changed(_))) = made else {
                break;
            };
            self.take_over(name);
            made = self.attempt(name, &mut decide).await;
        }
        made
    }

    async fn attempt<T, E>(
        &self,
        name: &Name,
        decide: &mut impl FnMut(Option<&Lease>) -> Result<(Option<Record>, T), E>,
    ) -> Result<(Stored, T), ChangeError<E>> {
        // Before the change is decided on: a step of the clock meanwhile does not change how long it has.
        let moved_ms = clock::reading().moved_ms;
        // How long something has is for the clock to say that all gateways go by.
        let is_timed = self.0.store.knows_time();
        let before = self.get(name);
        let (record, decided) = decide(before.as_ref()).map_err(ChangeError::Refused)?;
        if !is_timed {
            return Err(ChangeError::Store(StoreError::Unreachable));
        }
        let (key, after) = (
            record::key(name),
            record.map(|record| (written(&record), record)),
        );
        let expected = match &before {
            Some(lease) => Expected::Is(lease.stored.clone()),
            None => Expected::Absent,
        };
        let write = match &after {
            Some((value, _)) => Write::Put {
                key: key.clone(),
                value: value.clone(),
                expected,
            },
            None => Write::Remove {
                key: key.clone(),
                expected,
            },
        };
        let store = &self.0.store;
        let stored = store.write(Kind::Registrations, vec![write]).await;
        let stored = stored.map_err(ChangeError::Store)?;
        if let Some((value, record)) = after {
            let mut lease = Lease::new(record, value, moved_ms);
            if let Some(before) = before {
                lease.take_over(&before);
            }
            self.leases().insert(name.clone(), lease);
        }
        // What another gateway has made of it since is the later word.
        self.take_over(name);
        Ok((stored, decided))
    }

    /// Notes what a health check said.
    pub fn note_check(&self, name: &Name, said: Said) {
        if let Some(lease) = self.leases().get_mut(name) {
            lease.last_check = Some(said);
        }
    }

    /// Has the next snapshots know later ends: the clock is about to be moved by so much.
    pub fn lead(&self, by_ms: i64) {
        self.0.lead_ms.store(by_ms, Ordering::Relaxed);
    }

    /// What is to be done now about which registrations, and when to look again.
    pub fn due(&self, now: Reading) -> (Vec<(Name, Due)>, Option<Moment>) {
        let mut due = Vec::new();
        let mut next: Option<Moment> = None;
        for (name, lease) in &*self.leases() {
            match lease.due(now) {
                Due::Wait(until) => next = Some(next.map_or(until, |next| next.min(until))),
                other => due.push((name.clone(), other)),
            }
        }
        (due, next)
    }

    /// What the next snapshot needs to know.
    pub fn registered(&self, now: Reading) -> Registered {
        let mut registered = Registered::default();
        let mut fallbacks = Vec::new();
        let lead_ms = self.0.lead_ms.load(Ordering::Relaxed);
        for ((service, flag), lease) in &mut *self.leases() {
            let Some(url) = lease.url.clone() else {
                continue;
            };
            let end = lease.end(now);
            let until = Moment {
                unix_ms: end.unix_ms.saturating_add(lead_ms),
            };
            lease.shown_end = Some(until);
            let record = &lease.record;
            registered.registrations.push(Registration {
                service: Some(service.clone()),
                flag: flag.clone(),
                variant: None,
                url,
                written: lease.written.clone(),
                registrar: record.by.as_str().into(),
                until: lease.waits_since().is_none().then_some(until),
                // One that is over is not ready either, so that its end makes another snapshot.
                is_ready: record.ready && !lease.is_over(now),
            });
            fallbacks.push((flag.clone(), lease.fallback.clone()));
        }
        registered.fallbacks = fallbacks.into_iter().collect();
        registered
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.0.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn news(&self) -> MutexGuard<'_, News> {
        self.0.news.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leases(&self) -> MutexGuard<'_, BTreeMap<Name, Lease>> {
        self.0.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn written(record: &Record) -> Value {
    serde_json::to_value(record).unwrap_or_default()
}

/// What others have changed.
#[derive(Debug, Default)]
pub struct News {
    /// The registrations that are others than before.
    pub changed: Vec<Name>,
    /// Whether snapshots are to hear of it at once. Of a renewal they hear shortly before it matters.
    pub is_urgent: bool,
}

impl News {
    fn note(&mut self, name: &Name, before: Option<&Lease>, after: Option<&Lease>) {
        self.changed.push(name.clone());
        self.is_urgent |= match (before, after) {
            (Some(before), Some(after)) => !before.is_renewed_by(after),
            (None, None) => false,
            (Some(_), None) | (None, Some(_)) => true,
        };
    }
}

/// Everything that is stored.
fn read_all(store: &StateStore) -> BTreeMap<Name, Lease> {
    let mut leases = BTreeMap::new();
    store.each(Kind::Registrations, |key, stored| {
        let lease = named(key).and_then(|name| Some((name, read(key, stored, None, false)?)));
        leases.extend(lease);
    });
    leases
}

/// What is stored under a key, after what was there `before`; `is_news` as in [`Lease::heard`].
fn read(key: &str, stored: &Value, before: Option<&Lease>, is_news: bool) -> Option<Lease> {
    match Record::deserialize(stored) {
        Ok(record) => {
            let mut lease =
                Lease::heard(record, stored.clone(), (before, clock::reading()), is_news);
            if let Some(before) = before {
                lease.take_over(before);
            }
            Some(lease)
        }
        Err(error) => {
            tracing::error!(key, %error, "a registration cannot be read");
            None
        }
    }
}

fn named(key: &str) -> Option<Name> {
    let name = record::name(key);
    if name.is_none() {
        tracing::error!(key, "the key of a registration is no service and name");
    }
    name
}

#[cfg(test)]
mod tests;
