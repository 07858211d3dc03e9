//! Requests to the admin API, by role and status.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use crate::config::admin::Role;
use crate::telemetry::metrics::{Collector, Page};

/// How many requests there were.
#[derive(Debug, Default)]
pub struct AdminFigures(Mutex<BTreeMap<(Option<Role>, u16), u64>>);

impl AdminFigures {
    /// Counts a request that was answered with this status. `None`: it had no role, as a probe has none.
    pub fn count(&self, role: Option<Role>, status: u16) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry((role, status)).or_default() += 1;
    }
}

impl Collector for AdminFigures {
    fn collect(&self, page: &mut Page<'_>) -> fmt::Result {
        let counts = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let mut family = page.counters(
            "serin_admin_requests",
            "Requests to the admin listener; role \"-\": without one",
        )?;
        for ((role, status), count) in counts {
            let code = status.to_string();
            let role = role.map_or("-", Role::as_str);
            family.write([("role", role), ("code", code.as_str())], count)?;
        }
        Ok(())
    }
}
