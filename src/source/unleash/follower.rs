//! Follows one server: polls it, is told of changes where it offers that, and passes on what it says.

mod answer;
mod streaming;

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use super::backoff::{Backoff, LONGEST, REFUSED, jittered};
use super::client::{Client, FetchError, Fetched};
use super::guard::Guard;
use super::keeper::Keeper;
use super::{RefreshError, Refreshed};
use crate::config::flag_server::StalenessPolicy;
use crate::config::unleash::UnleashConfig;
use crate::engine::unleash::FeatureSet;
use crate::publisher::{PublisherHandle, Stopped};
use crate::source::{SourceStatus, Stage};
use streaming::Plan;

/// How long a refresh that finds nothing new goes on asking, and the follower once more after its answer: who calls a
/// webhook may not show its change yet (Unleash looks at its own database once a second).
const EAGER: Duration = Duration::from_millis(2500);
/// How often it asks then.
const EAGER_POLL: Duration = Duration::from_millis(250);

/// What a follower is asked for.
#[derive(Debug)]
pub(super) enum Command {
    /// Fetch now. The generation is the one that ran when it was asked for.
    Refresh(u64, oneshot::Sender<Result<Refreshed, RefreshError>>),
    /// What is held goes now.
    Accept(oneshot::Sender<Result<Refreshed, RefreshError>>),
}

/// The one who follows a server.
pub(super) struct Follower {
    pub(super) config: Arc<UnleashConfig>,
    pub(super) client: Client,
    pub(super) status: Arc<SourceStatus>,
    pub(super) publisher: PublisherHandle,
    pub(super) keeper: Keeper,
    pub(super) outages: watch::Receiver<StalenessPolicy>,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) pace: Pace,
    pub(super) said: Said,
}

/// What the server said.
#[derive(Debug, Default)]
pub(super) struct Said {
    guard: Guard,
    /// Of the answer that the guard has; `None` as soon as changes have been told of since.
    etag: Option<HeaderValue>,
    /// What the publisher has, and which of it is held.
    published: Option<(Arc<FeatureSet>, Vec<Arc<str>>)>,
    /// The last change that was put in force.
    latest: Option<Refreshed>,
}

impl Said {
    /// With what was known, and is in force already, before the server is asked.
    pub(super) fn before(known: Option<Arc<FeatureSet>>) -> Self {
        Self {
            guard: known.clone().map(Guard::new).unwrap_or_default(),
            etag: None,
            published: known.map(|known| (known, Vec::new())),
            latest: None,
        }
    }
}

/// When the server is asked next.
#[derive(Debug)]
pub(super) struct Pace {
    next_poll: Instant,
    backoff: Backoff,
    is_well: bool,
    eager_until: Option<Instant>,
    plan: Plan,
}

impl Pace {
    /// At once.
    pub(super) fn new(config: &UnleashConfig) -> Self {
        Self {
            next_poll: Instant::now(),
            backoff: Backoff::default(),
            is_well: false,
            eager_until: None,
            plan: Plan::new(config.streaming),
        }
    }
}

impl Follower {
    /// Follows until nobody wants it any more.
    pub(super) async fn run(mut self) {
        // The other end: the process stops.
        let Err(Stopped) = self.follow().await;
    }

    async fn follow(&mut self) -> Result<std::convert::Infallible, Stopped> {
        loop {
            let now = Instant::now();
            if self.pace.next_poll <= now {
                // How it went is noted; what matters here is when to ask again.
                let _ = self.poll().await?;
            } else if self.pace.is_well && self.pace.plan.is_due(now) {
                self.stream().await?;
            } else {
                self.rest().await?;
            }
        }
    }

    /// Waits for the next thing to do.
    async fn rest(&mut self) -> Result<(), Stopped> {
        let streaming = self.pace.plan.next().filter(|_| self.pace.is_well);
        let until = streaming.map_or(self.pace.next_poll, |next| next.min(self.pace.next_poll));
        tokio::select! {
            () = sleep_until(until) => Ok(()),
            command = self.commands.recv() => self.obey(command.ok_or(Stopped)?).await,
        }
    }

