//! Deadlines of sockets: for a response to begin, for a client to send its next request and to take what is sent.
//!
//! pingora's read timeout runs on every read, so one that is right for a response's head would also cut a stream of
//! events that is silent for a while, and one for a request's head never ends for a client that sends an byte now and
//! then. Instead, whoever waits is entered here, and when its time is over its socket is shut down, which ends
//! pingora's read or write at once. Nothing is spawned and no timer is set per request: one sweep a worker looks
//! through those that wait, and it does not even look before the first deadline.
//!
//! A worker is one thread, and everything here belongs to it: no lock, and no socket can be closed and its number
//! given to another between a look and the shutdown.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use nix::sys::socket::{
    MsgFlags, Shutdown, SockaddrStorage, getpeername, getsockname, send, shutdown,
};
use tokio::sync::Notify;

use super::passing::{Awaited, Passing, Verdict};
use super::{alarm, idle, queue, uploads};
use crate::proxy::metrics::ConnectionFigures;

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
    /// No deadline is before this; `None`: there was none at all.
    first: Option<Instant>,
}

struct Entry {
    socket: RawFd,
    /// What the socket must still connect.
    ends: Option<Ends>,
    /// When the time is over, and what is done then; `None`: there is no hurry.
    deadline: Option<(Instant, Act)>,
    /// What has been passed on over the socket, where that may take its time.
    passing: Option<Passing>,
    /// Who was late.
    expired: Option<Awaited>,
}

/// What is done when a time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    /// This part of the socket is shut down.
    Shutdown(Shutdown),
    /// A client that waits to be told so is told to send its request's body.
    Continue,
}

/// The two addresses of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// Ours.
    pub near: SocketAddr,
    /// The other's.
    pub far: SocketAddr,
}

impl Ends {
    /// Whether a socket connects them: no two do at a time.
    pub(super) fn are_of(self, socket: RawFd) -> bool {
        let near = getsockname(socket).ok().and_then(inet);
        let far = getpeername(socket).ok().and_then(inet);
        near == Some(self.near) && far == Some(self.far)
    }
}

/// Somebody who waits. Dropping it ends the wait, which must come before the socket's end. Must stay on its worker's
/// thread.
#[derive(Debug)]
pub struct Wait {
    index: usize,
}

impl Wait {
    /// Begins to wait for what comes from a socket, until `deadline`. With its two addresses in `ends`, a socket may be
    /// closed before the wait ends: its number is then nobody's, or another's, and left alone.
    pub fn begin(socket: RawFd, deadline: Instant, ends: Option<Ends>) -> Self {
        Self::enter(Entry {
            socket,
            ends,
            deadline: Some((deadline, Act::Shutdown(Shutdown::Both))),
            passing: None,
            expired: None,
        })
    }

    /// Begins to wait for the answer to a request whose body takes its time: the deadline moves on for as long as the
    /// answer is not what is awaited.
    pub fn begin_passing(
        socket: RawFd,
        deadline: Instant,
        ends: Option<Ends>,
        passing: Passing,
    ) -> Self {
        Self::enter(Entry {
            socket,
            ends,
            deadline: Some((deadline, Act::Shutdown(Shutdown::Both))),
            passing: Some(passing),
            expired: None,
        })
    }

