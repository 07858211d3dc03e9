//! Handles for a snapshot that carries no traffic: `explain` from a file, tests, benches.

use std::sync::Arc;

use super::{ClusterProvider, NamedBy};
use crate::canary::WithdrawalFlag;
use crate::cluster::{Cluster, DeploymentName, NoopListener, UpstreamUrl};
use crate::meter::{DecisionMeter, DeploymentMeter, Meters, RouteMeter, ServiceMeter};

/// Gives every name a handle of its own, which nobody resolves and nobody reads.
#[derive(Debug, Default)]
pub struct Offline {
    clusters: u64,
}

impl ClusterProvider for Offline {
    fn cluster(&mut self, name: DeploymentName<'_>, url: &UpstreamUrl, _: NamedBy) -> Arc<Cluster> {
        self.clusters += 1;
        Cluster::new(self.clusters, name, url.clone(), Arc::new(NoopListener))
    }

    fn mark(&mut self, _: &str, _: &str) -> Arc<WithdrawalFlag> {
        Arc::default()
    }
}

/// Meters beside [`Offline`]: the two are handed to assembly as two exclusive borrows.
#[derive(Debug, Default)]
pub struct NoopMeters;

impl Meters for NoopMeters {
    fn service(&mut self, _: &str) -> Arc<ServiceMeter> {
        Arc::default()
    }

    fn deployment(&mut self, _: &str, _: &str) -> Arc<DeploymentMeter> {
        Arc::default()
    }

    fn decision(&mut self, _: &str, _: &str, _: &str) -> Arc<DecisionMeter> {
        Arc::default()
    }

    fn route(&mut self, _: &str) -> Arc<RouteMeter> {
        Arc::default()
    }
}
