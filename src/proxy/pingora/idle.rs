//! How long a connection to an upstream may rest in pingora's pool (`timeouts.idle`, or less if the upstream says so).
//!
//! pingora would set a timer whenever a connection goes back to its pool, which costs more than all of a request's
//! decision. Instead, connections that rest are entered here by their socket's number, and when the time of one is over
//! the worker's sweep shuts its socket down: pingora takes that for the upstream's doing and forgets the connection.
//!
//! The rules of `proxy::worker_local` hold. A socket's number may have gone to another connection by then, so an entry
//! knows whether the connection that it is for still exists.

use std::cell::RefCell;
use std::os::fd::RawFd;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use nix::sys::socket::{Shutdown, shutdown};
use pingora::ErrorType;
use pingora::prelude::Error;
use pingora::protocols::{Digest, SocketDigest};

use super::uploads::Upload;
use super::upstream_socket::UpstreamSocket;
use crate::cluster::endpoint::Endpoint;
use crate::meter::ServiceMeter;
use crate::proxy::deadlines::ConnectionAddrs;

/// How long a connection rests that is kept only to see whether its endpoint closes it.
const WATCH: Duration = Duration::from_secs(1);

thread_local! {
    static RESTING: RefCell<RestingConnections> = RefCell::default();
}

/// What an attempt fails with whose connection was shut down a moment ago, when pingora had not noticed yet.
const RESTED_TOO_LONG: ErrorType = ErrorType::new("IdleConnectionExpired");

/// The connections that rest, by their sockets' numbers.
#[derive(Default)]
struct RestingConnections {
    entries: Vec<Option<RestingConnection>>,
    /// No entry's time is over before this.
    first: Option<Instant>,
}

struct RestingConnection {
    connection: Weak<SocketDigest>,
    /// What the socket must still connect.
    addrs: Option<ConnectionAddrs>,
    /// The service that it belongs to; `None`: no request gets it any more.
    meter: Option<Arc<ServiceMeter>>,
    until: Instant,
    over: bool,
    /// Whose connection it is, if that is to be told when it closes it before its time.
    watched: Option<Arc<Endpoint>>,
}

impl RestingConnection {
    /// Tells the endpoint, if it has closed the connection.
    fn tell(&self) {
        if let Some(endpoint) = &self.watched
            && !self.over
            && self.connection.strong_count() == 0
        {
            endpoint.closed_silently(Instant::now());
        }
    }
}

/// A connection to an upstream that a request has for itself.
#[derive(Debug)]
pub(super) struct Upstream {
    socket: RawFd,
    /// pingora's stream owns it: gone means closed. Over HTTP/2 others own it, too, so that it may be closed already.
    connection: Weak<SocketDigest>,
    /// What tells it from a later one with the same number, over HTTP/2.
    addrs: Option<ConnectionAddrs>,
    /// Whose it is, if that is to be told whether it closes it.
    watched: Option<Arc<Endpoint>>,
}

impl Upstream {
    /// Notes that a request has got a connection, a new one or one that rested. Fails, to be asked for another one, if
    /// that has just been shut down, or is about to be: not a byte of the request has been sent by then.
    pub(super) fn taken(
        socket: RawFd,
        digest: Option<&Digest>,
        addrs: Option<ConnectionAddrs>,
        now: Instant,
    ) -> pingora::Result<Self> {
        let digest = digest.and_then(|digest| digest.socket_digest.as_ref());
        let connection = digest.map(Arc::downgrade).unwrap_or_default();
        let entry = RESTING.with_borrow_mut(|resting| resting.place(socket).and_then(Option::take));
        let over = entry.is_some_and(|entry| {
            entry.tell();
            let is_over = entry.over || entry.until <= now;
            is_over && entry.connection.ptr_eq(&connection)
        });
        if over {
            let mut error = Error::explain(RESTED_TOO_LONG, "it rested too long");
            error.set_retry(true);
            return Err(error);
        }
        Ok(Self {
            socket,
            connection,
            addrs,
            watched: None,
        })
    }

    /// Its socket.
    pub(super) fn socket(&self) -> UpstreamSocket {
        UpstreamSocket {
            number: self.socket,
            connection: self.connection.clone(),
            addrs: self.addrs,
        }
    }

