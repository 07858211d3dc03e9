//! Flag servers that speak Unleash's client API: fetched or streamed, kept through any outage.
//!
//! Each has a task of its own that follows it (`follower`), one that reports to it (`reporter`) and one that keeps
//! what it said on disk (`keeper`), all on the control runtime. What a server says goes to the publisher; whatever
//! happens to the server, what was last good stays.

mod backoff;
mod client;
mod clients;
mod follower;
mod guard;
mod identity;
mod keeper;
mod loaded;
mod refreshed;
mod reporter;
mod sse;
mod stored;
mod tally;
mod wire;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;

use super::{SourceStatus, Sources, Stage};
use crate::clock;
use crate::config::Config;
use crate::config::flag_server::StalenessPolicy;
use crate::config::unleash::UnleashConfig;
use crate::engine::unleash::FeatureSet;
use crate::publisher::PublisherHandle;
use client::Client;
use follower::{Command, Follower, Pace, Said};
use identity::Identity;
use keeper::Keeper;
use loaded::Read;
use reporter::Reporter;
use stored::Stored;

pub use clients::{ClientUses, Reported};
pub use loaded::Loaded;
pub use refreshed::{RefreshError, Refreshed};

/// Commands that may wait for one follower.
const QUEUE: usize = 64;

/// Every flag server that is followed.
pub struct FlagServers {
    parts: Parts,
    outages: watch::Sender<StalenessPolicy>,
    running: Mutex<Vec<Running>>,
    started: Instant,
}

/// What flag servers work with.
pub struct Parts {
    /// Who puts flags in force.
    pub publisher: PublisherHandle,
    /// Where it is told how they are doing.
    pub sources: Sources,
    /// Where the last good flags are kept.
    pub state_dir: PathBuf,
    /// How clients used their flags.
    pub client_uses: Arc<ClientUses>,
    /// Where their tasks run.
    pub control: Handle,
}

/// One server that is followed. Its tasks end with it.
struct Running {
    config: Arc<UnleashConfig>,
    status: Arc<SourceStatus>,
    keeper: Keeper,
    commands: mpsc::Sender<Command>,
    last_words: mpsc::Sender<oneshot::Sender<()>>,
    tasks: [AbortHandle; 2],
}

impl FlagServers {
    /// Begins to follow the configuration's servers; `loaded` is in force already.
    pub fn start(parts: Parts, config: &Config, mut loaded: Loaded) -> Self {
        let servers = Self {
            parts,
            outages: watch::Sender::new(config.outages),
            running: Mutex::default(),
            started: Instant::now(),
        };
        let begun = config.unleash.iter().map(|server| {
            let read = loaded.take(&server.name).unwrap_or_default();
            servers.begin(server, read)
        });
        let begun: Vec<Running> = begun.collect();
        servers.tell(&begun);
        *servers.lock() = begun;
        servers
    }

    /// Without any server, for tests.
    #[cfg(test)]
    pub(crate) fn none(publisher: PublisherHandle) -> Arc<Self> {
        let parts = Parts {
            publisher,
            sources: Sources::default(),
            state_dir: PathBuf::new(),
            client_uses: Arc::default(),
            control: Handle::current(),
        };
        Arc::new(Self {
            parts,
            outages: watch::Sender::new(StalenessPolicy::default()),
            running: Mutex::default(),
            started: Instant::now(),
        })
    }

    /// Follows no server but these from now on, because a configuration is about to be put in force: nothing that others
    /// say may come after it, and nobody who sees what it decides is told of them any more.
    pub fn retire(&self, servers: &[UnleashConfig]) {
        let wanted = |running: &Running| {
            let mut servers = servers.iter();
            servers.any(|server| server.name == running.config.name)
        };
        let mut running = self.lock();
        running.retain(wanted);
        self.tell(&running);
    }

