//! Registrations whose store gateways share: what others change, and leases while that store is away.

use std::mem;
use std::time::Duration;

use super::lease::Lease;
use super::{ChangeError, Heard, Name, News, Registrations, named, read, record};
use crate::clock::{self, Reading};
use crate::state::Kind;

/// How long a gateway must have been with what is shared before it stores that leases are over.
const SETTLING: Duration = Duration::from_secs(5);

impl Heard {
    /// A lease as it is while the store is as it was heard of.
    fn applied_to(&self, mut lease: Lease) -> Lease {
        if let Some(lost) = self.lost.filter(|_| self.is_away) {
            lease.wait(lost);
        }
        lease
    }
}

impl Registrations {
    /// Reads again what others have changed in the store. What that was since this was last called.
    pub fn reread(&self) -> News {
        let Some(changed) = self.0.store.take_changed(Kind::Registrations) else {
            return self.reread_all();
        };
        let names = changed.iter().filter_map(|key| named(key));
        names.for_each(|name| self.take_over(&name));
        mem::take(&mut *self.news())
    }

    fn reread_all(&self) -> News {
        let is_news = self.has_heard_all();
        let heard = self.heard();
        let mut leases = self.leases();
        let store = &self.0.store;
        let mut left = mem::take(&mut *leases);
        let mut news = self.news();
        store.each(Kind::Registrations, |key, stored| {
            let Some(name) = named(key) else { return };
            let before = left.remove(&name);
            let lease = match before {
                Some(known) if known.stored == *stored => Some(known),
                before => {
                    let lease = read(key, stored, before.as_ref(), is_news);
                    news.note(&name, before.as_ref(), lease.as_ref());
                    lease
                }
            };
            leases.extend(lease.map(|lease| (name, heard.applied_to(lease))));
        });
        for (name, gone) in left {
            news.note(&name, Some(&gone), None);
        }
        mem::take(&mut news)
    }

    /// Takes over what the store has of one registration.
    pub(super) fn take_over(&self, name: &Name) {
        let key = record::key(name);
        let is_news = self.has_heard_all();
        let heard = self.heard();
        let mut leases = self.leases();
        let before = leases.remove(name);
        let stored = self.0.store.record(Kind::Registrations, &key);
        let after = match before {
            Some(known) if Some(&known.stored) == stored.as_ref() => Some(known),
            before => {
                let after = stored.and_then(|stored| read(&key, &stored, before.as_ref(), is_news));
                self.news().note(name, before.as_ref(), after.as_ref());
                after
            }
        };
        leases.extend(after.map(|lease| (name.clone(), heard.applied_to(lease))));
    }

    /// Has leases wait while the store that gateways share is away, and gives them a TTL from when it is back. Whether there was
    /// news of it.
    pub fn follow_store(&self) -> bool {
        // What is noted from here on is noted by the clock as it goes now.
        self.adopt_time();
        let Some(sharing) = self.0.store.sharing() else {
            return false;
        };
        let latest = Heard {
            absences: sharing.absences,
            is_away: sharing.is_away(),
            lost: sharing.lost,
        };
        let mut heard = self.heard();
        if *heard == latest {
            return false;
        }
        let now = clock::reading();
        for lease in self.leases().values_mut() {
            // It may have come and gone since; before, it was lost at the same moment or earlier.
            if let Some(lost) = latest.lost.filter(|_| latest.absences != heard.absences) {
                lease.wait(lost);
            }
            if !latest.is_away {
                lease.resume(now);
            }
        }
        *heard = latest;
        true
    }

    /// Whether what is over may be stored so. A gateway that has just come to what is shared gives others the time to say that they
    /// hold a lease, which it cannot know.
    pub fn may_end(&self) -> bool {
        self.store().sharing().is_none() || self.has_heard_all()
    }

    /// Whether this gateway has been with what others share for a while, so that what it hears from now on is news.
    fn has_heard_all(&self) -> bool {
        let sharing = self.0.store.sharing();
        sharing.is_some_and(|sharing| sharing.is_up && sharing.since.elapsed() >= SETTLING)
    }

    /// The leases that are held here for longer than what is shared says, and shortly before the end that stands there.
    pub fn unstored(&self, now: Reading) -> Vec<Name> {
        if !self.0.store.sharing().is_some_and(|sharing| sharing.is_up) {
            return Vec::new();
        }
        let leases = self.leases();
        let unstored = leases
            .iter()
            .filter(|(_, lease)| lease.unstored_end(now).is_some());
        unstored.map(|(name, _)| name.clone()).collect()
    }

    /// Stores for how long a lease is held.
    ///
    /// # Errors
    /// When that is not needed any more, or cannot be stored.
    pub async fn store_end(&self, name: &Name) -> Result<(), ChangeError<()>> {
        let stored = self.change(name, |lease| {
            let lease = lease.ok_or(())?;
            let now = clock::reading();
            let end = lease.unstored_end(now).ok_or(())?;
            let mut record = lease.record.clone();
            record.expires_at_unix_ms = end.unix_ms;
            let why = "it could not be renewed while what gateways share was away";
            record.note(now.moment, "held", None, Some(why));
            Ok((Some(record), ()))
        });
        stored.await.map(|_| ())
    }
}
