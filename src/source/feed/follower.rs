//! Follows one server: polls it, listens to its stream where it offers one, and publishes what it says.

mod answer;
mod streaming;

use std::convert::Infallible;
use std::sync::Arc;

use http::HeaderValue;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use super::backup::Backup;
use super::flag_server::{FetchError, Fetched, FlagServer};
use super::refreshed::{RefreshError, Refreshed};
use super::removal_guard::RemovalGuard;
use super::schedule::{EAGER, EAGER_POLL, PollSchedule, StreamSchedule};
use crate::config::flag_server::StalenessPolicy;
use crate::config::source::SourceConfig;
use crate::engine::source::SourceSet;
use crate::publisher::{PublisherHandle, Stopped};
use crate::source::{SourceStatus, Stage};

/// What a person or a webhook asks of a follower.
#[derive(Debug)]
pub(in crate::source) enum Command {
    /// Fetch now. The generation is the one that ran when it was asked for.
    Refresh(u64, oneshot::Sender<Result<Refreshed, RefreshError>>),
    /// Let held flags go now.
    Accept(oneshot::Sender<Result<Refreshed, RefreshError>>),
}

/// What a follower works with.
pub(in crate::source) struct FollowerSetup {
    pub(in crate::source) config: SourceConfig,
    pub(in crate::source) status: Arc<SourceStatus>,
    pub(in crate::source) publisher: PublisherHandle,
    pub(in crate::source) backup: Backup,
    pub(in crate::source) outages: watch::Receiver<StalenessPolicy>,
    pub(in crate::source) commands: mpsc::Receiver<Command>,
}

/// The task that follows a server.
pub(in crate::source) struct Follower<S> {
    server: S,
    config: SourceConfig,
    status: Arc<SourceStatus>,
    publisher: PublisherHandle,
    backup: Backup,
    outages: watch::Receiver<StalenessPolicy>,
    commands: mpsc::Receiver<Command>,
    polls: PollSchedule,
    streams: StreamSchedule,
    latest: LastResponse,
}

/// What the server said last, and what came of it.
#[derive(Debug)]
struct LastResponse {
    guard: RemovalGuard,
    /// Of the answer that the guard has; `None` once the stream has changed it.
    tag: Option<HeaderValue>,
    /// What the publisher has, and which of it is held.
    published: Option<(Arc<SourceSet>, Vec<Arc<str>>)>,
    /// The last change that was put in force.
    change: Option<Refreshed>,
}

impl LastResponse {
    /// With the flags, if any, that are in force before the server is asked.
    fn before(known: Option<Arc<SourceSet>>, config: &SourceConfig) -> Self {
        let nothing = || Arc::new(SourceSet::empty(config.kind()));
        Self {
            guard: RemovalGuard::new(known.clone().unwrap_or_else(nothing)),
            tag: None,
            published: known.map(|known| (known, Vec::new())),
            change: None,
        }
    }
}

impl<S: FlagServer> Follower<S> {
    /// For a server of which the backup's flags are in force already.
    pub(in crate::source) fn new(setup: FollowerSetup, server: S) -> Self {
        let known = setup.backup.latest().map(|stored| stored.set.clone());
        Self {
            server,
            polls: PollSchedule::new(setup.config.poll()),
            streams: StreamSchedule::new(setup.config.streaming()),
            latest: LastResponse::before(known, &setup.config),
            config: setup.config,
            status: setup.status,
            publisher: setup.publisher,
            backup: setup.backup,
            outages: setup.outages,
            commands: setup.commands,
        }
    }

    /// Follows the server until the process ends or the configuration has other servers.
    pub(in crate::source) async fn run(mut self) {
        let Err(Stopped) = self.follow().await;
    }

    async fn follow(&mut self) -> Result<Infallible, Stopped> {
        loop {
            let now = Instant::now();
            if self.polls.next() <= now {
                // The result is noted in status and schedule; only the end of the process matters here.
                let _ = self.poll().await?;
            } else if self.polls.is_well() && self.streams.is_due(now) {
                self.stream().await?;
            } else {
                self.rest().await?;
            }
        }
    }

