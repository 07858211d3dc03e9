//! How many endpoints of each deployment are healthy.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use crate::snapshot::store::SnapshotStore;
use crate::telemetry::metrics::{Collector, Page};

/// The health of the running snapshot's endpoints.
#[derive(Debug)]
pub struct HealthMetrics(pub Arc<SnapshotStore>);

impl Collector for HealthMetrics {
    fn collect(&self, page: &mut Page<'_>) -> fmt::Result {
        let mut family = page.gauges(
            "serin_endpoint_healthy",
            "Endpoints of the deployment that are neither ejected nor found unhealthy",
        )?;
        let now = Instant::now();
        for service in &self.0.peek().services {
            for deployment in &service.deployments {
                let labels = [
                    ("service", &*service.name),
                    ("deployment", &*deployment.name),
                ];
                family.write(labels, &(deployment.cluster.usable(now) as u64))?;
            }
        }
        Ok(())
    }
}
