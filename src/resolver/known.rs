//! What look-ups of one name have found: good answers are kept over bad ones.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::future::join_all;

use super::dns::{Dns, Family, HostAddresses, SrvRecord};
use crate::cluster::Placement;

/// How soon a name is looked up again of which only one family was found.
const HALF_ANSWER: Duration = Duration::from_secs(10);
/// SRV records that are followed; with more, the ones of the best priority and the greatest weight are.
const MOST_TARGETS: usize = 256;

/// The addresses of a host name.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    /// The last good ones by family; a family whose look-up fails keeps its own.
    v4: Vec<IpAddr>,
    v6: Vec<IpAddr>,
}

impl Addresses {
    /// Looks the name up. Returns how long the answer may be believed, or why there is none.
    pub(super) async fn refresh(&mut self, dns: &Dns, name: &str) -> Result<Duration, String> {
        let answer = dns.look_up(name).await;
        self.update(answer)
    }

    fn update(&mut self, answer: HostAddresses) -> Result<Duration, String> {
        let (v4, v6) = (answer.v4, answer.v6);
        let ttl = match (&v4, &v6) {
            (Err(v4), Err(v6)) if v4.why == v6.why => return Err(v4.why.clone()),
            (Err(v4), Err(v6)) => return Err(format!("A: {}; AAAA: {}", v4.why, v6.why)),
            (Ok(_), Ok(_)) => answer.ttl,
            // Half an answer is asked for again soon, unless the other half is known not to exist.
            (Err(missing), Ok(_)) | (Ok(_), Err(missing)) if missing.certain => answer.ttl,
            (Err(_), Ok(_)) | (Ok(_), Err(_)) => answer.ttl.min(HALF_ANSWER),
        };
        keep(&mut self.v4, v4);
        keep(&mut self.v6, v6);
        Ok(ttl)
    }

    fn all(&self) -> impl Iterator<Item = IpAddr> {
        self.v4.iter().chain(&self.v6).copied()
    }

    /// As equal endpoints; the port is the cluster's.
    pub(super) fn placements(&self) -> Vec<Placement> {
        let at = |ip| Placement::from(SocketAddr::new(ip, 0));
        self.all().map(at).collect()
    }
}

/// What SRV records lead to (RFC 2782).
#[derive(Debug, Default)]
pub(super) struct Services {
    records: Vec<SrvRecord>,
    targets: BTreeMap<Box<str>, Addresses>,
}

impl Services {
    /// Looks the records up, and every target that they name. A target without a usable answer keeps its last good
    /// addresses. Returns how long all of it may be believed, or why there is nothing to believe.
    pub(super) async fn refresh(&mut self, dns: &Dns, name: &str) -> Result<Duration, String> {
        let (mut records, ttl) = dns
            .look_up_services(name)
            .await
            .map_err(|missing| missing.why)?;
        records.sort_by_key(|record| (record.priority, u16::MAX - record.weight));
        records.truncate(MOST_TARGETS);
        let mut targets: BTreeMap<Box<str>, Addresses> = records
            .iter()
            .map(|record| {
                let kept = self.targets.remove(&record.target);
                (record.target.clone(), kept.unwrap_or_default())
            })
            .collect();
        let look_ups = targets.iter_mut().map(|(target, addresses)| async move {
            let outcome = addresses.refresh(dns, target).await;
            outcome.map_err(|why| format!("{target}: {why}"))
        });
        let outcomes = join_all(look_ups).await;
        (self.records, self.targets) = (records, targets);
        let good = outcomes.iter().flatten().copied().min();
        match (good, outcomes.into_iter().find_map(Result::err)) {
            (Some(good), None) => Ok(ttl.min(good)),
            // The others are asked for again soon.
            (Some(good), Some(_)) => Ok(ttl.min(good).min(HALF_ANSWER)),
            (None, why) => Err(why.unwrap_or_else(|| "no target".to_owned())),
        }
    }

    /// As endpoints. The addresses of one target share its weight.
    pub(super) fn placements(&self) -> Vec<Placement> {
        let of_record = |record: &SrvRecord| {
            let addresses = self.targets.get(&record.target);
            let addresses: Vec<IpAddr> = addresses.into_iter().flat_map(Addresses::all).collect();
            let count = u16::try_from(addresses.len()).unwrap_or(u16::MAX);
            let weight = match record.weight.checked_div(count) {
                Some(0) => record.weight.min(1),
                weight => weight.unwrap_or_default(),
            };
            let (port, priority) = (record.port, record.priority);
            addresses.into_iter().map(move |ip| Placement {
                address: SocketAddr::new(ip, port),
                priority,
                weight,
            })
        };
        self.records.iter().flat_map(of_record).collect()
    }
}

fn keep(known: &mut Vec<IpAddr>, answer: Family) {
    match answer {
        Ok(mut addresses) => {
            addresses.sort_unstable();
            addresses.dedup();
            *known = addresses;
        }
        Err(missing) if missing.certain => known.clear(),
        Err(_) => {}
    }
}
