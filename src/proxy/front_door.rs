//! What takes a client's connection before pingora's HTTP proxy does: it finds out which HTTP the client speaks, hands
//! pingora one request after the other, and bounds what one connection may take.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use pingora::apps::HttpServerApp as _;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::{H2Accept, HttpSession, default_h2_options, handshake};
use pingora::protocols::{Digest, GetSocketDigest as _};
use pingora::proxy::{HttpProxy, http_proxy};
use pingora::server::ShutdownWatch;
use pingora::server::configuration::ServerConf;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::client::{ClientConnection, ClientStream, OpenStream};
use super::hooks::Proxy;
use super::{first_byte, refusal};
use crate::capacity::clients::{ClientConnections, Excess};
use crate::proxy::metrics::ConnectionFigures;
use crate::snapshot::store::SnapshotStore;

/// What every HTTP/2 connection begins with (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How much is read at first: the whole head, most of the time.
const FIRST_READ: usize = 512;

/// How many requests may have been cancelled before they were looked at, when the connection is closed with
/// ENHANCE_YOUR_CALM. A client may well cancel all the requests that it may have open (100), and more than once in what
/// is read at a time; one that asks only to cancel comes to this at once.
const CANCELLED_UNSEEN: usize = 1000;

/// After how many malformed requests an HTTP/2 connection is closed.
const MALFORMED_STREAMS: u32 = 32;

/// How many attempts pingora may make for one request. What `retries` allows, for a canary and then for stable, is less,
/// with connections that had rested too long besides.
const MOST_ATTEMPTS: usize = 64;

/// How long a new connection may take to its first request while the gateway drains: its client could not know.
const FIRST_REQUEST: Duration = Duration::from_millis(500);

/// The application behind every listener, one for each worker.
pub struct FrontDoor {
    proxy: Arc<HttpProxy<Proxy>>,
    store: Arc<SnapshotStore>,
    figures: Arc<ConnectionFigures>,
    /// Turned to true: connections without a request are closed.
    closed: watch::Sender<bool>,
}

impl FrontDoor {
    /// Builds pingora's proxy around the hooks. A proxy of its own gives each worker its own pool of upstream
    /// connections: none is ever woken on another thread.
    pub fn new(hooks: Proxy) -> Self {
        let conf = ServerConf {
            threads: 1,
            max_retries: MOST_ATTEMPTS,
            ..ServerConf::default()
        };
        let (store, figures) = (hooks.store.clone(), hooks.connections.clone());
        Self {
            figures,
            proxy: Arc::new(http_proxy(&Arc::new(conf), hooks)),
            store,
            closed: watch::Sender::new(false),
        }
    }

    /// Serves a connection to its end.
    pub async fn serve(
        self: &Arc<Self>,
        socket: TcpStream,
        client: (SocketAddr, Option<ClientConnections>),
        shutdown: &ShutdownWatch,
    ) {
        let mut stream = ClientConnection::accepted(socket, client, &self.store);
        let connection = stream.connection().clone();
        match self.is_http2(&mut stream).await {
            Some(true) => self.serve_http2(stream, &connection, shutdown).await,
            Some(false) => {
                let served = self.serve_http1(stream, &connection, shutdown);
                connection.serve(served).await;
            }
            None => drop(stream),
        }
        if let Some(left) = connection.left() {
            refusal::hear_out(left).await;
        }
    }

    /// Closes the connections that have no request.
    pub async fn close_idle(&self) {
        self.closed.send_replace(true);
        self.proxy.http_cleanup().await;
    }

    /// Whether the client begins as HTTP/2 does. `None`: it did not begin at all.
    async fn is_http2(&self, stream: &mut ClientStream) -> Option<bool> {
        let mut too_late = pin!(in_fairness(self.closed.subscribe(), Instant::now()));
        let mut seen = [0; FIRST_READ];
        let mut length = 0;
        loop {
            let read = tokio::select! {
                // What has come already is served.
                biased;
                read = stream.read(&mut seen[length..]) => read.unwrap_or(0),
                () = &mut too_late, if length == 0 => 0,
            };
            length += read;
            let compared = length.min(PREFACE.len());
            let decided = seen[..compared] != PREFACE[..compared] || compared == PREFACE.len();
            if decided || read == 0 {
                stream.put_back(&seen[..length]);
                return (length > 0).then(|| seen.starts_with(PREFACE));
            }
        }
    }

