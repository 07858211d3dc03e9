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
use crate::certificates::upstream;
use crate::cluster::Cluster;
use crate::cluster::policy::UpstreamPolicy;
use crate::dial::{self, DialError};

/// How often those are looked for that have rested long enough.
const SWEEP: Duration = Duration::from_secs(5);

/// The connections that rest, by whom they lead to.
#[derive(Debug, Default)]
pub(super) struct Connections(Mutex<HashMap<Place, Vec<Resting>>>);

/// Whom a connection leads to, and who vouched for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    /// The cluster's ID.
    cluster: u64,
    address: SocketAddr,
    /// The ID of the files that the service's TLS goes by ([`Presented::id`]); `None`: nothing is stated of it. No connection
    /// that other certificates vouched for is one of these.
    ///
    /// [`Presented::id`]: crate::certificates::upstream::Presented::id
    tls: Option<u64>,
}

impl Place {
    /// The one of a cluster's endpoint, as its service speaks TLS now.
    pub(super) fn of(
        address: SocketAddr,
        cluster: &Cluster,
        policy: &UpstreamPolicy,
    ) -> Result<Self, DialError> {
        let stated = policy.tls.as_ref();
        let stated = stated.filter(|_| cluster.url.scheme().is_tls());
        let tls = stated.map(upstream::id).transpose();
        Ok(Self {
            cluster: cluster.id,
            address,
            tls: tls.map_err(DialError::Tls)?,
        })
    }
}

/// What a copy is sent over.
#[derive(Debug)]
pub(super) enum Sender {
    /// HTTP/1.1: one exchange at a time.
    Http1(http1::SendRequest<Full<Bytes>>),
    /// HTTP/2: several.
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Sender {
    /// One that others cannot use meanwhile, and that is to rest when its exchange is over.
    pub(super) fn unshared(self) -> Option<Self> {
        matches!(self, Self::Http1(_)).then_some(self)
    }
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
    /// One that rests; over HTTP/2 it may be in use as well, and rests until `until` from now on.
    pub(super) fn resting(&self, place: Place, now: Instant, until: Instant) -> Option<Sender> {
        let mut places = self.lock();
        let resting = places.get_mut(&place)?;
        resting.retain(|one| one.is_of_use(now));
        let last = resting.last_mut()?;
        match &last.sender {
            Sender::Http2(sender) => {
                last.until = until;
                Some(Sender::Http2(sender.clone()))
            }
            Sender::Http1(_) => resting.pop().map(|one| one.sender),
        }
    }

    /// No further copy is sent over those that rest there: one was not answered in time.
    pub(super) fn forget(&self, place: Place) {
        self.lock().remove(&place);
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
