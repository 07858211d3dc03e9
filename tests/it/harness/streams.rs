//! An HTTP/2 origin whose streams the test handles one by one: for streams that are refused or reset, that are silent,
//! and that flow both ways.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

/// As many small frames may wait to be read as there is room for: the library would end such a connection.
pub(crate) const ANY_FRAMES: usize = 1 << 30;

/// A request that has come, with its body still on the way, and what it is answered with.
pub(crate) struct Stream {
    /// The request.
    pub(crate) request: Request<RecvStream>,
    /// The answer's beginning.
    pub(crate) respond: SendResponse<Bytes>,
}

impl Stream {
    /// The request's path.
    pub(crate) fn path(&self) -> &str {
        self.request.uri().path()
    }

    /// Begins an answer with this status.
    pub(crate) fn begin(&mut self, status: u16) -> SendStream<Bytes> {
        let response = Response::builder()
            .status(status)
            .header("content-type", "application/grpc")
            .header("x-origin", "streams")
            .body(())
            .expect("a response");
        self.respond
            .send_response(response, false)
            .expect("an open stream")
    }

    /// Answers with this status and nothing else.
    pub(crate) fn answer(&mut self, status: u16) {
        let mut body = self.begin(status);
        // The client may have gone.
        let _ = body.send_data(Bytes::new(), true);
    }

    /// The next part of the request's body; `None`: that was all, or its client has gone.
    pub(crate) async fn read(&mut self) -> Option<Bytes> {
        read(self.request.body_mut()).await
    }
}

/// The next part of a body; `None`: that was all, or the other side has gone.
pub(crate) async fn read(body: &mut RecvStream) -> Option<Bytes> {
    let data = body.data().await?.ok()?;
    let _ = body.flow_control().release_capacity(data.len());
    Some(data)
}

/// Ends an answer as gRPC does.
pub(crate) fn finish(body: &mut SendStream<Bytes>) {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    body.send_trailers(trailers).expect("an open stream");
}

/// A server that hands every stream to the test.
pub(crate) struct Streams {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    streams: Arc<AtomicUsize>,
    running: AbortHandle,
}

impl Streams {
    /// Starts one that allows `limit` streams of a connection at a time, and refuses the others.
    pub(crate) async fn start<F, Played>(limit: u32, play: F) -> Self
    where
        F: Fn(Stream) -> Played + Clone + Send + 'static,
        Played: Future<Output = ()> + Send + 'static,
    {
        Self::start_slow(Duration::ZERO, limit, play).await
    }

    /// Starts one that says nothing on a new connection for a while, not even how many streams it allows.
    pub(crate) async fn start_slow<F, Played>(pause: Duration, limit: u32, play: F) -> Self
    where
        F: Fn(Stream) -> Played + Clone + Send + 'static,
        Played: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (connections, streams) = (Arc::default(), Arc::default());
        let (accepted, begun): (Arc<AtomicUsize>, Arc<AtomicUsize>) =
            (Arc::clone(&connections), Arc::clone(&streams));
        let accept = async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                accepted.fetch_add(1, Ordering::SeqCst);
                let (play, begun) = (play.clone(), begun.clone());
                tokio::spawn(async move {
                    tokio::time::sleep(pause).await;
                    let mut builder = h2::server::Builder::new();
                    builder
                        .max_concurrent_streams(limit)
                        .data_frame_budget(ANY_FRAMES);
                    // How a connection ends is the gateway's affair.
                    let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else {
                        return;
                    };
                    while let Some(Ok((request, respond))) = connection.accept().await {
                        begun.fetch_add(1, Ordering::SeqCst);
                        tokio::spawn(play(Stream { request, respond }));
                    }
                });
            }
        };
        Self {
            address,
            connections,
            streams,
            running: tokio::spawn(accept).abort_handle(),
        }
    }

    /// How many connections it has accepted.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// How many streams have begun.
    pub(crate) fn streams(&self) -> usize {
        self.streams.load(Ordering::SeqCst)
    }

    /// Its URL, as `routes.yaml` names it.
    pub(crate) fn url(&self) -> String {
        format!("h2c://{}", self.address)
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        self.running.abort();
    }
}
