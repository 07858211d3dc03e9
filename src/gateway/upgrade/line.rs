//! A conversation between two processes of the same user: lines of JSON, with which files may come.

use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Write as _};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::sockopt::socket_peercred;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::Word;

/// How many files come with one line at most; the system's own bound is 253.
pub(super) const FILES_AT_ONCE: usize = 250;
/// No line is longer.
const LONGEST: usize = 16 << 20;
/// How much is read at once.
const CHUNK: usize = 64 << 10;

/// One end of the conversation.
#[derive(Debug)]
pub(super) struct Line {
    stream: UnixStream,
    heard: Vec<u8>,
    files: Vec<OwnedFd>,
}

/// The process at the other end, if it can be reached: not from every container, nor on every system.
#[derive(Debug)]
pub(super) struct OtherProcess(Option<OwnedFd>);

impl OtherProcess {
    /// Kills it; whether it does nothing more.
    pub(super) fn kill(&self) -> bool {
        let killed = self
            .0
            .as_ref()
            .map(|process| pidfd_send_signal(process, Signal::KILL));
        matches!(killed, Some(Ok(()) | Err(Errno::SRCH)))
    }
}

/// Why nothing was heard.
#[derive(Debug, thiserror::Error)]
pub enum Silence {
    /// The other process has hung up, or has ended.
    #[error("the other process has ended the conversation")]
    Ended,
    /// It said nothing in time.
    #[error("the other process said nothing for {0:?}")]
    Late(Duration),
    /// It said that it does not go on.
    #[error("{0}")]
    Refused(String),
    /// It said something else.
    #[error("the other process says what is not understood: {0}")]
    Unexpected(String),
    /// The system says something else.
    #[error(transparent)]
    System(#[from] io::Error),
}

impl Line {
    /// With whoever is at the other end, if that is a process of the same user.
    pub(super) fn new(stream: UnixStream) -> io::Result<Self> {
        let (own, other) = (rustix::process::geteuid(), socket_peercred(&stream)?.uid);
        if own != other {
            let why = format!("the process of another user ({}) is there", other.as_raw());
            return Err(io::Error::new(ErrorKind::PermissionDenied, why));
        }
        stream.set_nonblocking(false)?;
        stream.set_write_timeout(Some(super::STEP))?;
        Ok(Self {
            stream,
            heard: Vec::new(),
            files: Vec::new(),
        })
    }

    /// A second way to speak by; what is heard comes to one of them alone.
    pub(super) fn second(&self) -> io::Result<Self> {
        Ok(Self {
            stream: self.stream.try_clone()?,
            heard: Vec::new(),
            files: Vec::new(),
        })
    }

    /// Who is at the other end. To be asked while it is known to be there.
    pub(super) fn other(&self) -> OtherProcess {
        let pid = socket_peercred(&self.stream).map(|other| other.pid);
        let process = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()));
        OtherProcess(process.ok())
    }

    /// Lets nothing more come; what has come can still be heard.
    pub(super) fn close_ears(&self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Read)
    }

    /// Says something.
    pub(super) fn say(&mut self, word: &Word) -> io::Result<()> {
        self.stream.write_all(&written(word)?)
    }

    /// Says something, with which files go: [`FILES_AT_ONCE`] at most.
    pub(super) fn say_with(&mut self, word: &Word, files: &[BorrowedFd<'_>]) -> io::Result<()> {
        let line = written(word)?;
        let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES_AT_ONCE))];
        let mut beside = SendAncillaryBuffer::new(&mut room);
        if !files.is_empty() && !beside.push(SendAncillaryMessage::ScmRights(files)) {
            return Err(io::Error::other("too many files at once"));
        }
        let sent = sendmsg(
            &self.stream,
            &[IoSlice::new(&line)],
            &mut beside,
            SendFlags::NOSIGNAL,
        )?;
        // The files have gone with the first of it.
        self.stream.write_all(line.get(sent..).unwrap_or_default())
    }

    /// What the other says next, if it does so in time.
    pub(super) fn hear(&mut self, within: Duration) -> Result<Word, Silence> {
        let end = Instant::now() + within;
        let mut searched = 0;
        loop {
            let rest = self.heard.get(searched..).unwrap_or_default();
            if let Some(found) = memchr::memchr(b'\n', rest) {
                let line: Vec<u8> = self.heard.drain(..=searched + found).collect();
                return match serde_json::from_slice(&line) {
                    Ok(Word::Refused { why }) => Err(Silence::Refused(why)),
                    Ok(word) => Ok(word),
                    Err(error) => Err(Silence::Unexpected(error.to_string())),
                };
            }
            searched = self.heard.len();
            if searched > LONGEST {
                return Err(Silence::Unexpected("a line has no end".to_owned()));
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Silence::Late(within));
            }
            match self.read(left) {
                Ok(0) => return Err(Silence::Ended),
                Ok(_) => {}
                Err(error) if is_early(&error) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                    return Err(Silence::Ended);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The files that have come so far.
    pub(super) fn take_files(&mut self) -> Vec<OwnedFd> {
        std::mem::take(&mut self.files)
    }

    fn read(&mut self, within: Duration) -> io::Result<usize> {
        self.stream
            .set_read_timeout(Some(within.max(Duration::from_millis(1))))?;
        let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES_AT_ONCE))];
        let mut beside = RecvAncillaryBuffer::new(&mut room);
        let mut chunk = vec![0; CHUNK];
        let read = recvmsg(
            &self.stream,
            &mut [IoSliceMut::new(&mut chunk)],
            &mut beside,
            RecvFlags::CMSG_CLOEXEC,
        )?;
        for message in beside.drain() {
            if let RecvAncillaryMessage::ScmRights(files) = message {
                self.files.extend(files);
            }
        }
        chunk.truncate(read.bytes);
        self.heard.append(&mut chunk);
        Ok(read.bytes)
    }
}

