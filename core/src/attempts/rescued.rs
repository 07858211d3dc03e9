//! Users who were rescued: who is spared a canary, and whose rescue counts towards it.

use std::sync::Arc;

use super::{AttemptContext, Attempts, Failure};
use crate::cluster::endpoint::{Endpoint, Standing};
use crate::quarantine::QuarantineKey;
use crate::snapshot::Deployment;

impl Attempts {
    /// Whether the user is spared the canary for now.
    pub(super) fn quarantined(&self, deployment: &Deployment, site: &AttemptContext<'_>) -> bool {
        self.user.is_some_and(|user| {
            let key = QuarantineKey::new(user, deployment.cluster.id);
            site.quarantine.holds(key, site.now).is_some()
        })
    }

    /// Counts a rescue against the user, if it may be the user's own trouble: the canary did something with the
    /// request, it has no endpoint that is known to be ill, and nobody else's requests are among the last failures in
    /// a row at the endpoint. When all fare badly it is the canary that is ill, and its users come back with it.
    pub(super) fn count_for_quarantine(
        &self,
        failure: Failure,
        failures: u32,
        site: &AttemptContext<'_>,
    ) {
        let own_trouble = matches!(
            failure,
            Failure::Reset | Failure::StreamReset | Failure::Timeout | Failure::Status(_)
        );
        let cluster = &site.service.deployments.get(self.deployment).cluster;
        let policy = site.service.upstream.rescue.quarantine;
        let (Some(policy), Some(user), true) = (policy, self.user, own_trouble) else {
            return;
        };
        let is_well = |endpoint: &Arc<Endpoint>| {
            let standing = endpoint.standing(site.now);
            matches!(standing, Standing::Healthy | Standing::Warming(_))
        };
        if !cluster.endpoints().iter().all(is_well) {
            return;
        }
        let key = QuarantineKey::new(user, cluster.id);
        let own = u32::from(site.quarantine.rescues(key, site.now)) + 1;
        if failures <= own {
            site.quarantine.note(key, policy, site.now);
        }
    }
}
