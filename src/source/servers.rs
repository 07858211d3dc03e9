//! The flag servers that are followed, whichever product each is: they come and go with the configuration.
//!
//! Each has a task of its own that follows it ([`super::feed::follower`]), one that stores its flags, and what else its
//! product needs, all on the control runtime. Whatever happens to a server, its last good flags stay in force.

mod administered;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;

use super::feed::backup::Backup;
use super::feed::follower::{Command, FollowerSetup};
use super::feed::refreshed::{RefreshError, Refreshed};
use super::feed::stored::{self, StoredCopy, StoredSet};
use super::feed::stored_sets::{self, StoredSets};
use super::unleash::{self, Administrator, ClientUses, Recorder};
use super::{SourceStatus, SourceStatuses, Stage};
use crate::clock;
use crate::config::Config;
use crate::config::flag_server::StalenessPolicy;
use crate::config::source::SourceConfig;
use crate::custody::Custody;
use crate::engine::source::SourceSet;
use crate::publisher::PublisherHandle;
use crate::state::SharedTexts;

/// Commands that may wait for one follower.
const QUEUE: usize = 64;

/// Every flag server that is followed.
pub struct FlagServers {
    setup: FlagServersSetup,
    outages: watch::Sender<StalenessPolicy>,
    followed: Mutex<Vec<FollowedServer>>,
    recorder: Recorder,
    /// The recorder's task.
    recording: Option<AbortHandle>,
    started: Instant,
}

/// What [`FlagServers`] work with.
pub struct FlagServersSetup {
    /// Puts flags in force.
    pub publisher: PublisherHandle,
    /// Where their statuses are listed.
    pub statuses: SourceStatuses,
    /// Where the last good flags are kept.
    pub state_dir: PathBuf,
    /// They are written there while it is here.
    pub custody: Custody,
    /// Where gateways share them.
    pub shared: Option<SharedTexts>,
    /// How clients used Unleash flags, to be reported to the servers.
    pub client_uses: Arc<ClientUses>,
    /// Where their tasks run.
    pub control: Handle,
}

/// One server that is followed. Its tasks end with it.
struct FollowedServer {
    config: SourceConfig,
    status: Arc<SourceStatus>,
    backup: Backup,
    commands: mpsc::Sender<Command>,
    last_words: mpsc::Sender<oneshot::Sender<()>>,
    tasks: Vec<AbortHandle>,
    /// `None`: nothing may be written there.
    administrator: Option<Administrator>,
    /// Records there no more when this ends.
    recorder: Recorder,
}

impl FlagServers {
    /// Begins to follow the configuration's servers; `stored` is in force already.
    pub fn start(setup: FlagServersSetup, config: &Config, mut stored: StoredSets) -> Self {
        let mut servers = Self {
            setup,
            outages: watch::Sender::new(config.outages),
            followed: Mutex::default(),
            recorder: Recorder::default(),
            recording: None,
            started: Instant::now(),
        };
        let begun = config.sources().map(|server| {
            let copy = stored.take(server.name()).unwrap_or_default();
            servers.begin(&server, copy)
        });
        let begun: Vec<FollowedServer> = begun.collect();
        servers.list(&begun);
        *servers.lock() = begun;
        servers.recording = Some(servers.recorder.start(&servers.setup.control));
        servers
    }

    /// Without any server, for tests.
    #[cfg(test)]
    pub(crate) fn none(publisher: PublisherHandle) -> Arc<Self> {
        let setup = FlagServersSetup {
            publisher,
            statuses: SourceStatuses::default(),
            state_dir: PathBuf::new(),
            custody: Custody::default(),
            shared: None,
            client_uses: Arc::default(),
            control: Handle::current(),
        };
        Arc::new(Self {
            setup,
            outages: watch::Sender::new(StalenessPolicy::default()),
            followed: Mutex::default(),
            recorder: Recorder::default(),
            recording: None,
            started: Instant::now(),
        })
    }

    /// Stops following all servers but these, because a configuration is about to be put in force: nothing that others say
    /// may be published after it, and their statuses are listed no more.
    pub fn retire(&self, servers: &[SourceConfig]) {
        let is_wanted = |followed: &FollowedServer| {
            let mut servers = servers.iter();
            servers.any(|server| server.is_same_source(&followed.config))
        };
        let mut followed = self.lock();
        followed.retain(is_wanted);
        self.list(&followed);
    }

