//! Connections to shadows, which rest between copies: apart from those of requests, so that a shadow takes none from these.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::time::{interval, timeout};

use super::failure::Failure;
use crate::cluster::Cluster;
use crate::cluster::policy::UpstreamPolicy;
use crate::dial;

/// How often those are looked for that have rested long enough.
const SWEEP: Duration = Duration::from_secs(5);

/// The connections that rest, by cluster and address.
#[derive(Debug, Default)]
pub(super) struct Connections(Mutex<HashMap<Place, Vec<Resting>>>);

/// The cluster's ID and the address.
pub(super) type Place = (u64, SocketAddr);

/// What a copy is sent over.
#[derive(Debug)]
pub(super) enum Sender {
    /// HTTP/1.1: one exchange at a time.
    Http1(http1::SendRequest<Full<Bytes>>),
    /// HTTP/2: several.
    Http2(http2::SendRequest<Full<Bytes>>),
}

#[derive(Debug)]
struct Resting {
    sender: Sender,
    /// When it has rested long enough.
    until: Instant,
}

impl Resting {
    fn is_of_use(&self, now: Instant) -> bool {
        let is_closed = match &self.sender {
            Sender::Http1(sender) => sender.is_closed(),
            Sender::Http2(sender) => sender.is_closed(),
        };
        !is_closed && now < self.until
    }
}

impl Connections {
    /// One that rests; over HTTP/2 it may be in use as well.
    pub(super) fn resting(&self, place: Place, now: Instant) -> Option<Sender> {
        let mut places = self.lock();
        let resting = places.get_mut(&place)?;
        resting.retain(|one| one.is_of_use(now));
        match &resting.last()?.sender {
            Sender::Http2(sender) => Some(Sender::Http2(sender.clone())),
            Sender::Http1(_) => resting.pop().map(|one| one.sender),
        }
    }

    /// Lets one rest, for so long at most.
    pub(super) fn rest(self: &Arc<Self>, place: Place, sender: Sender, until: Instant) {
        let mut places = self.lock();
        if places.is_empty() {
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
        places
            .entry(place)
            .or_default()
            .push(Resting { sender, until });
    }

    /// Closes those that have rested long enough. Whether any is left.
    fn sweep(&self, now: Instant) -> bool {
        let mut places = self.lock();
        places.retain(|_, resting| {
            resting.retain(|one| one.is_of_use(now));
            !resting.is_empty()
        });
        !places.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Place, Vec<Resting>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes what has rested long enough, for as long as anything rests.
async fn sweep(connections: Weak<Connections>) {
    let mut ticks = interval(SWEEP);
    loop {
        ticks.tick().await;
        let connections = connections.upgrade();
        if !connections.is_some_and(|connections| connections.sweep(Instant::now())) {
            return;
        }
    }
}

/// Makes a connection.
pub(super) async fn connect(
    address: SocketAddr,
    cluster: &Cluster,
    policy: &UpstreamPolicy,
) -> Result<Sender, Failure> {
    let limit = policy.connect_timeout;
    let scheme = cluster.url.scheme();
    let dialled = dial::open(address, cluster, policy.tls.as_ref(), scheme);
    let stream = timeout(limit, dialled).await;
    let stream = TokioIo::new(stream.map_err(|_| Failure::NoConnection(limit))??);
    if scheme.is_http2() {
        let (sender, running) = http2::handshake(TokioExecutor::new(), stream).await?;
        tokio::spawn(running);
        return Ok(Sender::Http2(sender));
    }
    let (sender, running) = http1::handshake(stream).await?;
    tokio::spawn(running);
    Ok(Sender::Http1(sender))
}
