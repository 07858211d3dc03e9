//! The services of a snapshot.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::{Deployment, Deployments, Service};
use crate::cluster::policy::UpstreamPolicy;
use crate::cluster::{Cluster, DeploymentName, NoopListener, UpstreamUrl};
use crate::engine::STABLE;
use crate::indexed::Indexed;
use crate::route::ServiceIndex;

/// The services of a snapshot, in the order of their file. Read as a slice they are walked like any list.
#[derive(Debug)]
pub struct Services {
    list: Indexed<ServiceIndex, Service>,
    /// Stands in for the service of an index that another snapshot has: it has no address, so that requests for it are
    /// answered 503.
    nowhere: Box<Service>,
}

impl Services {
    /// A service. An index of another, longer list leads to a service without any address.
    pub fn get(&self, index: ServiceIndex) -> &Service {
        self.list.get(index).unwrap_or(&self.nowhere)
    }

    /// A service by its name.
    pub fn named(&self, name: &str) -> Option<&Service> {
        self.list.iter().find(|service| *service.name == *name)
    }

    /// Every service with its index.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = (ServiceIndex, &Service)> {
        self.list.entries()
    }
}

impl FromIterator<Service> for Services {
    fn from_iter<T: IntoIterator<Item = Service>>(services: T) -> Self {
        Self {
            list: services.into_iter().collect(),
            nowhere: Box::new(nowhere()),
        }
    }
}

impl Deref for Services {
    type Target = [Service];

    fn deref(&self) -> &[Service] {
        &self.list
    }
}

impl DerefMut for Services {
    fn deref_mut(&mut self) -> &mut [Service] {
        &mut self.list
    }
}

impl<'a> IntoIterator for &'a Services {
    type Item = &'a Service;
    type IntoIter = std::slice::Iter<'a, Service>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.iter()
    }
}

impl<'a> IntoIterator for &'a mut Services {
    type Item = &'a mut Service;
    type IntoIter = std::slice::IterMut<'a, Service>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.iter_mut()
    }
}

fn nowhere() -> Service {
    let name = DeploymentName {
        service: "-",
        deployment: STABLE,
    };
    let cluster = Cluster::new(0, name, UpstreamUrl::NOWHERE, Arc::new(NoopListener));
    Service {
        name: name.service.into(),
        deployments: Deployments::new(Deployment::new(name, cluster, Arc::default())),
        canaries: Arc::default(),
        candidates: Indexed::default(),
        awaits_flags: false,
        uses_session: false,
        shutoff: None,
        mirror: None,
        upstream: UpstreamPolicy::default(),
        meter: Arc::default(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use crate::attempts::{AttemptContext, Attempts};
    use crate::canary::Cause;
    use crate::context::{Context, Moment};
    use crate::decide::decide;
    use crate::identity::Anonymous;
    use crate::quarantine::Quarantine;
    use crate::route::ServiceIndex;
    use crate::snapshot::{STABLE, sample};

    #[test]
    fn a_foreign_index_leads_to_a_service_that_nobody_answers_for() {
        let snapshot = sample::snapshot(Anonymous::Stable);
        let services = &snapshot.services;
        for (index, service) in services.entries() {
            assert_eq!(services.get(index).name, service.name);
        }
        let service = services.get(ServiceIndex::new(services.len()));
        let decision = decide(service, &Context::default(), Moment { unix_ms: 0 });
        assert_eq!((decision.assigned, decision.candidate), (STABLE, None));
        let now = Instant::now();
        let site = AttemptContext {
            service,
            quarantine: &Quarantine::new(now),
            now,
        };
        let next = Attempts::new(service, &decision, None).next(&site, 0);
        assert_eq!(next, Err(Cause::Unhealthy));
    }
}
