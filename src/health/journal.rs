//! What happens to endpoints, for people: a line when one goes down, is tried again, comes back.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::HealthNotify;
use crate::cluster::endpoint::{Ejection, Endpoint, Standing};
use crate::cluster::{Cluster, Role};
use crate::events::{EventKind, Events};
use crate::snapshot::Snapshot;
use crate::snapshot::store::SnapshotStore;

/// Between two looks, however often the bell rings: a look walks all endpoints.
const PAUSE: Duration = Duration::from_millis(100);

/// Looks whenever the bell rings, the snapshot changes or an ejection ends.
pub(super) async fn keep(
    store: Arc<SnapshotStore>,
    mut generation: watch::Receiver<u64>,
    bell: Arc<HealthNotify>,
    events: Events,
) {
    let mut journal = Journal::default();
    loop {
        let now = Instant::now();
        let look = journal.look(&store.load(), now);
        for event in &look.events {
            event.log();
            if let Some(told) = event.told() {
                events.emit(told);
            }
        }
        tokio::time::sleep(PAUSE).await;
        let next = async {
            match look.again {
                Some(left) => tokio::time::sleep_until((now + left).into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = bell.0.notified() => {}
            () = next => {}
            changed = generation.changed() => if changed.is_err() {
                return;
            },
        }
    }
}

/// What was seen last of every endpoint that was not simply healthy, and of every cluster in need.
#[derive(Debug, Default)]
struct Journal {
    endpoints: HashMap<(u64, SocketAddr), Seen>,
    in_need: HashMap<u64, Need>,
}

/// What one look found.
#[derive(Debug, Default)]
struct Look {
    events: Vec<Event>,
    /// When the next ejection ends.
    again: Option<Duration>,
}

/// An endpoint as it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Well,
    /// Ejected so many times.
    Ejected(u8),
    Trial,
    Unhealthy,
}

/// What a cluster lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// A canary has no endpoint that may be given requests.
    Down,
    /// Fewer than half of stable's may be, so all are.
    Panic,
}

/// A line for the log, and an event.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Event {
    service: Box<str>,
    deployment: Box<str>,
    what: News,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum News {
    Ejected {
        endpoint: SocketAddr,
        ejection: Ejection,
        left: Duration,
    },
    Trial(SocketAddr),
    Unhealthy {
        endpoint: SocketAddr,
        check: Box<str>,
    },
    Back(SocketAddr),
    InNeed(Need),
    InNeedNoMore,
}

impl Journal {
    fn look(&mut self, snapshot: &Snapshot, now: Instant) -> Look {
        let mut look = Look::default();
        let (mut endpoints, mut in_need) = (HashMap::new(), HashMap::new());
        let services = snapshot.services.iter();
        for deployment in services.flat_map(|service| &service.deployments) {
            let cluster = &*deployment.cluster;
            let members = cluster.endpoints();
            let (mut well, mut on_trial) = (0, 0);
            for endpoint in members.iter() {
                let key = (cluster.id, endpoint.address);
                let before = self.endpoints.get(&key).copied().unwrap_or(Seen::Well);
                let seen = look.at(cluster, endpoint, before, now);
                well += usize::from(seen == Seen::Well);
                on_trial += usize::from(seen == Seen::Trial);
                if seen != Seen::Well {
                    endpoints.insert(key, seen);
                }
            }
            let need = need(cluster.role(), (well, on_trial), members.len());
            if let Some(need) = need {
                in_need.insert(cluster.id, need);
            }
            let before = self.in_need.get(&cluster.id).copied();
            if need != before {
                look.note(cluster, need.map_or(News::InNeedNoMore, News::InNeed));
            }
        }
        (self.endpoints, self.in_need) = (endpoints, in_need);
        look
    }
}

/// What a cluster with so many endpoints lacks. One without addresses is reported by the resolver.
fn need(role: Role, (well, on_trial): (usize, usize), count: usize) -> Option<Need> {
    match role {
        _ if count == 0 => None,
        // Those on trial get a request now and then; stable has the rest.
        Role::Canary => (well == 0).then_some(Need::Down),
        Role::Stable => ((well + on_trial) * 2 < count).then_some(Need::Panic),
    }
}