    /// Follows these servers, whose configuration is in force. One whose configuration is another now keeps its flags
    /// until it answers.
    pub async fn follow(&self, servers: &[UnleashConfig], outages: StalenessPolicy) {
        self.outages.send_replace(outages);
        let mut late = Vec::new();
        for server in servers {
            if !self.follows(&server.name) {
                late.push(self.load_late(server).await);
            }
        }
        let mut late = late.into_iter();
        let mut running = self.lock();
        let mut before = std::mem::take(&mut *running);
        for server in servers {
            let known = before
                .iter()
                .position(|running| running.config.name == server.name)
                .map(|index| before.swap_remove(index));
            running.push(match known {
                Some(known) if *known.config == *server => known,
                Some(known) => self.begin_again(server, known),
                None => self.begin(server, late.next().unwrap_or_default()),
            });
        }
        self.tell(&running);
    }

    /// Fetches from a server now, and answers when what it said is in force.
    ///
    /// # Errors
    /// When there is no such server, or no use in what it says.
    pub async fn refresh(&self, name: &str) -> Result<Refreshed, RefreshError> {
        self.ask(name, Command::Refresh).await
    }

    /// Lets what a server lacks, and what is held, go now.
    ///
    /// # Errors
    /// When there is no such server.
    pub async fn accept(&self, name: &str) -> Result<Refreshed, RefreshError> {
        self.ask(name, |_, done| Command::Accept(done)).await
    }

    /// Which flags must still come for traffic to be decided rightly, for people.
    pub fn missing(&self) -> Vec<String> {
        let patience = self.outages.borrow().ready_without_flags;
        if patience.is_some_and(|patience| patience <= self.started.elapsed()) {
            return Vec::new();
        }
        self.lock()
            .iter()
            .filter(|running| {
                let facts = running.status.server().unwrap_or_default();
                !facts.has_answered && !facts.was_stored
            })
            .map(|running| {
                let name = &running.config.name;
                format!("the flag server {name} has not answered yet, and nothing of it is stored")
            })
            .collect()
    }

    /// Sends the last reports and has everything written, as far as that can be done in time.
    pub async fn finish(&self, patience: Duration) {
        let running: Vec<_> = self
            .lock()
            .iter()
            .map(|running| (running.last_words.clone(), running.keeper.clone()))
            .collect();
        let last = running.into_iter().map(|(last_words, keeper)| async move {
            let (done, said) = oneshot::channel();
            let say = async {
                if last_words.send(done).await.is_ok() {
                    // An error is a reporter that has ended: it has nothing more to say.
                    let _ = said.await;
                }
            };
            let _ = tokio::time::timeout(patience, say).await;
            keeper.settle(patience).await;
        });
        futures_util::future::join_all(last).await;
    }

    async fn ask(
        &self,
        name: &str,
        command: fn(u64, oneshot::Sender<Result<Refreshed, RefreshError>>) -> Command,
    ) -> Result<Refreshed, RefreshError> {
        let generation = *self.parts.publisher.generation().borrow();
        let commands = self
            .lock()
            .iter()
            .find(|running| *running.config.name == *name)
            .map(|running| running.commands.clone())
            .ok_or_else(|| RefreshError::Unknown(name.to_owned()))?;
        let (done, answer) = oneshot::channel();
        let stopped = |()| RefreshError::Stopped;
        commands
            .send(command(generation, done))
            .await
            .map_err(|_| stopped(()))?;
        answer.await.map_err(|_| stopped(()))?
    }

    /// Begins to follow a server of which this is stored.
    fn begin(&self, server: &UnleashConfig, read: Read) -> Running {
        let status = SourceStatus::of_server(&server.name);
        let status = Arc::new(status.telling(self.parts.publisher.events()));
        let Read { stored, error } = read;
        if let Some(error) = error {
            let instead = stored
                .as_ref()
                .map_or("", |_| "; the copy before it is used");
            let error = format!("{error}{instead}");
            tracing::error!(source = %server.name, "{error}");
            status.fail(Stage::Storing, error);
        }
        if let Some(stored) = &stored {
            self.take_over(server, stored, &status);
        }
        let keeper = Keeper::start(
            self.parts.state_dir.clone(),
            stored.clone(),
            status.clone(),
            &self.parts.control,
        );
        self.begin_with(server, status, keeper)
    }

