//! Changes as they happen (server-sent events), where the server offers them.

use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::{Instant, sleep_until};

use super::Follower;
use crate::publisher::Stopped;
use crate::source::feed::flag_server::{EventMeaning, FetchError, FlagServer, MAX_BYTES, Opened};
use crate::source::feed::sse::{Event, Parser};
use crate::source::{FeedMode, Stage};

/// After this long without a sign of life the stream is taken for dead; servers give one every 30 s.
const SILENCE: Duration = Duration::from_secs(60);
/// How soon a stream must have sent all flags.
const HYDRATION: Duration = Duration::from_secs(10);

/// How a stream that was opened ended.
struct Ended {
    why: String,
    /// It had sent all flags once.
    was_live: bool,
}

impl<S: FlagServer> Follower<S> {
    /// Opens a stream and follows it to its end. Then the server is polled until the next one.
    pub(super) async fn stream(&mut self) -> Result<(), Stopped> {
        let now = Instant::now();
        self.streams.begin(now);
        match self.open().await? {
            Ok(Opened::Stream(body)) => {
                let ended = self.listen(body).await?;
                self.status.note(|facts| facts.mode = FeedMode::Polling);
                self.note_end(&ended);
            }
            Ok(Opened::NotOffered(status)) => {
                if self.streams.not_offered(now) {
                    let error = format!("the server offers no streams ({status}); it is polled");
                    self.note_trouble(Stage::Streaming, &error);
                }
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
        let server = self.server.clone();
        let mut opening = std::pin::pin!(server.open_stream());
        loop {
            tokio::select! {
                opened = &mut opening => return Ok(opened),
                () = sleep_until(self.polls.next()) => {
                    // The result is noted in status and schedule.
                    let _ = self.poll().await?;
                }
                command = self.commands.recv() => self.handle(command.ok_or(Stopped)?).await?,
            }
        }
    }

    async fn listen(&mut self, mut body: Incoming) -> Result<Ended, Stopped> {
        let mut parser = Parser::new(MAX_BYTES);
        let mut is_live = false;
        let mut heard = Instant::now();
        let why = loop {
            let patience = self.outages.borrow().removal_guard;
            let due = self.latest.guard.due(patience).map(Instant::from_std);
            let silence = heard + if is_live { SILENCE } else { HYDRATION };
            let bytes = tokio::select! {
                frame = body.frame() => match frame {
                    None => break "the server ended it".to_owned(),
                    Some(Err(error)) => break error.to_string(),
                    Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
                },
                () = sleep_until(silence) => break "nothing came for too long".to_owned(),
                // No flags have come yet: the server is polled as ever.
                () = sleep_until(self.polls.next()), if !is_live => {
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
                    self.handle(command.ok_or(Stopped)?).await?;
                    continue;
                }
            };
            let events = match parser.feed(&bytes) {
                Ok(events) => events,
                Err(error) => break error.to_string(),
            };
            match self.read_events(events, is_live).await {
                Ok(live) => is_live = live,
                Err(error) => {
                    self.note_trouble(Stage::Content, &error.to_string());
                    break error.to_string();
                }
            }
            if is_live {
                heard = Instant::now();
                self.status.recover(Stage::Streaming);
                self.status.note(|facts| facts.mode = FeedMode::Streaming);
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

    /// Makes the changes that events tell of. Returns whether the stream has sent all flags by now: a change that comes before
    /// them has nothing that it could be a change of.
    async fn read_events(&mut self, events: Vec<Event>, is_live: bool) -> Result<bool, FetchError> {
        let (mut live, mut changes) = (is_live, Vec::new());
        for event in events {
            let meaning = S::meaning(&event);
            live |= meaning == EventMeaning::Everything;
            match meaning {
                EventMeaning::Everything => changes.push(event.data),
                EventMeaning::Change if live => changes.push(event.data),
                EventMeaning::Change | EventMeaning::Other => {}
            }
        }
        if !changes.is_empty() {
            self.make_changes(changes).await?;
        }
        Ok(live)
    }

    /// Plans what comes after a stream. The server is polled at once: something may have been missed.
    fn note_end(&mut self, ended: &Ended) {
        let now = Instant::now();
        if ended.was_live {
            self.polls.poll_at(now);
        }
        let (source, why) = (self.config.name(), &ended.why);
        if self.streams.ended(now, ended.was_live, rand::random()) {
            tracing::info!(%source, why, "no stream; the server is polled");
        } else {
            tracing::debug!(%source, why, "still no stream");
        }
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