impl Look {
    fn note(&mut self, cluster: &Cluster, what: News) {
        self.events.push(Event {
            service: cluster.service.clone(),
            deployment: cluster.deployment.clone(),
            what,
        });
    }

    /// Looks at one endpoint, and notes what has changed.
    fn at(&mut self, cluster: &Cluster, endpoint: &Endpoint, before: Seen, now: Instant) -> Seen {
        let address = endpoint.address;
        let ejection = endpoint.ejection(now);
        let seen = match (endpoint.standing(now), ejection) {
            (Standing::Unhealthy, _) => Seen::Unhealthy,
            (Standing::Ejected, Some((ejection, left))) => {
                self.again = Some(self.again.map_or(left, |again| again.min(left)));
                if before != Seen::Ejected(ejection.times) {
                    let what = News::Ejected {
                        endpoint: address,
                        ejection,
                        left,
                    };
                    self.note(cluster, what);
                }
                return Seen::Ejected(ejection.times);
            }
            (Standing::Trial, _) => Seen::Trial,
            (Standing::Healthy | Standing::Warming(_) | Standing::Ejected, _) => Seen::Well,
        };
        if seen != before {
            let what = match seen {
                Seen::Unhealthy => News::Unhealthy {
                    endpoint: address,
                    check: endpoint
                        .last_check()
                        .map_or_else(Box::default, |check| check.finding.said.clone()),
                },
                Seen::Trial => News::Trial(address),
                Seen::Well | Seen::Ejected(_) => News::Back(address),
            };
            self.note(cluster, what);
        }
        seen
    }
}

impl Event {
    /// What others hear of it.
    fn told(&self) -> Option<EventKind> {
        let (address, state, why) = match &self.what {
            News::Ejected {
                endpoint, ejection, ..
            } => {
                let (rule, failure) = (ejection.rule.as_str(), ejection.failure.as_str());
                (
                    *endpoint,
                    "ejected",
                    Some(format!("{rule}, last {failure}")),
                )
            }
            News::Trial(endpoint) => (*endpoint, "trial", None),
            News::Unhealthy { endpoint, check } => {
                (*endpoint, "unhealthy", Some(check.to_string()))
            }
            News::Back(endpoint) => (*endpoint, "back", None),
            News::InNeed(_) | News::InNeedNoMore => return None,
        };
        Some(EventKind::Endpoint {
            service: self.service.clone(),
            deployment: self.deployment.clone(),
            address,
            state,
            why,
        })
    }

    fn log(&self) {
        let (service, deployment) = (&*self.service, &*self.deployment);
        match &self.what {
            News::Ejected {
                endpoint,
                ejection,
                left,
            } => tracing::warn!(
                service, deployment, %endpoint, cause = ejection.rule.as_str(),
                failure = ejection.failure.as_str(), times = ejection.times, seconds = left.as_secs_f64(),
                "endpoint ejected: it failed too often"
            ),
            News::Trial(endpoint) => tracing::info!(
                service, deployment, %endpoint, "the endpoint's ejection is over: a few requests try it"
            ),
            News::Unhealthy { endpoint, check } => tracing::warn!(
                service, deployment, %endpoint, %check, "endpoint unhealthy: its checks fail"
            ),
            News::Back(endpoint) => {
                tracing::info!(service, deployment, %endpoint, "endpoint is back");
            }
            News::InNeed(Need::Down) => tracing::warn!(
                service,
                deployment,
                "the canary has no healthy endpoint: stable serves its users"
            ),
            News::InNeed(Need::Panic) => tracing::warn!(
                service,
                deployment,
                "fewer than half of the endpoints are healthy: all are used"
            ),
            News::InNeedNoMore => {
                tracing::info!(service, deployment, "the deployment is healthy again");
            }
        }
    }
}

#[cfg(test)]
mod tests;
