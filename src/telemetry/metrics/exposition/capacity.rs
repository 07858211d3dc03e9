//! How much there is to do, and how much there may be.

use std::fmt::Error;

use prometheus_client::encoding::NoLabelSet;

use super::{Page, write_counter, write_gauge};
use crate::capacity::clients::Excess;
use crate::meter::load::{Bound, Load};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::registry::Families;

impl Page<'_> {
    /// Of each service.
    pub(super) fn load(&mut self, families: &Families) -> Result<(), Error> {
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
            let mut family = self.gauges(name, help)?;
            for (service, meter) in families.services.iter() {
                let labels = [("service", service.as_str())];
                write_gauge(&mut family, &labels, &u64::from(choose(&meter.load)))?;
            }
        }
        let mut family = self.counter(
            "serin_service_refused_requests",
            "Requests that were refused because the service had as many as it may have",
        )?;
        for (service, meter) in families.services.iter() {
            for bound in Bound::ALL {
                let labels = [("service", service.as_str()), ("bound", bound.as_str())];
                write_counter(&mut family, &labels, meter.load.refused(bound))?;
            }
        }
        Ok(())
    }

    /// Of all of them, and of clients.
    pub(super) fn connections(&mut self, metrics: &Metrics) -> Result<(), Error> {
        let connections = &metrics.connections;
        let shares = connections.shares(metrics.store.peek().traffic.connections);
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        self.gauge(
            "serin_connections",
            "Clients' connections that are open",
            &connections.open.get(),
        )?;
        self.gauge(
            "serin_connections_max",
            "How many connections clients may have open",
            &number(shares.clients),
        )?;
        let mut metric = self.counter(
            "serin_connections_refused",
            "Clients' connections that were turned away because there were too many",
        )?;
        metric.encode_counter::<NoLabelSet, u64, u64>(&connections.refused.get(), None)?;
        let mut family = self.counter(
            "serin_client_refusals",
            "Connections and requests that were refused because their client had too many",
        )?;
        for excess in Excess::ALL {
            let labels = [("limit", excess.as_str())];
            write_counter(&mut family, &labels, &connections.excess[excess.index()])?;
        }
        self.gauge(
            "serin_upstream_connections_max",
            "How many connections there may be to all upstreams together",
            &number(shares.upstreams),
        )?;
        self.gauge(
            "serin_requests_awaiting_body",
            "Requests whose body has not begun, and for which no upstream is asked before",
            &connections.awaiting_body.get(),
        )
    }
}