    async fn serve_http1(
        &self,
        mut stream: ClientStream,
        connection: &ClientConnection,
        shutdown: &ShutdownWatch,
    ) {
        stream.expect_requests();
        let mut session = ServerSession::new_http1(Box::new(stream));
        // Without a timer of pingora's: the connection has a deadline for that.
        session.set_keepalive(Some(0));
        while let Some(reused) = self.proxy.process_new_http(session, shutdown).await {
            connection.rest();
            let (stream, settings) = reused.consume();
            session = ServerSession::new_http1(stream);
            if let Some(settings) = settings {
                settings.apply_to_session(&mut session);
            }
        }
    }

    async fn serve_http2(
        &self,
        mut stream: ClientStream,
        connection: &Arc<ClientConnection>,
        shutdown: &ShutdownWatch,
    ) {
        stream.expect_frames();
        let digest = Arc::new(Digest {
            socket_digest: stream.get_socket_digest(),
            ..Digest::default()
        });
        let mut options = default_h2_options();
        // More than is taken: what is above the limit shall be refused, counted and logged as any other request.
        let most = 2 * connection.traffic().request.header_bytes;
        options.max_header_list_size(u32::try_from(most).unwrap_or(u32::MAX));
        options.max_pending_accept_reset_streams(CANCELLED_UNSEEN);
        let Ok(mut streams) = handshake(Box::new(stream), Some(options)).await else {
            return;
        };
        connection.multiplex();
        // Told to go away before it has asked anything, a client would have to come back for nothing.
        let mut told = pin!(in_fairness(shutdown.clone(), Instant::now()));
        let (mut closing, mut malformed) = (false, 0);
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut told, if !closing => {
                    streams.graceful_shutdown();
                    connection.dismiss();
                    closing = true;
                    continue;
                }
                accepted = HttpSession::from_h2_conn(&mut streams, digest.clone()) => accepted,
            };
            match accepted {
                Ok(Some(H2Accept::Session(mut session))) => {
                    let open = connection.begin_stream();
                    if !closing && connection.is_spent(&connection.traffic()) {
                        streams.graceful_shutdown();
                        connection.dismiss();
                        closing = true;
                    }
                    match open {
                        Ok(open) => self.spawn_stream(session, open, shutdown),
                        Err(excess) => refuse(&mut session, connection, excess, &self.figures),
                    }
                }
                Ok(Some(H2Accept::Rejected)) => {
                    malformed += 1;
                    if malformed == MALFORMED_STREAMS {
                        return;
                    }
                }
                Ok(None) | Err(_) => return,
            }
        }
    }
}

impl FrontDoor {
    /// Serves a request over HTTP/2 as a task of its own.
    fn spawn_stream(
        &self,
        mut session: HttpSession,
        mut open: OpenStream,
        shutdown: &ShutdownWatch,
    ) {
        let (proxy, figures) = (self.proxy.clone(), self.figures.clone());
        let shutdown = shutdown.clone();
        tokio::spawn(async move {
            first_byte::over_http2(&mut session, open.connection(), &figures).await;
            let wanted = open.connection().traffic().connections;
            let most = figures.shares(wanted).upstreams_of_client();
            if let Err(excess) = open.go_on(most) {
                refuse(&mut session, open.connection(), excess, &figures);
                return;
            }
            let session = ServerSession::new_http2(session);
            proxy.process_new_http(session, &shutdown).await;
            drop(open);
        });
    }
}

/// Refuses a request over HTTP/2 whose client has too much open. It has no line in the log: there may be many.
fn refuse(
    session: &mut HttpSession,
    connection: &ClientConnection,
    excess: Excess,
    figures: &ConnectionFigures,
) {
    figures.excess[excess.index()].inc();
    let status = refusal::refuse_stream(session);
    connection.snapshot().unrouted.served.inc(status.as_u16());
}

/// Waits until the gateway drains, but in any case for the time that a new connection has for its first request.
async fn in_fairness(mut draining: ShutdownWatch, opened: Instant) {
    // An error is the end of whoever could say so.
    let _ = draining.wait_for(|draining| *draining).await;
    sleep_until(opened + FIRST_REQUEST).await;
}