    /// Follows these servers, whose configuration is in force. One whose configuration is another now keeps its flags
    /// until it answers.
    pub async fn follow(&self, servers: &[SourceConfig], outages: StalenessPolicy) {
        self.outages.send_replace(outages);
        let mut late = Vec::new();
        for server in servers {
            if !self.follows(server) {
                late.push(self.load_late(server).await);
            }
        }
        let mut late = late.into_iter();
        let mut followed = self.lock();
        let mut before = std::mem::take(&mut *followed);
        for server in servers {
            let known = before
                .iter()
                .position(|followed| followed.config.is_same_source(server))
                .map(|index| before.swap_remove(index));
            followed.push(match known {
                Some(known) if known.config == *server => known,
                Some(known) => self.begin_again(server, known),
                None => self.begin(server, late.next().unwrap_or_default()),
            });
        }
        self.list(&followed);
    }

    /// Fetches from a server now, and returns when its flags are in force.
    ///
    /// # Errors
    /// When there is no such server, or no use in what it says.
    pub async fn refresh(&self, name: &str) -> Result<Refreshed, RefreshError> {
        self.ask(name, Command::Refresh).await
    }

    /// Lets flags go that a server lacks and that are held.
    ///
    /// # Errors
    /// When there is no such server.
    pub async fn accept(&self, name: &str) -> Result<Refreshed, RefreshError> {
        self.ask(name, |_, done| Command::Accept(done)).await
    }

    /// Which flags must still come for traffic to be decided rightly, in words.
    pub fn missing(&self) -> Vec<String> {
        let patience = self.outages.borrow().ready_without_flags;
        if patience.is_some_and(|patience| patience <= self.started.elapsed()) {
            return Vec::new();
        }
        self.lock()
            .iter()
            .filter(|followed| {
                let facts = followed.status.server().unwrap_or_default();
                !facts.has_answered && !facts.was_stored
            })
            .map(|followed| {
                let name = followed.config.name();
                format!("the flag server {name} has not answered yet, and nothing of it is stored")
            })
            .collect()
    }

    /// Sends the last reports and has everything written, as far as that can be done in time.
    pub async fn finish(&self, patience: Duration) {
        let followed: Vec<_> = self
            .lock()
            .iter()
            .map(|followed| (followed.last_words.clone(), followed.backup.clone()))
            .collect();
        let last = followed.into_iter().map(|(last_words, backup)| async move {
            let (done, reported) = oneshot::channel();
            let report = async {
                if last_words.send(done).await.is_ok() {
                    // An error is a reporter that has ended: it has nothing more to say.
                    let _ = reported.await;
                }
            };
            let _ = tokio::time::timeout(patience, report).await;
            backup.settle(patience).await;
        });
        futures_util::future::join_all(last).await;
    }

