//! Serin's own log lines, on standard error.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::{Targets, dynamic_filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use crate::config::{Level, LogFormat, Logging};

/// The target of the steps of single requests (`--debug-request`).
pub const DEBUG_REQUEST: &str = "serin::debug_request";

/// Changes what is written, and how, while the process runs.
#[derive(Clone, Debug)]
pub struct LogControl {
    json: Arc<AtomicBool>,
    /// Whether the steps of single requests are written at any level.
    debugs_requests: bool,
    targets: reload::Handle<Targets, Registry>,
}

impl LogControl {
    /// Begins to write log lines for the whole process. Later calls have no effect on what is written, and neither
    /// has what they return: there is one log.
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
        Self {
            json,
            debugs_requests,
            targets: handle,
        }
    }

    /// Takes over level and format.
    pub fn apply(&self, logging: &Logging) {
        self.json
            .store(logging.format == LogFormat::Json, Ordering::Relaxed);
        // Fails only for a control whose log was not the one that was started.
        let _ = self
            .targets
            .reload(targets(logging.level, self.debugs_requests));
        log::set_max_level(others_level(logging.level));
    }
}

/// What dependencies that write through the `log` crate need not even ask about: pingora would for dozens of lines a
/// request.
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
    let own = match level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    };
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
mod tests {
    use tracing::Level as At;

    use tracing::level_filters::LevelFilter;
    use tracing_subscriber::Registry;

    use super::{DEBUG_REQUEST, others_level, targets};
    use crate::config::Level;

    #[test]
    fn a_failed_request_writes_no_line() {
        for level in [Level::Error, Level::Warn, Level::Info, Level::Debug] {
            let targets = targets(level, false);
            assert!(!targets.would_enable("pingora_proxy", &At::ERROR));
            assert!(!targets.would_enable("pingora_proxy::proxy_h1", &At::ERROR));
            assert!(targets.would_enable("pingora_core::server", &At::ERROR));
            assert!(!targets.would_enable("pingora_core::server", &At::WARN));
        }
        assert!(targets(Level::Trace, false).would_enable("pingora_proxy", &At::ERROR));
    }

    #[test]
    fn the_level_is_for_serins_own_lines() {
        let debug = targets(Level::Debug, false);
        assert!(debug.would_enable("serin::publisher", &At::DEBUG));
        assert!(!debug.would_enable("serin::publisher", &At::TRACE));
        assert!(!debug.would_enable("hyper", &At::INFO));
        assert!(debug.would_enable("hyper", &At::WARN));
        let error = targets(Level::Error, false);
        assert!(!error.would_enable("serin", &At::WARN) && !error.would_enable("hyper", &At::WARN));
    }

    #[test]
    fn nothing_is_kept_from_the_log_that_it_would_write() {
        for level in [
            Level::Error,
            Level::Warn,
            Level::Info,
            Level::Debug,
            Level::Trace,
        ] {
            let (asked, written) = (others_level(level), targets(level, false));
            for (at, as_log) in [
                (At::ERROR, log::Level::Error),
                (At::WARN, log::Level::Warn),
                (At::INFO, log::Level::Info),
                (At::DEBUG, log::Level::Debug),
                (At::TRACE, log::Level::Trace),
            ] {
                assert_eq!(written.would_enable("hyper", &at), as_log <= asked);
            }
        }
    }

    #[test]
    fn steps_of_requests_are_written_at_any_level_only_where_that_is_asked_for() {
        for level in [Level::Error, Level::Info] {
            assert!(targets(level, true).would_enable(DEBUG_REQUEST, &At::DEBUG));
            assert!(!targets(level, true).would_enable("serin::proxy::run", &At::DEBUG));
            assert!(!targets(level, false).would_enable(DEBUG_REQUEST, &At::DEBUG));
        }
        // Events below the highest level that any target asks for cost one comparison, and no more.
        let highest = |debugs| {
            tracing_subscriber::Layer::<Registry>::max_level_hint(&targets(Level::Info, debugs))
        };
        assert_eq!(highest(false), Some(LevelFilter::INFO));
        assert_eq!(highest(true), Some(LevelFilter::DEBUG));
    }
}
