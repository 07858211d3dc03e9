//! Serin's own log lines, on standard error.
//!
//! The configuration sets level and format (`logging`). For a while, an operator may put [`Directives`] on top of its level:
//! they outlast a reload, which changes the level below them, and end by themselves.

mod directives;

use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::Instant;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::{Targets, dynamic_filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use crate::config::{Level, LogFormat, Logging};
use directives::own_level;
pub use directives::{Directives, DirectivesError};

/// The target of the steps of single requests (`--debug-request`).
pub const DEBUG_REQUEST: &str = "serin::debug_request";

/// Changes which lines are written, and how, while the process runs. Clones control the same log.
#[derive(Clone, Debug)]
pub struct LogControl(Arc<Log>);

#[derive(Debug)]
struct Log {
    json: Arc<AtomicBool>,
    /// Whether the steps of single requests are written at any level.
    debugs_requests: bool,
    targets: reload::Handle<Targets, Registry>,
    filter: Mutex<Filter>,
}

/// Which lines are written.
#[derive(Debug)]
struct Filter {
    /// `logging.level`.
    level: Level,
    temporary: Option<TemporaryFilter>,
    /// Ends the task that will set the filter back.
    expiry: Option<AbortHandle>,
}

/// Directives that hold for a while.
#[derive(Clone, Debug)]
pub struct TemporaryFilter {
    /// The directives.
    pub directives: Directives,
    /// Until when they hold.
    pub until: Instant,
    /// The address of the client who set them.
    pub by: String,
}

impl LogControl {
    /// Installs the process-wide subscriber. Calling it again does nothing; the returned control is then inert.
    /// `debugs_requests`: the steps of single requests are written at any level.
    pub fn start(logging: &Logging, debugs_requests: bool) -> Self {
        let (targets, handle) = reload::Layer::new(targets(logging.level, debugs_requests));
        let json = Arc::new(AtomicBool::new(logging.format == LogFormat::Json));
        let (as_json, as_text) = (json.clone(), json.clone());
        let colour = std::io::stderr().is_terminal()
            && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let started = tracing_subscriber::registry()
            .with(targets)
            .with(
                fmt::layer()
                    .json()
                    .flatten_event(true)
                    .with_current_span(false)
                    .with_span_list(false)
                    .with_writer(std::io::stderr)
                    .with_filter(dynamic_filter_fn(move |_, _| {
                        as_json.load(Ordering::Relaxed)
                    })),
            )
            .with(
                fmt::layer()
                    .with_ansi(colour)
                    .with_target(false)
                    .with_writer(std::io::stderr)
                    .with_filter(dynamic_filter_fn(move |_, _| {
                        !as_text.load(Ordering::Relaxed)
                    })),
            )
            .try_init();
        if let Err(error) = started {
            tracing::debug!(%error, "the log had been started already");
        }
        log::set_max_level(others_level(logging.level));
        Self::new(json, handle, logging.level, debugs_requests)
    }

    fn new(
        json: Arc<AtomicBool>,
        targets: reload::Handle<Targets, Registry>,
        level: Level,
        debugs_requests: bool,
    ) -> Self {
        Self(Arc::new(Log {
            json,
            debugs_requests,
            targets,
            filter: Mutex::new(Filter {
                level,
                temporary: None,
                expiry: None,
            }),
        }))
    }

    /// A control of no log.
    #[cfg(test)]
    pub(crate) fn inert() -> Self {
        let (_, handle) = reload::Layer::new(targets(Level::Info, false));
        Self::new(Arc::default(), handle, Level::Info, false)
    }

    /// Takes over level and format of a configuration. Directives that hold for a while stay on top of the level.
    pub fn apply(&self, logging: &Logging) {
        self.0
            .json
            .store(logging.format == LogFormat::Json, Ordering::Relaxed);
        let mut filter = self.filter();
        filter.level = logging.level;
        self.put_in_force(&filter);
    }

    /// `logging.level` of the running configuration, and the directives on top of it.
    pub fn shown(&self) -> (Level, Option<TemporaryFilter>) {
        let filter = self.filter();
        (filter.level, filter.temporary.clone())
    }

    /// Puts directives in force for a while, in place of any that hold, and logs who did. A task on the runtime that
    /// this is called on sets the filter back.
    pub fn set(&self, directives: Directives, lifetime: Duration, by: String) {
        let until = Instant::now() + lifetime;
        let temporary = TemporaryFilter {
            directives,
            until,
            by,
        };
        let mut filter = self.filter();
        filter.stop_expiry();
        let control = self.clone();
        let expiry = tokio::spawn(async move {
            tokio::time::sleep_until(until).await;
            control.expire(until);
        });
        filter.expiry = Some(expiry.abort_handle());
        filter.temporary = Some(temporary.clone());
        self.put_in_force(&filter);
        drop(filter);
        let (by, seconds) = (&temporary.by, lifetime.as_secs());
        tracing::warn!(by, filter = %temporary.directives, seconds, "the log's filter was changed for a while");
    }

    /// Ends the directives that hold, if there are any, and logs who did. Answers whether there were any.
    pub fn reset(&self, by: &str) -> bool {
        let mut filter = self.filter();
        filter.stop_expiry();
        let ended = filter.temporary.take();
        self.put_in_force(&filter);
        drop(filter);
        if let Some(ended) = &ended {
            tracing::warn!(by, filter = %ended.directives, "the log's filter was set back");
        }
        ended.is_some()
    }

    /// Ends the directives whose time was over at `until`, unless others have taken their place.
    fn expire(&self, until: Instant) {
        let mut filter = self.filter();
        let ended = filter
            .temporary
            .take_if(|temporary| temporary.until == until);
        self.put_in_force(&filter);
        drop(filter);
        if let Some(ended) = ended {
            tracing::warn!(filter = %ended.directives, "the log's filter was set back: its time is over");
        }
    }

    fn put_in_force(&self, filter: &Filter) {
        let directives = filter.temporary.as_ref();
        let directives = directives.map(|temporary| &temporary.directives);
        // Fails only for a control whose log was not the one that was started.
        let _ = self
            .0
            .targets
            .reload(combined(filter.level, self.0.debugs_requests, directives));
        log::set_max_level(combined_others(filter.level, directives));
    }

    fn filter(&self) -> MutexGuard<'_, Filter> {
        self.0.filter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Filter {
    fn stop_expiry(&mut self) {
        if let Some(expiry) = self.expiry.take() {
            expiry.abort();
        }
    }
}

/// The lines of a level, and those that directives add or take away.
fn combined(level: Level, debugs_requests: bool, directives: Option<&Directives>) -> Targets {
    let stand_in = directives.and_then(Directives::level);
    let targets = targets(stand_in.unwrap_or(level), debugs_requests);
    match directives {
        None => targets,
        Some(directives) => directives.add_to(targets),
    }
}

/// [`others_level`] with directives on top.
fn combined_others(level: Level, directives: Option<&Directives>) -> log::LevelFilter {
    let Some(directives) = directives else {
        return others_level(level);
    };
    let added = match directives.others_level().into_level() {
        None => log::LevelFilter::Off,
        Some(tracing::Level::ERROR) => log::LevelFilter::Error,
        Some(tracing::Level::WARN) => log::LevelFilter::Warn,
        Some(tracing::Level::INFO) => log::LevelFilter::Info,
        Some(tracing::Level::DEBUG) => log::LevelFilter::Debug,
        Some(tracing::Level::TRACE) => log::LevelFilter::Trace,
    };
    others_level(directives.level().unwrap_or(level)).max(added)
}

/// The level up to which dependencies that write through the `log` crate ask whether a line is wanted. pingora would ask
/// dozens of times a request.
fn others_level(level: Level) -> log::LevelFilter {
    match level {
        Level::Error => log::LevelFilter::Error,
        Level::Warn | Level::Info | Level::Debug => log::LevelFilter::Warn,
        Level::Trace => log::LevelFilter::Debug,
    }
}

/// Serin's own lines from `level` on, and only what matters of its dependencies: pingora writes a line for every
/// request that fails, which the access log and the metrics tell better, and at a rate that clients choose.
fn targets(level: Level, debugs_requests: bool) -> Targets {
    let own = own_level(level);
    let mut targets = Targets::new().with_target("serin", own);
    if debugs_requests {
        targets = targets.with_target(DEBUG_REQUEST, LevelFilter::DEBUG.max(own));
    }
    if level == Level::Trace {
        return targets.with_default(LevelFilter::DEBUG);
    }
    targets
        .with_default(own.min(LevelFilter::WARN))
        .with_target("pingora", LevelFilter::ERROR)
        .with_target("pingora_proxy", LevelFilter::OFF)
        .with_target("pingora_core::protocols", LevelFilter::OFF)
        .with_target("hickory", LevelFilter::ERROR)
}

#[cfg(test)]
mod tests;
