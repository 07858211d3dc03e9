//! How much there may be at a time: connections within the files that the process may open, and a service's requests.

pub mod clients;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::meter::{Counter, ServiceMeter};

/// How many connections of clients there may be unless the configuration says otherwise.
pub const CONNECTIONS: usize = 20_000;

/// How many requests one client may have open over HTTP/2 unless the configuration says otherwise: one that waits for
/// its body takes some 4 KiB.
pub const STREAMS_PER_CLIENT: usize = 10_000;

/// Up to how many connections are one client's even if the configuration allows all clients no more: in front of a small
/// number there is often one proxy.
const FEW_CONNECTIONS: usize = 1_000;

/// How many files are kept for threads, the admin API, DNS, flag servers, the configuration and what is stored: this
/// many, or three eighths of them all if that is less.
const RESERVE: usize = 512;

/// How many files the process may have open, sockets included (`RLIMIT_NOFILE` of getrlimit(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenFiles {
    /// The bound that the process was started with.
    pub found: usize,
    /// The bound now.
    pub limit: usize,
}

impl Default for OpenFiles {
    /// For a process whose bound is not known.
    fn default() -> Self {
        Self {
            found: usize::MAX,
            limit: usize::MAX,
        }
    }
}

/// How the files are shared out. A request takes two at most: its client's connection and the upstream's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    /// Kept for everything but traffic.
    pub reserve: usize,
    /// Connections of clients.
    pub clients: usize,
    /// Connections to upstreams, those at rest included.
    pub upstreams: usize,
}

impl Shares {
    /// Shares out `files`. Clients get as many as are `wanted` ([`CONNECTIONS`] if nobody says), but half of what is
    /// left beside the reserve at most; upstreams get the rest.
    pub fn of(files: usize, wanted: Option<usize>) -> Self {
        let reserve = RESERVE.min(files / 8 * 3);
        let free = files - reserve;
        let clients = wanted.unwrap_or(CONNECTIONS).min(free / 2).max(1);
        Self {
            reserve,
            clients,
            upstreams: free.saturating_sub(clients).max(1),
        }
    }

    /// How many connections one client may have if the configuration does not say: half of those that there may be, but
    /// as many as are `wanted` for all where these are few.
    pub fn of_client(&self, wanted: Option<usize>) -> usize {
        let few = wanted.unwrap_or(0).min(FEW_CONNECTIONS);
        (self.clients / 2).max(few).max(1)
    }

    /// How many connections to upstreams one client's requests may take: half of those that there may be.
    pub fn upstreams_of_client(&self) -> usize {
        (self.upstreams / 2).max(1)
    }

    /// How many connections one service may have if its configuration does not say: three quarters of them all, so that
    /// a service that answers slowly leaves some to the others.
    pub fn of_service(&self) -> u32 {
        let most = self.upstreams - self.upstreams / 4;
        u32::try_from(most).unwrap_or(u32::MAX)
    }
}

/// How much a service may be given at a time (`max_connections`, `max_requests`, `queue`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadPolicy {
    /// Connections to its upstreams; `None`: [`Shares::of_service`].
    pub max_connections: Option<u32>,
    /// Requests under way; `None`: without a bound of their own.
    pub max_requests: Option<u32>,
    /// How many further requests wait for their turn.
    pub queue: u32,
    /// For how long they do.
    pub wait: Duration,
}

impl Default for LoadPolicy {
    fn default() -> Self {
        Self {
            max_connections: None,
            max_requests: None,
            queue: 100,
            wait: Duration::from_secs(1),
        }
    }
}

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
    /// Every bound, in index order.
    pub const ALL: [Self; 3] = [Self::Requests, Self::Connections, Self::Files];

    /// The name that metrics carry.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "max_requests",
            Self::Connections => "max_connections",
            Self::Files => "open_files",
        }
    }

    /// The position in [`Bound::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How much a service has to do now. Atomics only: it is counted on the request path.
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
    /// Requests that were refused, by [`Bound::index`].
    refused: [Counter; Bound::ALL.len()],
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
        &self.refused[bound.index()]
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
        // Taken back at once where it was one too many, so that no bound is ever passed.
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Admission, Bound, CONNECTIONS, OpenUpstream, Room, Shares, Waiting};
    use crate::meter::ServiceMeter;

    #[test]
    fn files_are_shared_out_among_clients_upstreams_and_the_rest() {
        let shares = |files, wanted| {
            let shares = Shares::of(files, wanted);
            (shares.reserve, shares.clients, shares.upstreams)
        };
        assert_eq!(shares(1024, None), (384, 320, 320));
        assert_eq!(shares(1024, Some(100)), (384, 100, 540));
        assert_eq!(shares(1024, Some(5_000)), (384, 320, 320));
        assert_eq!(shares(524_288, None), (512, CONNECTIONS, 503_776));
        let few = Shares::of(1024, None);
        assert_eq!((few.of_service(), few.upstreams_of_client()), (240, 160));
        assert_eq!(few.of_client(None), 160);
        let of_client = |wanted| Shares::of(524_288, wanted).of_client(wanted);
        assert_eq!(of_client(None), 10_000);
        assert_eq!(of_client(Some(30_000)), 15_000);
        assert_eq!(of_client(Some(1_500)), 1_000);
        assert_eq!(of_client(Some(2)), 2);
        // There is always something, and never more than there are files.
        for files in 8..5_000 {
            let Shares {
                reserve,
                clients,
                upstreams,
            } = Shares::of(files, Some(files));
            assert!(reserve > 0 && clients > 0 && upstreams > 0, "{files}");
            assert_eq!(reserve + clients + upstreams, files);
        }
        assert_eq!(shares(0, None), (0, 1, 1));
    }

    #[test]
    fn an_index_is_a_position_in_all() {
        for (index, bound) in Bound::ALL.into_iter().enumerate() {
            assert_eq!(bound.index(), index, "{bound}");
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
