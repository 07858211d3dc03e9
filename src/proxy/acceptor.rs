//! Accepts connections on every listener and hands each to the worker with the fewest.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::connection_limit::{ConnectionLimit, TooMany};
use super::connections::{Connections, OpenConnection};
use super::listener::{BoundListener, Listener};
use super::overload::OverloadResponder;
use super::transport::Transport;
use crate::capacity::clients::ClientConnections;
use crate::drain::DrainWatch;

/// How long accepting pauses after an error, such as the process being out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A connection on its way from the acceptor to a worker.
pub(super) struct Accepted {
    pub(super) socket: std::net::TcpStream,
    pub(super) peer: SocketAddr,
    /// The listener that it came by.
    pub(super) listener: Arc<Listener>,
    /// Its place among its client's connections; `None`: they are not counted.
    pub(super) client: Option<ClientConnections>,
    pub(super) counted: OpenConnection,
}

/// The acceptor's end of a worker.
pub(super) struct WorkerHandle {
    inbox: mpsc::UnboundedSender<Accepted>,
    connections: Arc<Connections>,
}

impl WorkerHandle {
    /// Hands connections over through `inbox`; `connections` counts those that the worker has.
    pub(super) fn new(
        inbox: mpsc::UnboundedSender<Accepted>,
        connections: Arc<Connections>,
    ) -> Self {
        Self { inbox, connections }
    }
}

/// Accepts for all workers, on a thread of its own.
pub(super) struct Acceptor {
    workers: Vec<WorkerHandle>,
    limit: Arc<ConnectionLimit>,
    responder: OverloadResponder,
    drain: DrainWatch,
}

impl Acceptor {
    /// Accepts for these workers until the gateway drains.
    pub(super) fn new(
        workers: Vec<WorkerHandle>,
        limit: Arc<ConnectionLimit>,
        drain: DrainWatch,
    ) -> Self {
        let responder = OverloadResponder::new(limit.told_at_a_time());
        Self {
            workers,
            limit,
            responder,
            drain,
        }
    }

    /// Accepts on every listener.
    pub(super) async fn accept_all(&self, listeners: Vec<BoundListener>) {
        let loops = listeners.into_iter().map(|bound| self.accept(bound));
        futures_util::future::join_all(loops).await;
    }

    async fn accept(&self, bound: BoundListener) {
        let BoundListener { listener, socket } = bound;
        let bound = match tokio::net::TcpListener::from_std(socket) {
            Ok(bound) => bound,
            Err(error) => {
                tracing::error!(%error, "a listener cannot be served");
                return;
            }
        };
        let mut drain = self.drain.clone();
        loop {
            let accepted = tokio::select! {
                accepted = bound.accept() => accepted,
                () = drain.ends_accepting() => break,
            };
            let taken = accepted.and_then(|(socket, peer)| match self.limit.admit(peer) {
                Ok(client) => {
                    let socket = socket.into_std()?;
                    self.hand_over(socket, peer, client, &listener);
                    Ok(())
                }
                Err(TooMany) => {
                    let transport = Transport::over(socket, listener.clone());
                    self.responder.turn_away(transport);
                    Ok(())
                }
            });
            match taken {
                Ok(()) => {}
                // The client was gone before its turn.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    tracing::warn!(%error, "accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        if drain.is_handed_over(listener.address) {
            // The connections that wait in its queue are the other process's.
            return;
        }
        // Closing the socket resets the connections that wait in its queue: their clients believe that they were taken.
        if let Ok(bound) = bound.into_std() {
            while let Some((socket, peer)) = queued(&bound) {
                if let Ok(client) = self.limit.admit(peer) {
                    self.hand_over(socket, peer, client, &listener);
                }
            }
        }
    }

    /// Gives a connection to the worker with the fewest.
    fn hand_over(
        &self,
        socket: std::net::TcpStream,
        peer: SocketAddr,
        client: Option<ClientConnections>,
        listener: &Arc<Listener>,
    ) {
        let fewest = self
            .workers
            .iter()
            .min_by_key(|worker| worker.connections.open());
        if let Some(worker) = fewest {
            let counted = worker.connections.enter();
            // A worker that is gone was cut off: its connections are, too.
            let _ = worker.inbox.send(Accepted {
                socket,
                peer,
                listener: listener.clone(),
                client,
                counted,
            });
        }
    }
}

/// A connection that the kernel has accepted already.
fn queued(listener: &std::net::TcpListener) -> Option<(std::net::TcpStream, SocketAddr)> {
    loop {
        match listener.accept() {
            Ok((socket, peer)) => {
                socket.set_nonblocking(true).ok()?;
                return Some((socket, peer));
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(_) => return None,
        }
    }
}
