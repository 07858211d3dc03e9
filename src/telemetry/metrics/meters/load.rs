//! How much each service has to do, and what was refused because it had too much.

use std::fmt::Result;

use super::Families;
use crate::meter::load::{Bound, Load};
use crate::telemetry::metrics::Page;

/// Writes the load of each service.
pub(super) fn load(families: &Families, page: &mut Page<'_>) -> Result {
    type Choose = fn(&Load) -> u32;
    let gauges: [(&str, &str, Choose); 3] = [
        (
            "serin_service_active_requests",
            "Requests of the service that are under way",
            Load::requests,
        ),
        (
            "serin_service_queued_requests",
            "Requests of the service that wait for their turn",
            Load::queued,
        ),
        (
            "serin_upstream_connections",
            "Connections to the service's upstreams that are open, those at rest included",
            Load::connections,
        ),
    ];
    for (name, help, choose) in gauges {
        let mut family = page.gauges(name, help)?;
        for (service, meter) in families.services.iter() {
            let load = u64::from(choose(&meter.load));
            family.write([("service", service.as_str())], &load)?;
        }
    }
    let mut family = page.counters(
        "serin_service_refused_requests",
        "Requests that were refused because the service had as many as it may have",
    )?;
    for (service, meter) in families.services.iter() {
        for bound in Bound::ALL {
            let labels = [("service", service.as_str()), ("bound", bound.as_str())];
            family.write_nonzero(labels, meter.load.refused(bound))?;
        }
    }
    Ok(())
}
