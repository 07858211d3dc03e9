//! A client's connection from its first byte to its end: which HTTP the client speaks, who serves that, and how the
//! connection is closed.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::time::{Instant, sleep_until};

use super::client::{ClientConnection, ClientStream};
use super::lingering::lingering_close;
use super::transport::Spoken;
use crate::drain::{DrainWatch, Stage};

/// What every HTTP/2 connection begins with (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How much is read at first: the whole head, most of the time.
const FIRST_READ: usize = 512;

/// How long a new connection may take to its first request while the gateway drains: its client could not know.
const FIRST_REQUEST: Duration = Duration::from_millis(500);

/// Serves HTTP to the clients of one worker. Everything happens on that worker's thread.
pub trait ServeHttp: Send + Sync + 'static {
    /// Serves the requests of a connection over HTTP/1, one after the other, until it ends.
    fn serve_http1(
        &self,
        stream: ClientStream,
        connection: &Arc<ClientConnection>,
    ) -> impl Future<Output = ()> + Send;

    /// Serves the requests of a connection over HTTP/2, side by side, until it ends.
    fn serve_http2(
        &self,
        stream: ClientStream,
        connection: &Arc<ClientConnection>,
    ) -> impl Future<Output = ()> + Send;

    /// Makes every response its connection's last: the gateway's end was announced.
    fn announce_end(&self);

    /// Closes the connections that have no request.
    fn close_idle(&self) -> impl Future<Output = ()> + Send;

    /// Looks after what was put off. Called at every sweep of the worker (`proxy::sweep`).
    fn sweep(&self, now: std::time::Instant);
}

/// Serves a connection to its end.
pub(super) async fn serve<S: ServeHttp>(mut stream: ClientStream, server: &S, drain: &DrainWatch) {
    let connection = stream.connection().clone();
    let client = stream.peer();
    let http2 = is_http2(&mut stream, drain).await;
    match http2 {
        Some(true) => {
            stream.expect_frames();
            server.serve_http2(stream, &connection).await;
        }
        Some(false) => {
            stream.expect_requests();
            let served = server.serve_http1(stream, &connection);
            connection.serve(served).await;
        }
        None => drop(stream),
    }
    let lingering = connection.take_lingering();
    tracing::debug!(
        %client,
        ?http2,
        requests = connection.requests(),
        refusal = ?lingering.as_ref().and_then(|left| left.refusal),
        late = connection.is_late(),
        "connection closed"
    );
    if let Some(lingering) = lingering {
        lingering_close(lingering).await;
    }
}

/// Whether the client speaks HTTP/2. `None`: it did not begin at all.
async fn is_http2(stream: &mut ClientStream, drain: &DrainWatch) -> Option<bool> {
    let spoken = stream.spoken();
    let mut too_late = pin!(in_fairness(drain.clone(), Stage::Draining, Instant::now()));
    let mut seen = [0; FIRST_READ];
    let mut length = 0;
    loop {
        let read = tokio::select! {
            // What has come already is served.
            biased;
            read = stream.read(seen.get_mut(length..).unwrap_or_default()) => read.unwrap_or(0),
            () = &mut too_late, if length == 0 => 0,
        };
        length += read;
        let begun = seen.get(..length).unwrap_or_default();
        let (is_http2, is_clear) = match spoken {
            Spoken::Http1 => (false, true),
            Spoken::Http2 => (true, true),
            Spoken::Either => {
                let is_preface = begun.starts_with(PREFACE);
                (is_preface, is_preface || !PREFACE.starts_with(begun))
            }
        };
        if is_clear || read == 0 {
            stream.put_back(begun);
            return (length > 0).then_some(is_http2);
        }
    }
}

/// Waits until the gateway's end has come so far, but in any case for the time that a connection which was opened then
/// has for its first request.
pub(super) async fn in_fairness(mut drain: DrainWatch, stage: Stage, opened: Instant) {
    drain.reached(stage).await;
    sleep_until(opened + FIRST_REQUEST).await;
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, PoisonError};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::{ServeHttp, serve};
    use crate::drain::{Drain, Stage};
    use crate::identity::Anonymous;
    use crate::proxy::client::{ClientConnection, ClientStream};
    use crate::proxy::listener::Listener;
    use crate::proxy::transport::Transport;
    use crate::snapshot::sample;
    use crate::snapshot::store::SnapshotStore;

    /// Notes which HTTP it was to serve, and what came; answers nothing.
    #[derive(Default)]
    struct Recorder(Mutex<Vec<(&'static str, String)>>);

    impl Recorder {
        async fn note(&self, http: &'static str, mut stream: ClientStream) {
            let mut bytes = [0; 128];
            let count = stream.read(&mut bytes).await.expect("an open socket");
            let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
            let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            seen.push((http, text));
        }
    }

    impl ServeHttp for Recorder {
        async fn serve_http1(&self, stream: ClientStream, _: &Arc<ClientConnection>) {
            assert!(ClientConnection::current(|_| ()).is_some());
            self.note("1", stream).await;
        }

        async fn serve_http2(&self, stream: ClientStream, _: &Arc<ClientConnection>) {
            assert!(ClientConnection::current(|_| ()).is_none());
            self.note("2", stream).await;
        }

        fn announce_end(&self) {}

        async fn close_idle(&self) {}

        fn sweep(&self, _: std::time::Instant) {}
    }

    /// What is served of a client that sends `bytes` in pieces, and what the client reads.
    async fn served(pieces: &[&str], drain: &Drain) -> (Vec<(&'static str, String)>, String) {
        let snapshot = sample::snapshot(Anonymous::Stable);
        let store = Arc::new(SnapshotStore::new(Arc::new(snapshot)));
        let bound = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = bound.local_addr().expect("an address");
        let client = async {
            let mut client = TcpStream::connect(address).await.expect("a connection");
            for piece in pieces {
                client
                    .write_all(piece.as_bytes())
                    .await
                    .expect("an open socket");
                tokio::task::yield_now().await;
            }
            let mut read = Vec::new();
            // An error is a connection that was reset.
            let _ = client.read_to_end(&mut read).await;
            String::from_utf8_lossy(&read).into_owned()
        };
        let recorder = Recorder::default();
        let server = async {
            let (socket, peer) = bound.accept().await.expect("a connection");
            let socket = socket.into_std().expect("a socket");
            let listener = Arc::new(Listener::plain(address));
            let transport = Transport::accepted(socket, listener).expect("a transport");
            assert_eq!(transport.listener().address, address);
            let stream = ClientConnection::accepted(transport, peer, None, &store);
            serve(stream, &recorder, &drain.watch()).await;
        };
        let (read, ()) = tokio::join!(client, server);
        let seen = recorder
            .0
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        (seen, read)
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_connection_is_served_by_what_its_first_bytes_say() {
        let drain = Drain::default();
        let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let (seen, _) = served(&[request], &drain).await;
        assert_eq!(seen, [("1", request.to_owned())]);
        let (seen, _) = served(&["PRI * HT", "TP/2.0\r\n\r\nSM\r\n\r\n"], &drain).await;
        assert_eq!(seen[0].0, "2");
        assert!(seen[0].1.starts_with("PRI * HTTP/2.0"));
        let (seen, _) = served(&["PRI * HTTX"], &drain).await;
        assert_eq!(seen[0].0, "1");
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_silent_connection_is_closed_while_the_gateway_drains() {
        let drain = Drain::default();
        drain.advance(Stage::Draining);
        let (seen, read) = served(&[], &drain).await;
        assert!(seen.is_empty() && read.is_empty(), "{seen:?} {read}");
    }
}
