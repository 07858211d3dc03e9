//! Whose tokens say who users are, and how their keys are: a part of the status.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::context::Moment;
use crate::snapshot::Snapshot;
use crate::source::key_sets::{IssuerStanding, TokenIssuers};

/// Who issues tokens, and the keys that verify them.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "TokenIssuer")]
pub(super) struct IssuerView {
    issuer: String,
    /// A URL, a file, or `secret`.
    keys_from: String,
    /// How many keys verify its tokens now.
    keys: usize,
    /// When they were got last; null: never, or they stand in the configuration.
    #[schemars(extend("format" = "date-time"))]
    last_fetch: Option<String>,
    /// Why they could not be got since; those that there were stay.
    last_error: Option<String>,
}

impl IssuerView {
    pub(super) fn all(issuers: &TokenIssuers, snapshot: &Snapshot) -> Vec<Self> {
        let standings = issuers.standings(&snapshot.identity).into_iter();
        standings
            .map(|issuer| Self {
                issuer: issuer.name,
                keys_from: issuer.keys_from,
                keys: issuer.keys,
                last_fetch: issuer.standing.fetched_at.map(written),
                last_error: issuer.standing.trouble,
            })
            .collect()
    }
}

/// Keys that cannot be got.
pub(super) fn warnings(issuers: &TokenIssuers, snapshot: &Snapshot) -> Vec<String> {
    let standings = issuers.standings(&snapshot.identity).into_iter();
    let warning = |issuer: IssuerStanding| {
        let (from, why) = (issuer.keys_from, issuer.standing.trouble?);
        Some(match issuer.keys {
            0 => format!("no token of {} is believed: {from}: {why}", issuer.name),
            _ => format!(
                "tokens of {} are verified by the keys that there were: {from}: {why}",
                issuer.name
            ),
        })
    };
    standings.filter_map(warning).collect()
}

fn written(at: Moment) -> String {
    let at = Timestamp::from_millisecond(at.unix_ms).unwrap_or_default();
    format!("{at:.3}")
}
