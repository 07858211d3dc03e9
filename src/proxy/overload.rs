//! The answer to connections that are one too many.

use std::sync::Arc;

use http::StatusCode;
use tokio::sync::Semaphore;

use super::lingering::{Lingering, PATIENCE, lingering_close};
use super::transport::Transport;

/// How many clients at a time get an answer that says that there are too many connections; the others are only closed.
const TOLD_AT_A_TIME: usize = 256;

/// Refuses connections that are too many.
#[derive(Clone, Debug)]
pub(super) struct OverloadResponder(Arc<Semaphore>);

impl OverloadResponder {
    /// Tells [`TOLD_AT_A_TIME`] clients at a time, or `most` if that is less.
    pub(super) fn new(most: usize) -> Self {
        Self(Arc::new(Semaphore::new(TOLD_AT_A_TIME.min(most))))
    }

    /// Tells a client to come back later, in a task of its own.
    pub(super) fn turn_away(&self, transport: Transport) {
        let listener = transport.listener();
        if listener.tls.is_some() || listener.proxy_protocol {
            // It would not understand an answer before its handshake, which costs more than its request would.
            return;
        }
        let Ok(turn) = self.0.clone().try_acquire_owned() else {
            return;
        };
        tokio::spawn(async move {
            // Many clients cannot make sense of an answer that comes before their request.
            let _ = tokio::time::timeout(PATIENCE, transport.readable()).await;
            let refusal = Some(StatusCode::SERVICE_UNAVAILABLE);
            lingering_close(Lingering { transport, refusal }).await;
            drop(turn);
        });
    }
}
