//! Deadlines for a response to begin.
//!
//! pingora's read timeout runs on every read, so one that is right for a response's head would also cut a stream of
//! events that is silent for a while. It is left unset for HTTP/1.1 upstreams; instead an attempt that waits for its
//! response is entered here, and when its time is over the upstream's socket is shut down, which ends pingora's read
//! at once. Nothing is spawned and no timer is set per request: one sweep a worker looks through those that wait.
//!
//! A worker is one thread, and everything here belongs to it: no lock, and no socket can be closed and its number
//! given to another between a look and the shutdown.

use std::cell::RefCell;
use std::os::fd::RawFd;
use std::time::{Duration, Instant};

use nix::sys::socket::{Shutdown, shutdown};

/// How late, at most, a deadline is noticed.
pub const SWEEP_INTERVAL: Duration = Duration::from_millis(20);

thread_local! {
    static WAITING: RefCell<Waiting> = RefCell::default();
}

/// Those that wait, at places that stay theirs, and the places that are free.
#[derive(Default)]
struct Waiting {
    entries: Vec<Option<Entry>>,
    free: Vec<usize>,
}

struct Entry {
    socket: RawFd,
    deadline: Instant,
    expired: bool,
}

/// An attempt that waits for its response to begin. Dropping it ends the wait. Must stay on its worker's thread.
#[derive(Debug)]
pub struct Wait {
    index: usize,
}

impl Wait {
    /// Begins to wait for what comes from a socket, until `deadline`.
    pub fn begin(socket: RawFd, deadline: Instant) -> Self {
        let entry = Entry {
            socket,
            deadline,
            expired: false,
        };
        WAITING.with_borrow_mut(|waiting| {
            let index = waiting.free.pop().unwrap_or_else(|| {
                waiting.entries.push(None);
                waiting.entries.len() - 1
            });
            waiting.entries[index] = Some(entry);
            Self { index }
        })
    }

    /// Waits until another moment.
    pub fn postpone(&self, deadline: Instant) {
        self.with_entry(|entry| entry.deadline = deadline);
    }

    /// Whether the time was over and the socket has been shut down.
    pub fn is_expired(&self) -> bool {
        self.with_entry(|entry| entry.expired).unwrap_or(false)
    }

    fn with_entry<T>(&self, then: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        WAITING.with_borrow_mut(|waiting| waiting.entries.get_mut(self.index)?.as_mut().map(then))
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        WAITING.with_borrow_mut(|waiting| {
            if let Some(entry) = waiting.entries.get_mut(self.index) {
                *entry = None;
                waiting.free.push(self.index);
            }
        });
    }
}

/// Looks for deadlines that are over, for as long as its worker runs.
pub async fn sweep() {
    let mut tick = tokio::time::interval(SWEEP_INTERVAL);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        expire(Instant::now());
    }
}

fn expire(now: Instant) {
    WAITING.with_borrow_mut(|waiting| {
        for entry in waiting.entries.iter_mut().flatten() {
            if !entry.expired && entry.deadline <= now {
                entry.expired = true;
                // An error is a socket that its peer has already reset: then pingora's read has ended anyway.
                let _ = shutdown(entry.socket, Shutdown::Both);
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd as _;
    use std::time::{Duration, Instant};

    use super::{Wait, expire};

    #[test]
    fn a_socket_is_shut_down_when_its_time_is_over_and_not_before() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let connect = || {
            TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection")
        };
        let (mut late, done) = (connect(), connect());
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let wait = Wait::begin(late.as_raw_fd(), start + second);
        drop(Wait::begin(done.as_raw_fd(), start + second));
        expire(start);
        assert!(!wait.is_expired());
        wait.postpone(start + 3 * second);
        expire(start + 2 * second);
        assert!(!wait.is_expired());
        expire(start + 3 * second);
        assert!(wait.is_expired());
        assert_eq!(late.read(&mut [0]).expect("the end of the stream"), 0);
        done.set_nonblocking(true).expect("an open socket");
        let still_open = (&done).read(&mut [0]).expect_err("nothing to read");
        assert_eq!(still_open.kind(), std::io::ErrorKind::WouldBlock);
    }
}
