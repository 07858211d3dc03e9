//! The figures of tokens and of the keys that verify them.

use std::fmt;
use std::sync::Arc;

use super::{IssuerStanding, TokenIssuers};
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
        let standings = self.keys();
        let mut family = page.gauges("serin_token_keys", "Keys that verify tokens")?;
        for standing in &standings {
            family.write(labels(standing), &(standing.keys as i64))?;
        }
        let mut family = page.counters(
            "serin_token_key_fetches",
            "How often the keys were got, and could not be got",
        )?;
        for standing in &standings {
            for (result, count) in ["ok", "failed"].into_iter().zip(standing.fetches) {
                let [issuer, keys_from] = labels(standing);
                family.write([issuer, keys_from, ("result", result)], count)?;
            }
        }
        let mut family = page.gauges(
            "serin_token_keys_fetched_timestamp_seconds",
            "When the keys were got last, in seconds since 1970-01-01",
        )?;
        for standing in &standings {
            if let Some(at) = standing.standing.fetched_at {
                let seconds = at.unix_ms as f64 / 1e3;
                family.write(labels(standing), &seconds)?;
            }
        }
        Ok(())
    }
}

impl TokenMetrics {
    /// Each issuer's keys once, wherever they come from: tokens of one may be shown in several places.
    fn keys(&self) -> Vec<IssuerStanding> {
        let mut standings: Vec<IssuerStanding> = Vec::new();
        for standing in self.issuers.standings(&self.store.peek().identity) {
            if !standings
                .iter()
                .any(|known| labels(known) == labels(&standing))
            {
                standings.push(standing);
            }
        }
        standings
    }
}

fn labels(standing: &IssuerStanding) -> [(&'static str, &str); 2] {
    [
        ("issuer", &standing.name),
        ("keys_from", &standing.keys_from),
    ]
}
