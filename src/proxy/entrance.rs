//! What comes before HTTP on a connection: a PROXY header where the listener asks for one, and TLS where it speaks that.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::connection_limit::ConnectionLimit;
use super::handshake::{Turns, shake_hands};
use super::serving::in_fairness;
use super::transport::Transport;
use crate::capacity::clients::ClientConnections;
use crate::certificates::{Handshake, ServerTls};
use crate::drain::{DrainWatch, Stage};
use crate::request::proxy_header::{self, Client, LONGEST};

/// Stands for the address of a client whose load balancer does not tell it.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// By what a worker lets connections in.
#[derive(Clone)]
pub(super) struct Entrance {
    pub(super) limit: Arc<ConnectionLimit>,
    pub(super) turns: Turns,
    pub(super) drain: DrainWatch,
}

/// A connection that HTTP can be spoken on.
pub(super) struct LetIn {
    pub(super) transport: Transport,
    /// The client's address.
    pub(super) client: SocketAddr,
    /// Its place among its client's, where a PROXY header said whose it is.
    pub(super) counted: Option<ClientConnections>,
}

impl Entrance {
    /// Lets a connection in. `None`: it came to nothing.
    pub(super) async fn open(&self, mut transport: Transport, peer: SocketAddr) -> Option<LetIn> {
        let traffic = self.limit.store().peek().traffic;
        let (mut client, mut counted) = (peer, None);
        if transport.listener().proxy_protocol {
            let header = timeout(traffic.header_read, self.proxy_header(&mut transport, peer));
            match header.await.unwrap_or_else(|late| Err(late.into())) {
                Ok(Client::Own) => {}
                Ok(Client::Unknown) => client = NOWHERE,
                Ok(Client::At(address)) => {
                    client = address;
                    counted = self.limit.count(address).ok()?;
                }
                Err(error) => {
                    self.limit.figures().proxy_headers_refused.inc();
                    tracing::debug!(%error, %peer, "a connection without a PROXY header");
                    return None;
                }
            }
        }
        if let Some(tls) = transport.listener().tls.clone() {
            let first = self.first_byte(&transport, traffic.idle).await?;
            let shaken = self.shake_hands(transport, &tls, first, traffic.header_read);
            transport = shaken.await?;
        }
        Some(LetIn {
            transport,
            client,
            counted,
        })
    }

    /// Reads a PROXY header, and nothing that follows it; whose connection it says it is.
    async fn proxy_header(
        &self,
        transport: &mut Transport,
        peer: SocketAddr,
    ) -> io::Result<Client> {
        if !self.limit.store().peek().identity.trusts(peer.ip()) {
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
