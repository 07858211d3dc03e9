//! What active health checks have found: told by whoever makes them, read when an endpoint is chosen.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;

use super::policy::HealthPolicy;

/// How one check ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whether it went well.
    pub passed: bool,
    /// What was found, in a few words.
    pub said: Box<str>,
    /// How long it took.
    pub took: Duration,
}

/// The last check of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// When it ended.
    pub at: Instant,
    /// How.
    pub finding: Finding,
    /// How many ended the same way without a break, this one included.
    pub streak: u32,
}

/// What checks know of one endpoint. One that was not checked yet counts as healthy: a check that is wrong or slow
/// must not close a service that works, and users' requests soon show (and stable takes) what does not. Envoy holds
/// it the other way round, since nothing there rescues a request.
#[derive(Debug, Default)]
pub(super) struct Checked {
    failing: AtomicBool,
    last: ArcSwapOption<Check>,
}

impl Checked {
    pub(super) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    pub(super) fn last(&self) -> Option<Arc<Check>> {
        self.last.load_full()
    }

    /// Takes a check in. Answers whether the endpoint has become healthy or unhealthy by it. An endpoint's checks come
    /// one after the other.
    pub(super) fn take(&self, finding: Finding, policy: &HealthPolicy, at: Instant) -> bool {
        let passed = finding.passed;
        let before = self.last.load();
        let same = before
            .as_ref()
            .filter(|before| before.finding.passed == passed);
        let streak = same.map_or(0, |before| before.streak).saturating_add(1);
        self.last.store(Some(Arc::new(Check {
            at,
            finding,
            streak,
        })));
        let enough = if passed {
            streak >= policy.healthy_after
        } else {
            streak >= policy.unhealthy_after
        };
        enough && self.failing.swap(!passed, Ordering::Relaxed) == passed
    }

    /// Forgets every check. Answers whether the endpoint has become healthy by it.
    pub(super) fn forget(&self) -> bool {
        self.last.store(None);
        self.failing.swap(false, Ordering::Relaxed)
    }
}
