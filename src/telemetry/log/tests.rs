use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::time::Instant;
use tracing::Level as At;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::{Registry, reload};

use super::{
    DEBUG_REQUEST, Directives, LogControl, combined, combined_others, others_level, targets,
};
use crate::config::{Level, LogFormat, Logging};
use crate::publisher::tests::fixture;

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

fn directives(text: &str) -> Directives {
    text.parse().unwrap()
}

fn logging(level: Level) -> Logging {
    Logging {
        level,
        format: LogFormat::Json,
        ..fixture::config("http://127.0.0.1:81", 1).logging
    }
}

/// A control of a log that nothing is written to.
fn control() -> (LogControl, reload::Layer<Targets, Registry>) {
    let (layer, handle) = reload::Layer::new(targets(Level::Info, false));
    let json = Arc::new(AtomicBool::new(true));
    (LogControl::new(json, handle, Level::Info, false), layer)
}

fn writes(control: &LogControl, target: &str, at: At) -> bool {
    let enabled = |targets: &Targets| targets.would_enable(target, &at);
    control.0.targets.with_current(enabled).unwrap()
}

#[test]
fn directives_add_to_the_level_or_stand_in_for_it() {
    let added = combined(
        Level::Warn,
        false,
        Some(&directives("serin::proxy=debug,hyper=trace")),
    );
    assert!(added.would_enable("serin::proxy::hooks", &At::DEBUG));
    assert!(added.would_enable("hyper", &At::TRACE));
    assert!(added.would_enable("serin::publisher", &At::WARN));
    assert!(!added.would_enable("serin::publisher", &At::INFO));
    assert!(!added.would_enable("pingora_proxy", &At::ERROR));
    let replaced = combined(
        Level::Warn,
        false,
        Some(&directives("debug,serin::proxy=off")),
    );
    assert!(replaced.would_enable("serin::publisher", &At::DEBUG));
    assert!(!replaced.would_enable("serin::proxy", &At::ERROR));
}

#[test]
fn dependencies_are_asked_as_far_as_directives_go() {
    let others = |text: &str| combined_others(Level::Info, Some(&directives(text)));
    assert_eq!(others("serin::proxy=trace"), log::LevelFilter::Warn);
    assert_eq!(others("pingora_proxy=debug"), log::LevelFilter::Debug);
    assert_eq!(others("pingora=error"), log::LevelFilter::Warn);
    assert_eq!(others("trace"), log::LevelFilter::Debug);
}

/// Ends the directives that hold, as the task does that waits for the end of their time. Answers that end.
fn expire(control: &LogControl) -> Instant {
    let until = control.shown().1.unwrap().until;
    control.expire(until);
    until
}

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_filter_ends_and_the_configured_level_holds_again() {
    let (control, _layer) = control();
    control.set(directives("serin::proxy=debug"), MINUTE, "me".into());
    assert!(writes(&control, "serin::proxy", At::DEBUG));
    let first = control.shown().1.unwrap().until;
    // Another takes its place, and its time.
    control.set(directives("serin::source=debug"), 2 * MINUTE, "you".into());
    assert!(!writes(&control, "serin::proxy", At::DEBUG));
    control.expire(first);
    assert!(writes(&control, "serin::source", At::DEBUG));
    assert_eq!(control.shown().1.unwrap().by, "you");
    assert!(expire(&control) > first);
    assert!(control.shown().1.is_none());
    assert!(!writes(&control, "serin::source", At::DEBUG));
    assert!(writes(&control, "serin::source", At::INFO));
}

#[tokio::test]
async fn a_reload_changes_the_level_below_a_filter_and_leaves_the_filter() {
    let (control, _layer) = control();
    control.set(directives("serin::proxy=debug"), MINUTE, "me".into());
    control.apply(&logging(Level::Error));
    assert!(writes(&control, "serin::proxy", At::DEBUG));
    assert!(!writes(&control, "serin::source", At::WARN));
    expire(&control);
    assert!(!writes(&control, "serin::proxy", At::WARN), "the reload's");
    assert!(!control.reset("me"), "there is nothing left to end");
    control.set(directives("info"), MINUTE, "me".into());
    assert!(writes(&control, "serin::source", At::INFO));
    assert!(control.reset("me") && !writes(&control, "serin::source", At::WARN));
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
