//! Processes that are to take over from this one, as this one sees them.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::watch;

use super::line::{Line, Silence};
use super::place::Place;
use super::{Belongings, Estate, PROTOCOL, READY_WITHIN, STEP, Word, irreplaceable};
use crate::attribution::exposures::Heir;

/// How long who comes may take to say who it is.
const GREETING: Duration = Duration::from_secs(2);
/// How long accepting rests after an error.
const PAUSE: Duration = Duration::from_secs(1);

/// Where other processes ask for what this one has. One after the other is listened to, by a thread of its own.
pub(in crate::gateway) struct Successors(Option<Arc<Shared>>);

struct Shared {
    place: Place,
    estate: Estate,
    /// Whether there is nothing to be had any more. Locked while both sides agree, so that it does not become so meanwhile.
    is_over: Mutex<bool>,
    /// Whether the process that has taken over has said that it writes; `None`: that is open.
    is_settled: watch::Sender<Option<bool>>,
}

/// Who takes over.
struct Successor {
    version: String,
    pid: u32,
}

impl Successors {
    /// Lets other processes find this one in `state_dir`. Traffic is served without that where it cannot be had: it says so.
    pub(in crate::gateway) fn welcome(state_dir: &Path, estate: Estate) -> Self {
        let place = estate.lock.take(Duration::ZERO);
        let place = place.and_then(|()| Place::make(state_dir));
        let started = place.and_then(|place| {
            let shared = Arc::new(Shared {
                place,
                estate,
                is_over: Mutex::default(),
                is_settled: watch::Sender::default(),
            });
            let listening = shared.clone();
            let thread = thread::Builder::new().name("serin-upgrade".to_owned());
            thread.spawn(move || listening.listen())?;
            Ok(shared)
        });
        let shared = started.inspect_err(|error| {
            let folder = state_dir.display();
            tracing::warn!(
                "no other process can take over, since {folder} cannot be used for that: {error}"
            );
        });
        Self(shared.ok())
    }

    /// Leaves nothing to anybody from here on; what was taken over already stays so. Closes this process's second handles on its
    /// sockets.
    pub(in crate::gateway) fn turn_away(&self) {
        if let Some(shared) = &self.0 {
            let mut is_over = shared.is_over();
            // The socket is that of the process that has taken over.
            if !shared.estate.custody.was_given() {
                shared.place.remove();
            }
            *is_over = true;
            shared.estate.close_sockets();
        }
    }

    /// Whether the process that has taken over has said that it writes, as soon as that is known.
    pub(in crate::gateway) async fn is_settled(&self) -> bool {
        let Some(shared) = &self.0 else {
            return true;
        };
        let mut told = shared.is_settled.subscribe();
        // The sender lives as long as this does.
        let settled = told.wait_for(Option::is_some).await;
        settled.is_ok_and(|settled| *settled == Some(true))
    }
}

impl Shared {
    fn listen(&self) -> ! {
        loop {
            let mut line = self.next_line();
            let successor = match greeted(&mut line) {
                Ok(successor) => successor,
                Err(silence) => {
                    tracing::warn!("nobody takes over: {silence}");
                    continue;
                }
            };
            if self.hand_over(line, &successor) {
                break;
            }
        }
        // Some may have come here before the other process had its socket in this one's place.
        loop {
            let why = "another process has taken over meanwhile: ask again".to_owned();
            let _ = self.next_line().say(&Word::Refused { why });
        }
    }

    /// Waits for a process of the same user.
    fn next_line(&self) -> Line {
        loop {
            let (stream, _) = match self.place.listener.accept() {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "another process cannot be heard");
                    thread::sleep(PAUSE);
                    continue;
                }
            };
            match Line::new(stream) {
                Ok(line) => return line,
                Err(error) => tracing::warn!("nobody takes over: {error}"),
            }
        }
    }

    /// Hands everything over, or goes on; whether it did.
    fn hand_over(&self, mut line: Line, to: &Successor) -> bool {
        let Successor { version, pid } = to;
        tracing::info!(pid, version, "another process is to take over");
        let other = line.other();
        let handed_over = self.converse(&mut line);
        match &handed_over {
            Ok(()) => tracing::info!(pid, version, "another process serves: this one drains"),
            Err(failure) => {
                self.estate.figures.failed.inc();
                tracing::error!(
                    pid,
                    version,
                    "the upgrade has failed, and this process goes on: {failure}"
                );
                let why = failure.to_string();
                // It may be gone.
                let _ = line.say(&Word::Refused { why });
                drop(line);
                self.estate.take_back(&other);
            }
        }
        handed_over.is_ok()
    }

    fn converse(&self, line: &mut Line) -> Result<(), Silence> {
        self.estate.offer(line)?;
        heard(line, READY_WITHIN + STEP, |word| {
            matches!(word, Word::Ready).then_some(())
        })?;
        let belongings = self.estate.lend().map_err(Silence::Refused)?;
        self.agree(line, belongings)
    }

    /// Has the other process serve, and leaves everything to it.
    fn agree(&self, line: &mut Line, belongings: Belongings) -> Result<(), Silence> {
        let heir = heir(line.second()?);
        line.say(&Word::Yours(Box::new(belongings)))?;
        let sockets = heard(line, STEP * 2, |word| match word {
            Word::Serving { sockets } => Some(sockets),
            _ => None,
        })?;
        let is_over = self.is_over();
        if *is_over {
            return Err(Silence::Refused("this gateway is stopping".to_owned()));
        }
        line.say(&Word::Agreed)?;
        self.estate.give_up(sockets, heir);
        drop(is_over);
        let last = line.hear(STEP);
        let is_settled = matches!(last, Ok(Word::Settled));
        if !is_settled {
            tracing::error!(
                ?last,
                "the process that has taken over does not say that it writes: it may have ended"
            );
        }
        self.is_settled.send_replace(Some(is_settled));
        Ok(())
    }

    fn is_over(&self) -> MutexGuard<'_, bool> {
        self.is_over.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who comes.
fn greeted(line: &mut Line) -> Result<Successor, Silence> {
    let (protocol, successor) = heard(line, GREETING, |word| match word {
        Word::Hello {
            protocol,
            version,
            pid,
        } => Some((protocol, Successor { version, pid })),
        _ => None,
    })?;
    let version = &successor.version;
    let why = if protocol == PROTOCOL {
        irreplaceable(std::process::id())
    } else {
        let why = format!("version {version} takes over in another way: a restart is needed");
        Some(why)
    };
    let Some(why) = why else {
        return Ok(successor);
    };
    let _ = line.say(&Word::Refused { why: why.clone() });
    Err(Silence::Refused(why))
}

/// What is wanted, if that is what the other process says next.
fn heard<T>(
    line: &mut Line,
    within: Duration,
    wanted: impl FnOnce(Word) -> Option<T>,
) -> Result<T, Silence> {
    let unexpected = || Silence::Unexpected("it is not its turn".to_owned());
    wanted(line.hear(within)?).ok_or_else(unexpected)
}

/// Takes exposures to the process at the other end.
fn heir(line: Line) -> Heir {
    let line = Mutex::new(line);
    Box::new(move |document| {
        let mut line = line.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = line.say(&Word::Exposure(Box::new(document))) {
            tracing::error!(%error, "an exposure is lost: the process that took over does not take it");
        }
    })
}
