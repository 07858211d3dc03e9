//! When certificates end.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::{Handshake, ServerTls};
use crate::telemetry::metrics::{Collector, Page};

/// The certificates of every listener that has any.
#[derive(Clone, Debug, Default)]
pub struct CertificateMetrics(pub Arc<[Arc<ServerTls>]>);

impl Collector for CertificateMetrics {
    fn collect(&self, page: &mut Page<'_>) -> fmt::Result {
        // Several may be for the same subject: the one that ends first counts.
        let mut ends: BTreeMap<(String, String), i64> = BTreeMap::new();
        for tls in self.0.iter() {
            for facts in tls.certificates() {
                let place = (tls.owner().label(), facts.subject);
                let until = ends.entry(place).or_insert(facts.until);
                *until = facts.until.min(*until);
            }
        }
        if ends.is_empty() {
            return Ok(());
        }
        let help = "Handshakes of clients on listeners with TLS, by what became of them";
        let mut family = page.counters("serin_tls_handshakes", help)?;
        for tls in self.0.iter() {
            let listener = tls.owner().label();
            for end in Handshake::ALL {
                let labels = [("listener", listener.as_str()), ("result", end.as_str())];
                family.write_nonzero(labels, tls.handshakes().of(end))?;
            }
        }
        let help = "When a certificate in use ends, in seconds since 1970";
        let mut family = page.gauges("serin_certificate_expiry_seconds", help)?;
        for ((listener, subject), until) in &ends {
            let labels = [("listener", listener.as_str()), ("subject", subject)];
            family.write(labels, until)?;
        }
        Ok(())
    }
}
