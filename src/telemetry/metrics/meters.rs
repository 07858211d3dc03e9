//! The meters that snapshots point to, by name, and how they are shown.

mod durations;
mod load;
mod requests;
mod routes;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Collector, Page};
use crate::meter::view::ServedBy;
use crate::meter::{DecisionMeter, DeploymentMeter, Meters, RouteMeter, ServiceMeter};

/// How long a meter is still shown after the last snapshot that pointed to it has gone.
const SHOWN_UNUSED: Duration = Duration::from_secs(3600);

/// Every meter of the process. Clones share the same meters.
#[derive(Clone, Debug, Default)]
pub struct MeterRegistry(Arc<Mutex<Families>>);

/// Ordered by name, as the page shows them.
#[derive(Debug, Default)]
struct Families {
    services: Family<String, ServiceMeter>,
    /// By service and deployment.
    deployments: Family<(String, String), DeploymentMeter>,
    /// By service, flag and variant.
    decisions: Family<(String, String, String), DecisionMeter>,
    routes: Family<String, RouteMeter>,
}

/// Meters of one kind.
#[derive(Debug)]
struct Family<K, M>(BTreeMap<K, Slot<M>>);

#[derive(Debug)]
struct Slot<M> {
    meter: Arc<M>,
    unused_since: Option<Instant>,
}

impl MeterRegistry {
    /// Drops the meters that no snapshot has pointed to for an hour.
    pub fn sweep(&self, now: Instant) {
        let mut families = self.lock();
        families.services.sweep(now);
        families.deployments.sweep(now);
        families.decisions.sweep(now);
        families.routes.sweep(now);
    }

    fn lock(&self) -> MutexGuard<'_, Families> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for MeterRegistry {
    fn collect(&self, page: &mut Page<'_>) -> fmt::Result {
        let families = self.lock();
        requests::requests(&families, page)?;
        durations::requests(&families, page)?;
        durations::attempts(&families, page)?;
        requests::rescues_and_retries(&families, page)?;
        requests::decisions(&families, page)?;
        requests::lanes(&families, page)?;
        requests::mirrors(&families, page)?;
        load::load(&families, page)?;
        routes::routes(&families, page)
    }
}

impl Meters for MeterRegistry {
    fn service(&mut self, service: &str) -> Arc<ServiceMeter> {
        self.lock().services.get(service.to_owned())
    }

    fn deployment(&mut self, service: &str, deployment: &str) -> Arc<DeploymentMeter> {
        let key = (service.to_owned(), deployment.to_owned());
        self.lock().deployments.get(key)
    }

    fn decision(&mut self, service: &str, flag: &str, variant: &str) -> Arc<DecisionMeter> {
        let key = (service.to_owned(), flag.to_owned(), variant.to_owned());
        self.lock().decisions.get(key)
    }

    fn route(&mut self, route: &str) -> Arc<RouteMeter> {
        self.lock().routes.get(route.to_owned())
    }
}

impl<K: Ord, M: Default> Family<K, M> {
    fn get(&mut self, key: K) -> Arc<M> {
        let slot = self.0.entry(key).or_insert_with(|| Slot {
            meter: Arc::default(),
            unused_since: None,
        });
        slot.unused_since = None;
        slot.meter.clone()
    }

    fn sweep(&mut self, now: Instant) {
        self.0.retain(|_, slot| {
            // Where this registry has the only handle, no second one can appear while its lock is held.
            if Arc::strong_count(&slot.meter) > 1 {
                slot.unused_since = None;
                return true;
            }
            let since = *slot.unused_since.get_or_insert(now);
            now.duration_since(since) < SHOWN_UNUSED
        });
    }

    fn iter(&self) -> impl Iterator<Item = (&K, &M)> {
        self.0.iter().map(|(key, slot)| (key, &*slot.meter))
    }
}

/// The label `served` of requests that `assigned` was to serve.
fn served_by(served: ServedBy, assigned: &str) -> &str {
    match served {
        ServedBy::Itself => assigned,
        ServedBy::Stable => "stable",
        ServedBy::None => "-",
    }
}

impl<K, M> Default for Family<K, M> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use super::MeterRegistry;
    use crate::meter::Meters;

    #[test]
    fn the_same_names_are_the_same_meter() {
        let mut registry = MeterRegistry::default();
        let mut clone = registry.clone();
        let one = registry.deployment("search", "stable");
        assert!(Arc::ptr_eq(&one, &clone.deployment("search", "stable")));
        assert!(!Arc::ptr_eq(&one, &registry.deployment("shop", "stable")));
        assert!(Arc::ptr_eq(
            &registry.decision("search", "f", ""),
            &registry.decision("search", "f", "")
        ));
    }

    #[test]
    fn an_unused_meter_goes_after_an_hour() {
        let mut registry = MeterRegistry::default();
        let used = registry.service("used");
        drop(registry.service("unused"));
        let start = Instant::now();
        let hour = Duration::from_secs(3600);
        registry.sweep(start);
        registry.sweep(start + hour / 2);
        assert_eq!(registry.lock().services.iter().count(), 2);
        // Used again, and its hour begins anew.
        registry.service("unused").decisions[0].inc();
        registry.sweep(start + hour);
        assert_eq!(registry.service("unused").decisions[0].get(), 1);
        registry.sweep(start + hour);
        registry.sweep(start + 2 * hour);
        assert_eq!(registry.lock().services.iter().count(), 1);
        drop(used);
    }
}
