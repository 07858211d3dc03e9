//! pingora's HTTP proxy behind the connections of one worker: it gets one request after the other, and this bounds what
//! one connection may take.

use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use h2::Reason;
use http::Method;
use pingora::apps::HttpServerApp as _;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::{
    H2Accept, H2Options, HttpSession, default_h2_options, handshake,
};
use pingora::proxy::{HttpProxy, http_proxy};
use pingora::server::configuration::ServerConf;
use tokio::sync::watch;

use super::proxy::Proxy;
use super::stream::SessionStream;
use super::stream_refusal::{refuse, refuse_tunnel};
use super::{first_byte, idle, under_way, uploads, websocket};
use crate::capacity::clients::Excess;
use crate::drain::{DrainWatch, Stage};
use crate::proxy::client::{ClientConnection, ClientStream, OpenStream};
use crate::proxy::metrics::ConnectionFigures;
use crate::proxy::serving::{ServeHttp, in_fairness};
use crate::snapshot::store::SnapshotStore;
use crate::streams::Spread;

/// How many requests may have been cancelled before they were looked at, when the connection is closed with
/// ENHANCE_YOUR_CALM. A client may well cancel all the requests that it may have open (`server.limits.streams_per_connection`), and more than once in what
/// is read at a time; one that asks only to cancel comes to this at once.
const CANCELLED_UNSEEN: usize = 1000;

/// After how many malformed requests an HTTP/2 connection is closed.
const MALFORMED_STREAMS: u32 = 32;

/// What a frame of data costs in memory beside its data, as the library counts it.
const FRAME_COST: usize = 256;

/// How many bytes of bodies may wait on one connection: of four streams. With no more than one stream's (RFC 9113, section 6.9.2), one
/// whose service takes nothing would hold up all others.
const CONNECTION_WINDOW: u32 = 4 * 65_535;

/// What the frames of one connection may cost that wait to be passed on. A call of gRPC may fill the window with messages
/// that are each a frame, while its server takes none for a moment; the least of them has five bytes.
const WAITING_FRAMES: usize = 65_535 / 5 * FRAME_COST;

/// How many attempts pingora may make for one request. What `retries` allows, for a canary and then for stable, is less,
/// with connections that had rested too long besides.
const MOST_ATTEMPTS: usize = 64;

/// pingora's HTTP proxy for one worker.
pub struct HttpServer {
    proxy: Arc<HttpProxy<Proxy>>,
    figures: Arc<ConnectionFigures>,
    store: Arc<SnapshotStore>,
    /// When streams end whose users leave their canary.
    spread: Arc<Spread>,
    drain: DrainWatch,
    /// The gateway's end in pingora's words: true once it was announced. Answers of Serin's own heed it.
    shutdown: watch::Sender<bool>,
}

impl HttpServer {
    /// Builds pingora's proxy around the hooks. A proxy of its own gives each worker its own pool of upstream
    /// connections: none is ever woken on another thread.
    pub fn new(hooks: Proxy) -> Self {
        let conf = ServerConf {
            threads: 1,
            max_retries: MOST_ATTEMPTS,
            ..ServerConf::default()
        };
        let (figures, drain) = (hooks.connections.clone(), hooks.drain.clone());
        Self {
            figures,
            store: hooks.store.clone(),
            spread: hooks.spread.clone(),
            proxy: Arc::new(http_proxy(&Arc::new(conf), hooks)),
            drain,
            shutdown: watch::Sender::new(false),
        }
    }
}

impl ServeHttp for HttpServer {
    async fn serve_http1(&self, stream: ClientStream, connection: &Arc<ClientConnection>) {
        let shutdown = self.shutdown.subscribe();
        let mut session = ServerSession::new_http1(Box::new(SessionStream::new(stream)));
        // Without a timer of pingora's: the connection has a deadline for that.
        session.set_keepalive(Some(0));
        while let Some(reused) = self.proxy.process_new_http(session, &shutdown).await {
            connection.rest();
            let (stream, settings) = reused.consume();
            session = ServerSession::new_http1(stream);
            if let Some(settings) = settings {
                settings.apply_to_session(&mut session);
            }
        }
    }

    async fn serve_http2(&self, stream: ClientStream, connection: &Arc<ClientConnection>) {
        let stream = SessionStream::new(stream);
        let digest = Arc::new(stream.digest());
        let Ok(mut streams) = handshake(Box::new(stream), Some(options(connection))).await else {
            return;
        };
        connection.multiplex();
        // A client that gets GOAWAY before its first request would have to come back for nothing.
        let opened = tokio::time::Instant::now();
        let mut goes = pin!(in_fairness(self.drain.clone(), Stage::Announced, opened));
        let (mut closing, mut frantic, mut malformed) = (false, false, 0);
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut goes, if !closing => {
                    streams.graceful_shutdown();
                    connection.dismiss();
                    closing = true;
                    continue;
                }
                () = connection.frenzy(), if !frantic => {
                    self.figures.excess.of(Excess::ControlFrames).inc();
                    // Said, and then closed: requests under way end with it.
                    streams.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                    frantic = true;
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
                        Ok(open) => self.spawn_stream(session, open),
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

    fn announce_end(&self) {
        self.shutdown.send_replace(true);
    }

    async fn close_idle(&self) {
        self.proxy.http_cleanup().await;
    }

    fn sweep(&self, now: Instant) {
        idle::expire(now);
        idle::give_way(self.figures.upstream_wanted.get());
        uploads::look(now);
        under_way::look(now, &self.store, &self.spread);
    }
}

impl HttpServer {
    /// Serves a request over HTTP/2 as a task of its own.
    fn spawn_stream(&self, mut session: HttpSession, mut open: OpenStream) {
        let is_websocket = websocket::is_asked_for(session.req_header());
        if session.req_header().method == Method::CONNECT && !is_websocket {
            refuse_tunnel(&mut session, open.connection());
            return;
        }
        let (proxy, figures) = (self.proxy.clone(), self.figures.clone());
        let shutdown = self.shutdown.subscribe();
        tokio::spawn(async move {
            if !is_websocket {
                first_byte::over_http2(&mut session, open.connection(), &figures).await;
            }
            let wanted = open.connection().traffic().connections;
            let most = figures.shares(wanted).upstreams_of_client();
            if let Err(excess) = open.go_on(most) {
                refuse(&mut session, open.connection(), excess, &figures);
                return;
            }
            if is_websocket {
                let patience = open.connection().traffic().write;
                // In a box: the other requests, of which many may wait, need have no room for it.
                Box::pin(websocket::serve(&proxy, session, patience, &shutdown)).await;
            } else {
                let session = ServerSession::new_http2(session);
                proxy.process_new_http(session, &shutdown).await;
            }
            drop(open);
        });
    }
}

/// What one connection over HTTP/2 may do.
fn options(connection: &ClientConnection) -> H2Options {
    let mut options = default_h2_options();
    // More than is taken: what is above the limit shall be refused, counted and logged as any other request.
    let most = 2 * connection.traffic().request.header_bytes;
    options.max_header_list_size(u32::try_from(most).unwrap_or(u32::MAX));
    let streams = connection.traffic().streams_per_connection;
    options.max_concurrent_streams(streams);
    options.initial_connection_window_size(CONNECTION_WINDOW);
    // RFC 8441: clients may ask for WebSockets.
    options.enable_connect_protocol();
    let cancelled = usize::try_from(streams).unwrap_or(usize::MAX);
    options.max_pending_accept_reset_streams(cancelled.max(CANCELLED_UNSEEN));
    options.data_frame_budget(WAITING_FRAMES);
    options
}
