//! What the tests stand on: the built gateway on free ports, and real servers beside it.
//!
//! Nothing here sleeps and hopes: a test waits for a fact, until a deadline.

pub(crate) mod api_document;
pub(crate) mod authority;
pub(crate) mod calendar;
pub(crate) mod client;
pub(crate) mod collector;
pub(crate) mod dns;
pub(crate) mod fault_proxy;
pub(crate) mod flag_server;
pub(crate) mod frames;
pub(crate) mod gateway;
pub(crate) mod metrics;
pub(crate) mod origin;
mod own_tests;
pub(crate) mod port;
pub(crate) mod process;
pub(crate) mod prometheus;
pub(crate) mod redis;
pub(crate) mod script;
pub(crate) mod sdk;
mod sink_server;
pub(crate) mod streams;
pub(crate) mod successor;
pub(crate) mod terminal;
pub(crate) mod unleash;
pub(crate) mod wire;
pub(crate) mod writer;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::Value;

pub(crate) use api_document::ApiDocument;
pub(crate) use client::{Answer, Call, Connection, H2Connection, Raw, get, post};
pub(crate) use dns::{Dns, Lookup};
pub(crate) use fault_proxy::{Fault, FaultProxy};
pub(crate) use gateway::{Gateway, Lines, Setup, run_serin, serin};
pub(crate) use origin::{Blunt, Origin, Protocol, Recorded, Reply};
pub(crate) use script::Script;
pub(crate) use sink_server::{Posted, SinkReply, SinkServer};
pub(crate) use streams::{Stream, Streams};
pub(crate) use unleash::Unleash;

/// Puts the origins' URLs in a template of `routes.yaml`: `@stable` becomes the URL of the origin named `stable`.
pub(crate) fn fill<const N: usize>(template: &str, mut origins: [&Origin; N]) -> String {
    // So that @canary is not taken for the beginning of @canary-two.
    origins.sort_by_key(|origin| std::cmp::Reverse(origin.name().len()));
    let put_in = |text: String, origin: &&Origin| {
        text.replace(&format!("@{}", origin.name()), &origin.url())
    };
    let text = origins.iter().fold(template.to_owned(), put_in);
    let left = text.find(" @").map(|at| &text[at..]);
    assert_eq!(left, None, "an origin is missing");
    text
}

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

/// The pause of a party that is slow or silent: a client or an origin, between two of its steps. Nothing is hoped to have
/// happened meanwhile; where a limit has to have passed, there is [`outlast`].
pub(crate) async fn pause(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

/// Waits until connections that say nothing have been closed for that (`server.timeouts.idle`), one after the other: so
/// many times has a limit passed that is as long.
pub(crate) async fn outlast(gateway: SocketAddr, times: usize) {
    for _ in 0..times {
        let mut silent = Raw::open(gateway).await;
        assert_eq!(silent.read_to_end().await, b"");
    }
}

/// As [`until`], for facts that take a request to find out.
#[track_caller]
pub(crate) fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    fact: impl FnMut() -> F,
) -> impl Future<Output = T> {
    eventually_within(DEADLINE, what, fact)
}

/// As [`eventually`], for facts that the contract allows more time than that.
#[track_caller]
pub(crate) fn eventually_within<T, F: Future<Output = Option<T>>>(
    deadline: Duration,
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
                begun.elapsed() < deadline,
                "{caller}: waited {deadline:?} in vain for {what}"
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

/// Fails unless every member of `expected` is in `actual` with that value; null stands for null or missing.
#[track_caller]
pub(crate) fn assert_has(actual: &Value, expected: &Value) {
    for (key, value) in expected.as_object().expect("an object") {
        assert_eq!(&actual[key.as_str()], value, "{key} of {actual:#}");
    }
}
