//! One endpoint of a deployment, as the API shows it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Serialize;

use crate::clock;
use crate::cluster::endpoint::{Check, Ejection, Endpoint};

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Endpoint")]
pub(super) struct EndpointView {
    #[schemars(with = "String")]
    address: SocketAddr,
    in_flight: u32,
    /// What is thought of it: whether and how it is given requests.
    #[schemars(extend("enum" = ["healthy", "warming", "trial", "ejected", "unhealthy"]))]
    health: &'static str,
    /// Why it is given none, or was until a moment ago.
    ejection: Option<EjectionView>,
    last_check: Option<CheckView>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Ejection")]
struct EjectionView {
    #[schemars(extend("enum" = ["consecutive_failures", "error_ratio", "relapse"]))]
    cause: &'static str,
    /// The failure that was one too many.
    failure: &'static str,
    /// How many ejections there were of late.
    times: u8,
    #[schemars(extend("format" = "date-time"))]
    until: String,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "HealthCheck")]
struct CheckView {
    #[schemars(extend("format" = "date-time"))]
    at: String,
    passed: bool,
    said: String,
    seconds: f64,
    /// How many ended the same way without a break.
    in_a_row: u32,
}

impl EndpointView {
    pub(super) fn new(endpoint: &Endpoint, now: Instant) -> Self {
        let check = endpoint.last_check();
        Self {
            address: endpoint.address,
            in_flight: endpoint.in_flight(),
            health: endpoint.standing(now).as_str(),
            ejection: endpoint
                .ejection(now)
                .map(|(ejection, left)| EjectionView::new(ejection, left)),
            last_check: check.map(|check| CheckView::new(&check, now)),
        }
    }
}

impl EjectionView {
    fn new(ejection: Ejection, left: Duration) -> Self {
        Self {
            cause: ejection.rule.as_str(),
            failure: ejection.failure.as_str(),
            times: ejection.times,
            until: by_calendar(signed(left)),
        }
    }
}

impl CheckView {
    fn new(check: &Check, now: Instant) -> Self {
        Self {
            at: by_calendar(-signed(now.saturating_duration_since(check.at))),
            passed: check.finding.passed,
            said: check.finding.said.to_string(),
            seconds: check.finding.took.as_secs_f64(),
            in_a_row: check.streak,
        }
    }
}

fn signed(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

/// So many milliseconds from now, in UTC.
fn by_calendar(millis: i64) -> String {
    let then = clock::now().unix_ms.saturating_add(millis);
    let then = jiff::Timestamp::from_millisecond(then).unwrap_or_default();
    format!("{then:.3}")
}
