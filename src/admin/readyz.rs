//! `GET /readyz`: whether traffic may come.

use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::State;

use super::Shared;
use super::problem::Problem;
use crate::drain::{DrainWatch, Stage};
use crate::registry::kills::Kills;
use crate::resolver::unsettled;
use crate::snapshot::Snapshot;
use crate::source::FlagServers;

/// Becomes ready once, and stays so until SIGTERM.
#[derive(Debug)]
pub struct Readiness {
    reached: AtomicBool,
    drain: DrainWatch,
}

impl Readiness {
    /// Not ready yet; not any more once the end is announced.
    pub fn new(drain: DrainWatch) -> Self {
        Self {
            reached: AtomicBool::new(false),
            drain,
        }
    }

    /// Whether SIGTERM has come.
    pub fn is_draining(&self) -> bool {
        self.drain.has_reached(Stage::Announced)
    }

    /// What is missing for traffic to come, given what runs and which `others` are missing: flags that must still come, and
    /// kills that could not be read; nothing: it may. A name that stops resolving later, or a new one, takes no
    /// readiness away, and neither does a flag server that goes away.
    pub fn missing(&self, snapshot: &Snapshot, others: Vec<String>) -> Vec<String> {
        if self.is_draining() {
            return vec!["the gateway is stopping".to_owned()];
        }
        if self.reached.load(Ordering::Acquire) {
            return Vec::new();
        }
        let names = unsettled(snapshot).map(|service| {
            format!("the name of {service}'s stable deployment has not been looked up yet")
        });
        let missing: Vec<String> = names.chain(others).collect();
        if missing.is_empty() {
            self.reached.store(true, Ordering::Release);
        }
        missing
    }
}

/// What is missing for traffic to come beside what the snapshot says: flags that must still come, and kills that could not be
/// read.
pub fn others_missing(flag_servers: &FlagServers, kills: &Kills) -> Vec<String> {
    let mut others = flag_servers.missing();
    others.extend(kills.doubts());
    others
}

/// Says `ready`, or 503 and what is missing.
pub(super) async fn readyz(State(state): Shared) -> Result<&'static str, Problem> {
    let others = others_missing(&state.flag_servers, state.kills.all());
    let missing = state
        .readiness
        .missing(&state.publisher.store().peek(), others);
    if missing.is_empty() {
        return Ok("ready\n");
    }
    Err(Problem::new(503, missing.join("; ")).with_missing(missing))
}
