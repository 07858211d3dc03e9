//! Deadlines of sockets: for a response to begin, for a client to send its next request and to take what is sent.
//!
//! A read timeout runs on every read, so one that is right for a response's head would also cut a stream of
//! events that is silent for a while, and one for a request's head never ends for a client that sends a byte now and
//! then. Instead, a deadline is entered here, and when it is over its socket is shut down, which ends the read or write
//! that waits for it at once. Nothing is spawned and no timer is set per request: one sweep a worker looks through the
//! deadlines, and it does not even look before the first of them.
//!
//! The rules of [`super::worker_local`] hold.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::task::Waker;
use std::time::Instant;

use nix::sys::socket::{Shutdown, SockaddrStorage, getpeername, getsockname, shutdown};

use super::transfer::{Awaited, Lateness, RequestTransfer};
use super::worker_local::Slots;

thread_local! {
    static PENDING: RefCell<Deadlines> = RefCell::default();
}

/// The deadlines of a worker.
#[derive(Default)]
struct Deadlines {
    pending: Slots<Pending>,
    /// No deadline is before this; `None`: there was none at all.
    first: Option<Instant>,
}

/// A socket with its deadline.
struct Pending {
    socket: RawFd,
    /// What the socket must still connect.
    addrs: Option<ConnectionAddrs>,
    /// When the time is over, and what is done then; `None`: there is no hurry.
    deadline: Option<(Instant, Expiry)>,
    /// The request that is sent over the socket, where that may take its time.
    transfer: Option<RequestTransfer>,
    /// Who was late.
    expired: Option<Awaited>,
    /// Woken at [`Expiry::Wake`].
    waker: Option<Waker>,
    /// Whether it has been.
    is_due: bool,
}

/// What is done when a time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expiry {
    /// This part of the socket is shut down.
    Shutdown(Shutdown),
    /// Who reads from the connection is woken.
    Wake,
}

/// The two addresses of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ConnectionAddrs {
    /// Ours.
    pub(super) near: SocketAddr,
    /// The other's.
    pub(super) far: SocketAddr,
}

impl ConnectionAddrs {
    /// Whether a socket connects them: no two do at a time.
    pub(super) fn are_of(self, socket: RawFd) -> bool {
        let near = getsockname(socket).ok().and_then(inet);
        let far = getpeername(socket).ok().and_then(inet);
        near == Some(self.near) && far == Some(self.far)
    }
}

/// A socket's deadline for as long as this lives. Must be dropped before the socket is closed, unless it knows the
/// connection's addresses; must stay on its worker's thread.
#[derive(Debug)]
pub(super) struct DeadlineGuard {
    index: usize,
}

impl DeadlineGuard {
    /// Sets a socket's deadline, at which it is shut down. If `addrs` is given, the socket may be closed and its number
    /// reused while the deadline is pending: the sweep compares addresses and skips a number that is another's.
    pub(super) fn begin(socket: RawFd, deadline: Instant, addrs: Option<ConnectionAddrs>) -> Self {
        Self::enter(socket, deadline, addrs, None)
    }

    /// Sets the deadline for the answer to a request whose body takes its time: it moves on for as long as the answer is
    /// not what is awaited.
    pub(super) fn begin_transfer(
        socket: RawFd,
        deadline: Instant,
        addrs: Option<ConnectionAddrs>,
        transfer: RequestTransfer,
    ) -> Self {
        Self::enter(socket, deadline, addrs, Some(transfer))
    }

    fn enter(
        socket: RawFd,
        deadline: Instant,
        addrs: Option<ConnectionAddrs>,
        transfer: Option<RequestTransfer>,
    ) -> Self {
        PENDING.with_borrow_mut(|deadlines| {
            deadlines.note(deadline);
            let index = deadlines.pending.insert(Pending {
                socket,
                addrs,
                deadline: Some((deadline, Expiry::Shutdown(Shutdown::Both))),
                transfer,
                expired: None,
                waker: None,
                is_due: false,
            });
            Self { index }
        })
    }

    /// Moves the deadline.
    pub(super) fn postpone(&self, deadline: Instant) {
        self.until(deadline, Shutdown::Both);
    }

    /// Moves the deadline since a further part of a request has been read from the client; until `client`, if at all, it
    /// may be the client that is awaited for the next one.
    pub(super) fn read_on(&self, deadline: Instant, client: Option<Instant>) {
        self.postpone(deadline);
        self.with_pending(|pending| {
            if let Some(transfer) = &mut pending.transfer {
                transfer.client = client;
            }
        });
    }

