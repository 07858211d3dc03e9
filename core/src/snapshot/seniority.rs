//! Which canary flags of a service ran first. Of flags of equal rank the one that ran first comes first, so that a flag
//! that is created moves nobody who is on a canary.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::{Candidate, Service, Snapshot};

/// The flags of every service in the order in which they were first seen running.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seniority(BTreeMap<Arc<str>, Vec<Arc<str>>>);

/// By service and flag, since when a flag runs, as gateways have agreed.
pub type Since = BTreeMap<Arc<str>, BTreeMap<Arc<str>, u64>>;

impl Seniority {
    /// From what was recorded: services with their flags, the one that ran first at the front.
    pub fn new(services: impl IntoIterator<Item = (Arc<str>, Vec<Arc<str>>)>) -> Self {
        Self(services.into_iter().collect())
    }

    /// Every service of which something is recorded.
    pub fn services(&self) -> impl Iterator<Item = (&Arc<str>, &[Arc<str>])> {
        let services = self.0.iter();
        services.map(|(service, flags)| (service, flags.as_slice()))
    }

    /// The flags of a service, the one that ran first at the front.
    pub fn of(&self, service: &str) -> &[Arc<str>] {
        self.0.get(service).map_or(&[], Vec::as_slice)
    }

    /// The same once a snapshot runs: its running flags that are new come last. A flag that is in no source any more
    /// loses its place; one that is off, or whose URL is broken, keeps it. Nothing is lost, and nothing recorded of a service
    /// without a record, as long as a flag server has never answered: what it has would look new, or gone.
    #[must_use]
    pub fn after(&self, snapshot: &Snapshot) -> Self {
        let is_whole = snapshot.sources.iter().all(|source| source.set.is_some());
        let mut next = BTreeMap::new();
        for service in &snapshot.services {
            let known = self.of(&service.name);
            if known.is_empty() && !is_whole {
                continue;
            }
            let stays = |flag: &&Arc<str>| !is_whole || snapshot.flag(flag).is_some();
            let mut flags: Vec<Arc<str>> = known.iter().filter(stays).cloned().collect();
            let recorded: FxHashSet<&Arc<str>> = known.iter().collect();
            let running = service.candidates.iter().filter(|one| one.runs());
            let names = running.map(|candidate| &candidate.flag.name);
            flags.extend(names.filter(|name| !recorded.contains(name)).cloned());
            if !flags.is_empty() {
                next.insert(service.name.clone(), flags);
            }
        }
        Self(next)
    }

    /// The same as gateways have agreed: the flags that have a moment come first, by that and by name, whether this gateway has
    /// seen them run or not; the others follow in their order.
    #[must_use]
    pub fn agreed(&self, since: &Since) -> Self {
        let mut agreed = self.0.clone();
        for (service, moments) in since {
            let flags = agreed.entry(service.clone()).or_default();
            let seen: FxHashSet<Arc<str>> = flags.iter().cloned().collect();
            flags.extend(moments.keys().filter(|flag| !seen.contains(*flag)).cloned());
            flags.sort_by_cached_key(|flag| match moments.get(flag) {
                Some(moment) => (false, *moment, Some(flag.clone())),
                None => (true, 0, None),
            });
        }
        Self(agreed)
    }

    /// The flags, with their services, that are not in `since`; the one that ran first at the front.
    pub fn lacking_in<'a>(
        &'a self,
        since: &'a Since,
    ) -> impl Iterator<Item = (&'a Arc<str>, &'a Arc<str>)> {
        self.services().flat_map(move |(service, flags)| {
            let moments = since.get(service);
            let is_lacking =
                move |flag: &&Arc<str>| moments.is_none_or(|all| !all.contains_key(*flag));
            flags
                .iter()
                .filter(is_lacking)
                .map(move |flag| (service, flag))
        })
    }

    /// Whether the canaries of a snapshot stand in this order.
    pub fn fits(&self, snapshot: &Snapshot) -> bool {
        snapshot.services.iter().all(|service| {
            let flags = self.of(&service.name);
            let places: FxHashMap<&Arc<str>, usize> = flags.iter().zip(0..).collect();
            service.candidates.is_sorted_by_key(|one| {
                let name = &one.flag.name;
                let place = places.get(name).copied().unwrap_or(usize::MAX);
                (one.rank, Reverse(one.flag.priority), place, name)
            })
        })
    }
}

impl Candidate {
    /// Whether it could have users as it stands.
    pub fn runs(&self) -> bool {
        self.flag.can_be_on()
    }
}

impl Service {
    /// Notes at each candidate when it first ran, for people.
    pub(super) fn note_seniority(&mut self, seniority: &Seniority) {
        let flags = seniority.of(&self.name);
        let places: FxHashMap<&Arc<str>, usize> = flags.iter().zip(0..).collect();
        for candidate in &mut self.candidates {
            candidate.seniority = places.get(&candidate.flag.name).copied();
        }
    }
}

impl Snapshot {
    /// Notes which canary flags ran first, for people. No order changes by it.
    pub fn note_seniority(&mut self, seniority: &Seniority) {
        for service in &mut self.services {
            service.note_seniority(seniority);
        }
    }
}

#[cfg(test)]
mod tests;
