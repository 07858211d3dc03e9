//! Who is awaited while a request is on its way to an upstream: the client for the rest of it, the upstream to take what
//! there is, or the upstream for its answer. Only the last is what a response's deadline is about.
//!
//! What passes a request on does not say whether it waits for the client or for room to write. But it looks for more
//! from the client as soon as all has been written, and how much of that the upstream's machine has not acknowledged yet
//! the kernel knows.
//! So nothing is noted while a request flows: only when its deadline is over does the sweep look, and puts the deadline
//! off unless the answer is what is awaited.

use std::fmt::Debug;
use std::sync::Weak;
use std::time::{Duration, Instant};

/// A connection's socket for as long as it is open.
pub(super) trait OpenSocket: Debug + Send + Sync {
    /// How far the other end has come in taking what was written; `None`: that is not known.
    fn sent(&self) -> Option<Sent>;
}

/// How far a connection's other end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    /// Whether there are bytes that its machine has not acknowledged.
    pub(super) waiting: bool,
    /// How many it has.
    pub(super) acknowledged: u64,
}

/// A request on its way to an upstream.
#[derive(Debug)]
pub(super) struct RequestTransfer {
    /// Until when it may be the client who is awaited, who is cut off by then; `None`: all has been read.
    pub(super) client: Option<Instant>,
    /// An upstream that takes nothing for so long is late.
    patience: Duration,
    /// How many bytes the upstream's machine had acknowledged when last looked at.
    taken: u64,
    /// Gone means closed.
    connection: Option<Weak<dyn OpenSocket>>,
}

/// Who is late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Awaited {
    /// The other end of the socket.
    Other,
    /// The client whose request was to be passed on over the socket.
    Client,
}

/// What comes of a deadline that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lateness {
    /// There is time until then.
    NotYet(Instant),
    /// One end is late.
    Late(Awaited),
}

impl RequestTransfer {
    /// A request that is about to be passed on over a connection.
    pub(super) fn begin(
        connection: Option<Weak<dyn OpenSocket>>,
        patience: Duration,
        client: Option<Instant>,
    ) -> Self {
        Self {
            client,
            patience,
            taken: sent(connection.as_ref()).map_or(0, |sent| sent.acknowledged),
            connection,
        }
    }

    /// Who is awaited now that the deadline is over.
    pub(super) fn look(&mut self, now: Instant) -> Lateness {
        let sent = sent(self.connection.as_ref());
        self.judge(sent, now)
    }

    fn judge(&mut self, sent: Option<Sent>, now: Instant) -> Lateness {
        if let Some(sent) = sent.filter(|sent| sent.waiting) {
            let before = std::mem::replace(&mut self.taken, sent.acknowledged);
            return match sent.acknowledged > before {
                true => Lateness::NotYet(now + self.patience),
                false => Lateness::Late(Awaited::Other),
            };
        }
        match self.client {
            Some(client) if now < client => Lateness::NotYet(client),
            Some(_) => Lateness::Late(Awaited::Client),
            None => Lateness::Late(Awaited::Other),
        }
    }
}

fn sent(connection: Option<&Weak<dyn OpenSocket>>) -> Option<Sent> {
    connection?.upgrade()?.sent()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Awaited, Lateness, RequestTransfer, Sent};

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
        let mut transfer = RequestTransfer::begin(None, SECOND, None);
        let late = Lateness::Late(Awaited::Other);
        assert_eq!(transfer.judge(sent(false, 10), now), late);
        assert_eq!(transfer.judge(None, now), late, "nothing is known of it");
    }

    #[test]
    fn a_client_that_pauses_is_awaited_until_it_must_have_been_cut_off() {
        let now = Instant::now();
        let mut transfer = RequestTransfer::begin(None, SECOND, Some(now + 3 * SECOND));
        let look = |transfer: &mut RequestTransfer, after: u32| {
            transfer.judge(sent(false, 10), now + after * SECOND)
        };
        let until = Lateness::NotYet(now + 3 * SECOND);
        assert_eq!(look(&mut transfer, 1), until);
        assert_eq!(look(&mut transfer, 2), until);
        assert_eq!(look(&mut transfer, 3), Lateness::Late(Awaited::Client));
        transfer.client = None;
        assert_eq!(look(&mut transfer, 2), Lateness::Late(Awaited::Other));
    }

    #[test]
    fn an_upstream_that_takes_what_there_is_has_time_and_one_that_takes_nothing_has_none() {
        let now = Instant::now();
        for client in [None, Some(now + 9 * SECOND)] {
            let mut transfer = RequestTransfer::begin(None, SECOND, client);
            let (next, late) = (
                Lateness::NotYet(now + SECOND),
                Lateness::Late(Awaited::Other),
            );
            assert_eq!(transfer.judge(sent(true, 5), now), next);
            assert_eq!(transfer.judge(sent(true, 6), now), next);
            assert_eq!(transfer.judge(sent(true, 6), now), late);
        }
    }
}
