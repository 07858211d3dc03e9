//! Clients that want to be told so before they send a body (`Expect: 100-continue`).

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::ClientConnection;

/// How long such a client waits for the upstream's word. Serin has room for the body, and a client that does not wait for
/// ever begins by itself about then.
const TIME_TO_CONTINUE: Duration = Duration::from_secs(1);

impl ClientConnection {
    /// Notes that the client waits for `100 Continue`: it gets that after a while, unless it gets an answer, an interim one
    /// included, or begins by itself.
    pub fn expect_continue(&self) {
        self.expectant.store(true, Ordering::Relaxed);
        let deadline = Instant::now() + TIME_TO_CONTINUE;
        self.deadline.until_continue(deadline);
    }

    /// Notes that a client that waited to be told to send its body waits no more.
    pub fn fulfil(&self) {
        if self.expectant.load(Ordering::Relaxed) {
            self.expectant.store(false, Ordering::Relaxed);
            self.deadline.pause();
        }
    }
}