    async fn ask(
        &self,
        name: &str,
        command: fn(u64, oneshot::Sender<Result<Refreshed, RefreshError>>) -> Command,
    ) -> Result<Refreshed, RefreshError> {
        let generation = *self.setup.publisher.generation().borrow();
        let commands = self
            .lock()
            .iter()
            .find(|followed| **followed.config.name() == *name)
            .map(|followed| followed.commands.clone())
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
    fn begin(&self, server: &SourceConfig, copy: StoredCopy) -> FollowedServer {
        let name = server.name();
        let status = SourceStatus::of_server(name);
        let status = Arc::new(status.reporting_to(self.setup.publisher.events()));
        let StoredCopy {
            set,
            error,
            is_on_disk,
        } = copy;
        if let Some(error) = error {
            let instead = set.as_ref().map_or("", |_| "; the copy before it is used");
            let error = format!("{error}{instead}");
            tracing::error!(source = %name, "{error}");
            status.fail(Stage::Storing, error);
        }
        if let Some(stored) = &set {
            self.note_stored(server, stored, &status);
        }
        let backup = Backup::start(
            (self.setup.state_dir.clone(), self.setup.custody.clone()),
            (set, is_on_disk),
            self.setup.shared.clone(),
            status.clone(),
            &self.setup.control,
        );
        self.begin_with(server, status, backup)
    }

    /// Puts in force what is stored of a server that the configuration has only just named.
    async fn load_late(&self, server: &SourceConfig) -> StoredCopy {
        let name = server.name().clone();
        let (folder, kind) = (self.setup.state_dir.clone(), server.kind());
        let read = tokio::task::spawn_blocking(move || stored::read(&folder, &name, kind));
        // An error here is a panic, which has been logged.
        let mut copy = read.await.unwrap_or_default();
        if let Some(texts) = &self.setup.shared {
            copy = stored_sets::or_shared(copy, server, texts).await;
        }
        if let Some(stored) = &copy.set {
            let set = SourceSet::clone(&stored.set);
            let (publisher, name) = (&self.setup.publisher, server.name());
            if let Err(error) = publisher.publish_flags(name, set, Vec::new()).await {
                tracing::error!(source = %name, "the stored flags cannot be put in force: {error}");
            }
        }
        copy
    }

    /// Begins anew with a server that is called as the one before.
    fn begin_again(&self, server: &SourceConfig, before: FollowedServer) -> FollowedServer {
        tracing::info!(source = %server.name(), "the flag server's configuration is another: asking anew");
        let (status, backup) = (before.status.clone(), before.backup.clone());
        // Its tasks end here: what they would publish must not come after what the new ones do.
        drop(before);
        self.begin_with(server, status, backup)
    }

    fn begin_with(
        &self,
        server: &SourceConfig,
        status: Arc<SourceStatus>,
        backup: Backup,
    ) -> FollowedServer {
        let (commands, inbox) = mpsc::channel(QUEUE);
        let (last_words, last_wish) = mpsc::channel(1);
        let follower = FollowerSetup {
            config: server.clone(),
            status: status.clone(),
            publisher: self.setup.publisher.clone(),
            backup: backup.clone(),
            outages: self.outages.subscribe(),
            commands: inbox,
        };
        let (uses, control) = (self.setup.client_uses.clone(), &self.setup.control);
        let begun = match server {
            SourceConfig::Unleash(config) => {
                unleash::follow(config, follower, uses, last_wish, control).and_then(|tasks| {
                    let administrator = Administrator::new(config, &status, &self.recorder)?;
                    Ok((tasks, administrator))
                })
            }
        };
        let (tasks, administrator) = begun.unwrap_or_else(|error| {
            let error = format!("no certificates to know https servers by: {error}");
            tracing::error!(source = %server.name(), "{error}");
            status.fail(Stage::Reading, error);
            Default::default()
        });
        FollowedServer {
            config: server.clone(),
            status,
            backup,
            commands,
            last_words,
            tasks,
            administrator,
            recorder: self.recorder.clone(),
        }
    }

    /// Notes which flags are decided on until the server answers, and logs it.
    fn note_stored(&self, server: &SourceConfig, stored: &StoredSet, status: &SourceStatus) {
        let age = clock::now()
            .unix_ms
            .saturating_sub(stored.confirmed.unix_ms);
        let age = Duration::from_millis(u64::try_from(age).unwrap_or_default());
        status.take_over(age);
        status.note(|facts| {
            facts.was_stored = true;
            facts.revision = stored.set.revision();
        });
        let (source, flags) = (server.name(), stored.set.len());
        tracing::info!(%source, flags, ?age, "starting from stored flags");
        if *stored.url != *server.url().as_str() {
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

    fn follows(&self, server: &SourceConfig) -> bool {
        let followed = self.lock();
        followed
            .iter()
            .any(|followed| followed.config.is_same_source(server))
    }

    /// Lists these servers' statuses.
    fn list(&self, followed: &[FollowedServer]) {
        let statuses = followed.iter().map(|followed| followed.status.clone());
        self.setup.statuses.set_servers(statuses.collect());
    }

    fn lock(&self) -> MutexGuard<'_, Vec<FollowedServer>> {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for FlagServers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FlagServers").finish_non_exhaustive()
    }
}

impl Drop for FollowedServer {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        match &self.config {
            SourceConfig::Unleash(config) => self.recorder.leave(config),
        }
    }
}

impl Drop for FlagServers {
    fn drop(&mut self) {
        if let Some(recording) = &self.recording {
            recording.abort();
        }
    }
}

#[cfg(test)]
mod tests;
