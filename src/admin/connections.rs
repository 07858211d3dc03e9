//! The connections of an admin listener: few, none of which keeps the others out.
//!
//! A client that keeps the gateway waiting (for a head, for a body, for the next request) loses its connection to a
//! newcomer when there are too many, the one that has done so for longest first. A probe, which says at once what it
//! wants, is therefore answered whatever others hold open.

mod bodies;
mod places;
mod tls;
mod writes;

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use axum::{BoxError, Extension, Router};
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::certificates::ServerTls;
use crate::custody::Custody;
pub(super) use bodies::TooSlow;
use bodies::{Sent, Timed};
use places::{Place, Places};
use tls::Transport;
use writes::TimedWrites;

/// How much of the process an admin listener may take, so that traffic never lacks a socket for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// How many connections are open at a time.
    pub(super) connections: usize,
    /// How long a connection may take to send a request's head, and to shake hands before that where it is to speak
    /// TLS. It runs between requests too, so that an idle connection ends.
    pub(super) header_read: Duration,
    /// How long a request's body may take from the first time that it is waited for to its end.
    pub(super) body_read: Duration,
    /// How long a client may take nothing of an answer.
    pub(super) write: Duration,
}

impl Limits {
    /// Of a listener with the whole API.
    pub(super) const API: Self = Self {
        connections: 256,
        header_read: Duration::from_secs(10),
        body_read: Duration::from_secs(30),
        write: Duration::from_secs(30),
    };
    /// Of a listener for probes and metrics.
    pub(super) const PROBES: Self = Self {
        connections: 64,
        ..Self::API
    };
}

/// Who asks, as far as sockets tell.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller {
    /// The client's address.
    pub(super) address: IpAddr,
    /// The address that it reached this process at.
    pub(super) reached: IpAddr,
    /// Whether its listener is bound to an address that other machines reach, too.
    pub(super) listener_is_open: bool,
}

impl Caller {
    fn new(socket: &TcpStream, peer: IpAddr, listener_is_open: bool) -> Self {
        let reached = socket.local_addr().map(|address| address.ip());
        Self {
            address: peer,
            // Not loopback: of what the system cannot tell nobody gains.
            reached: reached.unwrap_or(Ipv4Addr::UNSPECIFIED.into()),
            listener_is_open,
        }
    }

    /// Whether it is on this machine, or in this container or pod. Both ends must be loopback: a service mesh's proxy
    /// hands on what comes from elsewhere from an address such as 127.0.0.6, to the address that was asked for.
    pub(super) fn is_local(&self) -> bool {
        let is_loopback = |ip: IpAddr| ip.to_canonical().is_loopback();
        is_loopback(self.address) && is_loopback(self.reached)
    }
}

/// What the connections of a listener are served by.
#[derive(Clone)]
pub(super) struct Service {
    pub(super) router: Router,
    pub(super) limits: Limits,
    /// What they speak TLS with; `None`: they speak plain HTTP.
    pub(super) tls: Option<Arc<ServerTls>>,
    /// Nothing is accepted while another process takes over, and nothing more when it has.
    pub(super) orders: Custody,
}

/// Serves a bound listener until `stopped` comes true, or another process has taken over, and the requests that are running have
/// ended.
pub(super) async fn serve(
    mut listener: TcpListener,
    service: Service,
    stopped: impl Future<Output = ()>,
) {
    let bound = listener.local_addr();
    let is_open = bound.is_ok_and(|address| !address.ip().to_canonical().is_loopback());
    let places = Places::new(service.limits.connections);
    let running = GracefulShutdown::new();
    let accept = async {
        loop {
            service.orders.is_here().await;
            let (socket, peer) = tokio::select! {
                biased;
                // What comes from now on waits for the other process, or for this one to go on.
                () = service.orders.is_wanted() => continue,
                // In axum's words: it waits when there are no sockets left, and goes on.
                accepted = Listener::accept(&mut listener) => accepted,
            };
            let caller = Caller::new(&socket, peer.ip(), is_open);
            let claim = places.take(caller.is_local()).await;
            let place = claim.place().clone();
            let (service, watcher) = (service.clone(), running.watcher());
            let connection = service.converse(socket, caller, place, watcher);
            tokio::spawn(async move {
                tokio::select! {
                    ended = connection => if let Err(error) = ended {
                        tracing::debug!(client = %peer, error, "an admin connection has ended");
                    },
                    () = claim.is_lost() => {
                        tracing::debug!(client = %peer, "an admin connection made room for another");
                    }
                }
            });
        }
    };
    tokio::select! {
        () = accept => {}
        () = stopped => {}
        () = service.orders.is_given() => {}
    }
    drop(listener);
    running.shutdown().await;
}

impl Service {
    /// Serves one connection to its end.
    async fn converse(
        self,
        socket: TcpStream,
        caller: Caller,
        place: Arc<Place>,
        watcher: Watcher,
    ) -> Result<(), BoxError> {
        let limits = self.limits;
        let transport = self.shake_hands(socket).await?;
        let router = TowerToHyperService::new(self.router.layer(Extension(caller)));
        let service = service_fn(move |request: Request<Incoming>| {
            place.works();
            let body = |body| Timed::new(body, place.clone(), limits.body_read);
            let answer = router.call(request.map(body));
            let place = place.clone();
            async move {
                let answer = answer.await?;
                Ok::<_, std::convert::Infallible>(answer.map(|body| Sent::new(body, place)))
            }
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(limits.header_read);
        let connection = http.serve_connection(TokioIo::new(transport), service);
        Ok(watcher.watch(connection).await?)
    }

    async fn shake_hands(&self, socket: TcpStream) -> io::Result<Transport> {
        let write = self.limits.write;
        match &self.tls {
            None => Ok(Transport::Plain(TimedWrites::new(socket, write))),
            Some(tls) => timeout(self.limits.header_read, tls::accept(socket, tls, write)).await?,
        }
    }
}

#[cfg(test)]
mod tests;
