//! Clients that have said all that they will, and still listen.
//!
//! A client may shut its half of the connection down behind its request: `nc` does, and some probes. Its answer is due
//! all the same (RFC 9112, section 9.6). One that has gone looks no different at first: its system, too, only says that
//! there is nothing more to come. It answers what is sent to it with a reset, though, and after a while what is asked
//! of it: keep-alive probes find out when nothing is being sent.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// How often a client that only listens is asked whether it is there. Systems forget a socket that was closed after a
/// minute or so, and answer with a reset from then on.
const ASKED_EVERY: Duration = Duration::from_secs(15);

/// Waits for a half-closed connection to be reset.
pub(super) struct Reset(Pin<Box<dyn Future<Output = ()> + Send + Sync>>);

impl Reset {
    /// Begins to watch. Nothing can be read from the socket until this is dropped.
    pub(super) fn watch(socket: Arc<TcpStream>) -> Self {
        let probes = TcpKeepalive::new()
            .with_time(ASKED_EVERY)
            .with_interval(ASKED_EVERY);
        // An error is a socket that has been reset already.
        let _ = SockRef::from(&*socket).set_tcp_keepalive(&probes);
        Self(Box::pin(async move {
            // An error is the runtime's end.
            let _ = socket.ready(Interest::ERROR).await;
        }))
    }

    /// Whether it has been reset.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for Reset {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Reset")
    }
}
