//! The control plane: reads `routes.yaml`, compiles it and has it published, starts and stops the following of flag
//! servers, sets the log level, and tells the service manager. It remembers how the last reload ended and what in the file
//! takes a restart.

pub mod metrics;
mod report;
mod restart;
mod trail;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc::Receiver;
use tokio::sync::watch;

use crate::audit::actor::Actor;
use crate::clock;
use crate::config::admin::AdminToken;
use crate::config::diagnostic::{Findings, Severity};
use crate::config::flag_server::StalenessPolicy;
use crate::config::source::SourceConfig;
use crate::config::{Config, Process};
use crate::publisher::{PublishError, PublisherHandle};
use crate::source::file::{FileEvent, FileNews, read};
use crate::source::key_sets::TokenIssuers;
use crate::source::{FlagServers, SourceStatus, Stage};
use crate::telemetry::log::LogControl;
use crate::telemetry::service_manager::ServiceManager;
use metrics::ReloadMetrics;
pub use report::{LastReload, ReloadFailure, ReloadReport, ReloadTrigger};
use restart::restart_needed;

/// How a text becomes a configuration: [`crate::config`]'s compiler in this process's environment, or a test's.
pub type Compile = dyn Fn(&str) -> Result<Config, Findings> + Send + Sync;

/// Reloads the file: one reload at a time, whether the file changed, a signal came or the API was called.
pub struct Reloader {
    path: PathBuf,
    compile: Arc<Compile>,
    publisher: PublisherHandle,
    log: Option<LogControl>,
    service_manager: Option<ServiceManager>,
    flag_servers: Arc<FlagServers>,
    issuers: TokenIssuers,
    source: Arc<SourceStatus>,
    counters: Arc<ReloadMetrics>,
    /// What the process was started with.
    started_with: Process,
    history: tokio::sync::Mutex<History>,
    state: Mutex<State>,
    admin_tokens: watch::Sender<Arc<[AdminToken]>>,
}

/// What a reload needs to know of the reloads before it. The lock around it makes them wait for each other.
#[derive(Debug)]
struct History {
    /// The content that was judged last.
    judged: [u8; 32],
    /// When it began to be read, at the earliest.
    read_at: Instant,
    /// The content whose errors were logged last.
    complained: Option<[u8; 32]>,
    /// The flag servers of what is in force.
    follows: (Vec<SourceConfig>, StalenessPolicy),
}

#[derive(Debug)]
struct State {
    last: LastReload,
    process: Process,
}

/// What a [`Reloader`] works with.
pub struct ReloaderSetup {
    /// The file.
    pub path: PathBuf,
    /// How a text becomes a configuration.
    pub compile: Arc<Compile>,
    /// Publishes the configuration.
    pub publisher: PublisherHandle,
    /// The log, whose level and format may change; `None` leaves it alone.
    pub log: Option<LogControl>,
    /// The service manager that started this process, if it wants to know of reloads.
    pub service_manager: Option<ServiceManager>,
    /// The flag servers that the file names.
    pub flag_servers: Arc<FlagServers>,
    /// Where keys of tokens are from.
    pub issuers: TokenIssuers,
    /// How the file is doing.
    pub source: Arc<SourceStatus>,
    /// How often it was reloaded.
    pub counters: Arc<ReloadMetrics>,
}

impl Reloader {
    /// After a start with the content `text`, compiled to `first`.
    pub fn new(setup: ReloaderSetup, text: &str, first: &Config) -> Self {
        let last = LastReload {
            at: clock::now(),
            cause: None,
            result: Ok(()),
        };
        Self {
            path: setup.path,
            compile: setup.compile,
            publisher: setup.publisher,
            log: setup.log,
            service_manager: setup.service_manager,
            flag_servers: setup.flag_servers,
            issuers: setup.issuers,
            source: setup.source,
            counters: setup.counters,
            started_with: first.process.clone(),
            history: tokio::sync::Mutex::new(History {
                judged: hash(text),
                read_at: Instant::now(),
                complained: None,
                follows: (first.sources().collect(), first.outages),
            }),
            state: Mutex::new(State {
                last,
                process: first.process.clone(),
            }),
            admin_tokens: watch::Sender::new(first.process.admin.tokens.clone()),
        }
    }

