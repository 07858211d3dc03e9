//! What takes a client's connection before pingora's HTTP proxy does: the place for limits and deadlines, and for a
//! faster path for plain HTTP/1.1.

use std::sync::Arc;
use std::time::Duration;

use pingora::apps::{HttpServerApp as _, HttpServerOptions, ServerApp as _};
use pingora::protocols::http::ServerSession;
use pingora::protocols::l4::stream::Stream as L4Stream;
use pingora::proxy::{HttpProxy, http_proxy};
use pingora::server::ShutdownWatch;
use pingora::server::configuration::ServerConf;
use tokio::sync::watch;
use tokio::time::Instant;

use super::hooks::Proxy;
use super::opening::Opening;

/// How long a new connection may take to its first request while the gateway drains: its client could not know.
const FIRST_REQUEST: Duration = Duration::from_millis(500);

/// How long a new connection may be silent within its first request's head.
const HEAD_SECONDS: u64 = 60;

/// The application behind every listener, one for each worker.
pub struct FrontDoor {
    proxy: Arc<HttpProxy<Proxy>>,
    /// Turned to true: idle connections are closed.
    draining: watch::Sender<bool>,
}

impl FrontDoor {
    /// Builds pingora's proxy around the hooks. A proxy of its own gives each worker its own pool of upstream
    /// connections: none is ever woken on another thread.
    pub fn new(hooks: Proxy) -> Self {
        let conf = ServerConf {
            threads: 1,
            ..ServerConf::default()
        };
        let mut proxy = http_proxy(&Arc::new(conf), hooks);
        let mut options = HttpServerOptions::default();
        options.h2c = true;
        proxy.server_options = Some(options);
        Self {
            proxy: Arc::new(proxy),
            draining: watch::Sender::new(false),
        }
    }

    /// Serves a connection to its end. When `closing` turns to true, its next response is its last.
    pub async fn serve(&self, mut stream: L4Stream, closing: &ShutdownWatch) {
        let opened = Instant::now();
        let opening = tokio::select! {
            biased;
            opening = Opening::of(&mut stream) => opening,
            () = self.is_too_late(opened) => return,
        };
        match opening {
            Ok(Opening::Http1) => self.serve_http1(stream, closing).await,
            Ok(Opening::Http2) => self.serve_http2(stream, opened, closing).await,
            // An error is a client that has gone, too.
            Ok(Opening::Nothing) | Err(_) => {}
        }
    }

    /// Closes every connection that is idle, now and from now on.
    pub async fn close_idle(&self) {
        self.draining.send_replace(true);
        self.proxy.http_cleanup().await;
    }

    async fn is_too_late(&self, opened: Instant) {
        if closed(&self.draining.subscribe()).await {
            tokio::time::sleep_until(opened + FIRST_REQUEST).await;
        }
    }

    async fn serve_http1(&self, stream: L4Stream, closing: &ShutdownWatch) {
        let mut first = ServerSession::new_http1(Box::new(stream));
        first.set_keepalive(Some(HEAD_SECONDS));
        let mut next = Some(first);
        while let Some(session) = next.take() {
            let reused = self.proxy.process_new_http(session, closing).await;
            next = reused.map(|reused| {
                let (stream, settings) = reused.consume();
                let mut session = ServerSession::new_http1(stream);
                if let Some(settings) = settings {
                    settings.apply_to_session(&mut session);
                }
                session
            });
        }
    }

    /// A client that is told to go away before it has asked anything would have to come back for nothing: one that
    /// comes while connections are being closed gets the time for its first requests.
    async fn serve_http2(&self, stream: L4Stream, opened: Instant, closing: &ShutdownWatch) {
        let (tell, told) = watch::channel(false);
        let notice = async {
            if closed(closing).await {
                tokio::time::sleep_until(opened + FIRST_REQUEST).await;
                tell.send_replace(true);
            }
        };
        let served = self.proxy.process_new(Box::new(stream), &told);
        tokio::pin!(served);
        tokio::select! {
            _ = &mut served => {}
            () = notice => {
                let _ = served.await;
            }
        }
    }
}

/// Waits until the answer to the question that a watch stands for is yes; false: it will never be given.
async fn closed(watch: &ShutdownWatch) -> bool {
    watch.clone().wait_for(|yes| *yes).await.is_ok()
}
