//! Of several gateways that share their state one records at a time, so that none does what another is doing.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::state::{Expected, Kind, StateStore, Write};

/// The record that says whose turn it is.
const KEY: &str = "turn";
/// How often the gateway whose turn it is says that it still runs.
const BEAT: Duration = Duration::from_secs(5);
/// How long it may say nothing before another takes its place. Each gateway measures that by its own clock.
const GONE: Duration = Duration::from_secs(15);

/// This gateway's part in it. A gateway that has its state for itself always has the turn.
#[derive(Debug)]
pub(super) struct Turn {
    store: StateStore,
    own_name: String,
    beats: u64,
    /// What this gateway wrote last, and when; `None`: it has not the turn.
    held: Option<(Value, Instant)>,
    /// What another wrote last, and when that was first seen here.
    seen: Option<(Value, Instant)>,
}

impl Turn {
    /// Over what `store` shares.
    pub(super) fn new(store: StateStore) -> Self {
        let name: u128 = rand::random();
        Self {
            store,
            own_name: format!("{name:032x}"),
            beats: 0,
            held: None,
            seen: None,
        }
    }

    /// Tells when another gateway takes the turn or gives it up.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.store.subscribe(Kind::Recording)
    }

    /// Takes the turn, or keeps it. Whether this gateway has it.
    pub(super) async fn take(&mut self) -> bool {
        if self.store.sharing().is_none() {
            return true;
        }
        let now = Instant::now();
        let expected = match self.store.records(Kind::Recording).remove(KEY) {
            None => Expected::Absent,
            Some(found) if found.get("by").and_then(Value::as_str) == Some(&self.own_name) => {
                if self.has_since(now).is_some_and(|since| since < BEAT) {
                    return true;
                }
                Expected::Is(found)
            }
            Some(other) => {
                self.held = None;
                if !self.is_gone(&other, now) {
                    return false;
                }
                Expected::Is(other)
            }
        };
        self.beats += 1;
        let value = json!({ "by": self.own_name, "beat": self.beats });
        let write = Write::Put {
            key: KEY.to_owned(),
            value: value.clone(),
            expected,
        };
        match self.store.write(Kind::Recording, vec![write]).await {
            Ok(_) => self.held = Some((value, now)),
            // Nobody else can have taken it before this gateway counts as gone, which is some beats away.
            Err(error) if self.has_since(now).is_some_and(|since| since < GONE - BEAT) => {
                tracing::debug!(%error, "which gateway records cannot be said now");
            }
            Err(_) => self.held = None,
        }
        self.held.is_some()
    }

    /// Gives the turn up, if this gateway has it.
    pub(super) async fn release(&mut self) {
        let Some((value, _)) = self.held.take() else {
            return;
        };
        let write = Write::Remove {
            key: KEY.to_owned(),
            expected: Expected::Is(value),
        };
        // If it cannot be removed, others find out that nothing is said any more.
        let _ = self.store.write(Kind::Recording, vec![write]).await;
    }

    /// How long ago this gateway last said that it has the turn.
    fn has_since(&self, now: Instant) -> Option<Duration> {
        let (_, at) = self.held.as_ref()?;
        Some(now.duration_since(*at))
    }

    /// Whether another gateway has said nothing for so long that it counts as gone.
    fn is_gone(&mut self, said: &Value, now: Instant) -> bool {
        match &self.seen {
            Some((known, since)) if known == said => now.duration_since(*since) >= GONE,
            _ => {
                self.seen = Some((said.clone(), now));
                false
            }
        }
    }
}
