//! The peer that pingora gets for an attempt.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pingora::ErrorType;
use pingora::prelude::{Error, HttpPeer, Session};
use pingora::protocols::Digest;
use rand::Rng as _;

use super::connect::Connector;
use super::ctx::RequestCtx;
use super::proxy::Proxy;
use super::{first_byte, recovery, upstream_tls};
use crate::attempts::pool::Pool;
use crate::cluster::Cluster;
use crate::cluster::policy::{OnLeave, ServerIdentity, UpstreamPolicy};
use crate::proxy::deadlines::ConnectionAddrs;
use crate::proxy::run::{NoAttempt, StepContext};
use crate::snapshot::{DeploymentIndex, STABLE, Service};

/// How many requests a connection carries at a time that they share.
const SHARED: usize = 100;

/// How many bytes of an answer over HTTP/2 may wait for its client. What is sent in frames of a few bytes takes fifty times as
/// much memory.
const WINDOW: u32 = 256 * 1024;

/// As far as a connection's window goes (RFC 9113, section 6.9.1): those of its streams bound what may come. By this one the
/// library also bounds how many small frames may wait, and ends the connection of an upstream that sends more.
const WIDE_OPEN: u32 = (1 << 31) - 1;

/// Marks the pool of connections that are shared: no cluster's ID is as large.
const SHARED_GROUP: u64 = 1 << 62;
/// From which bit on a pool says which certificates its connections were made with.
const TLS_GROUP: u32 = 32;
/// Marks connections that no other request gets.
const UNSHARED: u64 = 1 << 63;

impl Proxy {
    /// The peer of the next attempt.
    pub(super) fn next_peer(
        &self,
        session: &mut Session,
        ctx: &mut RequestCtx,
    ) -> pingora::Result<Box<HttpPeer>> {
        let random = rand::rng().next_u64();
        let replay = recovery::replay(session);
        let step = StepContext {
            quarantine: &self.quarantine,
            replay,
            now: Instant::now(),
        };
        // The attempt before has ended.
        ctx.connection.under_way = None;
        let next = ctx.run.on_attempt(&step, random).map_err(no_attempt)?;
        let snapshot = &ctx.run.snapshot;
        let Some(request) = ctx.run.upstream.as_ref() else {
            return Err(no_attempt(NoAttempt::NobodyToAsk));
        };
        let service = snapshot.services.get(request.plan.service);
        let cluster = &service
            .deployments
            .get(request.attempts.deployment())
            .cluster;
        let shares = self.connections.shares(snapshot.traffic.connections);
        let mut peer = peer(
            next.address,
            cluster,
            &service.upstream,
            next.time_left,
            self.connector(service, cluster, shares),
            may_share(service, request.attempts.deployment()) && first_byte::is_unspoken(session),
            (request.pool != Pool::Shared).then_some(random),
        );
        if let (true, Some(stated)) = (cluster.url.scheme().is_tls(), &service.upstream.tls) {
            let id = upstream_tls::state(&mut peer, stated);
            let id = id.map_err(|why| Error::explain(ErrorType::InvalidCert, why))?;
            // No connection that other certificates vouched for is one of these.
            peer.group_key ^= id << TLS_GROUP;
        }
        Ok(Box::new(peer))
    }
}

/// Whether requests to a deployment may share connections. Those of a canary whose streams are closed when their users leave
/// it may not: each ends with its own. A killed canary's end together, where they share one.
fn may_share(service: &Service, deployment: DeploymentIndex) -> bool {
    deployment == STABLE || service.upstream.streams.on_leave == OnLeave::Keep
}

fn no_attempt(why: NoAttempt) -> Box<Error> {
    match why {
        NoAttempt::TimeIsOver => {
            Error::explain(ErrorType::HTTPStatus(504), "the route's timeout is over")
        }
        NoAttempt::NobodyToAsk => {
            Error::explain(ErrorType::HTTPStatus(503), "no endpoint can be asked")
        }
    }
}

/// The peer of one attempt; with `shared`, other requests may share its connection, and a number in `unshared` asks for one
/// that no other request ever gets. Names are resolved long before; pingora gets addresses only.
pub(super) fn peer(
    address: SocketAddr,
    cluster: &Cluster,
    policy: &UpstreamPolicy,
    time_left: Option<Duration>,
    connector: Arc<Connector>,
    shared: bool,
    unshared: Option<u64>,
) -> HttpPeer {
    let within = |timeout: Duration| time_left.map_or(timeout, |left| left.min(timeout));
    let scheme = cluster.url.scheme();
    let server = scheme
        .is_tls()
        .then(|| ServerIdentity::of(cluster, policy.tls.as_deref()));
    let (name, verify) = server.map_or_else(Default::default, |is| (is.name, is.verify));
    let mut peer = HttpPeer::new(address, scheme.is_tls(), name);
    peer.options.verify_cert = verify;
    peer.options.verify_hostname = verify;
    // What is shared is found by those who share only: others cut a connection off when its answer is late.
    peer.group_key = match (shared, unshared) {
        (_, Some(number)) => number | UNSHARED,
        (true, None) => cluster.id | SHARED_GROUP,
        (false, None) => cluster.id,
    };
    let options = &mut peer.options;
    options.total_connection_timeout = Some(within(policy.connect_timeout));
    options.custom_l4 = Some(connector);
    // HTTP/1.1 connections rest under a deadline of our own (`super::idle`).
    if scheme.is_http2() {
        options.idle_timeout = Some(policy.idle_timeout);
        options.set_http_version(2, 2);
        options.h2_stream_window_size = Some(WINDOW);
        options.h2_connection_window_size = Some(WIDE_OPEN);
        // A connection for each request at a time. One that takes too long to be answered can be cut off without harm
        // to others, while one that may be silent is left alone: pingora's own read timeout would cut both. No stream is
        // opened that an upstream's SETTINGS, which come later than the first request goes, do not allow. And what
        // breaks a connection breaks one request. Only where a client has said nothing yet, and no end is late, is a
        // connection shared: it would be held for nothing.
        options.max_h2_streams = if shared { SHARED } else { 1 };
    }
    peer
}

/// Whether the upstream is spoken to in HTTP/2.
pub(super) fn is_http2(peer: &HttpPeer) -> bool {
    peer.options.alpn.get_min_http_version() >= 2
}

/// Whether other requests may share its connections.
pub(super) fn is_shared(peer: &HttpPeer) -> bool {
    peer.options.max_h2_streams > 1
}

/// The addresses of a connection, by which to tell it from a later one with the same file descriptor.
pub(super) fn addrs(digest: Option<&Digest>) -> Option<ConnectionAddrs> {
    let socket = digest?.socket_digest.as_ref()?;
    Some(ConnectionAddrs {
        near: *socket.local_addr()?.as_inet()?,
        far: *socket.peer_addr()?.as_inet()?,
    })
}
