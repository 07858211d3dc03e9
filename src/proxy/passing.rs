//! Who is awaited while a request is on its way to an upstream: the client for the rest of it, the upstream to take what
//! there is, or the upstream for its answer. Only the last is what a response's deadline is about.
//!
//! pingora does not say whether it waits for the client or for room to write. But it looks for more from the client as
//! soon as all has been written, and how much of that the upstream's machine has not acknowledged yet the kernel knows.
//! So nothing is noted while a request flows: only when its deadline is over does the sweep look, and puts the deadline
//! off unless the answer is what is awaited.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use pingora::protocols::SocketDigest;

/// A request on its way to an upstream.
#[derive(Debug)]
pub struct Passing {
    /// Until when it may be the client who is awaited, who is cut off by then; `None`: all has been read.
    pub client: Option<Instant>,
    /// An upstream that takes nothing for so long is late.
    patience: Duration,
    /// How many bytes the upstream's machine had acknowledged when last looked at.
    taken: u64,
    /// pingora's stream owns it: gone means closed.
    connection: Weak<SocketDigest>,
}

/// Who is late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// The other end of the socket.
    Other,
    /// The client whose request was to be passed on over the socket.
    Client,
}

/// What comes of a deadline that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is time until then.
    NotYet(Instant),
    /// Somebody is late.
    Late(Awaited),
}

/// How far a connection's other end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sent {
    /// Whether there are bytes that its machine has not acknowledged.
    waiting: bool,
    /// How many it has.
    acknowledged: u64,
}

impl Passing {
    /// A request that is about to be passed on over a connection.
    pub fn begin(
        connection: Option<&Arc<SocketDigest>>,
        patience: Duration,
        client: Option<Instant>,
    ) -> Self {
        let connection = connection.map(Arc::downgrade).unwrap_or_default();
        Self {
            client,
            patience,
            taken: sent(&connection).map_or(0, |sent| sent.acknowledged),
            connection,
        }
    }

    /// Who is awaited now that the deadline is over.
    pub fn look(&mut self, now: Instant) -> Verdict {
        let sent = sent(&self.connection);
        self.judge(sent, now)
    }

    fn judge(&mut self, sent: Option<Sent>, now: Instant) -> Verdict {
        if let Some(sent) = sent.filter(|sent| sent.waiting) {
            let before = std::mem::replace(&mut self.taken, sent.acknowledged);
            return match sent.acknowledged > before {
                true => Verdict::NotYet(now + self.patience),
                false => Verdict::Late(Awaited::Other),
            };
        }
        match self.client {
            Some(client) if now < client => Verdict::NotYet(client),
            Some(_) => Verdict::Late(Awaited::Client),
            None => Verdict::Late(Awaited::Other),
        }
    }
}

fn sent(connection: &Weak<SocketDigest>) -> Option<Sent> {
    let info = connection.upgrade()?.tcp_info()?;
    Some(Sent {
        waiting: info.tcpi_notsent_bytes > 0 || info.tcpi_unacked > 0,
        acknowledged: info.tcpi_bytes_acked,
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd as _;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use pingora::protocols::SocketDigest;

    use super::{Awaited, Passing, Sent, Verdict};

    const SECOND: Duration = Duration::from_secs(1);

    fn sent(waiting: bool, acknowledged: u64) -> Option<Sent> {
        Some(Sent {
            waiting,
            acknowledged,
        })
    }

    #[test]
    fn the_answer_is_awaited_when_all_has_been_read_and_taken() {
        let now = Instant::now();
        let mut passing = Passing::begin(None, SECOND, None);
        let late = Verdict::Late(Awaited::Other);
        assert_eq!(passing.judge(sent(false, 10), now), late);
        assert_eq!(passing.judge(None, now), late, "nothing is known of it");
    }

    #[test]
    fn a_client_that_pauses_is_awaited_until_it_must_have_been_cut_off() {
        let now = Instant::now();
        let mut passing = Passing::begin(None, SECOND, Some(now + 3 * SECOND));
        let look = |passing: &mut Passing, after: u32| {
            passing.judge(sent(false, 10), now + after * SECOND)
        };
        let until = Verdict::NotYet(now + 3 * SECOND);
        assert_eq!(look(&mut passing, 1), until);
        assert_eq!(look(&mut passing, 2), until);
        assert_eq!(look(&mut passing, 3), Verdict::Late(Awaited::Client));
        passing.client = None;
        assert_eq!(look(&mut passing, 2), Verdict::Late(Awaited::Other));
    }

    #[test]
    fn an_upstream_that_takes_what_there_is_has_time_and_one_that_takes_nothing_has_none() {
        let now = Instant::now();
        for client in [None, Some(now + 9 * SECOND)] {
            let mut passing = Passing::begin(None, SECOND, client);
            let (next, late) = (Verdict::NotYet(now + SECOND), Verdict::Late(Awaited::Other));
            assert_eq!(passing.judge(sent(true, 5), now), next);
            assert_eq!(passing.judge(sent(true, 6), now), next);
            assert_eq!(passing.judge(sent(true, 6), now), late);
        }
    }

    #[test]
    fn the_kernel_knows_how_far_the_other_end_has_come() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("an address");
        let mut near = TcpStream::connect(address).expect("a connection");
        let (mut far, _) = listener.accept().expect("a connection");
        let digest = Arc::new(SocketDigest::from_raw_fd(near.as_raw_fd()));
        let now = Instant::now();
        let mut passing = Passing::begin(Some(&digest), SECOND, Some(now + 9 * SECOND));
        near.set_nonblocking(true).expect("an open socket");
        let chunk = vec![0; 1 << 20];
        let mut written = 0;
        while let Ok(count) = near.write(&chunk) {
            written += count;
        }
        assert_eq!(passing.look(now), Verdict::NotYet(now + SECOND));
        // The kernels may be at it for a moment; then nothing moves any more.
        while passing.look(now) != Verdict::Late(Awaited::Other) {}
        let mut left = vec![0; written];
        far.read_exact(&mut left).expect("all of it");
        let all_taken = Verdict::NotYet(now + 9 * SECOND);
        while passing.look(now) != all_taken {}
        drop(digest);
        assert_eq!(passing.look(now), all_taken, "the client may be awaited");
    }
}
