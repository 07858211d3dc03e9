//! How much there may be at a time: connections within the files that the process may open, and what a service may be given.

pub mod clients;

use std::time::Duration;

/// How many connections of clients there may be unless the configuration says otherwise.
pub const CONNECTIONS: usize = 20_000;

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

#[cfg(test)]
mod tests {
    use super::{CONNECTIONS, Shares};

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
}