/// Whether it is to be tried again: nothing has come yet.
fn is_early(error: &io::Error) -> bool {
    let kinds = [
        ErrorKind::WouldBlock,
        ErrorKind::TimedOut,
        ErrorKind::Interrupted,
    ];
    kinds.contains(&error.kind())
}

fn written(word: &Word) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(word)?;
    line.push(b'\n');
    Ok(line)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::TcpListener;
    use std::os::fd::{AsFd as _, BorrowedFd};
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use super::super::super::inherited::{Label, Role};
    use super::{Line, Silence, Word};

    const SOON: Duration = Duration::from_secs(5);

    fn pair() -> (Line, Line) {
        let (one, other) = UnixStream::pair().expect("sockets");
        let line = |stream| Line::new(stream).expect("a process of the same user");
        (line(one), line(other))
    }

    #[test]
    fn sockets_come_as_they_are_with_the_line_that_tells_of_them() {
        let (mut one, mut other) = pair();
        let socket = TcpListener::bind("127.0.0.1:0").expect("a socket");
        let stated = socket.local_addr().expect("an address");
        let files: Vec<BorrowedFd<'_>> = vec![socket.as_fd(); 3];
        let role = Role::Traffic;
        let word = Word::Sockets {
            version: "1".to_owned(),
            sockets: vec![Label { role, stated }; 3],
            secret: [7; 32],
            more: false,
        };
        one.say_with(&word, &files).expect("a line");
        one.say(&Word::Ready).expect("another");
        let heard = other.hear(SOON).expect("a line");
        let Word::Sockets { sockets, .. } = heard else {
            panic!("{heard:?}");
        };
        assert_eq!(sockets.len(), 3);
        for file in other.take_files() {
            let socket = TcpListener::from(file);
            assert_eq!(socket.local_addr().expect("a socket"), stated);
        }
        assert!(matches!(other.hear(SOON), Ok(Word::Ready)));
    }

    #[test]
    fn what_is_no_line_is_told_apart() {
        let (mut one, mut other) = pair();
        one.stream.write_all(b"GET / HTTP/1.1\r\n").expect("bytes");
        assert!(matches!(other.hear(SOON), Err(Silence::Unexpected(_))));
        one.stream.write_all(b"\"rea").expect("bytes");
        let nothing = other.hear(Duration::from_millis(1));
        assert!(matches!(nothing, Err(Silence::Late(_))), "{nothing:?}");
        one.stream.write_all(b"dy\"\n").expect("bytes");
        assert!(matches!(other.hear(SOON), Ok(Word::Ready)));
        let why = "no".to_owned();
        one.say(&Word::Refused { why }).expect("a line");
        assert!(matches!(other.hear(SOON), Err(Silence::Refused(why)) if why == "no"));
        drop(one);
        assert!(matches!(other.hear(SOON), Err(Silence::Ended)));
    }
}