    /// Lets it rest only to see whether its endpoint closes it without a word.
    pub(super) fn watch(&mut self, endpoint: Arc<Endpoint>) {
        self.watched = Some(endpoint);
    }

    /// Notes that the answer says that it will be closed.
    pub(super) fn closes(&mut self) {
        self.watched = None;
    }

    /// Sees to it that no other request gets it: what may still come over it is no answer to one.
    pub(super) fn condemn(&self) {
        self.enter(RestingConnection {
            connection: self.connection.clone(),
            addrs: self.addrs,
            meter: None,
            until: Instant::now(),
            over: true,
            watched: None,
        });
    }

    /// Looks at a request's body on its way over it. Over HTTP/2 a body keeps nothing else from being read.
    pub(super) fn upload(&self) -> Option<Upload> {
        self.is_http1()
            .then(|| Upload::begin(self.socket, self.connection.clone()))
    }

    /// Whether it is spoken to in HTTP/1.1, and closed only by us and the upstream.
    pub(super) fn is_http1(&self) -> bool {
        self.addrs.is_none()
    }

    /// Notes that the request has done with it: if it has not been closed, it is in the pool now.
    pub(super) fn rest(mut self, until: Instant, meter: &Arc<ServiceMeter>, now: Instant) {
        let watched = self.watched.take();
        if self.connection.strong_count() == 0 {
            // pingora saw its end, right behind the answer.
            if let Some(endpoint) = watched {
                endpoint.closed_silently(now);
            }
            return;
        }
        if self.is_condemned() {
            let _ = shutdown(self.socket, Shutdown::Both);
            return;
        }
        self.enter(RestingConnection {
            connection: self.connection.clone(),
            addrs: self.addrs,
            meter: Some(meter.clone()),
            until: match watched {
                Some(_) => until.min(now + WATCH),
                None => until,
            },
            over: false,
            watched,
        });
    }

    fn is_condemned(&self) -> bool {
        RESTING.with_borrow_mut(|resting| {
            let entry = resting.place(self.socket).and_then(|place| place.as_ref());
            entry.is_some_and(|entry| entry.over && entry.connection.ptr_eq(&self.connection))
        })
    }

    fn enter(&self, entry: RestingConnection) {
        RESTING.with_borrow_mut(|resting| {
            let until = entry.until;
            resting.first = Some(resting.first.map_or(until, |first| first.min(until)));
            if let Some(place) = resting.place(self.socket)
                && let Some(old) = place.replace(entry)
            {
                old.tell();
            }
        });
    }
}

/// Whether an attempt failed because its connection had just been shut down here.
pub(super) fn rested_too_long(error: &Error) -> bool {
    *error.etype() == RESTED_TOO_LONG
}

/// Shuts down what has rested for too long.
pub(super) fn expire(now: Instant) {
    RESTING.with_borrow_mut(|resting| resting.expire(now));
}

/// Shuts connections down that others need the room of: of services that may have no more, and, if the process may not,
/// `wanted` of any.
pub(super) fn give_way(wanted: i64) {
    if wanted > 0 {
        RESTING.with_borrow_mut(|resting| resting.give_way(wanted));
    }
}

impl RestingConnections {
    fn place(&mut self, socket: RawFd) -> Option<&mut Option<RestingConnection>> {
        let index = usize::try_from(socket).ok()?;
        if index >= self.entries.len() {
            self.entries.resize_with(index + 1, || None);
        }
        self.entries.get_mut(index)
    }

    fn give_way(&mut self, mut wanted: i64) {
        let open =
            |entry: &&mut RestingConnection| !entry.over && entry.connection.strong_count() > 0;
        for (socket, place) in (0..).zip(&mut self.entries) {
            let Some(entry) = place.as_mut().filter(open) else {
                continue;
            };
            if wanted > 0
                || entry
                    .meter
                    .as_ref()
                    .is_some_and(|meter| meter.load.is_short())
            {
                wanted -= 1;
                entry.shut_down(socket);
            }
        }
    }

