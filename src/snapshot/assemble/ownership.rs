//! Which service a canary flag belongs to, found without comparing every flag with every service.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::config::ServiceConfig;
use crate::engine::Flag;
use crate::flag::Glob;
use crate::route::ServiceIndex;

/// The canary flags of every service.
pub(super) struct Ownership<'a> {
    /// By service, in order of precedence.
    pub(super) owned: Vec<Vec<&'a Arc<Flag>>>,
    /// Flags that two services name with equal right, in words.
    pub(super) ties: Vec<String>,
}

/// One entry of a service's `canaries`.
struct Entry<'a> {
    service: ServiceIndex,
    /// Its position in `canaries`.
    rank: usize,
    glob: &'a Glob,
}

/// The entries of all services by what stands before their first `*`.
#[derive(Default)]
struct Index<'a> {
    by_prefix: FxHashMap<&'a str, Vec<Entry<'a>>>,
    /// The lengths of those prefixes, longest first.
    lengths: Vec<usize>,
}

/// The service that a flag belongs to, and where it stands there.
struct Claim {
    service: ServiceIndex,
    /// The position of the first matching entry of the service's `canaries`.
    rank: usize,
    /// Another service with as good a claim.
    rival: Option<ServiceIndex>,
}

impl<'a> Ownership<'a> {
    /// Gives every flag to the service that names it with the longest literal prefix.
    pub(super) fn of(services: &'a [ServiceConfig], flags: &[&'a Arc<Flag>]) -> Self {
        let index = Index::new(services);
        let mut ranked: Vec<Vec<(usize, &Arc<Flag>)>> = vec![Vec::new(); services.len()];
        let mut ties = Vec::new();
        for &flag in flags {
            let Some(claim) = index.claim(&flag.name) else {
                continue;
            };
            ranked[claim.service].push((claim.rank, flag));
            if let Some(rival) = claim.rival {
                let (winner, rival) = (&services[claim.service].name, &services[rival].name);
                ties.push(format!(
                    "flag {} matches canaries of {winner} and of {rival} with equal right; {winner} comes first and has it",
                    flag.name
                ));
            }
        }
        let owned = ranked
            .into_iter()
            .map(|mut flags| {
                flags.sort_by(|(a, one), (b, other)| (a, &one.name).cmp(&(b, &other.name)));
                flags.into_iter().map(|(_, flag)| flag).collect()
            })
            .collect();
        Self { owned, ties }
    }
}

impl<'a> Index<'a> {
    fn new(services: &'a [ServiceConfig]) -> Self {
        let mut index = Self::default();
        for (service, config) in services.iter().enumerate() {
            for (rank, glob) in config.canaries.iter().enumerate() {
                let (prefix, _) = glob.as_str().split_at(glob.literal_prefix());
                index.by_prefix.entry(prefix).or_default().push(Entry {
                    service,
                    rank,
                    glob,
                });
            }
        }
        index.lengths = index.by_prefix.keys().map(|prefix| prefix.len()).collect();
        index.lengths.sort_unstable_by(|a, b| b.cmp(a));
        index.lengths.dedup();
        index
    }

    /// Entries whose literal prefix the name has, longest prefix first, as far as they match.
    fn matching<'i>(&'i self, name: &'i str) -> impl Iterator<Item = &'i Entry<'a>> {
        self.lengths
            .iter()
            .filter_map(|&length| self.by_prefix.get(name.get(..length)?))
            .flatten()
            .filter(|entry| entry.glob.matches(name))
    }

    fn claim(&self, name: &str) -> Option<Claim> {
        let mut matching = self.matching(name);
        let first = matching.next()?;
        let mut claim = Claim {
            service: first.service,
            rank: first.rank,
            rival: None,
        };
        for entry in matching {
            if entry.service == claim.service {
                claim.rank = claim.rank.min(entry.rank);
            } else if entry.glob.literal_prefix() == first.glob.literal_prefix() {
                claim.rival.get_or_insert(entry.service);
            }
        }
        Some(claim)
    }
}
