//! How many connections clients may have, all together and each of them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::capacity::clients::{ClientConnections, Clients};
use crate::proxy::metrics::ConnectionFigures;
use crate::snapshot::store::SnapshotStore;

/// Decides whether a connection may be served. The acceptor asks for each one; a worker again where somebody else has said
/// by then whose it is.
pub struct ConnectionLimit {
    /// Where `server.limits` are.
    store: Arc<SnapshotStore>,
    figures: Arc<ConnectionFigures>,
    /// Waited for by nobody for long: once a connection, for a look into a table.
    clients: Mutex<Clients>,
}

/// A connection is one too many.
pub(super) struct TooMany;

impl ConnectionLimit {
    /// For connections that are counted in `figures`, and bounded by the snapshot that runs.
    pub fn new(store: Arc<SnapshotStore>, figures: Arc<ConnectionFigures>) -> Self {
        Self {
            store,
            figures,
            clients: Mutex::default(),
        }
    }

    /// What counts the connections.
    pub(super) fn figures(&self) -> &Arc<ConnectionFigures> {
        &self.figures
    }

    /// Where the snapshot is that runs.
    pub(super) fn store(&self) -> &Arc<SnapshotStore> {
        &self.store
    }

    /// Lets one more pass, counted among its client's.
    pub(super) fn admit(&self, peer: SocketAddr) -> Result<Option<ClientConnections>, TooMany> {
        let traffic = self.store.peek().traffic;
        let shares = self.figures.shares(traffic.connections);
        let open = usize::try_from(self.figures.open.get()).unwrap_or(0);
        if open >= shares.clients {
            self.figures.refused.inc();
            return Err(TooMany);
        }
        self.count(peer)
    }

    /// Counts a connection among its client's, unless that has as many as it may. A trusted proxy's are not counted: many
    /// clients are behind it.
    pub(super) fn count(&self, peer: SocketAddr) -> Result<Option<ClientConnections>, TooMany> {
        let snapshot = self.store.peek();
        if snapshot.identity.trusts(peer.ip()) {
            return Ok(None);
        }
        let traffic = &snapshot.traffic;
        let shares = self.figures.shares(traffic.connections);
        let most = traffic
            .connections_per_client
            .unwrap_or_else(|| shares.of_client(traffic.connections));
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients.enter(peer.ip(), most).map(Some).map_err(|excess| {
            self.figures.refused.inc();
            self.figures.excess.of(excess).inc();
            TooMany
        })
    }

    /// How many clients may be told at a time that there are too many: their connections take files of the reserve.
    pub(super) fn told_at_a_time(&self) -> usize {
        let wanted = self.store.peek().traffic.connections;
        self.figures.shares(wanted).reserve / 4
    }
}