    /// Does what somebody asks for. Whoever asks for the same meanwhile gets the same answer.
    async fn obey(&mut self, command: Command) -> Result<(), Stopped> {
        let mut waiting = Vec::new();
        let mut next = Some(command);
        while let Some(command) = next {
            match command {
                Command::Refresh(since, done) => waiting.push((since, done)),
                Command::Accept(done) => {
                    let accepted = self.accept().await?;
                    // Nobody waits for the answer if whoever asked has gone.
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
            let result = match (&result, self.since(since)) {
                (Ok(_), Some(change)) => Ok(change),
                _ => result.clone(),
            };
            let _ = done.send(result);
        }
        Ok(())
    }

    /// Asks until there is something new since a generation, or for long enough to know that there is nothing.
    async fn refresh(&mut self, since: u64) -> Result<Result<Refreshed, FetchError>, Stopped> {
        let until = Instant::now() + EAGER;
        loop {
            let result = self.poll().await?;
            let is_over = Instant::now() + EAGER_POLL > until;
            if result.is_err() || self.since(since).is_some() {
                return Ok(result);
            }
            if is_over {
                let now = Instant::now();
                self.pace.eager_until = Some(now + EAGER);
                self.pace.next_poll = self.pace.next_poll.min(now + EAGER_POLL);
                return Ok(result);
            }
            tokio::time::sleep(EAGER_POLL).await;
        }
    }

    /// The last change, if it came after a generation: whoever asks may be told of it although another poll brought it.
    fn since(&self, generation: u64) -> Option<Refreshed> {
        let latest = self.said.latest.as_ref();
        latest
            .filter(|change| change.generation > generation)
            .cloned()
    }

    async fn accept(&mut self) -> Result<Result<Refreshed, FetchError>, Stopped> {
        if self.said.guard.accept() {
            tracing::warn!(source = %self.config.name, "held removals were accepted");
        }
        self.publish().await
    }

    /// Asks for all flags, and plans when to ask again.
    async fn poll(&mut self) -> Result<Result<Refreshed, FetchError>, Stopped> {
        let begun = Instant::now();
        let result = self.ask().await?;
        let wait = match &result {
            Ok(refreshed) => {
                self.pace.backoff.reset();
                if refreshed.is_new {
                    self.pace.eager_until = None;
                }
                let eager = self.pace.eager_until.is_some_and(|until| until > begun);
                let interval = jittered(self.config.poll, rand::random());
                if eager {
                    interval.min(EAGER_POLL)
                } else {
                    interval
                }
            }
            Err(error) => {
                self.pace.eager_until = None;
                self.note_failure(error)
            }
        };
        self.pace.is_well = result.is_ok();
        self.pace.next_poll = begun + wait;
        Ok(result)
    }

    async fn ask(&mut self) -> Result<Result<Refreshed, FetchError>, Stopped> {
        let fetched = match self.client.features(self.said.etag.as_ref()).await {
            Ok(fetched) => fetched,
            Err(error) => return Ok(Err(error)),
        };
        let mut streaming_wanted = false;
        match fetched {
            Fetched::Same => self.confirm(),
            Fetched::New {
                body,
                etag,
                wants_streaming,
            } => {
                if let Err(error) = self.take_answer(body, etag).await {
                    return Ok(Err(error));
                }
                streaming_wanted = wants_streaming;
            }
        }
        let published = self.publish().await?;
        if published.is_ok() {
            self.note_answer();
            if streaming_wanted {
                self.pace.plan.is_wanted(Instant::now());
            }
        }
        Ok(published)
    }

    /// The server says the same as before.
    fn confirm(&mut self) {
        let patience = self.outages.borrow().removal_guard;
        let now = std::time::Instant::now();
        if self.said.guard.confirm(now, patience) {
            tracing::warn!(source = %self.config.name, "the server goes on lacking the flags that were held: they are gone");
        }
    }

    /// Tells of a failure, and how long to wait.
    fn note_failure(&mut self, error: &FetchError) -> Duration {
        let stage = match error {
            FetchError::Unusable(_) => Stage::Content,
            _ => Stage::Reading,
        };
        self.note_trouble(stage, &error.to_string());
        let backoff = self.pace.backoff.next(self.config.poll, rand::random());
        match error {
            FetchError::Refused(_) | FetchError::NoApi { .. } => REFUSED.max(self.config.poll),
            FetchError::Unavailable {
                retry_after: Some(wait),
                ..
            } => (*wait).min(LONGEST).max(backoff),
            _ => backoff,
        }
    }
}
