//! `health` and `outlier`: when an endpoint is thought to be down.

use std::sync::Arc;

use crate::cluster::policy::{HealthPolicy, OutlierPolicy, Probe, UpstreamTls};
use crate::config::keys::services::health as keys;
use crate::config::keys::services::health::ProbeType;
use crate::config::keys::shape::Key;
use crate::config::node::{Node, Value};
use crate::config::reader::Reader;
use crate::config::section::unstated;

/// Compiles a service's `outlier`.
pub(super) fn outlier(reader: &mut Reader, service: &Node) -> OutlierPolicy {
    let outlier = keys::OUTLIER.node(service);
    OutlierPolicy {
        consecutive_failures: keys::CONSECUTIVE_FAILURES.read(reader, outlier),
        error_ratio: keys::ERROR_RATIO.read(reader, outlier),
        window: keys::WINDOW.read(reader, outlier),
        min_requests: keys::MIN_REQUESTS.read(reader, outlier),
        eject_for: keys::EJECT_FOR.read(reader, outlier),
        max_ejected: keys::MAX_EJECTED.read(reader, outlier),
    }
}

impl Default for OutlierPolicy {
    fn default() -> Self {
        unstated(outlier)
    }
}

/// Compiles a service's `health`; `None`: there are no checks.
pub(super) fn health(
    reader: &mut Reader,
    service: &Node,
    tls: Option<&Arc<UpstreamTls>>,
) -> Option<HealthPolicy> {
    let health = keys::HEALTH.node(service)?;
    if !matches!(health.value, Value::Map(_)) {
        return None;
    }
    Some(HealthPolicy {
        probe: probe(reader, health),
        interval: keys::INTERVAL.read(reader, health),
        timeout: keys::TIMEOUT.read(reader, health),
        unhealthy_after: keys::UNHEALTHY_AFTER.read(reader, health),
        healthy_after: keys::HEALTHY_AFTER.read(reader, health),
        tls: tls.cloned(),
    })
}

/// What is asked: what `type` says, else HTTP where there is a path, else whether there is a connection.
fn probe(reader: &mut Reader, health: &Node) -> Probe {
    let kind = match keys::TYPE.read(reader, health) {
        Some(kind) => kind,
        None if keys::PATH.node(health).is_some() => ProbeType::Http,
        None => ProbeType::Tcp,
    };
    let probe = match kind {
        ProbeType::Http => {
            let status = keys::STATUS.read(reader, health);
            return Probe::Http {
                path: keys::PATH.read(reader, health),
                status: status.map(|status| status.as_u16()),
            };
        }
        ProbeType::Tcp => Probe::Tcp,
        ProbeType::Grpc => Probe::Grpc,
    };
    let of_http = [keys::PATH.pair(health), keys::STATUS.pair(health)];
    for pair in of_http.into_iter().flatten() {
        let (key, kind) = (&pair.key, keys::PROBE_TYPES.name(kind));
        let message = format!("`{key}` means nothing in a check of type {kind}");
        reader.problems.error(pair.key_span, message);
    }
    probe
}
