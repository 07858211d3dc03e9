//! The deployments of a service: stable, which every service has, and its canaries.

use super::Deployment;
use crate::indexed::index;

index!(
    /// The position of a deployment among those of its service: 0 is stable's.
    DeploymentIndex
);

/// Stable's [`DeploymentIndex`].
pub const STABLE: DeploymentIndex = DeploymentIndex::new(0);

/// The deployments of a service.
#[derive(Clone, Debug)]
pub struct Deployments {
    stable: Deployment,
    canaries: Vec<Deployment>,
}

impl Deployments {
    /// Of a service without canaries.
    pub fn new(stable: Deployment) -> Self {
        Self {
            stable,
            canaries: Vec::new(),
        }
    }

    /// The stable deployment.
    pub fn stable(&self) -> &Deployment {
        &self.stable
    }

    /// The others, in order.
    pub fn canaries(&self) -> &[Deployment] {
        &self.canaries
    }

    /// The deployment at an index. An index of another snapshot, which has no meaning here, leads to stable.
    pub fn get(&self, index: DeploymentIndex) -> &Deployment {
        let canary = index.position().checked_sub(1);
        canary
            .and_then(|position| self.canaries.get(position))
            .unwrap_or(&self.stable)
    }

    /// How many there are, stable included.
    pub fn count(&self) -> usize {
        1 + self.canaries.len()
    }

    /// All of them, stable first.
    pub fn iter(&self) -> <&Self as IntoIterator>::IntoIter {
        self.into_iter()
    }

    /// All of them with their indexes, stable first.
    pub fn entries(&self) -> impl Iterator<Item = (DeploymentIndex, &Deployment)> {
        (0..).map(DeploymentIndex::new).zip(self.iter())
    }

    /// Adds a canary.
    pub(super) fn push(&mut self, canary: Deployment) -> DeploymentIndex {
        self.canaries.push(canary);
        DeploymentIndex::new(self.canaries.len())
    }
}

impl<'a> IntoIterator for &'a Deployments {
    type Item = &'a Deployment;
    type IntoIter =
        std::iter::Chain<std::iter::Once<&'a Deployment>, std::slice::Iter<'a, Deployment>>;

    fn into_iter(self) -> Self::IntoIter {
        std::iter::once(&self.stable).chain(&self.canaries)
    }
}

#[cfg(test)]
mod tests {
    use super::{DeploymentIndex, STABLE};
    use crate::identity::Anonymous;
    use crate::snapshot::sample;

    #[test]
    fn every_index_leads_to_a_deployment_and_a_foreign_one_to_stable() {
        let snapshot = sample::snapshot(Anonymous::Stable);
        let deployments = &snapshot.services[0].deployments;
        let names: Vec<&str> = deployments.iter().map(|each| &*each.name).collect();
        assert_eq!(names, ["stable", "search.a", "search.b"]);
        for (index, deployment) in deployments.entries() {
            assert_eq!(deployments.get(index).name, deployment.name);
        }
        assert_eq!(deployments.get(STABLE).name, deployments.stable().name);
        for foreign in [3, usize::MAX] {
            let found = deployments.get(DeploymentIndex::new(foreign));
            assert_eq!(&*found.name, "stable");
        }
    }
}