    /// Puts in force what is stored of a server that the configuration has only just named.
    async fn load_late(&self, server: &UnleashConfig) -> Read {
        let (folder, name) = (self.parts.state_dir.clone(), server.name.clone());
        let read = tokio::task::spawn_blocking(move || stored::read(&folder, &name));
        // An error here is a panic, which has been told of.
        let read = read.await.map_or_else(|_| Read::default(), Read::from);
        if let Some(stored) = &read.stored {
            let set = FeatureSet::clone(&stored.set);
            let publisher = &self.parts.publisher;
            let published = publisher.publish_flags(&server.name, set, Vec::new()).await;
            if let Err(error) = published {
                tracing::error!(source = %server.name, "the stored flags cannot be put in force: {error}");
            }
        }
        read
    }

    /// Begins anew with a server that is called as the one before.
    fn begin_again(&self, server: &UnleashConfig, before: Running) -> Running {
        tracing::info!(source = %server.name, "the flag server's configuration is another: asking anew");
        let (status, keeper) = (before.status.clone(), before.keeper.clone());
        // Its tasks end here: nothing that they say may come after what the new ones do.
        drop(before);
        self.begin_with(server, status, keeper)
    }

    fn begin_with(
        &self,
        server: &UnleashConfig,
        status: Arc<SourceStatus>,
        keeper: Keeper,
    ) -> Running {
        let config = Arc::new(server.clone());
        let (commands, inbox) = mpsc::channel(QUEUE);
        let (last_words, last_wish) = mpsc::channel(1);
        let identity = Identity::new();
        let tasks = match Client::new(server, &identity) {
            Ok(client) => {
                let follower = Follower {
                    config: config.clone(),
                    client: client.clone(),
                    status: status.clone(),
                    publisher: self.parts.publisher.clone(),
                    said: Said::before(keeper.latest().map(|stored| stored.set.clone())),
                    keeper: keeper.clone(),
                    outages: self.outages.subscribe(),
                    commands: inbox,
                    pace: Pace::new(server),
                };
                let publisher = &self.parts.publisher;
                let reporter = Reporter::new(
                    config.clone(),
                    client,
                    identity,
                    publisher,
                    self.parts.client_uses.clone(),
                    last_wish,
                );
                let follower = self.parts.control.spawn(follower.run());
                let reporter = self.parts.control.spawn(reporter.run());
                [follower.abort_handle(), reporter.abort_handle()]
            }
            Err(error) => {
                let error = format!("no certificates to know https servers by: {error}");
                tracing::error!(source = %server.name, "{error}");
                status.fail(Stage::Reading, error);
                let nothing = || self.parts.control.spawn(async {}).abort_handle();
                [nothing(), nothing()]
            }
        };
        Running {
            config,
            status,
            keeper,
            commands,
            last_words,
            tasks,
        }
    }

    /// Tells what is decided on until the server answers.
    fn take_over(&self, server: &UnleashConfig, stored: &Stored, status: &SourceStatus) {
        let age = clock::now()
            .unix_ms
            .saturating_sub(stored.confirmed.unix_ms);
        let age = Duration::from_millis(u64::try_from(age).unwrap_or_default());
        status.take_over(age);
        status.note(|facts| {
            facts.was_stored = true;
            facts.revision = stored.set.revision();
        });
        let (source, flags) = (&server.name, stored.set.len());
        tracing::info!(%source, flags, ?age, "starting from stored flags");
        if *stored.url != *server.url.as_str() {
            tracing::warn!(%source, "the stored flags are another server's; they hold until this one answers");
        }
        let most = self.outages.borrow().snapshot_max_age;
        if age > most {
            let (days, most) = (age.as_secs() / 86_400, most.as_secs());
            let error = format!(
                "the stored flags are {days} days old, more than snapshot_max_age ({most} s); they hold until the \
                 server answers"
            );
            tracing::error!(%source, "{error}");
            status.fail(Stage::Content, error);
        }
    }

    fn follows(&self, name: &str) -> bool {
        let running = self.lock();
        running.iter().any(|running| *running.config.name == *name)
    }

    /// Tells how these servers are doing from now on.
    fn tell(&self, running: &[Running]) {
        let statuses = running.iter().map(|running| running.status.clone());
        self.parts.sources.set_servers(statuses.collect());
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for FlagServers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FlagServers").finish_non_exhaustive()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests;