    /// Reads the file and puts what it says in force, even if it has not changed.
    pub async fn reload(
        &self,
        cause: ReloadTrigger,
        actor: Actor,
    ) -> Result<ReloadReport, ReloadFailure> {
        let mut history = self.history.lock().await;
        let before = self.in_force();
        self.announce_reload();
        let path = self.path.clone();
        let read_at = Instant::now();
        let text = tokio::task::spawn_blocking(move || read(&path).map_err(|e| e.to_string()));
        let result = match text.await.unwrap_or_else(|panic| Err(panic.to_string())) {
            Ok(text) => {
                self.source.recover(Stage::Reading);
                self.put_in_force(text, read_at, &mut history).await
            }
            Err(error) => {
                self.source.fail(Stage::Reading, error.clone());
                tracing::error!(file = %self.path.display(), error, "the file cannot be read; what runs stays");
                Err(ReloadFailure::Unreadable(error))
            }
        };
        self.note(cause, &result);
        let deed = self.deed(actor, before, &result, &history);
        // Whoever has come meanwhile need not wait for the disk.
        drop(history);
        let audit = self.publisher.events().audit();
        audit
            .record(deed.because(Some(cause.as_str().to_owned())))
            .written()
            .await;
        result
    }

    /// Follows the file until its follower ends.
    pub async fn follow(&self, mut events: Receiver<FileNews>) {
        while let Some(FileNews { at, event }) = events.recv().await {
            match event {
                FileEvent::Changed(text) => {
                    let mut history = self.history.lock().await;
                    // A signal or the API had the file reloaded meanwhile.
                    if history.judged == hash(&text) || at < history.read_at {
                        continue;
                    }
                    self.announce_reload();
                    let before = self.in_force();
                    let result = self.put_in_force(text, at, &mut history).await;
                    self.note_change(before, &result, &history);
                }
                FileEvent::Trouble(error) => {
                    tracing::error!(file = %self.path.display(), error, "the file cannot be read; what runs stays");
                    let result = Err(ReloadFailure::Unreadable(error));
                    self.note_change(self.in_force(), &result, &*self.history.lock().await);
                }
            }
        }
    }

