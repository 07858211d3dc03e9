//! The clients' connections that are open.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use crate::proxy::metrics::ConnectionFigures;

/// The clients' connections that are open, of one worker.
#[derive(Debug)]
pub(super) struct Connections {
    open: AtomicUsize,
    closed: Notify,
    /// Of all workers.
    figures: Arc<ConnectionFigures>,
}

impl Connections {
    /// None yet.
    pub(super) fn new(figures: Arc<ConnectionFigures>) -> Self {
        Self {
            open: AtomicUsize::new(0),
            closed: Notify::new(),
            figures,
        }
    }

    /// How many there are.
    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }

    /// Waits until there is none.
    pub(super) async fn none_left(&self) {
        loop {
            // Registered before the count is read, so that the last connection's end cannot be missed.
            let closed = self.closed.notified();
            if self.open() == 0 {
                return;
            }
            closed.await;
        }
    }

    /// Counts a connection until the answer is dropped.
    pub(super) fn enter(self: &Arc<Self>) -> OpenConnection {
        self.open.fetch_add(1, Ordering::AcqRel);
        self.figures.open.inc();
        OpenConnection(self.clone())
    }
}

/// A connection that is counted.
#[derive(Debug)]
pub(super) struct OpenConnection(Arc<Connections>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.figures.open.dec();
        if self.0.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.closed.notify_waiters();
        }
    }
}