    fn expire(&mut self, now: Instant) {
        if self.first.is_none_or(|first| now < first) {
            return;
        }
        let mut first = None;
        for (socket, place) in (0..).zip(&mut self.entries) {
            let Some(entry) = place else {
                continue;
            };
            if entry.connection.strong_count() == 0 {
                entry.tell();
                *place = None;
            } else if !entry.over && entry.until <= now {
                entry.shut_down(socket);
            } else if !entry.over {
                first = Some(first.map_or(entry.until, |first: Instant| first.min(entry.until)));
            }
        }
        self.first = first;
    }
}

impl RestingConnection {
    fn shut_down(&mut self, socket: RawFd) {
        self.over = true;
        if self.addrs.is_some_and(|addrs| !addrs.are_of(socket)) {
            return;
        }
        // An error is a socket that its peer has already reset.
        let _ = shutdown(socket, Shutdown::Both);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read as _};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::{AsRawFd as _, RawFd};
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use pingora::protocols::{Digest, SocketDigest};

    use super::{Upstream, expire, rested_too_long};

    const SECOND: Duration = Duration::from_secs(1);

    /// A connection as pingora has it: a socket, and a digest that lives as long.
    struct Connection {
        socket: TcpStream,
        digest: Digest,
    }

    impl Connection {
        fn open(listener: &TcpListener) -> Self {
            let address = listener.local_addr().expect("an address");
            let socket = TcpStream::connect(address).expect("a connection");
            socket.set_nonblocking(true).expect("an open socket");
            let digest = Digest {
                socket_digest: Some(Arc::new(SocketDigest::from_raw_fd(socket.as_raw_fd()))),
                ..Digest::default()
            };
            Self { socket, digest }
        }

        fn taken(&self) -> pingora::Result<Upstream> {
            self.taken_as(self.socket.as_raw_fd())
        }

        fn taken_as(&self, socket: RawFd) -> pingora::Result<Upstream> {
            Upstream::taken(socket, Some(&self.digest), None, Instant::now())
        }

        fn rest(&self, until: Instant) {
            let taken = self.taken().expect("an open connection");
            taken.rest(until, &Arc::default(), Instant::now());
        }

        fn is_open(&mut self) -> bool {
            match self.socket.read(&mut [0]) {
                Ok(0) => false,
                Err(error) if error.kind() == ErrorKind::WouldBlock => true,
                other => panic!("neither open nor closed: {other:?}"),
            }
        }
    }

    fn listener() -> TcpListener {
        TcpListener::bind("127.0.0.1:0").expect("a listener")
    }

    #[test]
    fn what_rests_too_long_is_shut_down_and_nobody_gets_it() {
        let (listener, start) = (listener(), Instant::now());
        let (mut rests, mut later, mut used) = (
            Connection::open(&listener),
            Connection::open(&listener),
            Connection::open(&listener),
        );
        rests.rest(start + SECOND);
        later.rest(start + 3 * SECOND);
        used.rest(start + SECOND);
        let in_use = used.taken().expect("an open connection");
        expire(start + SECOND / 2);
        assert!(rests.is_open());
        expire(start + 2 * SECOND);
        assert!(!rests.is_open() && later.is_open() && used.is_open());
        let error = rests.taken().expect_err("a connection that is shut down");
        assert!(rested_too_long(&error) && error.retry());
        in_use.rest(start + 4 * SECOND, &Arc::default(), start);
        expire(start + 3 * SECOND);
        assert!(!later.is_open() && used.is_open());
        expire(start + 4 * SECOND);
        assert!(!used.is_open());
    }

    #[test]
    fn a_number_that_has_gone_to_another_connection_is_left_alone() {
        let (listener, start) = (listener(), Instant::now());
        let (old, mut new) = (Connection::open(&listener), Connection::open(&listener));
        let number = new.socket.as_raw_fd();
        // As if the old one had had the new one's number.
        let resting = old.taken_as(number).expect("an open connection");
        resting.rest(start + SECOND, &Arc::default(), start);
        drop(old);
        expire(start + 2 * SECOND);
        assert!(new.is_open());
        // One that was shut down is no reason to refuse its successor, either.
        new.rest(start + 3 * SECOND);
        expire(start + 3 * SECOND);
        let successor = Connection::open(&listener);
        assert!(successor.taken_as(number).is_ok());
    }
}
