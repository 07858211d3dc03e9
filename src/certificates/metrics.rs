//! When certificates end.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::ServerTls;
use crate::telemetry::metrics::{Collector, Page};

/// The certificates of the admin API, if it has any.
#[derive(Debug)]
pub struct CertificateMetrics(pub Option<Arc<ServerTls>>);

impl Collector for CertificateMetrics {
    fn collect(&self, page: &mut Page<'_>) -> fmt::Result {
        let Some(tls) = &self.0 else {
            return Ok(());
        };
        // Several may be for the same subject: the one that ends first counts.
        let mut ends: BTreeMap<String, i64> = BTreeMap::new();
        for facts in tls.certificates() {
            let until = ends.entry(facts.subject).or_insert(facts.until);
            *until = facts.until.min(*until);
        }
        let help = "When a certificate in use ends, in seconds since 1970";
        let mut family = page.gauges("serin_certificate_expiry_seconds", help)?;
        for (subject, until) in &ends {
            family.write(
                [("listener", "admin"), ("subject", subject.as_str())],
                until,
            )?;
        }
        Ok(())
    }
}
