//! What the tests stand on: the built gateway on free ports, and real servers beside it.
//!
//! Nothing here sleeps and hopes: whoever waits, waits for a fact, until a deadline.

pub(crate) mod client;
pub(crate) mod dns;
pub(crate) mod gateway;
pub(crate) mod metrics;
pub(crate) mod origin;
mod own_tests;

use std::time::{Duration, Instant};

pub(crate) use client::{Answer, Call, Connection, H2Connection, get, post};
pub(crate) use dns::{Dns, Lookup};
pub(crate) use gateway::{Gateway, Setup, run_serin};
pub(crate) use origin::{Origin, Protocol, Reply};

/// How long a test waits for a fact before it fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// Polls `fact` every ten milliseconds until it yields a value; fails, naming what was waited for, when the
/// deadline has passed.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut fact: impl FnMut() -> Option<T>) -> impl Future<Output = T> {
    let caller = std::panic::Location::caller();
    async move {
        let begun = Instant::now();
        loop {
            if let Some(value) = fact() {
                return value;
            }
            assert!(
                begun.elapsed() < DEADLINE,
                "{caller}: waited {DEADLINE:?} in vain for {what}"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// As [`until`], for facts that take a request to find out.
#[track_caller]
pub(crate) fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut fact: impl FnMut() -> F,
) -> impl Future<Output = T> {
    let caller = std::panic::Location::caller();
    async move {
        let begun = Instant::now();
        loop {
            if let Some(value) = fact().await {
                return value;
            }
            assert!(
                begun.elapsed() < DEADLINE,
                "{caller}: waited {DEADLINE:?} in vain for {what}"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Fails when `future` has not ended by the deadline: a gateway that hangs must not hang the tests.
#[track_caller]
pub(crate) fn in_time<T>(what: &str, future: impl Future<Output = T>) -> impl Future<Output = T> {
    let caller = std::panic::Location::caller();
    async move {
        match tokio::time::timeout(DEADLINE, future).await {
            Ok(value) => value,
            Err(_) => panic!("{caller}: {what} took longer than {DEADLINE:?}"),
        }
    }
}
