//! What comes before HTTP on a listener with TLS.
//!
//! A handshake takes as much computing as several requests. One step of one handshake is computed at a time, and between
//! two of them the worker looks after everything else that it has to do: clients that connect by the thousand keep each
//! other waiting, and not those that are being served.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use http::StatusCode;
use tokio::sync::Semaphore;
use tokio::task::yield_now;
use tokio_rustls::TlsAcceptor;

use super::lingering::{Lingering, lingering_close};
use super::transport::Transport;
use crate::certificates::{Handshake, ServerTls};

/// Whose turn it is to compute, on one worker.
#[derive(Clone, Debug)]
pub(super) struct Turns(Arc<Semaphore>);

impl Default for Turns {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

impl Turns {
    /// Runs a future to its end, each step of it in its turn.
    async fn take<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        loop {
            let turn = self.0.clone().acquire_owned().await;
            let step = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
            // The next turn comes when everything else that waits has had its own.
            tokio::spawn(async move {
                yield_now().await;
                drop(turn);
            });
            match step {
                Poll::Ready(output) => return output,
                Poll::Pending => woken().await,
            }
        }
    }
}

/// Waits until the task is woken by what it has polled before.
async fn woken() {
    let mut has_waited = false;
    poll_fn(|_| match std::mem::replace(&mut has_waited, true) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}

/// Shakes hands with a client that has begun to speak. `None`: it came to nothing, and the client has been told.
pub(super) async fn shake_hands(
    transport: Transport,
    tls: &ServerTls,
    first: u8,
    turns: &Turns,
) -> Option<Transport> {
    // Methods begin with a capital letter, and no record of TLS does.
    if first.is_ascii_uppercase() {
        tls.handshakes().count(Handshake::NotTls);
        let refusal = Some(StatusCode::BAD_REQUEST);
        lingering_close(Lingering { transport, refusal }).await;
        return None;
    }
    let (socket, listener) = transport.into_socket();
    let accept = TlsAcceptor::from(tls.config()).accept(socket);
    match turns.take(accept.into_fallible()).await {
        Ok(stream) => {
            let (_, session) = stream.get_ref();
            tls.handshakes().count(Handshake::of(session));
            Some(Transport::encrypted(stream, listener))
        }
        Err((error, socket)) => {
            tls.handshakes().count(Handshake::Failed);
            tracing::debug!(%error, listener = %listener.address, "a handshake failed");
            let is_gone = matches!(
                error.kind(),
                io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset
            );
            if !is_gone {
                // The alert that says why is on its way.
                let transport = Transport::of(socket, listener);
                let refusal = None;
                lingering_close(Lingering { transport, refusal }).await;
            }
            None
        }
    }
}
