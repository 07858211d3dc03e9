//! Leases that do not run out, since nobody can renew them.

use schemars::JsonSchema;
use serde::Serialize;

use crate::admin::AdminState;
use crate::registry::registrations::lease::Lease;

/// Why a lease is held.
const REASON: &str = "what gateways share cannot be reached, so nobody can renew it: it goes on until then, and for its TTL after";

/// Since when a lease is held, and why.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Held")]
pub(super) struct HeldView {
    #[schemars(extend("format" = "date-time"))]
    since: String,
    reason: &'static str,
}

/// A lease that is held.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "HeldLease")]
pub(in crate::admin) struct HeldLeaseView {
    name: String,
    #[serde(flatten)]
    held: HeldView,
}

impl HeldView {
    /// `None`: it runs as it should.
    pub(super) fn of(lease: &Lease) -> Option<Self> {
        let since = lease.waits_since()?;
        Some(Self {
            since: since.to_string(),
            reason: REASON,
        })
    }
}

impl HeldLeaseView {
    /// Those of a service.
    pub(in crate::admin) fn of_service(service: &str, state: &AdminState) -> Vec<Self> {
        let mut held = Vec::new();
        state.registrar.registrations().each(|(of, name), lease| {
            if **of == *service
                && let Some(view) = HeldView::of(lease)
            {
                held.push(Self {
                    name: name.to_string(),
                    held: view,
                });
            }
        });
        held
    }
}
