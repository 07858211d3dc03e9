//! What routes refused.

use std::fmt::Result;

use super::Families;
use crate::telemetry::metrics::Page;

/// Writes the figures of the routes that have a rate limit.
pub(super) fn routes(families: &Families, page: &mut Page<'_>) -> Result {
    let mut family = page.counters(
        "serin_rate_limited",
        "Requests that their route's rate limit refused",
    )?;
    for (route, meter) in families.routes.iter() {
        family.write([("route", route.as_str())], meter.rate_limited.get())?;
    }
    Ok(())
}