    /// Tells the service manager, if there is one, that traffic is taken, and on which generation.
    pub fn announce_ready(&self) {
        let Some(manager) = self.service_manager else {
            return;
        };
        let generation = self.publisher.store().load().generation;
        let status = match &self.state().last.result {
            Ok(()) => format!("serving generation {generation}"),
            Err(failure) => format!("serving generation {generation}; last reload: {failure}"),
        };
        manager.ready(&status);
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where keys of tokens are from.
    pub fn issuers(&self) -> &TokenIssuers {
        &self.issuers
    }

    /// How the last reload ended.
    pub fn last(&self) -> LastReload {
        self.state().last.clone()
    }

    /// What the file asks for that takes a restart.
    pub fn restart_needed(&self) -> Vec<String> {
        restart_needed(&self.started_with, &self.state().process)
    }

    /// `server.shutdown_delay` and `server.shutdown_grace`, which apply at once.
    pub fn shutdown_times(&self) -> (Duration, Duration) {
        let state = self.state();
        (state.process.shutdown_delay, state.process.shutdown_grace)
    }

    /// `admin.tokens`, which apply at once.
    pub fn admin_tokens(&self) -> Arc<[AdminToken]> {
        self.admin_tokens.borrow().clone()
    }

    /// Tells of other `admin.tokens`.
    pub fn watch_admin_tokens(&self) -> watch::Receiver<Arc<[AdminToken]>> {
        self.admin_tokens.subscribe()
    }

    async fn put_in_force(
        &self,
        text: String,
        read_at: Instant,
        history: &mut History,
    ) -> Result<ReloadReport, ReloadFailure> {
        history.judged = hash(&text);
        history.read_at = read_at;
        let config = self.compiled(text, history).await?;
        let (process, logging) = (config.process.clone(), config.logging.clone());
        let (servers, outages) = (config.sources().collect::<Vec<_>>(), config.outages);
        self.flag_servers.retire(&servers);
        let published = match self.publisher.publish(config).await {
            Ok(published) => published,
            Err(PublishError::Stopped(stopped)) => return Err(stopped.into()),
            Err(PublishError::Failed(why)) => {
                // What runs stays, and so do its flag servers.
                let (servers, outages) = &history.follows;
                self.flag_servers.follow(servers, *outages).await;
                let failure = ReloadFailure::Failed(why);
                self.source.fail(Stage::Content, failure.to_string());
                tracing::error!(file = %self.path.display(), "{failure}");
                return Err(failure);
            }
        };
        self.flag_servers.follow(&servers, outages).await;
        history.follows = (servers, outages);
        if let Some(log) = &self.log {
            log.apply(&logging);
        }
        self.source.recover(Stage::Content);
        self.source.confirm();
        history.complained = None;
        let restart_needed = restart_needed(&self.started_with, &process);
        for change in &restart_needed {
            tracing::warn!("takes a restart: {change}");
        }
        self.admin_tokens.send_replace(process.admin.tokens.clone());
        self.state().process = process;
        Ok(ReloadReport {
            generation: published.generation,
            digest: published.digest,
            is_new: published.is_new,
            restart_needed,
        })
    }

    /// The configuration that a text describes, with the keys of its tokens, as far as they come in time.
    async fn compiled(&self, text: String, history: &mut History) -> Result<Config, ReloadFailure> {
        let (compile, issuers) = (self.compile.clone(), self.issuers.clone());
        let compiled = tokio::task::spawn_blocking(move || {
            let mut config = compile(&text)?;
            issuers.equip(&mut config.identity);
            Ok(config)
        });
        match compiled.await {
            Ok(Ok(config)) => {
                self.issuers.await_first_keys(&config.identity).await;
                Ok(config)
            }
            Ok(Err(problems)) => {
                self.complain(&problems, history);
                Err(ReloadFailure::Invalid(problems))
            }
            Err(panic) => {
                let error = format!("the file cannot be compiled: {panic}");
                tracing::error!(file = %self.path.display(), "{error}");
                Err(ReloadFailure::Unreadable(error))
            }
        }
    }

    fn complain(&self, problems: &Findings, history: &mut History) {
        let errors = problems
            .iter()
            .filter(|problem| problem.severity == Severity::Error);
        let first = errors.clone().next().map_or("", |error| &error.message);
        self.source.fail(Stage::Content, first.to_owned());
        let is_known = history.complained.replace(history.judged) == Some(history.judged);
        tracing::error!(
            file = %self.path.display(),
            errors = problems.errors(),
            "the file {} errors; what runs stays",
            if is_known { "still has the same" } else { "has" }
        );
        if is_known {
            return;
        }
        for error in errors {
            tracing::error!(
                "{}:{}:{}: {}",
                self.path.display(),
                error.span.line,
                error.span.column,
                error.in_one_line()
            );
        }
    }

    fn note(&self, cause: ReloadTrigger, result: &Result<ReloadReport, ReloadFailure>) {
        match result {
            Ok(report) => {
                self.counters.succeeded();
                tracing::info!(
                    cause = cause.as_str(),
                    generation = report.generation,
                    changed = report.is_new,
                    "reloaded"
                );
            }
            Err(_) => self.counters.failed(),
        }
        self.state().last = LastReload {
            at: clock::now(),
            cause: Some(cause),
            result: result.as_ref().map(|_| ()).map_err(Clone::clone),
        };
        self.announce_ready();
    }

    /// Tells the service manager, if there is one, that a reload begins. [`Self::note`] announces its end.
    fn announce_reload(&self) {
        if let Some(manager) = self.service_manager {
            manager.reloading();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Reloader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reloader")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

#[cfg(test)]
mod tests;
