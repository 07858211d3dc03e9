//! How many canaries are registered, and how they are.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::Registrations;
use crate::clock;
use crate::snapshot::store::SnapshotStore;
use crate::telemetry::metrics::{Collector, Page};

/// The registrations of the running snapshot's services.
#[derive(Debug)]
pub struct RegistrationMetrics {
    /// Every registration.
    pub registrations: Registrations,
    /// The running snapshot: registrations for services that it does not have are not shown.
    pub store: Arc<SnapshotStore>,
}

impl Collector for RegistrationMetrics {
    fn collect(&self, page: &mut Page<'_>) -> fmt::Result {
        let now = clock::reading();
        let snapshot = self.store.peek();
        let services = snapshot.services.iter();
        let mut running: BTreeMap<Arc<str>, u64> =
            services.map(|service| (service.name.clone(), 0)).collect();
        let mut states = Vec::new();
        self.registrations.each(|(service, name), lease| {
            if let Some(count) = running.get_mut(service) {
                *count += u64::from(!lease.is_over(now));
                states.push((service.clone(), name.clone(), lease.state(now)));
            }
        });
        let mut family = page.gauges("serin_leases", "Registered canaries whose lease runs")?;
        for (service, count) in &running {
            family.write([("service", &**service)], count)?;
        }
        let mut family = page.gauges(
            "serin_canary_state",
            "1 for the state that a registered canary is in: checking, ready or over",
        )?;
        for (service, name, state) in &states {
            let labels = [
                ("service", &**service),
                ("deployment", &**name),
                ("state", state),
            ];
            family.write(labels, &1_u64)?;
        }
        Ok(())
    }
}
