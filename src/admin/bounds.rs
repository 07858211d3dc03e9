//! How much of the API may be in use at a time, where one use takes memory, a thread or long.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::problem::Problem;

/// Streams of events at a time.
const EVENT_STREAMS: usize = 64;
/// Configurations that are read and checked at a time, each of which may be as large as a file.
const CHECKS: usize = 4;
/// Orders at a time that wait for a reload or a flag server.
const ORDERS: usize = 32;
/// Searches of the audit trail at a time, each of which may read all of its files.
const SEARCHES: usize = 4;
/// When to come back, in seconds, for who came too many.
const LATER: u32 = 1;

/// The places that are left.
#[derive(Debug)]
pub struct Bounds {
    event_streams: Arc<Semaphore>,
    checks: Arc<Semaphore>,
    orders: Arc<Semaphore>,
    searches: Arc<Semaphore>,
}

impl Default for Bounds {
    fn default() -> Self {
        let places = |count| Arc::new(Semaphore::new(count));
        Self {
            event_streams: places(EVENT_STREAMS),
            checks: places(CHECKS),
            orders: places(ORDERS),
            searches: places(SEARCHES),
        }
    }
}

impl Bounds {
    /// A place for a stream of events, held as long as it lasts.
    pub(super) fn event_stream(&self) -> Result<OwnedSemaphorePermit, Problem> {
        take(&self.event_streams, "streams of events", EVENT_STREAMS)
    }

    /// A place for a configuration, taken before its text is read.
    pub(super) fn check(&self) -> Result<OwnedSemaphorePermit, Problem> {
        take(&self.checks, "checks", CHECKS)
    }

    /// A place for a search of the audit trail.
    pub(super) fn search(&self) -> Result<OwnedSemaphorePermit, Problem> {
        take(&self.searches, "searches of the audit trail", SEARCHES)
    }

    /// A place for an order that waits for a reload or a flag server.
    pub(super) fn order(&self) -> Result<OwnedSemaphorePermit, Problem> {
        take(&self.orders, "orders of this kind", ORDERS)
    }
}

fn take(places: &Arc<Semaphore>, name: &str, most: usize) -> Result<OwnedSemaphorePermit, Problem> {
    places.clone().try_acquire_owned().map_err(|_| {
        let detail = format!("{most} {name} are running, which is the most at a time");
        Problem::new(503, detail).retry_after(LATER)
    })
}
