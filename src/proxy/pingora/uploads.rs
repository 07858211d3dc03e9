//! Uploads that an upstream does not take any more although it has answered.
//!
//! pingora does one thing at a time with an HTTP/1.1 upstream: while it waits to write a part of the body, it reads
//! nothing of the answer. An upstream that answers early and then reads no further would keep its answer from the client
//! that way. Bodies under way are therefore looked at by the worker's sweep: where the kernel can pass nothing on, and
//! an answer is there, the writing half of the socket is shut down. pingora's write ends at once, and it reads the
//! answer; the rest of the upload would go nowhere.
//!
//! The rules of `proxy::worker_local` hold.

use std::cell::RefCell;
use std::os::fd::RawFd;
use std::sync::Weak;
use std::time::{Duration, Instant};

use nix::sys::socket::{MsgFlags, Shutdown, recv, shutdown};
use pingora::protocols::SocketDigest;

use crate::proxy::worker_local::Slots;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);
/// How long an upstream may take nothing while its answer lies unread.
const PATIENCE: Duration = Duration::from_millis(200);
/// The same when its answer has begun, and nothing more of it has come: pingora may hold a part, or the upstream be about
/// to go on.
const LONGER_PATIENCE: Duration = Duration::from_secs(1);

thread_local! {
    static UPLOADS: RefCell<Uploads> = RefCell::default();
}

#[derive(Default)]
struct Uploads {
    watched: Slots<Watched>,
    next_look: Option<Instant>,
}

struct Watched {
    socket: RawFd,
    /// pingora's stream owns it: gone means closed.
    connection: Weak<SocketDigest>,
    answered: bool,
    progress: Progress,
    over: bool,
}

/// How far the upstream's side has come in taking what was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Progress {
    acknowledged: u64,
    stuck_since: Option<Instant>,
}

impl Progress {
    /// Takes a look at the kernel's figures. For how long nothing has moved that could not be passed on.
    fn look(&mut self, acknowledged: u64, unsent: u32, now: Instant) -> Option<Duration> {
        let stuck = unsent > 0 && acknowledged == self.acknowledged;
        self.acknowledged = acknowledged;
        self.stuck_since = stuck.then(|| self.stuck_since.unwrap_or(now));
        self.stuck_since
            .map(|since| now.saturating_duration_since(since))
    }
}

/// A request body on its way to an upstream over HTTP/1.1. Must stay on its worker's thread.
#[derive(Debug)]
pub(super) struct Upload {
    index: usize,
}

impl Upload {
    /// Begins to look at a body's way over a connection.
    pub(super) fn begin(socket: RawFd, connection: Weak<SocketDigest>) -> Self {
        let entry = Watched {
            socket,
            connection,
            answered: false,
            progress: Progress::default(),
            over: false,
        };
        UPLOADS.with_borrow_mut(|uploads| Self {
            index: uploads.watched.insert(entry),
        })
    }

    /// Notes that the final answer has begun.
    pub(super) fn answered(&self) {
        UPLOADS.with_borrow_mut(|uploads| {
            if let Some(entry) = uploads.watched.get_mut(self.index) {
                entry.answered = true;
            }
        });
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        UPLOADS.with_borrow_mut(|uploads| uploads.watched.remove(self.index));
    }
}

/// Ends the uploads that keep an answer from being read.
pub(super) fn look(now: Instant) {
    UPLOADS.with_borrow_mut(|uploads| {
        if uploads.watched.is_empty() || uploads.next_look.is_some_and(|next| now < next) {
            return;
        }
        uploads.next_look = Some(now + PAUSE);
        for entry in uploads.watched.iter_mut() {
            entry.look(now);
        }
    });
}

impl Watched {
    fn look(&mut self, now: Instant) {
        let Some(connection) = self.connection.upgrade().filter(|_| !self.over) else {
            return;
        };
        let Some(info) = connection.tcp_info() else {
            return;
        };
        let (acknowledged, unsent) = (info.tcpi_bytes_acked, info.tcpi_notsent_bytes);
        let Some(stuck) = self.progress.look(acknowledged, unsent, now) else {
            return;
        };
        let enough = if stuck >= LONGER_PATIENCE && self.answered {
            true
        } else {
            stuck >= PATIENCE && is_readable(self.socket)
        };
        if enough {
            self.over = true;
            // An error is a socket that its peer has already reset.
            let _ = shutdown(self.socket, Shutdown::Write);
        }
    }
}

/// Whether there is something to read, if only the end.
fn is_readable(socket: RawFd) -> bool {
    let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
    recv(socket, &mut [0], flags).is_ok()
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd as _;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use pingora::protocols::SocketDigest;

    use super::{Progress, Upload, look};

    const STEP: Duration = Duration::from_millis(100);

    /// A socket that nobody reads from any more, filled to the brim, and the other end of it.
    fn full() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("an address");
        let mut near = TcpStream::connect(address).expect("a connection");
        let (far, _) = listener.accept().expect("a connection");
        near.set_nonblocking(true).expect("an open socket");
        let chunk = vec![0; 1 << 20];
        // The kernel takes more for a while as it enlarges its buffers.
        let mut idle = 0;
        while idle < 20 {
            match near.write(&chunk) {
                Ok(1..) => idle = 0,
                _ => {
                    idle += 1;
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
        }
        (near, far)
    }

    fn ends_within(answer: Option<&[u8]>, answered: bool) -> Option<u32> {
        let (near, mut far) = full();
        let digest = Arc::new(SocketDigest::from_raw_fd(near.as_raw_fd()));
        let upload = Upload::begin(near.as_raw_fd(), Arc::downgrade(&digest));
        if answered {
            upload.answered();
        }
        if let Some(bytes) = answer {
            far.write_all(bytes).expect("the answer is taken");
            let mut seen = [0];
            while near.peek(&mut seen).is_err() {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        let start = Instant::now();
        let ended = (1..100).find(|step| {
            look(start + *step * STEP);
            let error = (&near).write(&[0]).map_err(|error| error.kind());
            error == Err(std::io::ErrorKind::BrokenPipe)
        });
        if let Some(bytes) = answer {
            let mut read = vec![0; bytes.len()];
            (&near).read_exact(&mut read).expect("the answer");
            assert_eq!(read, bytes);
        }
        ended
    }

    #[test]
    fn an_upload_that_nobody_takes_ends_when_there_is_an_answer() {
        let ended = ends_within(Some(b"no"), false).expect("an end");
        assert!(ended >= 4, "{ended}");
        let ended = ends_within(None, true).expect("an end");
        assert!(ended >= 12, "{ended}");
        assert_eq!(ends_within(None, false), None);
    }

    #[test]
    fn one_that_moves_goes_on() {
        let (mut progress, start) = (Progress::default(), Instant::now());
        let at = |step: u32| start + step * STEP;
        assert_eq!(progress.look(100, 5, at(0)), None);
        assert_eq!(progress.look(100, 5, at(1)), Some(Duration::ZERO));
        assert_eq!(progress.look(100, 5, at(3)), Some(2 * STEP));
        assert_eq!(progress.look(101, 5, at(4)), None);
        // All that was written has been passed on: nobody is kept from anything.
        assert_eq!(progress.look(101, 0, at(5)), None);
        assert_eq!(progress.look(101, 7, at(6)), Some(Duration::ZERO));
    }
}
