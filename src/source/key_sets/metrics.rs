//! The figures of tokens and of the keys that verify them.

use std::fmt;
use std::sync::Arc;

use super::TokenIssuers;
use crate::snapshot::store::SnapshotStore;
use crate::telemetry::metrics::{Collector, Page};

/// The collector of tokens and keys.
#[derive(Debug)]
pub struct TokenMetrics {
    /// Who has keys.
    pub issuers: TokenIssuers,
    /// What runs.
    pub store: Arc<SnapshotStore>,
}

impl Collector for TokenMetrics {
    fn collect(&self, page: &mut Page<'_>) -> fmt::Result {
        let counters = self.issuers.lock().counters.clone();
        let mut family = page.counters(
            "serin_identity",
            "What became of the tokens that requests showed, by who is to have issued them",
        )?;
        for (issuer, counters) in &counters {
            for (result, count) in counters.all() {
                let labels = [
                    ("source", "jwt"),
                    ("issuer", issuer.as_str()),
                    ("result", result.as_str()),
                ];
                family.write(labels, count)?;
            }
        }
        let standings = self.issuers.standings(&self.store.peek().identity);
        let mut family = page.gauges("serin_token_keys", "Keys that verify tokens")?;
        for standing in &standings {
            family.write([("issuer", &*standing.name)], &(standing.keys as i64))?;
        }
        let mut family = page.counters(
            "serin_token_key_fetches",
            "How often the keys were got, and could not be got",
        )?;
        for standing in &standings {
            for (result, count) in ["ok", "failed"].into_iter().zip(standing.fetches) {
                family.write([("issuer", &*standing.name), ("result", result)], count)?;
            }
        }
        let mut family = page.gauges(
            "serin_token_keys_fetched_timestamp_seconds",
            "When the keys were got last, in seconds since 1970-01-01",
        )?;
        for standing in &standings {
            if let Some(at) = standing.standing.fetched_at {
                let seconds = at.unix_ms as f64 / 1e3;
                family.write([("issuer", &*standing.name)], &seconds)?;
            }
        }
        Ok(())
    }
}
