//! What pingora is told of an upstream.

use std::net::SocketAddr;
use std::time::Duration;

use pingora::prelude::HttpPeer;

use crate::cluster::policy::UpstreamPolicy;
use crate::cluster::{Cluster, Scheme};

/// How many requests one HTTP/2 connection to an upstream carries at a time.
const H2_STREAMS: usize = 100;

/// The peer of one attempt. Names are resolved long before; pingora gets addresses only.
pub(super) fn peer(
    address: SocketAddr,
    cluster: &Cluster,
    policy: &UpstreamPolicy,
    time_left: Option<Duration>,
) -> HttpPeer {
    let within = |timeout: Duration| time_left.map_or(timeout, |left| left.min(timeout));
    let mut peer = HttpPeer::new(address, false, String::new());
    peer.group_key = cluster.id;
    let options = &mut peer.options;
    options.connection_timeout = Some(within(policy.connect_timeout));
    options.total_connection_timeout = Some(within(policy.connect_timeout));
    // HTTP/1.1 connections rest under a deadline of our own (`super::idle`).
    if cluster.url.scheme() == Scheme::H2c {
        options.idle_timeout = Some(policy.idle_timeout);
        options.read_timeout = Some(within(policy.response_timeout));
        options.set_http_version(2, 2);
        options.max_h2_streams = H2_STREAMS;
    }
    peer
}
