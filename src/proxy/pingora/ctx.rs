//! The state of a request that the hooks share: the request's own ([`RequestRun`]), and its connection to an upstream.

use std::time::{Duration, Instant};

use super::idle::Upstream;
use super::shown_receipt::ShownReceipt;
use super::under_way::UnderWayGuard;
use super::uploads::Upload;
use super::upstream_socket::UpstreamSocket;
use crate::attempts::pool::Pool;
use crate::canary::Leave;
use crate::proxy::deadlines::DeadlineGuard;
use crate::proxy::mirroring::Mirroring;
use crate::proxy::run::RequestRun;

/// pingora's context of a request.
pub struct RequestCtx {
    /// What has become of the request so far.
    pub(super) run: RequestRun,
    /// The current attempt's connection.
    pub(super) connection: AttemptConnection,
    /// Its user, and the receipt that it shows; `None`: there are no receipts, or the user has no ID.
    pub(super) receipt: Option<ShownReceipt>,
    /// Whether a shadow gets it as well.
    pub(super) mirroring: Mirroring,
}

/// What the current attempt has of a connection.
#[derive(Default)]
pub(super) struct AttemptConnection {
    /// Until when the response must begin.
    pub(super) deadline: Option<DeadlineGuard>,
    /// The connection, if the attempt has it for itself.
    pub(super) upstream: Option<Upstream>,
    /// The request's entry, if the connection is a canary's.
    pub(super) under_way: Option<UnderWayGuard>,
    /// Whether the answer has been ended, since its user left the canary.
    pub(super) is_left: bool,
    /// The body's way over it, if it is a long one.
    pub(super) upload: Option<Upload>,
    /// How long the connection may rest afterwards, if the answer says so.
    pub(super) rest: Option<Duration>,
    /// Whether the answer's body is dropped.
    pub(super) emptied: bool,
}

impl AttemptConnection {
    /// Why the request ends, if its user leaves the canary.
    pub(super) fn ends_for(&self) -> Option<Leave> {
        self.under_way.as_ref()?.ends_for()
    }
}

impl RequestCtx {
    /// For a request whose head has arrived.
    pub(super) fn new(run: RequestRun) -> Self {
        Self {
            run,
            connection: AttemptConnection::default(),
            receipt: None,
            mirroring: Mirroring::default(),
        }
    }

    /// Notes that the current attempt has a connection of its own.
    pub(super) fn connected(&mut self, mut upstream: Upstream) {
        let Some(request) = self.run.upstream.as_ref() else {
            return;
        };
        if request.pool == Pool::Watched
            && let Some(endpoint) = request.attempts.endpoint()
        {
            upstream.watch(endpoint.clone());
        }
        let connection = &mut self.connection;
        (connection.upload, connection.rest, connection.emptied) = (None, None, false);
        connection.under_way = UnderWayGuard::begin(&self.run, || upstream.socket());
        connection.upstream = Some(upstream);
    }

    /// Notes that the current attempt shares a connection.
    pub(super) fn shares(&mut self, socket: impl FnOnce() -> UpstreamSocket) {
        self.connection.under_way = UnderWayGuard::begin(&self.run, socket);
    }

    /// Notes that pingora has put the last attempt's connection into its pool, if it could.
    pub(super) fn rest_upstream(&mut self, now: Instant) {
        (self.connection.upload, self.connection.under_way) = (None, None);
        if let Some(request) = self.run.upstream.as_ref()
            && let Some(upstream) = self.connection.upstream.take()
        {
            let service = self.run.snapshot.services.get(request.plan.service);
            let idle = service.upstream.idle_timeout;
            let rest = self.connection.rest.map_or(idle, |rest| rest.min(idle));
            upstream.rest(now + rest, &service.meter, now);
        }
    }

    /// Notes that more of the request's body is to come.
    pub(super) fn body_goes_on(&mut self) {
        let connection = &mut self.connection;
        if connection.upload.is_none() {
            connection.upload = connection.upstream.as_ref().and_then(Upstream::upload);
        }
    }

    /// Notes that a connection that had rested broke before an answer began: its endpoint may have closed it behind the
    /// answer before.
    pub(super) fn reused_in_vain(&self, now: Instant) {
        let upstream = self.connection.upstream.as_ref();
        if upstream.is_some_and(Upstream::is_http1)
            && let Some(request) = &self.run.upstream
            && let Some(endpoint) = request.attempts.endpoint()
        {
            endpoint.closed_silently(now);
        }
    }
}
