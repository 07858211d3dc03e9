//! Being told of changes as they happen (server-sent events), where the server offers it.

use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::{Instant, sleep_until};

use super::Follower;
use crate::config::flag_server::Streaming;
use crate::publisher::Stopped;
use crate::source::unleash::backoff::{Backoff, LONGEST};
use crate::source::unleash::client::{FetchError, MAX_BYTES, Opened};
use crate::source::unleash::sse::{Event, Parser};
use crate::source::{Mode, Stage};

/// After this long without a sign of life the stream is taken for dead; servers give one every 30 s.
const SILENCE: Duration = Duration::from_secs(60);
/// How soon a stream must say everything that there is.
const HYDRATION: Duration = Duration::from_secs(10);
/// When a server that offers no streams is asked for one again.
const NOT_OFFERED: Duration = Duration::from_secs(3600);
/// The same where it says that it would rather stream, or where streaming is demanded.
const WANTED: Duration = Duration::from_secs(60);

/// When a stream is tried next.
#[derive(Debug)]
pub(super) struct Plan {
    streaming: Streaming,
    next: Option<Instant>,
    asked: Option<Instant>,
    backoff: Backoff,
}

impl Plan {
    pub(super) fn new(streaming: Streaming) -> Self {
        let next = (streaming != Streaming::Never).then(Instant::now);
        Self {
            streaming,
            next,
            asked: None,
            backoff: Backoff::default(),
        }
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.next
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.next.is_some_and(|next| next <= now)
    }

    /// The server would rather stream.
    pub(super) fn is_wanted(&mut self, now: Instant) {
        let soonest = self.asked.map_or(now, |asked| now.max(asked + WANTED));
        self.next = self.next.map(|next| next.min(soonest));
    }
}

/// How a stream that was opened ended.
struct Ended {
    why: String,
    /// It had said everything once.
    was_live: bool,
}

impl Follower {
    /// Opens a stream and follows it to its end. Then the server is polled until the next one.
    pub(super) async fn stream(&mut self) -> Result<(), Stopped> {
        let now = Instant::now();
        self.pace.plan.asked = Some(now);
        match self.open().await? {
            Ok(Opened::Stream(body)) => {
                let ended = self.listen(body).await?;
                self.status.note(|facts| facts.mode = Mode::Polling);
                self.note_end(&ended);
            }
            Ok(Opened::NotOffered(status)) => {
                let demanded = self.pace.plan.streaming == Streaming::Always;
                if demanded {
                    let error = format!("the server offers no streams ({status}); it is polled");
                    self.note_trouble(Stage::Streaming, &error);
                }
                let wait = if demanded { WANTED } else { NOT_OFFERED };
                self.pace.plan.next = Some(now + wait);
            }
            Err(error) => {
                self.note_end(&Ended {
                    why: error.to_string(),
                    was_live: false,
                });
            }
        }
        Ok(())
    }

    /// Opens a stream. Until it is there, the server is polled as ever.
    async fn open(&mut self) -> Result<Result<Opened, FetchError>, Stopped> {
        let client = self.client.clone();
        let mut opening = std::pin::pin!(client.stream());
        loop {
            tokio::select! {
                opened = &mut opening => return Ok(opened),
                () = sleep_until(self.pace.next_poll) => {
                    // How it went is noted.
                    let _ = self.poll().await?;
                }
                command = self.commands.recv() => self.obey(command.ok_or(Stopped)?).await?,
            }
        }
    }

    async fn listen(&mut self, mut body: Incoming) -> Result<Ended, Stopped> {
        let mut parser = Parser::new(MAX_BYTES);
        let mut is_live = false;
        let mut heard = Instant::now();
        let why = loop {
            let patience = self.outages.borrow().removal_guard;
            let due = self.said.guard.due(patience).map(Instant::from_std);
            let silence = heard + if is_live { SILENCE } else { HYDRATION };
            let bytes = tokio::select! {
                frame = body.frame() => match frame {
                    None => break "the server ended it".to_owned(),
                    Some(Err(error)) => break error.to_string(),
                    Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
                },
                () = sleep_until(silence) => break "nothing came for too long".to_owned(),
                // Nothing has been said yet: the server is polled as ever.
                () = sleep_until(self.pace.next_poll), if !is_live => {
                    let _ = self.poll().await?;
                    continue;
                }
                () = at(due) => {
                    self.confirm();
                    if let Err(error) = self.publish().await? {
                        self.note_trouble(Stage::Content, &error.to_string());
                    }
                    continue;
                }
                command = self.commands.recv() => {
                    self.obey(command.ok_or(Stopped)?).await?;
                    continue;
                }
            };
            let events = match parser.feed(&bytes) {
                Ok(events) => events,
                Err(error) => break error.to_string(),
            };
            match self.take_events(events, is_live).await {
                Ok(live) => is_live = live,
                Err(error) => {
                    self.note_trouble(Stage::Content, &error.to_string());
                    break error.to_string();
                }
            }
            if is_live {
                heard = Instant::now();
                self.status.recover(Stage::Streaming);
                self.status.note(|facts| facts.mode = Mode::Streaming);
                if let Err(error) = self.publish().await? {
                    self.note_trouble(Stage::Content, &error.to_string());
                    break error.to_string();
                }
                self.note_answer();
            }
        };
        Ok(Ended {
            why,
            was_live: is_live,
        })
    }

    /// Takes in what events say. Answers whether everything has been said by now: what is told before that has nothing
    /// that it could be a change of.
    async fn take_events(&mut self, events: Vec<Event>, is_live: bool) -> Result<bool, FetchError> {
        let (mut live, mut changes) = (is_live, Vec::new());
        for event in events {
            live |= event.name == "unleash-connected";
            if live && matches!(&*event.name, "unleash-connected" | "unleash-updated") {
                changes.push(event.data);
            }
        }
        if !changes.is_empty() {
            self.take_changes(changes).await?;
        }
        Ok(live)
    }

    /// Plans what comes after a stream. The server is polled at once: something may have been missed.
    fn note_end(&mut self, ended: &Ended) {
        let now = Instant::now();
        if ended.was_live {
            self.pace.plan.backoff.reset();
            self.pace.next_poll = now;
        }
        let (source, why) = (&self.config.name, &ended.why);
        if ended.was_live || self.pace.plan.backoff.is_fresh() {
            tracing::info!(%source, why, "no stream; the server is polled");
        } else {
            tracing::debug!(%source, why, "still no stream");
        }
        let wait = self.pace.plan.backoff.next(LONGEST, rand::random());
        self.pace.plan.next = Some(now + wait);
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
