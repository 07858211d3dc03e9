//! How many connections clients may have, all together and each of them.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::capacity::clients::{ClientConnections, Clients};
use crate::proxy::metrics::ConnectionFigures;
use crate::snapshot::store::SnapshotStore;

/// Decides whether a connection may be accepted. Belongs to the acceptor's thread.
pub struct ConnectionLimit {
    /// Where `server.limits` are.
    store: Arc<SnapshotStore>,
    figures: Arc<ConnectionFigures>,
    clients: RefCell<Clients>,
}

/// A connection is one too many.
pub(super) struct TooMany;

impl ConnectionLimit {
    /// For connections that are counted in `figures`, and bounded by the snapshot that runs.
    pub fn new(store: Arc<SnapshotStore>, figures: Arc<ConnectionFigures>) -> Self {
        Self {
            store,
            figures,
            clients: RefCell::default(),
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

    /// Lets one more pass, counted among its client's. A trusted proxy's are not: many clients are behind it.
    pub(super) fn admit(&self, peer: SocketAddr) -> Result<Option<ClientConnections>, TooMany> {
        let snapshot = self.store.peek();
        let traffic = &snapshot.traffic;
        let shares = self.figures.shares(traffic.connections);
        let open = usize::try_from(self.figures.open.get()).unwrap_or(0);
        if open >= shares.clients {
            self.figures.refused.inc();
            return Err(TooMany);
        }
        if snapshot.identity.trusts(peer.ip()) {
            return Ok(None);
        }
        let most = traffic
            .connections_per_client
            .unwrap_or_else(|| shares.of_client(traffic.connections));
        let entered = self.clients.borrow_mut().enter(peer.ip(), most);
        entered.map(Some).map_err(|excess| {
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
