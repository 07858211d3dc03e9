//! What a service has to do now: requests, connections and retries under way, each counted until it is dropped.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{Counter, ServiceMeter};

/// What bounds a service's load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// `max_requests`.
    Requests,
    /// `max_connections`.
    Connections,
    /// The files that the process may open.
    Files,
}

impl Bound {
    /// Every bound.
    pub const ALL: [Self; 3] = [Self::Requests, Self::Connections, Self::Files];

    /// The name that metrics carry.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "max_requests",
            Self::Connections => "max_connections",
            Self::Files => "open_files",
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How much a service has to do now. Atomics only: the request path counts in it.
#[derive(Debug, Default)]
pub struct Load {
    /// Requests under way.
    requests: AtomicU32,
    /// Those of them that take an upstream connection each.
    exchanges: AtomicU32,
    /// Requests that wait for their turn.
    queued: AtomicU32,
    /// Connections to its upstreams, those at rest included.
    connections: AtomicU32,
    /// Attempts that wait until a connection at rest has given way.
    wanted: AtomicU32,
    /// Retries under way.
    retrying: AtomicU32,
    /// Requests that were refused on account of each bound.
    refused_requests: Counter,
    refused_connections: Counter,
    refused_files: Counter,
}

impl Load {
    /// Requests under way.
    pub fn requests(&self) -> u32 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Requests that wait for their turn.
    pub fn queued(&self) -> u32 {
        self.queued.load(Ordering::Relaxed)
    }

    /// Connections to its upstreams that are open, those at rest included.
    pub fn connections(&self) -> u32 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Whether a connection at rest would better give way.
    pub fn is_short(&self) -> bool {
        self.wanted.load(Ordering::Relaxed) > 0
    }

    /// Requests that were refused on account of this bound.
    pub fn refused(&self, bound: Bound) -> &Counter {
        match bound {
            Bound::Requests => &self.refused_requests,
            Bound::Connections => &self.refused_connections,
            Bound::Files => &self.refused_files,
        }
    }
}

/// How many requests of a service there may be, for one more to be let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Under way.
    pub requests: u32,
    /// With an upstream connection each; `None`: this one shares its connection with others (HTTP/2).
    pub connections: Option<u32>,
}

/// A request that has been let in, counted until dropped.
#[derive(Debug)]
pub struct Admission {
    meter: Arc<ServiceMeter>,
    has_connection: bool,
}

impl Admission {
    /// Lets a request in if there is room; else says what is full.
    pub fn enter(meter: &Arc<ServiceMeter>, room: Room) -> Result<Self, Bound> {
        let load = &meter.load;
        // Counted first and compared afterwards, so that the bound is never exceeded: one too many is taken back.
        if load.requests.fetch_add(1, Ordering::Relaxed) >= room.requests {
            load.requests.fetch_sub(1, Ordering::Relaxed);
            return Err(Bound::Requests);
        }
        let admission = Self {
            meter: meter.clone(),
            has_connection: room.connections.is_some(),
        };
        match room.connections {
            Some(most) if load.exchanges.fetch_add(1, Ordering::Relaxed) >= most => {
                Err(Bound::Connections)
            }
            _ => Ok(admission),
        }
    }