    /// Waits for the next poll, stream or command.
    async fn rest(&mut self) -> Result<(), Stopped> {
        let poll = self.polls.next();
        let stream = self.streams.next().filter(|_| self.polls.is_well());
        tokio::select! {
            () = sleep_until(stream.map_or(poll, |stream| stream.min(poll))) => Ok(()),
            command = self.commands.recv() => self.handle(command.ok_or(Stopped)?).await,
        }
    }

    /// Carries out a command, and those that wait behind it: all refreshes get the same result.
    async fn handle(&mut self, command: Command) -> Result<(), Stopped> {
        let mut waiting = Vec::new();
        let mut next = Some(command);
        while let Some(command) = next {
            match command {
                Command::Refresh(since, done) => waiting.push((since, done)),
                Command::Accept(done) => {
                    let accepted = self.accept().await?;
                    // Fails when the caller has given up waiting.
                    let _ = done.send(accepted.map_err(RefreshError::from));
                }
            }
            next = self.commands.try_recv().ok();
        }
        if waiting.is_empty() {
            return Ok(());
        }
        let oldest = waiting.iter().map(|(since, _)| *since).min();
        let result = self.refresh(oldest.unwrap_or_default()).await?;
        let result = result.map_err(RefreshError::from);
        for (since, done) in waiting {
            let result = match (&result, self.change_since(since)) {
                (Ok(_), Some(change)) => Ok(change),
                _ => result.clone(),
            };
            let _ = done.send(result);
        }
        Ok(())
    }

    /// Polls until there is something new since a generation, or for long enough to know that there is nothing.
    async fn refresh(&mut self, since: u64) -> Result<Result<Refreshed, FetchError>, Stopped> {
        let until = Instant::now() + EAGER;
        loop {
            let result = self.poll().await?;
            let is_over = Instant::now() + EAGER_POLL > until;
            if result.is_err() || self.change_since(since).is_some() {
                return Ok(result);
            }
            if is_over {
                self.polls.poll_eagerly(Instant::now());
                return Ok(result);
            }
            tokio::time::sleep(EAGER_POLL).await;
        }
    }

    /// The last change, if it came after a generation: a refresh may report it although another poll brought it.
    fn change_since(&self, generation: u64) -> Option<Refreshed> {
        let change = self.latest.change.as_ref();
        change
            .filter(|change| change.generation > generation)
            .cloned()
    }

    async fn accept(&mut self) -> Result<Result<Refreshed, FetchError>, Stopped> {
        if self.latest.guard.accept() {
            tracing::warn!(source = %self.config.name(), "held removals were accepted");
        }
        self.publish().await
    }

    /// Asks for all flags, and plans when to ask again.
    async fn poll(&mut self) -> Result<Result<Refreshed, FetchError>, Stopped> {
        let begun = Instant::now();
        let result = self.ask().await?;
        match &result {
            Ok(refreshed) => self
                .polls
                .succeeded(begun, refreshed.is_new, rand::random()),
            Err(error) => {
                let stage = match error {
                    FetchError::Unusable(_) => Stage::Content,
                    FetchError::Misconfigured(_) | FetchError::Unavailable { .. } => Stage::Reading,
                };
                self.note_trouble(stage, &error.to_string());
                self.polls.failed(begun, error, rand::random());
            }
        }
        Ok(result)
    }

    async fn ask(&mut self) -> Result<Result<Refreshed, FetchError>, Stopped> {
        let fetched = match self.server.fetch(self.latest.tag.as_ref()).await {
            Ok(fetched) => fetched,
            Err(error) => return Ok(Err(error)),
        };
        let mut streaming_wanted = false;
        match fetched {
            Fetched::Same => self.confirm(),
            Fetched::New {
                body,
                tag,
                wants_streaming,
            } => {
                if let Err(error) = self.read_answer(body, tag).await {
                    return Ok(Err(error));
                }
                streaming_wanted = wants_streaming;
            }
        }
        let published = self.publish().await?;
        if published.is_ok() {
            self.note_answer();
            if streaming_wanted {
                self.streams.ask_soon(Instant::now());
            }
        }
        Ok(published)
    }

    /// The server says the same as before.
    fn confirm(&mut self) {
        let patience = self.outages.borrow().removal_guard;
        let now = std::time::Instant::now();
        if self.latest.guard.confirm(now, patience) {
            tracing::warn!(source = %self.config.name(), "the server goes on lacking the flags that were held: they are gone");
        }
    }
}
