//! What comes before HTTP on a connection: a PROXY header where the listener asks for one, and TLS where it speaks that.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::handshake::{Turns, shake_hands};
use super::metrics::ConnectionFigures;
use super::serving::in_fairness;
use super::transport::Transport;
use crate::certificates::{Handshake, ServerTls};
use crate::drain::{DrainWatch, Stage};
use crate::request::proxy_header::{self, LONGEST};
use crate::snapshot::store::SnapshotStore;

/// By what a worker lets connections in.
#[derive(Clone)]
pub(super) struct Entrance {
    pub(super) store: Arc<SnapshotStore>,
    pub(super) figures: Arc<ConnectionFigures>,
    pub(super) turns: Turns,
    pub(super) drain: DrainWatch,
}

impl Entrance {
    /// Lets a connection in, and says who its client is. `None`: it came to nothing.
    pub(super) async fn open(
        &self,
        mut transport: Transport,
        mut peer: SocketAddr,
    ) -> Option<(Transport, SocketAddr)> {
        let traffic = self.store.peek().traffic;
        if transport.listener().proxy_protocol {
            let header = timeout(traffic.header_read, self.proxy_header(&mut transport, peer));
            match header.await.unwrap_or_else(|late| Err(late.into())) {
                Ok(client) => peer = client.unwrap_or(peer),
                Err(error) => {
                    self.figures.proxy_headers_refused.inc();
                    tracing::debug!(%error, %peer, "a connection without a PROXY header");
                    return None;
                }
            }
        }
        let Some(tls) = transport.listener().tls.clone() else {
            return Some((transport, peer));
        };
        let first = self.first_byte(&transport, traffic.idle).await?;
        let shaken = self.shake_hands(transport, &tls, first, traffic.header_read);
        Some((shaken.await?, peer))
    }

    /// Reads a PROXY header, and nothing that follows it; who it says the client is.
    async fn proxy_header(
        &self,
        transport: &mut Transport,
        peer: SocketAddr,
    ) -> io::Result<Option<SocketAddr>> {
        if !self.store.peek().identity.trusts(peer.ip()) {
            let why = "it comes from nobody in `server.trusted_proxies`";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        }
        let (mut head, mut room) = (Vec::new(), [0; LONGEST]);
        loop {
            let before = head.len();
            let came = transport.peek(&mut room).await?;
            head.extend_from_slice(room.get(..came).unwrap_or_default());
            let header = proxy_header::read(&head)
                .map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why))?;
            let length = header.map_or(head.len(), |header| header.length);
            transport.skip(length - before).await?;
            match header {
                Some(header) => return Ok(header.client),
                None if came == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                None => {}
            }
        }
    }

    /// Waits for a client to begin, as long as it may rest.
    async fn first_byte(&self, transport: &Transport, idle: Duration) -> Option<u8> {
        let drain = self.drain.clone();
        tokio::select! {
            // What has come already is served.
            biased;
            first = transport.first_byte() => first.ok()?,
            () = in_fairness(drain, Stage::Draining, Instant::now()) => None,
            () = sleep(idle) => None,
        }
    }

    async fn shake_hands(
        &self,
        transport: Transport,
        tls: &ServerTls,
        first: u8,
        within: Duration,
    ) -> Option<Transport> {
        let shaken = timeout(within, shake_hands(transport, tls, first, &self.turns));
        shaken.await.unwrap_or_else(|_| {
            tls.handshakes().count(Handshake::TimedOut);
            None
        })
    }
}