    /// The service's figures.
    pub fn meter(&self) -> &Arc<ServiceMeter> {
        &self.meter
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let load = &self.meter.load;
        if self.has_connection {
            load.exchanges.fetch_sub(1, Ordering::Relaxed);
        }
        load.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An open connection to an upstream of a service, counted until dropped.
#[derive(Debug)]
pub struct OpenUpstream(Arc<ServiceMeter>);

impl OpenUpstream {
    /// Counts one more, unless there are `most` already.
    pub fn enter(meter: &Arc<ServiceMeter>, most: u32) -> Option<Self> {
        let before = meter.load.connections.fetch_add(1, Ordering::Relaxed);
        let open = Self(meter.clone());
        (before < most).then_some(open)
    }
}

impl Drop for OpenUpstream {
    fn drop(&mut self) {
        self.0.load.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request or an attempt that waits, counted until dropped.
#[derive(Debug)]
pub struct Waiting {
    meter: Arc<ServiceMeter>,
    count: fn(&Load) -> &AtomicU32,
}

impl Waiting {
    /// A request that waits for its turn, unless `most` do already.
    pub fn in_queue(meter: &Arc<ServiceMeter>, most: u32) -> Option<Self> {
        let waiting = Self::begin(meter, |load| &load.queued);
        (meter.load.queued() <= most).then_some(waiting)
    }

    /// An attempt that waits until a connection at rest has given way.
    pub fn for_connection(meter: &Arc<ServiceMeter>) -> Self {
        Self::begin(meter, |load| &load.wanted)
    }

    fn begin(meter: &Arc<ServiceMeter>, count: fn(&Load) -> &AtomicU32) -> Self {
        count(&meter.load).fetch_add(1, Ordering::Relaxed);
        Self {
            meter: meter.clone(),
            count,
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        (self.count)(&self.meter.load).fetch_sub(1, Ordering::Relaxed);
    }
}

/// A retry that is under way, until dropped.
#[derive(Debug)]
pub struct Retrying(Arc<ServiceMeter>);

impl Retrying {
    /// Begins one more, unless as many as `allowed` are under way.
    pub fn begin(meter: &Arc<ServiceMeter>, allowed: u32) -> Option<Self> {
        // Counted first and compared afterwards, so that the bound is never exceeded: dropping one too many takes it back.
        let retry = Self(meter.clone());
        let before = meter.load.retrying.fetch_add(1, Ordering::Relaxed);
        (before < allowed).then_some(retry)
    }
}

impl Drop for Retrying {
    fn drop(&mut self) {
        self.0.load.retrying.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Admission, Bound, OpenUpstream, Room, Waiting};
    use crate::meter::ServiceMeter;

    #[test]
    fn every_bound_is_counted_by_itself() {
        let meter = ServiceMeter::default();
        for bound in Bound::ALL {
            meter.load.refused(bound).inc();
            assert_eq!(meter.load.refused(bound).get(), 1, "{bound}");
        }
    }

    #[test]
    fn requests_are_let_in_while_there_is_room() {
        let meter = Arc::new(ServiceMeter::default());
        let own = Room {
            requests: 3,
            connections: Some(2),
        };
        let shared = Room {
            connections: None,
            ..own
        };
        let enter = |room| Admission::enter(&meter, room);
        let first = enter(own).expect("room");
        let second = enter(own).expect("room");
        assert_eq!(enter(own).expect_err("no room"), Bound::Connections);
        assert_eq!(meter.load.requests(), 2);
        // One that needs no connection of its own finds room yet.
        let third = enter(shared).expect("room");
        assert_eq!(enter(shared).expect_err("no room"), Bound::Requests);
        drop(first);
        assert!(enter(own).is_ok());
        drop((second, third));
        assert_eq!(meter.load.requests(), 0);
        assert!(enter(own).is_ok());
    }

    #[test]
    fn a_queue_has_an_end() {
        let meter = Arc::new(ServiceMeter::default());
        let first = Waiting::in_queue(&meter, 1);
        assert!(first.is_some());
        assert!(Waiting::in_queue(&meter, 1).is_none());
        assert!(Waiting::in_queue(&meter, 0).is_none());
        assert_eq!(meter.load.queued(), 1);
        drop(first);
        assert!(Waiting::in_queue(&meter, 1).is_some());
        assert_eq!(meter.load.queued(), 0);
    }

    #[test]
    fn open_connections_are_bounded_and_counted() {
        let meter = Arc::new(ServiceMeter::default());
        let first = OpenUpstream::enter(&meter, 2);
        let second = OpenUpstream::enter(&meter, 2);
        assert!(first.is_some() && second.is_some());
        assert!(OpenUpstream::enter(&meter, 2).is_none());
        assert_eq!(meter.load.connections(), 2);
        drop(first);
        let wanted = Waiting::for_connection(&meter);
        assert!(meter.load.is_short());
        assert!(OpenUpstream::enter(&meter, 2).is_some());
        drop((second, wanted));
        assert_eq!(meter.load.connections(), 0);
        assert!(!meter.load.is_short());
    }
}
