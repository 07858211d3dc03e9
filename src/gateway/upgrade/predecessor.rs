//! The process that this one takes over from, as this one sees it.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::line::{Line, Silence};
use super::{Belongings, PROTOCOL, READY_WITHIN, STEP, Word, place};
use crate::attribution::exposures::Exposures;
use crate::certificates::OwnSecret;
use crate::gateway::inherited::Inherited;

/// How long the other process may take for its last requests: longer than any configuration grants it.
const LAST_REQUESTS: Duration = Duration::from_secs(24 * 60 * 60);

/// Why a process cannot take over from another one, which goes on.
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
    #[error("the gateway that runs goes on: {0}")]
    Conversation(#[from] Silence),
    /// This one is not ready.
    #[error(
        "the gateway that runs goes on: this one is not ready after {} s: {}",
        READY_WITHIN.as_secs(),
        .0.join("; ")
    )]
    NotReady(Vec<String>),
    /// What the other one has stored cannot be read.
    #[error("the gateway that runs goes on: what it has stored cannot be read in time")]
    Unread,
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
        line.say(&Word::Hello {
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
        })?;
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

    /// Says that this process is ready. When this returns, the other one writes nothing any more.
    pub(in crate::gateway) fn take_belongings(&mut self) -> Result<Belongings, UpgradeError> {
        self.line.say(&Word::Ready)?;
        // It waits for orders that are under way, and then for what is being written.
        match self.line.hear(STEP * 4)? {
            Word::Yours(belongings) => Ok(*belongings),
            other => Err(unexpected(&other).into()),
        }
    }

    /// Says that this process accepts on `sockets`. When this returns, the other one does not any more, and never will.
    pub(in crate::gateway) fn serve_instead(
        &mut self,
        sockets: &[SocketAddr],
    ) -> Result<(), UpgradeError> {
        let sockets = sockets.to_vec();
        let said = self.line.say(&Word::Serving { sockets });
        let heard = said
            .map_err(Silence::from)
            .and_then(|()| self.line.hear(STEP));
        match heard {
            Ok(Word::Agreed) => Ok(()),
            // It would have said that it does not agree: it has ended, and this one is all there is.
            Err(Silence::Ended | Silence::System(_)) => {
                tracing::warn!("the process that was taken over from has ended early");
                Ok(())
            }
            Ok(other) => Err(unexpected(&other).into()),
            Err(silence) => Err(silence.into()),
        }
    }

    /// Says that nothing is missing any more, and records what comes of the other's last requests, until it ends.
    pub(in crate::gateway) fn let_go(mut self, exposures: Option<Exposures>) -> io::Result<()> {
        // One that has ended does not hear it.
        let _ = self.line.say(&Word::Settled);
        let heir = thread::Builder::new().name("serin-heir".to_owned());
        heir.spawn(move || {
            while let Ok(Word::Exposure(document)) = self.line.hear(LAST_REQUESTS) {
                if let Some(exposures) = &exposures {
                    exposures.inherit(*document);
                }
            }
        })?;
        Ok(())
    }
}

fn unexpected(word: &Word) -> Silence {
    Silence::Unexpected(format!("{word:.200?}"))
}
