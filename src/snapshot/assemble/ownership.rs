//! Which service a flag belongs to, found without comparing every flag with every service.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::recorded::{self, Stated};
use crate::config::ServiceConfig;
use crate::engine::Flag;
use crate::flag::Glob;
use crate::route::ServiceIndex;

/// The flags of every service that record an upstream for it.
pub(super) struct Ownership<'a> {
    /// By service, in order of precedence.
    pub(super) owned: Vec<Vec<&'a Arc<Flag>>>,
    /// What keeps flags from being canaries that were to be, in words.
    pub(super) disputes: Vec<String>,
}

/// One entry of a service's `canaries`.
struct Entry<'a> {
    service: ServiceIndex,
    /// Its position in `canaries`.
    rank: usize,
    glob: &'a Glob,
}

/// The entries of all services by what stands before their first `*`.
struct Index<'a> {
    services: &'a [ServiceConfig],
    by_prefix: FxHashMap<&'a str, Vec<Entry<'a>>>,
    /// The lengths of those prefixes, longest first.
    lengths: Vec<usize>,
}

/// The service that a flag belongs to, and the position of the first matching entry of its `canaries`.
type Claim = (ServiceIndex, usize);

impl<'a> Ownership<'a> {
    /// Gives every flag to the service that its payload names, else to the one that names it with the longest literal
    /// prefix. A flag that two services have equal claims to belongs to neither: sending the users of one service to
    /// the canary of another would be worse than having no canary.
    pub(super) fn of(
        services: &'a [ServiceConfig],
        flags: impl Iterator<Item = &'a Arc<Flag>>,
    ) -> Self {
        let index = Index::new(services);
        let mut ranked: Vec<Vec<(usize, &Arc<Flag>)>> = vec![Vec::new(); services.len()];
        let mut disputes = Vec::new();
        for flag in flags {
            match index.claim(flag) {
                Ok(Some((service, rank))) => {
                    let nearly = recorded::nearly(flag);
                    let name = &services[service].name;
                    disputes.extend(nearly.map(|(variant, why)| {
                        format!(
                            "flag {} looks like a canary of {name}, but variant {variant:?} leads nowhere: {why}",
                            flag.name
                        )
                    }));
                    if recorded::is_of_use(flag) {
                        ranked[service].push((rank, flag));
                    }
                }
                Ok(None) => {}
                Err(why) => {
                    disputes.push(format!("flag {} {why}: nobody is sent there", flag.name));
                }
            }
        }
        let owned = ranked
            .into_iter()
            .map(|mut flags| {
                flags.sort_by(|(a, one), (b, other)| (a, &one.name).cmp(&(b, &other.name)));
                flags.into_iter().map(|(_, flag)| flag).collect()
            })
            .collect();
        Self { owned, disputes }
    }
}

impl<'a> Index<'a> {
    fn new(services: &'a [ServiceConfig]) -> Self {
        let mut by_prefix: FxHashMap<&str, Vec<Entry<'a>>> = FxHashMap::default();
        for (service, config) in services.iter().enumerate() {
            for (rank, glob) in config.canaries.iter().enumerate() {
                let (prefix, _) = glob.as_str().split_at(glob.literal_prefix());
                by_prefix.entry(prefix).or_default().push(Entry {
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
            services,
            by_prefix,
            lengths,
        }
    }

    /// Entries whose literal prefix the name has, longest prefix first, as far as they match.
    fn matching<'i>(&'i self, name: &'i str) -> impl Iterator<Item = &'i Entry<'a>> {
        self.lengths
            .iter()
            .filter_map(|&length| self.by_prefix.get(name.get(..length)?))
            .flatten()
            .filter(|entry| entry.glob.matches(name))
    }

    fn claim(&self, flag: &Flag) -> Result<Option<Claim>, String> {
        let mut matching = self.matching(&flag.name).peekable();
        let Some(first) = matching.peek() else {
            return Ok(None);
        };
        let service = match recorded::service(flag) {
            Stated::Nothing => self.longest(flag, first)?,
            Stated::Service(stated) => {
                let mut services = self.matching(&flag.name).map(|entry| entry.service);
                services
                    .find(|&service| *self.services[service].name == *stated)
                    .ok_or_else(|| {
                        format!("is for the service {stated:?}, whose `canaries` do not match it")
                    })?
            }
            Stated::Several(one, other) => {
                return Err(format!("is for two services, {one:?} and {other:?}"));
            }
        };
        let own = matching.filter(|entry| entry.service == service);
        Ok(own
            .map(|entry| entry.rank)
            .min()
            .map(|rank| (service, rank)))
    }

    /// The service of the first entry, unless another one names the flag as literally.
    fn longest(&self, flag: &Flag, first: &Entry<'_>) -> Result<ServiceIndex, String> {
        let length = first.glob.literal_prefix();
        let rival = self
            .matching(&flag.name)
            .take_while(|entry| entry.glob.literal_prefix() == length)
            .find(|entry| entry.service != first.service);
        match rival {
            None => Ok(first.service),
            Some(rival) => {
                let name = |service: ServiceIndex| &self.services[service].name;
                let (one, other) = (name(first.service), name(rival.service));
                Err(format!(
                    "matches canaries of {one} and of {other} with equal right"
                ))
            }
        }
    }
}