    /// Moves the deadline, at which only a part of the socket is shut down.
    pub(super) fn until(&self, deadline: Instant, part: Shutdown) {
        self.set(deadline, Expiry::Shutdown(part));
    }

    /// Moves the deadline, at which who reads from the connection is woken ([`Self::wakes`]).
    pub(super) fn until_woken(&self, deadline: Instant) {
        self.set(deadline, Expiry::Wake);
    }

    /// Says who is to be woken then.
    pub(super) fn wakes(&self, waker: &Waker) {
        self.with_pending(|pending| pending.waker = Some(waker.clone()));
    }

    /// Whether the time has come to be woken; once.
    pub(super) fn take_due(&self) -> bool {
        let due = self.with_pending(|pending| std::mem::take(&mut pending.is_due));
        due.unwrap_or(false)
    }

    fn set(&self, deadline: Instant, expiry: Expiry) {
        PENDING.with_borrow_mut(|deadlines| {
            deadlines.note(deadline);
            if let Some(pending) = deadlines.pending.get_mut(self.index) {
                pending.deadline = Some((deadline, expiry));
            }
        });
    }

    /// Has no deadline until the next one is set.
    pub(super) fn pause(&self) {
        self.with_pending(|pending| pending.deadline = None);
    }

    /// Whether the time was over and the socket has been shut down.
    pub(super) fn is_expired(&self) -> bool {
        self.expired().is_some()
    }

    /// Who was awaited when the time was over and the socket was shut down.
    pub(super) fn expired(&self) -> Option<Awaited> {
        self.with_pending(|pending| pending.expired)?
    }

    fn with_pending<T>(&self, then: impl FnOnce(&mut Pending) -> T) -> Option<T> {
        PENDING.with_borrow_mut(|deadlines| deadlines.pending.get_mut(self.index).map(then))
    }
}

impl Pending {
    /// Does what is to be done, or puts it off: until when.
    fn expire(&mut self, expiry: Expiry, now: Instant) -> Option<Instant> {
        self.deadline = None;
        if !self.is_open() {
            return None;
        }
        let part = match expiry {
            Expiry::Shutdown(part) => part,
            Expiry::Wake => {
                self.is_due = true;
                if let Some(waker) = self.waker.take() {
                    waker.wake();
                }
                return None;
            }
        };
        let lateness = match &mut self.transfer {
            Some(transfer) => transfer.look(now),
            None => Lateness::Late(Awaited::Other),
        };
        match lateness {
            Lateness::NotYet(until) => self.deadline = Some((until, expiry)),
            Lateness::Late(awaited) => {
                self.expired = Some(awaited);
                tracing::debug!(socket = self.socket, ?awaited, ?part, "a deadline was over");
                // An error is a socket that its peer has already reset: then the read has ended anyway.
                let _ = shutdown(self.socket, part);
            }
        }
        self.deadline.map(|(until, _)| until)
    }

    /// Whether the socket is still the one that the deadline was set for.
    fn is_open(&self) -> bool {
        self.addrs.is_none_or(|addrs| addrs.are_of(self.socket))
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

impl Deadlines {
    fn note(&mut self, deadline: Instant) {
        self.first = Some(self.first.map_or(deadline, |first| first.min(deadline)));
    }

    fn expire(&mut self, now: Instant) {
        if self.first.is_none_or(|first| now < first) {
            return;
        }
        let mut first: Option<Instant> = None;
        for pending in self.pending.iter_mut() {
            let next = match pending.deadline {
                Some((deadline, expiry)) if deadline <= now => pending.expire(expiry, now),
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

impl Drop for DeadlineGuard {
    fn drop(&mut self) {
        PENDING.with_borrow_mut(|deadlines| deadlines.pending.remove(self.index));
    }
}

/// Looks through the deadlines, and does what is due.
pub(super) fn expire(now: Instant) {
    PENDING.with_borrow_mut(|pending| pending.expire(now));
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd as _;
    use std::time::{Duration, Instant};

    use nix::sys::socket::Shutdown;

    use super::{DeadlineGuard, expire};

    #[test]
    fn a_socket_is_shut_down_when_its_time_is_over_and_not_before() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let connect = || {
            TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection")
        };
        let (mut late, done) = (connect(), connect());
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let wait = DeadlineGuard::begin(late.as_raw_fd(), start + second, None);
        drop(DeadlineGuard::begin(done.as_raw_fd(), start + second, None));
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
        let wait = DeadlineGuard::begin(server.as_raw_fd(), start + second, None);
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
