//! The process that this one takes over from, as this one sees it.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use super::line::{Line, Silence};
use super::writer_lock::WriterLock;
use super::{Belongings, PROTOCOL, READY_WITHIN, STEP, Word, place};
use crate::attribution::exposures::Exposures;
use crate::certificates::OwnSecret;
use crate::gateway::inherited::Inherited;

/// How long the other process may take for its last requests: longer than any configuration grants it.
const LAST_REQUESTS: Duration = Duration::from_secs(24 * 60 * 60);

/// Why a process cannot take over from another one. That one goes on, unless it has ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    /// There is none.
    #[error("no gateway runs with `server.state_dir: {}`: start this one without --upgrade ({cause})", .folder.display())]
    NoGateway {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
    /// They do not come to terms.
    #[error("cannot take over: {0}")]
    Conversation(#[from] Silence),
    /// This one is not ready.
    #[error(
        "cannot take over: this process is not ready after {} s: {}",
        READY_WITHIN.as_secs(),
        .0.join("; ")
    )]
    NotReady(Vec<String>),
    /// What the other one has stored cannot be read.
    #[error("cannot take over: what the other process has stored cannot be read in time")]
    Unread,
    /// Another process writes to the folder, or the system does not say.
    #[error("cannot take over: {0}")]
    NotTheWriter(#[source] io::Error),
}

impl From<io::Error> for UpgradeError {
    fn from(error: io::Error) -> Self {
        Self::Conversation(error.into())
    }
}

/// The process that this one takes over from.
pub(in crate::gateway) struct Predecessor {
    line: Line,
    version: String,
}

/// What it tells at once, while it goes on.
pub(in crate::gateway) struct Heritage {
    pub(in crate::gateway) sockets: Inherited,
    pub(in crate::gateway) secret: OwnSecret,
}

impl Predecessor {
    /// The process that runs with this `state_dir`, and its sockets.
    pub(in crate::gateway) fn find(state_dir: &Path) -> Result<(Self, Heritage), UpgradeError> {
        let folder = state_dir.to_owned();
        let stream = place::connect(state_dir);
        let stream = stream.map_err(|cause| UpgradeError::NoGateway { folder, cause })?;
        let mut line = Line::new(stream)?;
        // It may have hung up, and said why.
        let _ = line.say(&Word::Hello {
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
        });
        let mut inherited = Inherited::default();
        loop {
            match line.hear(READY_WITHIN)? {
                Word::Sockets {
                    version,
                    sockets,
                    secret,
                    more,
                } => {
                    for (label, file) in sockets.into_iter().zip(line.take_files()) {
                        inherited.add(Some(label), TcpListener::from(file))?;
                    }
                    if !more {
                        let secret = OwnSecret::new(secret);
                        let sockets = inherited;
                        return Ok((Self { line, version }, Heritage { sockets, secret }));
                    }
                }
                other => return Err(unexpected(&other).into()),
            }
        }
    }

    /// Its version.
    pub(in crate::gateway) fn version(&self) -> &str {
        &self.version
    }

    /// Says that this process is ready, and takes the `lock`. The other one writes nothing any more when this returns, unless this
    /// one ends. Where that one has ended, there is nothing to be had but what it has stored.
    pub(in crate::gateway) fn take_belongings(
        &mut self,
        lock: &WriterLock,
    ) -> Result<Belongings, UpgradeError> {
        // It waits for orders that are under way, and then for what is being written.
        match self.ask(&Word::Ready, STEP * 4) {
            Ok(Word::Yours(belongings)) => {
                lock.take(Duration::ZERO)
                    .map_err(UpgradeError::NotTheWriter)?;
                Ok(*belongings)
            }
            Ok(other) => Err(unexpected(&other).into()),
            Err(Silence::Ended) if has_ended(lock) => Ok(Belongings::default()),
            Err(silence) => Err(silence.into()),
        }
    }

    /// Whether the other process has ended; this one has the `lock` then.
    pub(in crate::gateway) fn is_gone(&mut self, lock: &WriterLock) -> bool {
        let heard = self.line.hear(Duration::from_millis(1));
        matches!(heard, Err(Silence::Ended)) && has_ended(lock)
    }

    /// Says something, and hears what comes next: what the other said before it hung up, if it has.
    fn ask(&mut self, word: &Word, within: Duration) -> Result<Word, Silence> {
        // What cannot be said to it is seen when it is listened to.
        let _ = self.line.say(word);
        self.line.hear(within)
    }

    /// Says that this process is to accept on `sockets`. When this returns, the other one does not any more, and never will.
    pub(in crate::gateway) fn serve_instead(
        &mut self,
        sockets: &[SocketAddr],
    ) -> Result<(), UpgradeError> {
        let sockets = sockets.to_vec();
        let mut heard = self.ask(&Word::Serving { sockets }, STEP);
        if let Err(Silence::Late(patience)) = heard {
            // It agrees before this or never: what it says from here on does not reach it.
            self.line.close_ears()?;
            heard = self.line.hear(STEP).map_err(|silence| match silence {
                Silence::Ended => Silence::Late(patience),
                said => said,
            });
        }
        match heard {
            Ok(Word::Agreed) => Ok(()),
            // It would have said that it does not agree. It cannot write, since this one has the lock.
            Err(Silence::Ended) => {
                tracing::warn!("the process that was taken over from has ended early");
                Ok(())
            }
            Ok(other) => Err(unexpected(&other).into()),
            Err(silence) => Err(silence.into()),
        }
    }

    /// Says that nothing is missing any more, and leaves what it says from here on to `last_words`.
    pub(super) fn let_go(mut self, last_words: &Sender<Line>) {
        // One that has ended does not hear it.
        let _ = self.line.say(&Word::Settled);
        // The thread waits for it.
        let _ = last_words.send(self.line);
    }
}

/// Whether the process that has hung up without a word has ended: its lock is free then, and this process takes it.
fn has_ended(lock: &WriterLock) -> bool {
    let taken = lock.take(STEP);
    match &taken {
        Ok(()) => tracing::warn!(
            "the process that was to be taken over from has ended: this one serves what is stored"
        ),
        Err(error) => tracing::error!(%error, "the process that hung up has not ended"),
    }
    taken.is_ok()
}

/// Records what comes of the last requests of the process at the line that it is given, until that one ends.
pub(super) fn last_words(exposures: Option<Exposures>) -> io::Result<Sender<Line>> {
    let (sender, inbox) = mpsc::channel::<Line>();
    let heir = thread::Builder::new().name("serin-heir".to_owned());
    heir.spawn(move || {
        // There is none when nothing was taken over.
        let Ok(mut line) = inbox.recv() else {
            return;
        };
        while let Ok(Word::Exposure(document)) = line.hear(LAST_REQUESTS) {
            if let Some(exposures) = &exposures {
                exposures.inherit(*document);
            }
        }
    })?;
    Ok(sender)
}

fn unexpected(word: &Word) -> Silence {
    Silence::Unexpected(format!("{word:.200?}"))
}
