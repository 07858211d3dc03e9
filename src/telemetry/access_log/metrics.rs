//! How many lines the access log lost.

use std::fmt;

use super::AccessLog;
use crate::telemetry::metrics::{Collector, Page};

impl Collector for AccessLog {
    fn collect(&self, page: &mut Page<'_>) -> fmt::Result {
        page.counter(
            "serin_access_log_dropped",
            "Access log lines that nobody could take in time",
            &self.dropped().get(),
        )
    }
}
