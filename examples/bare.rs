//! The floor that Serin is measured against: what the same job costs with pingora and nothing else.
//!
//! User ID → hash → one of two peers made beforehand, the same headers set and removed, in the best setup known for
//! pingora: Serin's allocator and build flags, one thread with a runtime of its own, connections kept without timers.
//! No routes, flags, limits, deadlines, metrics or log. `scripts/instructions` runs it beside Serin.
//!
//! ```sh
//! cargo run --release --example bare -- 127.0.0.1:8080 127.0.0.1:9001 127.0.0.1:9002
//! ```

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use http::header::{HOST, HeaderName, HeaderValue, VIA};
use http::request::Parts;
use pingora::apps::HttpServerApp as _;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::prelude::{HttpPeer, ProxyHttp, Session};
use pingora::protocols::http::ServerSession;
use pingora::protocols::{GetSocketDigest as _, SocketDigest, l4::stream::Stream};
use pingora::proxy::{HttpProxy, http_proxy};
use pingora::server::{ShutdownWatch, configuration::ServerConf};
use pingora::{ErrorType, OrErr as _};
use rand::Rng as _;
use tokio::net::{TcpListener, TcpStream};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const DECISION: HeaderName = HeaderName::from_static("x-serin-decision");
const FORWARDED: HeaderName = HeaderName::from_static("forwarded");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const DEPLOYMENT: HeaderName = HeaderName::from_static("x-serin-deployment");
const BAGGAGE: HeaderName = HeaderName::from_static("baggage");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// One of the two upstreams, with the headers that say which.
struct Upstream {
    peer: HttpPeer,
    deployment: HeaderValue,
    baggage: HeaderValue,
}

/// The whole proxy: stable and canary.
struct Bare([Upstream; 2]);

#[async_trait]
impl ProxyHttp for Bare {
    /// Which upstream was chosen.
    type CTX = usize;

    fn new_ctx(&self) -> usize {
        0
    }

    // pingora would put a module for compression into every request.
    fn init_downstream_modules(&self, _: &mut pingora::modules::http::HttpModules) {}

    async fn request_filter(&self, session: &mut Session, _: &mut usize) -> pingora::Result<bool> {
        let request = session.req_header_mut();
        *request = RequestHeader::from(without_spelling(request));
        Ok(false)
    }

    async fn upstream_peer(
        &self,
        session: &mut Session,
        chosen: &mut usize,
    ) -> pingora::Result<Box<HttpPeer>> {
        let mut user = session.get_header_bytes("x-user-id");
        let bucket = murmur3::murmur3_32(&mut user, 0).unwrap_or_default() % 100;
        *chosen = usize::from(bucket < 10);
        Ok(Box::new(self.0[*chosen].peer.clone()))
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        upstream: &mut RequestHeader,
        chosen: &mut usize,
    ) -> pingora::Result<()> {
        let Upstream {
            deployment,
            baggage,
            ..
        } = &self.0[*chosen];
        let mut parts = without_spelling(upstream);
        let headers = &mut parts.headers;
        headers.remove(FORWARDED);
        headers.remove(REAL_IP);
        headers.insert(DEPLOYMENT, deployment.clone());
        headers.insert(BAGGAGE, baggage.clone());
        let (mut rng, mut text) = (rand::rng(), String::with_capacity(32));
        let _ = write!(text, "{:016x}{:016x}", rng.next_u64(), rng.next_u64());
        headers.insert(REQUEST_ID, value(&text)?);
        if let Some(client) = session.client_addr().and_then(|client| client.as_inet()) {
            text.clear();
            let _ = write!(text, "{}", client.ip());
            headers.insert(FORWARDED_FOR, value(&text)?);
        }
        headers.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
        if let Some(host) = session.get_header(HOST) {
            headers.insert(FORWARDED_HOST, host.clone());
        }
        headers.append(VIA, HeaderValue::from_static("1.1 serin"));
        *upstream = RequestHeader::from(parts);
        Ok(())
    }

    async fn response_filter(
        &self,
        _: &mut Session,
        response: &mut ResponseHeader,
        _: &mut usize,
    ) -> pingora::Result<()> {
        response.remove_header(&DECISION);
        Ok(())
    }
}

/// Takes a request's parts out, without pingora's second map for the spelling of names, which costs a copy and a parse
/// of every name.
fn without_spelling(request: &mut RequestHeader) -> Parts {
    let (nothing, ()) = http::Request::new(()).into_parts();
    std::mem::replace(request, RequestHeader::from(nothing)).into()
}

fn value(text: &str) -> pingora::Result<HeaderValue> {
    HeaderValue::from_str(text).or_err(ErrorType::InternalError, "a header's value")
}

fn main() -> anyhow::Result<()> {
    let mut addresses = std::env::args().skip(1).map(|text| text.parse());
    let mut address = || -> anyhow::Result<SocketAddr> {
        Ok(addresses.next().context("bare LISTEN STABLE CANARY")??)
    };
    let (listen, stable, canary) = (address()?, address()?, address()?);
    let upstream = |address, name: &'static str, baggage| Upstream {
        peer: HttpPeer::new(address, false, String::new()),
        deployment: HeaderValue::from_static(name),
        baggage: HeaderValue::from_static(baggage),
    };
    let conf = ServerConf {
        threads: 1,
        ..ServerConf::default()
    };
    let bare = Bare([
        upstream(stable, "stable", "serin.search=stable"),
        upstream(canary, "search.a", "serin.search=search.a"),
    ]);
    let proxy = Arc::new(http_proxy(&Arc::new(conf), bare));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async move {
        let (_going_on, shutdown) = tokio::sync::watch::channel(false);
        let listener = TcpListener::bind(listen).await?;
        loop {
            let (socket, peer) = listener.accept().await?;
            let (proxy, shutdown) = (proxy.clone(), shutdown.clone());
            tokio::spawn(async move { serve(socket, peer, &proxy, &shutdown).await });
        }
    })
}

/// Serves one client's connection to its end.
async fn serve(
    socket: TcpStream,
    peer: SocketAddr,
    proxy: &Arc<HttpProxy<Bare>>,
    shutdown: &ShutdownWatch,
) -> anyhow::Result<()> {
    socket.set_nodelay(true)?;
    let mut stream = Stream::from(socket);
    let digest = SocketDigest::from_raw_fd(std::os::fd::AsRawFd::as_raw_fd(&stream));
    let _ = digest.peer_addr.set(Some(peer.into()));
    stream.set_socket_digest(digest);
    let mut session = ServerSession::new_http1(Box::new(stream));
    session.set_keepalive(Some(0));
    while let Some(reused) = proxy.process_new_http(session, shutdown).await {
        let (stream, settings) = reused.consume();
        session = ServerSession::new_http1(stream);
        if let Some(settings) = settings {
            settings.apply_to_session(&mut session);
        }
    }
    Ok(())
}
