//! How connections to upstreams are made: counted for their service and for the process, and never more than either
//! may have.
//!
//! pingora asks here for a new connection when its pool has none for the peer. What is counted goes with the stream
//! (as its "proxy digest", which pingora keeps for as long as the stream is open), so that the count is that of open
//! sockets, whoever closes them. Where as many are open as may be, those at rest in some worker's pool give way.

use std::cell::RefCell;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pingora::ErrorType;
use pingora::connectors::L4Connect;
use pingora::http::ResponseHeader;
use pingora::prelude::Error;
use pingora::protocols::GetProxyDigest as _;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::raw_connect::ProxyDigest;
use rustc_hash::FxHashMap;
use tokio::net::TcpStream;

use crate::cluster::Cluster;
use crate::meter::ServiceMeter;
use crate::meter::load::{Bound, OpenUpstream, Waiting};
use crate::proxy::metrics::ConnectionFigures;
use crate::proxy::sweep::SWEEP_INTERVAL;
use crate::proxy::timer::SweepTimer;

/// How long, at most, an attempt waits for connections at rest to give way: several sweeps of every worker.
const PATIENCE: Duration = Duration::from_millis(200);

/// What an attempt fails with that may have no connection: nothing that speaks against the endpoint.
const NO_ROOM: ErrorType = ErrorType::new("NoRoomForConnection");

/// The system's code for a process that has as many files open as it may (errno(3), `EMFILE`).
const TOO_MANY_FILES: i32 = 24;

/// How many clusters a worker has connectors for before it forgets them all and begins anew.
const KNOWN: usize = 4096;

thread_local! {
    /// This worker's connectors, by their clusters, whose places they hold: no other cluster has the same one.
    static CONNECTORS: RefCell<FxHashMap<*const Cluster, Arc<Connector>>> = RefCell::default();
}

/// Makes connections to the endpoints of one cluster.
#[derive(Debug)]
pub(super) struct Connector {
    /// Says which addresses may be connected to.
    cluster: Weak<Cluster>,
    meter: Arc<ServiceMeter>,
    terms: Terms,
    figures: Arc<ConnectionFigures>,
}

/// What holds for a service's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    /// How many the service may have.
    pub(super) most: u32,
    /// How many the process may have.
    pub(super) most_of_all: usize,
    /// How long making one may take, all in all.
    pub(super) timeout: Duration,
}

/// A connection as it is counted, until dropped.
struct Counted {
    _of_service: OpenUpstream,
    _of_all: OfAll,
}

/// One of the process's, until dropped.
struct OfAll(Arc<ConnectionFigures>);

impl Drop for OfAll {
    fn drop(&mut self) {
        self.0.upstream.dec();
    }
}

/// Whether an attempt failed because there may be no more connections.
pub(super) fn had_no_room(error: &Error) -> bool {
    *error.etype() == NO_ROOM
}

#[async_trait]
impl L4Connect for Connector {
    async fn connect(&self, address: &SocketAddr) -> pingora::Result<Stream> {
        let Some(address) = address.as_inet() else {
            let why = "upstreams have IP addresses";
            return Error::e_explain(ErrorType::InternalError, why);
        };
        let counted = match self.enter() {
            Ok(counted) => counted,
            Err(_) => self.wait_for_room().await?,
        };
        self.judge(*address)?;
        let socket = TcpStream::connect(address).await.map_err(|error| {
            if error.raw_os_error() == Some(TOO_MANY_FILES) {
                self.refuse(Bound::Files)
            } else {
                let why = format!("cannot connect to {address}");
                Error::because(ErrorType::ConnectError, why, error)
            }
        })?;
        let mut stream = Stream::from(socket);
        let unused = Box::new(ResponseHeader::build(200, Some(0))?);
        stream.set_proxy_digest(ProxyDigest::new(unused, Some(Box::new(counted))));
        Ok(stream)
    }
}

impl Connector {
    /// A cluster's, of this worker. It is asked for with every attempt, and made when the terms are new.
    pub(super) fn of(
        cluster: &Arc<Cluster>,
        meter: &Arc<ServiceMeter>,
        terms: Terms,
        figures: &Arc<ConnectionFigures>,
    ) -> Arc<Self> {
        CONNECTORS.with_borrow_mut(|known| {
            let place = Arc::as_ptr(cluster);
            let found = known
                .get(&place)
                .filter(|known| known.terms == terms && Arc::ptr_eq(&known.meter, meter));
            if let Some(connector) = found {
                return connector.clone();
            }
            if known.len() >= KNOWN {
                known.clear();
            }
            let connector = Arc::new(Self {
                cluster: Arc::downgrade(cluster),
                meter: meter.clone(),
                terms,
                figures: figures.clone(),
            });
            known.insert(place, connector.clone());
            connector
        })
    }

    /// Holds the address to what may be connected to at this moment: less may be allowed than when the attempt was given
    /// its endpoint. Such an attempt fails as one that finds nobody there.
    fn judge(&self, address: std::net::SocketAddr) -> pingora::Result<()> {
        let Some(cluster) = self.cluster.upgrade() else {
            let why = "its cluster is gone";
            return Error::e_explain(ErrorType::ConnectError, why);
        };
        cluster.judge(address).map_err(|refusal| {
            tracing::warn!(
                service = &*cluster.service,
                deployment = &*cluster.deployment,
                url = %cluster.url,
                "{address} is not connected to: {refusal}"
            );
            let why = format!("{address} is not connected to");
            Error::because(ErrorType::ConnectError, why, refusal)
        })
    }

    /// Counts one more connection; an error says what does not allow it.
    fn enter(&self) -> Result<Counted, Bound> {
        let figures = &self.figures;
        figures.upstream.inc();
        let of_all = OfAll(figures.clone());
        let open = usize::try_from(figures.upstream.get()).unwrap_or(0);
        if open > self.terms.most_of_all {
            return Err(Bound::Files);
        }
        let of_service =
            OpenUpstream::enter(&self.meter, self.terms.most).ok_or(Bound::Connections)?;
        Ok(Counted {
            _of_service: of_service,
            _of_all: of_all,
        })
    }

    async fn wait_for_room(&self) -> pingora::Result<Counted> {
        // Well before pingora's own deadline for connecting, which would be taken for the endpoint's failure.
        let until = Instant::now() + PATIENCE.min(self.terms.timeout / 2);
        let _of_service = Waiting::for_connection(&self.meter);
        let _of_all = Wanted::begin(&self.figures);
        loop {
            let now = Instant::now();
            match self.enter() {
                Ok(counted) => return Ok(counted),
                Err(bound) if now >= until => return Err(self.refuse(bound)),
                Err(_) => SweepTimer::at((now + SWEEP_INTERVAL / 2).min(until)).await,
            }
        }
    }

    fn refuse(&self, bound: Bound) -> Box<Error> {
        self.meter.load.refused(bound).inc();
        Error::explain(NO_ROOM, "there are as many connections as there may be")
    }
}

/// An attempt that waits for a connection, whatever service's gives way; until dropped.
struct Wanted<'a>(&'a ConnectionFigures);

impl<'a> Wanted<'a> {
    fn begin(figures: &'a ConnectionFigures) -> Self {
        figures.upstream_wanted.inc();
        Self(figures)
    }
}

impl Drop for Wanted<'_> {
    fn drop(&mut self) {
        self.0.upstream_wanted.dec();
    }
}

#[cfg(test)]
mod tests;
