//! Which service a flag belongs to, found without comparing every flag with every service.

use rustc_hash::FxHashMap;

use super::recorded::{self, Stated};
use crate::engine::Flag;
use crate::flag::Glob;
use crate::indexed::Indexed;
use crate::route::ServiceIndex;
use crate::spelling::nearest;

/// The entries of all services' `canaries` by what stands before their first `*`.
pub(super) struct Claims<'a> {
    /// The services' names.
    services: Indexed<ServiceIndex, &'a str>,
    by_prefix: FxHashMap<&'a str, Vec<Claim<'a>>>,
    /// The lengths of those prefixes, longest first.
    lengths: Vec<usize>,
}

/// One entry of a service's `canaries`: the service claims the flags that it matches.
#[derive(Clone, Copy)]
pub(super) struct Claim<'a> {
    /// The service.
    pub(super) service: ServiceIndex,
    /// Its position in `canaries`.
    pub(super) rank: usize,
    /// The entry.
    pub(super) glob: &'a Glob,
}

impl<'a> Claims<'a> {
    /// The claims of these services, by name and `canaries`.
    pub(super) fn new(services: impl Iterator<Item = (&'a str, &'a [Glob])>) -> Self {
        let (names, canaries): (Vec<&str>, Vec<&[Glob]>) = services.unzip();
        let mut by_prefix: FxHashMap<&str, Vec<Claim<'a>>> = FxHashMap::default();
        for (service, canaries) in (0..).map(ServiceIndex::new).zip(canaries) {
            for (rank, glob) in canaries.iter().enumerate() {
                let (prefix, _) = glob.as_str().split_at(glob.literal_prefix());
                by_prefix.entry(prefix).or_default().push(Claim {
                    service,
                    rank,
                    glob,
                });
            }
        }
        let mut lengths: Vec<usize> = by_prefix.keys().map(|prefix| prefix.len()).collect();
        lengths.sort_unstable_by(|a, b| b.cmp(a));
        lengths.dedup();
        Self {
            services: names.into(),
            by_prefix,
            lengths,
        }
    }

    /// The services' names.
    pub(super) fn services(&self) -> &Indexed<ServiceIndex, &'a str> {
        &self.services
    }

    /// A service's name.
    pub(super) fn name(&self, service: ServiceIndex) -> &'a str {
        self.services.get(service).copied().unwrap_or_default()
    }

    /// Entries whose literal prefix the name has, longest prefix first, as far as they match.
    fn matching<'i>(&'i self, name: &'i str) -> impl Iterator<Item = &'i Claim<'a>> {
        self.lengths
            .iter()
            .filter_map(|&length| self.by_prefix.get(name.get(..length)?))
            .flatten()
            .filter(|entry| entry.glob.matches(name))
    }

    /// The service that a flag belongs to, by the first of its entries that match: the one that its payload names, else the
    /// one that names it with the longest literal prefix. `None`: no service's `canaries` match it.
    ///
    /// # Errors
    /// Why nobody can have it. A flag that two services have equal claims to belongs to neither: sending the users of one
    /// service to the canary of another would be worse than having no canary.
    pub(super) fn of(&self, flag: &Flag) -> Result<Option<Claim<'a>>, String> {
        let mut matching = self.matching(&flag.name).peekable();
        let Some(first) = matching.peek() else {
            return Ok(None);
        };
        let service = match recorded::service(flag) {
            Stated::Nothing => self.longest(flag, first)?,
            Stated::Service(stated) => {
                let mut services = self.matching(&flag.name).map(|entry| entry.service);
                services
                    .find(|&service| *self.name(service) == *stated)
                    .ok_or_else(|| {
                        format!("is for the service {stated:?}, whose `canaries` do not match it")
                    })?
            }
            Stated::Several(one, other) => {
                return Err(format!("is for two services, {one:?} and {other:?}"));
            }
        };
        let own = matching.filter(|entry| entry.service == service);
        Ok(own.min_by_key(|entry| entry.rank).copied())
    }

    /// The service of the first entry, unless another one names the flag as literally.
    fn longest(&self, flag: &Flag, first: &Claim<'_>) -> Result<ServiceIndex, String> {
        let length = first.glob.literal_prefix();
        let rival = self
            .matching(&flag.name)
            .take_while(|entry| entry.glob.literal_prefix() == length)
            .find(|entry| entry.service != first.service);
        match rival {
            None => Ok(first.service),
            Some(rival) => {
                let (one, other) = (self.name(first.service), self.name(rival.service));
                Err(format!(
                    "matches canaries of {one} and of {other} with equal right"
                ))
            }
        }
    }

    /// The entry that a name nearly matches: it goes on after the entry's first word with another character
    /// (`search-dash` and `search.*`), or has that word misspelt (`serach.x`).
    pub(super) fn nearly(&self, name: &str) -> Option<Claim<'a>> {
        let word = |text: &str| -> String {
            let letters = text.chars().take_while(|c| c.is_alphanumeric());
            letters.collect()
        };
        let begins = word(name);
        let mut entries: Vec<&Claim<'a>> = self.by_prefix.values().flatten().collect();
        entries.sort_by_key(|entry| (entry.service, entry.rank));
        let words: Vec<String> = entries
            .iter()
            .map(|entry| word(entry.glob.as_str()))
            .collect();
        let meant = nearest(
            &begins,
            words
                .iter()
                .map(String::as_str)
                .filter(|word| !word.is_empty()),
        )?;
        let place = words.iter().position(|word| *word == meant)?;
        entries.get(place).map(|entry| **entry)
    }
}