    fn enter(entry: Entry) -> Self {
        WAITING.with_borrow_mut(|waiting| {
            if let Some((deadline, _)) = entry.deadline {
                waiting.note(deadline);
            }
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
        self.until(deadline, Shutdown::Both);
    }

    /// Notes that a further part of a request has been read from the client; until `client`, if at all, it may be the
    /// client who is awaited for the next one.
    pub fn read_on(&self, deadline: Instant, client: Option<Instant>) {
        self.postpone(deadline);
        self.with_entry(|entry| {
            if let Some(passing) = &mut entry.passing {
                passing.client = client;
            }
        });
    }

    /// Waits until another moment, and then shuts down only a part of the socket.
    pub fn until(&self, deadline: Instant, part: Shutdown) {
        self.act(deadline, Act::Shutdown(part));
    }

    /// Waits until another moment, and then tells the client to go on with its request (`100 Continue`). Nothing else
    /// may be about to be written to the socket by then.
    pub fn until_continue(&self, deadline: Instant) {
        self.act(deadline, Act::Continue);
    }

    fn act(&self, deadline: Instant, act: Act) {
        WAITING.with_borrow_mut(|waiting| {
            waiting.note(deadline);
            if let Some(Some(entry)) = waiting.entries.get_mut(self.index) {
                entry.deadline = Some((deadline, act));
            }
        });
    }

    /// Waits without a deadline.
    pub fn pause(&self) {
        self.with_entry(|entry| entry.deadline = None);
    }

    /// Whether the time was over and the socket has been shut down.
    pub fn is_expired(&self) -> bool {
        self.expired().is_some()
    }

    /// Who was awaited when the time was over and the socket was shut down.
    pub fn expired(&self) -> Option<Awaited> {
        self.with_entry(|entry| entry.expired)?
    }

    fn with_entry<T>(&self, then: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        WAITING.with_borrow_mut(|waiting| waiting.entries.get_mut(self.index)?.as_mut().map(then))
    }
}

impl Entry {
    /// Does what is to be done, or puts it off: until when.
    fn expire(&mut self, act: Act, now: Instant) -> Option<Instant> {
        self.deadline = None;
        if !self.is_open() {
            return None;
        }
        let part = match act {
            Act::Shutdown(part) => part,
            Act::Continue => {
                // Nothing is on its way to a client that waits: the kernel has room for so little.
                let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
                let _ = send(self.socket, b"HTTP/1.1 100 Continue\r\n\r\n", flags);
                return None;
            }
        };
        let verdict = match &mut self.passing {
            Some(passing) => passing.look(now),
            None => Verdict::Late(Awaited::Other),
        };
        match verdict {
            Verdict::NotYet(until) => self.deadline = Some((until, act)),
            Verdict::Late(awaited) => {
                self.expired = Some(awaited);
                // An error is a socket that its peer has already reset: then pingora's read has ended anyway.
                let _ = shutdown(self.socket, part);
            }
        }
        self.deadline.map(|(until, _)| until)
    }

    /// Whether the socket is still the one that the wait began with.
    fn is_open(&self) -> bool {
        self.ends.is_none_or(|ends| ends.are_of(self.socket))
    }
}

fn inet(address: SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address
        .as_sockaddr_in()
        .map(|v4| SocketAddr::V4((*v4).into()));
    v4.or_else(|| {
        address
            .as_sockaddr_in6()
            .map(|v6| SocketAddr::V6((*v6).into()))
    })
}

impl Waiting {
    fn note(&mut self, deadline: Instant) {
        self.first = Some(self.first.map_or(deadline, |first| first.min(deadline)));
    }

    fn expire(&mut self, now: Instant) {
        if self.first.is_none_or(|first| now < first) {
            return;
        }
        let mut first: Option<Instant> = None;
        for entry in self.entries.iter_mut().flatten() {
            let next = match entry.deadline {
                Some((deadline, act)) if deadline <= now => entry.expire(act, now),
                deadline => deadline.map(|(deadline, _)| deadline),
            };
            first = match (first, next) {
                (Some(first), Some(next)) => Some(first.min(next)),
                (first, next) => first.or(next),
            };
        }
        self.first = first;
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

/// Looks for deadlines that are over whenever it is told to, for as long as its worker runs.
pub async fn sweep(tick: Arc<Notify>, figures: Arc<ConnectionFigures>) {
    loop {
        tick.notified().await;
        let now = Instant::now();
        expire(now);
        idle::expire(now);
        idle::give_way(figures.upstream_wanted.get());
        alarm::ring(now);
        queue::look_again();
        uploads::look(now);
    }
}

/// Tells sweeps to look, from a thread of its own, until the last of them is gone. A timer of tokio's in a worker would
/// be much simpler, and make it read the clock and look through its timers whenever it waits: twice a request.
pub fn tick(mut sweeps: Vec<Weak<Notify>>) -> io::Result<()> {
    let told = |sweep: &Weak<Notify>| {
        let sweep = sweep.upgrade();
        sweep.is_some_and(|sweep| {
            sweep.notify_one();
            true
        })
    };
    let ticking = move || {
        while !sweeps.is_empty() {
            std::thread::sleep(SWEEP_INTERVAL);
            sweeps.retain(told);
        }
    };
    let thread = std::thread::Builder::new().name("serin-clock".to_owned());
    thread.spawn(ticking).map(drop)
}

fn expire(now: Instant) {
    WAITING.with_borrow_mut(|waiting| waiting.expire(now));
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd as _;
    use std::time::{Duration, Instant};

    use nix::sys::socket::Shutdown;

    use super::{Wait, expire};

    #[test]
    fn a_socket_is_shut_down_when_its_time_is_over_and_not_before() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let connect = || {
            TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection")
        };
        let (mut late, done) = (connect(), connect());
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let wait = Wait::begin(late.as_raw_fd(), start + second, None);
        drop(Wait::begin(done.as_raw_fd(), start + second, None));
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

    #[test]
    fn who_pauses_has_all_the_time_until_it_waits_again() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("an address");
        let mut client = TcpStream::connect(address).expect("a connection");
        let (mut server, _) = listener.accept().expect("a connection");
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let wait = Wait::begin(server.as_raw_fd(), start + second, None);
        wait.pause();
        expire(start + 2 * second);
        assert!(!wait.is_expired());
        wait.until(start + 3 * second, Shutdown::Read);
        expire(start + 2 * second);
        assert!(!wait.is_expired());
        expire(start + 3 * second);
        assert!(wait.is_expired());
        // Only what comes is cut off: the client can still be told.
        assert_eq!(server.read(&mut [0]).expect("the end of the stream"), 0);
        server.write_all(b"late").expect("an open socket");
        let mut told = [0; 4];
        client.read_exact(&mut told).expect("an answer");
        assert_eq!(&told, b"late");
    }
}
