//! Clients that want to be told so before they send a body (`Expect: 100-continue`).

use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use tokio::io::AsyncWrite as _;

use super::{ClientConnection, ClientStream};

/// How long such a client waits for the upstream's word. Serin has room for the body, and a client that does not wait for
/// ever begins by itself about then.
const TIME_TO_CONTINUE: Duration = Duration::from_secs(1);

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

impl ClientConnection {
    /// Notes that the client waits for `100 Continue`: it gets that after a while, unless it gets an answer, an interim one
    /// included, or begins by itself.
    pub fn expect_continue(&self) {
        self.expectant.store(true, Ordering::Relaxed);
        let deadline = Instant::now() + TIME_TO_CONTINUE;
        self.deadline.until_woken(deadline);
    }

    /// Notes that a client that waited to be told to send its body waits no more.
    pub fn fulfil(&self) {
        if self.is_expectant() {
            self.expectant.store(false, Ordering::Relaxed);
            self.deadline.pause();
        }
    }

    fn is_expectant(&self) -> bool {
        self.expectant.load(Ordering::Relaxed)
    }

    /// Has a task that waits for the body woken when the client is to be told.
    pub(super) fn waits_for_body(&self, waker: &Waker) {
        if self.is_expectant() {
            self.deadline.wakes(waker);
        }
    }
}

impl ClientStream {
    /// Tells a client to send its body that has waited for long enough.
    pub(super) fn continue_if_due(&mut self, cx: &mut Context<'_>) {
        let is_due = self.connection.is_expectant() && self.connection.deadline.take_due();
        if !is_due && !self.unflushed {
            return;
        }
        let Some(transport) = &mut self.transport else {
            return;
        };
        let mut transport = Pin::new(transport);
        if is_due {
            // An earlier answer may still be on its way to a client that takes it slowly. An error is one that has gone.
            if transport.as_mut().poll_write(cx, CONTINUE).is_pending() {
                let again = Instant::now() + TIME_TO_CONTINUE;
                self.connection.deadline.until_woken(again);
                return;
            }
            self.connection.fulfil();
        }
        self.unflushed = transport.poll_flush(cx).is_pending();
    }
}
