//! The first health check of registered canaries: until it has passed, their users stay on stable.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::trail::Difference;
use super::{Publication, Registrar};
use crate::audit::actor::Actor;
use crate::audit::entry::Action;
use crate::clock;
use crate::cluster::policy::{HealthPolicy, UpstreamTls};
use crate::cluster::{Cluster, UpstreamUrl};
use crate::health;
use crate::publisher::PublishError;
use crate::registry::registrations::lease::Said;
use crate::registry::registrations::record::Target;
use crate::registry::registrations::{ChangeError, Name};

/// From a check that failed to the next, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// What is being checked, so that nothing is twice; clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Checks(Arc<Mutex<BTreeSet<(Name, Target)>>>);

impl Checks {
    fn begin(&self, check: (Name, Target)) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(check)
    }

    fn end(&self, check: &(Name, Target)) {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        running.remove(check);
    }
}

impl Registrar {
    /// Begins to check every canary that has yet to pass a check, and is not being checked.
    pub(super) fn check_all(&self) {
        let now = clock::reading();
        let mut unchecked = Vec::new();
        self.registrations.each(|name, lease| {
            if let Some(target) = lease.record.unchecked()
                && !lease.is_over(now)
            {
                unchecked.push((name.clone(), target));
            }
        });
        for check in unchecked {
            if self.checks.begin(check.clone()) {
                let registrar = self.clone();
                tokio::spawn(async move {
                    registrar.check(&check.0, &check.1).await;
                    registrar.checks.end(&check);
                });
            }
        }
    }

    /// Checks until it has passed, or something else is to be checked.
    async fn check(&self, name: &Name, target: &Target) {
        let (mut pause, longest) = PAUSES;
        let Ok(url) = target.url.parse::<UpstreamUrl>() else {
            return;
        };
        let Ok(cluster) = self.cluster(name, &url).await else {
            return;
        };
        while self.is_wanted(name, target) {
            let (passed, text) = match ask(&cluster, &target.check(self.tls(name))).await {
                Ok(text) => (true, text),
                Err(text) => (false, text),
            };
            let at = clock::now();
            self.registrations.note_check(name, Said { at, text });
            if passed && self.pass(name, target).await {
                return;
            }
            tokio::time::sleep(pause).await;
            pause = (2 * pause).min(longest);
        }
    }

    /// What the canary's service states of TLS.
    fn tls(&self, (service, _): &Name) -> Option<Arc<UpstreamTls>> {
        let snapshot = self.publisher.store().load();
        snapshot.services.named(service)?.upstream.tls.clone()
    }

    fn is_wanted(&self, name: &Name, target: &Target) -> bool {
        let now = clock::reading();
        self.registrations.get(name).is_some_and(|lease| {
            !lease.is_over(now) && lease.record.unchecked().as_ref() == Some(target)
        })
    }

    async fn cluster(&self, name: &Name, url: &UpstreamUrl) -> Result<Arc<Cluster>, PublishError> {
        let ((service, canary), url) = (name.clone(), url.clone());
        let publisher = &self.publisher.publisher;
        publisher
            .work(move |builder| builder.registered_cluster(&service, &canary, &url))
            .await
    }

    /// Takes note that a check has passed. Whether that is done.
    async fn pass(&self, name: &Name, target: &Target) -> bool {
        let passed = self.registrations.change(name, |lease| {
            let before = &lease.ok_or(())?.record;
            let mut record = before.clone();
            let is_move = record.next.is_some();
            if !record.pass(clock::now(), target) {
                return Err(());
            }
            let differs = Difference::of(Some(before), Some(&record));
            Ok((Some(record), (is_move, differs)))
        });
        match passed.await {
            Ok((stored, (is_move, differs))) => {
                let (state, action) = match is_move {
                    true => ("moved", Action::Moved),
                    false => ("ready", Action::Ready),
                };
                self.tell(name, state, &target.url, None);
                let own = Actor::gateway();
                self.enter(name, action, &own, differs, stored).let_go();
                // A failure is logged there, and the next publication is another attempt.
                let _ = self.publish(Publication::Now).await;
                true
            }
            Err(ChangeError::Refused(())) => true,
            Err(ChangeError::Store(error)) => {
                let (service, canary) = (&*name.0, &*name.1);
                tracing::error!(service, canary, %error, "that this canary is ready cannot be stored");
                false
            }
        }
    }
}

/// Asks the canary's endpoints until one is well.
async fn ask(cluster: &Cluster, policy: &HealthPolicy) -> Result<String, String> {
    let mut said = None;
    for endpoint in cluster.endpoints().iter() {
        let finding = health::ask(endpoint, cluster, policy).await;
        let text = format!("{}: {}", endpoint.address, finding.said);
        if finding.passed {
            return Ok(text);
        }
        said = Some(text);
    }
    let refused = || {
        let refused = cluster.refused();
        let first = refused.first().map(ToString::to_string);
        first.unwrap_or_else(|| format!("no address is known of {}", cluster.url))
    };
    Err(said.unwrap_or_else(refused))
}
