//! What a running gateway would do with a request now, as JSON.

use std::time::Instant;

use schemars::JsonSchema;
use serde::Serialize;

use crate::attempts::{AttemptContext, Attempts};
use crate::canary::Cause;
use crate::decide::explain::Explanation;
use crate::dispatch::Explained;
use crate::quarantine::{Quarantine, QuarantineKey};

/// What a running gateway would do now. Health, load, kills and quarantine say so; no decision depends on them.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ServedNow")]
pub(super) struct NowView {
    /// `null`: nobody would answer.
    served: Option<String>,
    cause: Option<&'static str>,
    /// How much longer the user is in quarantine.
    #[serde(skip_serializing_if = "Option::is_none")]
    quarantined_seconds: Option<u64>,
}

/// What a request meets on a running gateway.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// Who is spared which canary.
    pub quarantine: &'a Quarantine,
    /// When it is.
    pub now: Instant,
}

impl NowView {
    pub(super) fn new(
        explained: &Explained<'_>,
        explanation: &Explanation<'_>,
        meets: Circumstances<'_>,
    ) -> Self {
        if explained.shut_off_by.is_some() {
            return Self::nobody(Cause::Shutoff);
        }
        let Circumstances { quarantine, now } = meets;
        let site = AttemptContext {
            service: explanation.service,
            quarantine,
            now,
        };
        let user = explained.user;
        let mut attempts = Attempts::new(site.service, &explanation.decision, user);
        // The endpoint is let go at once.
        if let Err(cause) = attempts.next(&site, 0) {
            return Self::nobody(cause);
        }
        let assigned = explanation.decision.assigned;
        let cluster = &site.service.deployments.get(assigned).cluster;
        let held = user
            .filter(|_| attempts.cause() == Some(Cause::Quarantined))
            .and_then(|user| quarantine.holds(QuarantineKey::new(user, cluster.id), now));
        Self {
            served: Some(
                site.service
                    .deployments
                    .get(attempts.deployment())
                    .name
                    .to_string(),
            ),
            cause: attempts.cause().map(Cause::as_str),
            quarantined_seconds: held.map(|until| until.duration_since(now).as_secs()),
        }
    }

    fn nobody(cause: Cause) -> Self {
        Self {
            served: None,
            cause: Some(cause.as_str()),
            quarantined_seconds: None,
        }
    }

    pub(super) fn in_words(&self) -> String {
        let who = self.served.as_deref().unwrap_or("nobody");
        match (self.cause, self.quarantined_seconds) {
            (None, _) => format!("now: {who} would serve\n"),
            (Some(cause), None) => format!("now: {who} would serve, cause {cause}\n"),
            (Some(cause), Some(seconds)) => {
                format!("now: {who} would serve, cause {cause}, for {seconds} s more\n")
            }
        }
    }
}
