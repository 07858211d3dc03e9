//! How many requests are under way.

use std::sync::Arc;

use crate::meter::Gauge;

/// Counted in `serin_active_requests` until dropped, however the request ends.
pub(super) struct ActiveRequest(Arc<Gauge>);

impl ActiveRequest {
    /// One more.
    pub(super) fn begin(active: &Arc<Gauge>) -> Self {
        active.inc();
        Self(active.clone())
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        self.0.dec();
    }
}
